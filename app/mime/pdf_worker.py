"""The process that encrypts PDFs (``sandbox_worker`` has its rules).

It holds unprotected documents: it leaves no core dump and writes no file.
"""

import sys

from app.mime.frames import Outcome, read_request, write_reply
from app.sandbox_worker import Handler, serve


def learn() -> Handler:
    """Load what reads PDFs, only now that dumps are off, and prove that it works."""
    from app.mime import pdf

    pdf.prove_worker()

    def answer(request: tuple[bytes, str]) -> Outcome:
        try:
            return pdf.encrypt(*request)
        except pdf.ProofFailed:
            return Outcome("protection_failed")

    return Handler(read_request, answer, write_reply)


if __name__ == "__main__":
    serve(float(sys.argv[1]), int(sys.argv[2]), learn)
