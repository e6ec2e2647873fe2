"""How the log looks: one line per event; text on a terminal, JSON elsewhere; never a secret."""

import asyncio
import atexit
import logging
import sys
import threading
from typing import TextIO

import structlog

from app.settings import Settings

_LEVELS = {"debug": 10, "info": 20, "warning": 30, "error": 40}


def set_up_logs(settings: Settings) -> None:
    """Send structlog and the libraries' logs to standard error."""
    text = settings.log_format == "text" or (settings.log_format == "auto" and sys.stderr.isatty())
    renderer: structlog.types.Processor = (
        # Not the default formatter, which prints local variables: secrets are among them.
        structlog.dev.ConsoleRenderer(exception_formatter=structlog.dev.plain_traceback)
        if text
        else structlog.processors.JSONRenderer()
    )
    shared: list[structlog.types.Processor] = [
        structlog.contextvars.merge_contextvars,
        structlog.processors.add_log_level,
        structlog.processors.TimeStamper(fmt="iso", utc=True),
        structlog.processors.StackInfoRenderer(),
    ]
    if not text:
        shared.append(structlog.processors.format_exc_info)
    level = _LEVELS[settings.log_level]
    structlog.configure(
        processors=[*shared, renderer],
        wrapper_class=structlog.make_filtering_bound_logger(level),
        logger_factory=structlog.PrintLoggerFactory(_Gathering(sys.stderr)),  # type: ignore[arg-type]
        cache_logger_on_first_use=True,
    )
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(
        structlog.stdlib.ProcessorFormatter(processor=renderer, foreign_pre_chain=shared)
    )
    logging.basicConfig(handlers=[handler], level=max(level, 30), force=True)


class _Gathering:
    """A stream that passes on together what an event loop writes at one moment.

    A system call for every line would let another thread run every time.
    """

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream
        self._written: list[str] = []
        self._waits_for: asyncio.AbstractEventLoop | None = None
        self._lock = threading.Lock()
        atexit.register(self._pass_on)

    def write(self, text: str) -> None:
        """Take a part of a line."""
        self._written.append(text)

    def flush(self) -> None:
        """Pass on what was written: soon within an event loop, at once elsewhere."""
        try:
            loop = asyncio.get_running_loop()
        except RuntimeError:
            self._pass_on()
            return
        if self._waits_for is not loop:
            self._waits_for = loop
            loop.call_soon(self._pass_on)

    def _pass_on(self) -> None:
        with self._lock:
            self._waits_for = None
            count = len(self._written)  # others may be writing
            text = "".join(self._written[:count])
            del self._written[:count]
            self._stream.write(text)
            self._stream.flush()
