"""The process that encrypts PDFs: ``python -m app.mime.pdf_worker <cpu seconds> <memory bytes>``.

Reads requests from standard input, writes replies to standard output, ends when its input ends
(so it dies with its parent). It holds unprotected documents, hence it can leave no core dump and
writes no file. A document that takes too much memory or time, or breaks the reader, ends the
process by a signal the process itself or the kernel raised (see ``pool.OWN_SIGNALS``); the pool
lays that to the document.
"""

import ctypes
import os
import resource
import signal
import sys

from app.mime.frames import READY, Outcome, read_request, write_reply

PR_SET_DUMPABLE = 4  # linux/prctl.h


def main(cpu_s: float, memory_bytes: int) -> None:
    """Serve requests until the input ends."""
    _forbid_dumps()
    requests, replies = os.fdopen(os.dup(0), "rb"), os.fdopen(os.dup(1), "wb")
    _close_off(0, 1)  # a stray print must not enter a reply
    from app.mime import pdf  # only now: nothing is loaded before dumps are off

    resource.setrlimit(resource.RLIMIT_AS, (memory_bytes, memory_bytes))
    pdf.prove_worker()  # under the limit: too small a one ends the worker here, blaming no document
    replies.write(READY)
    replies.flush()
    _close_off(2)  # from here on a traceback could quote a document
    while (request := read_request(requests)) is not None:
        # The kernel's clock of CPU time, not of the wall: a busy machine is not the file's fault.
        signal.setitimer(signal.ITIMER_PROF, cpu_s)
        try:
            outcome = pdf.encrypt(*request)
        except MemoryError:
            os.abort()
        except pdf.ProofFailed:
            outcome = Outcome("protection_failed")
        signal.setitimer(signal.ITIMER_PROF, 0)
        write_reply(replies, outcome)
        del request, outcome  # idle workers hold no document


def _close_off(*streams: int) -> None:
    nowhere = os.open(os.devnull, os.O_RDWR)
    for stream in streams:
        os.dup2(nowhere, stream)
    os.close(nowhere)


def _forbid_dumps() -> None:
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    if sys.platform == "linux":
        # core(5): a dump that is piped to a program ignores RLIMIT_CORE; "not dumpable" stops both
        ctypes.CDLL(None).prctl(PR_SET_DUMPABLE, 0, 0, 0, 0)


if __name__ == "__main__":
    main(float(sys.argv[1]), int(sys.argv[2]))
