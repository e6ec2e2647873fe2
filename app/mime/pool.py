"""Encrypts PDFs in a few processes (``sandbox``), so that a hostile document kills only its own.

A process that dies by its document is that document's fault (``pdf_damaged``); where none can be had,
``Unavailable``. The password goes through a pipe, never on a command line or into the environment.
"""

from functools import partial

from app.errors import Unavailable
from app.mime.frames import Outcome, read_reply, write_request
from app.sandbox import NoSandbox, Overran, SandboxPool


class ProtectPool:
    """Encrypts PDFs in at most ``workers`` processes.

    memory_bytes: address space of one worker. deadline_s: CPU time for one document.
    """

    def __init__(
        self, workers: int = 2, memory_bytes: int = 1 << 30, deadline_s: float = 60
    ) -> None:
        self._pool = SandboxPool("app.mime.pdf_worker", workers, memory_bytes, deadline_s)
        self._read = partial(read_reply, limit_bytes=memory_bytes)

    async def start(self) -> None:
        """Open the pool; no process is started before the first document."""
        self._pool.start()

    async def close(self) -> None:
        """End every worker, busy ones too (their callers get ``Unavailable``)."""
        await self._pool.close()

    async def encrypt(self, content: bytes, password: str) -> Outcome:
        """Encrypt one PDF; waits for a free worker. The password is NFC, 1-127 UTF-8 bytes.

        Raises Unavailable (``protection_failed``) when that was impossible for a reason outside the
        document.
        """
        write = partial(write_request, content=content, password=password)
        try:
            outcome = await self._pool.ask(write, self._read)
        except Overran:
            return Outcome("pdf_damaged")
        except NoSandbox as error:
            raise _failed() from error
        if outcome.verdict == "protection_failed":
            raise _failed()
        return outcome


def _failed() -> Unavailable:
    return Unavailable(
        "The attachments could not be protected now; nothing was sent. Try again later.",
        code="protection_failed",
    )
