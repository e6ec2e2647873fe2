"""The inside of a process that does hostile work (``python -m <module> <cpu seconds> <memory bytes>``).

``serve`` reads requests from standard input, writes replies to standard output and ends when its input
ends, so it dies with its parent. It leaves no core dump and says nothing on any other stream. Work
that takes too much memory or time ends the process by a signal that it or the kernel raised
(``sandbox.OWN_SIGNALS``); the other end lays that to the work. Nothing here imports asyncio or pickle.
"""

import ctypes
import os
import resource
import signal
import struct
import sys
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, BinaryIO

READY = b"\x01"  # a process's first word, once: it has proved that it can work
PR_SET_DUMPABLE = 4  # linux/prctl.h
_LENGTH = struct.Struct(">I")


@dataclass(frozen=True, slots=True)
class Handler:
    """What a process does: read a request (None: there are no more), answer it, write the reply.

    seal: gives up rights that no request needs, once everything is open.
    """

    read: Callable[[BinaryIO], Any]
    answer: Callable[[Any], Any]
    write: Callable[[BinaryIO, Any], None]
    seal: Callable[[], None] = lambda: None


def serve(cpu_s: float, memory_bytes: int, learn: Callable[[], Handler]) -> None:
    """Serve requests until the input ends.

    learn: imports what the handler needs and proves that it works. It runs under the memory limit: too
    small a one ends the process there, blaming no request.
    """
    _forbid_dumps()
    requests, replies = os.fdopen(os.dup(0), "rb"), os.fdopen(os.dup(1), "wb")
    nowhere = os.open(os.devnull, os.O_RDWR)
    os.dup2(nowhere, 0)
    os.dup2(nowhere, 1)  # a stray print must not enter a reply
    resource.setrlimit(resource.RLIMIT_AS, (memory_bytes, memory_bytes))
    handler = learn()
    replies.write(READY)
    replies.flush()
    os.dup2(nowhere, 2)  # from here on a traceback could quote a request
    handler.seal()
    while (request := handler.read(requests)) is not None:
        # The kernel's clock of CPU time, not of the wall: a busy machine is not the request's fault.
        signal.setitimer(signal.ITIMER_PROF, cpu_s)
        try:
            reply = handler.answer(request)
        except MemoryError:
            os.abort()
        signal.setitimer(signal.ITIMER_PROF, 0)
        handler.write(replies, reply)
        del request, reply  # an idle process holds nothing of them


def read_block(stream: BinaryIO) -> bytes | None:
    """Read the next block of ``write_block``; None where the stream ended. Raises ``EOFError``."""
    head = stream.read(_LENGTH.size)
    if not head:
        return None
    if len(head) < _LENGTH.size:
        raise EOFError
    return read_exactly(stream, _LENGTH.unpack(head)[0])


def write_block(stream: BinaryIO, block: bytes) -> None:
    """Write a block with its length before it."""
    stream.write(_LENGTH.pack(len(block)) + block)
    stream.flush()


def read_exactly(stream: BinaryIO, size_bytes: int) -> bytes:
    """Read so many bytes; raise ``EOFError`` where the stream ends before."""
    data = stream.read(size_bytes)
    if len(data) < size_bytes:
        raise EOFError
    return data


def _forbid_dumps() -> None:
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    if sys.platform == "linux":
        # core(5): a dump that is piped to a program ignores RLIMIT_CORE; "not dumpable" stops both
        ctypes.CDLL(None).prctl(PR_SET_DUMPABLE, 0, 0, 0, 0)
