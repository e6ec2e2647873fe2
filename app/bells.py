"""Bells: whoever waits for work is rung, in this process at once and in the others by PostgreSQL.

Each process keeps one connection, in a thread, that listens for the others and speaks to them: a
``NOTIFY`` outside any transaction that stores something (one inside would have all processes'
commits wait for each other), the first at once, then one in 50 ms at most. It is a wake-up call and
nothing more: whoever waits looks by himself, too, every now and then. So a call that is lost costs
time only, and a database that is away one line in the log; the connection comes back by itself.
"""

import asyncio
import selectors
import socket
import threading
from collections.abc import Callable
from contextlib import suppress
from typing import TYPE_CHECKING, Literal

import structlog

if TYPE_CHECKING:  # SQLite does without the driver
    from psycopg import Connection

# work: mail may be there to be sent; rings everybody. verdict: rings those who wait for verdicts.
Kind = Literal["work", "verdict"]

_BYTES: dict[Kind, bytes] = {"work": b"w", "verdict": b"v"}  # to the thread
_CHANNEL = "awizo"  # PostgreSQL keeps the channels of its databases apart
_PACE_S = 0.05  # between two calls, made or heard: each has every worker look for mail
_RETRY_LEAST_S = 0.1
_RETRY_MOST_S = 5.0
_log = structlog.get_logger()


class Bells:
    """The bells of one process, all of one event loop.

    dial: opens a connection in autocommit mode; None where there are no other processes to call.
    """

    def __init__(self, dial: "Callable[[], Connection] | None" = None) -> None:
        self._dial = dial
        self._bells: dict[asyncio.Event, Kind] = {}
        self._line: _Line | None = None

    def ring(self, kind: Kind) -> None:
        """Ring the bells of this process, and soon those of the others."""
        self._ring_here(kind)
        if line := self._open_line():
            line.call(kind)

    def add(self, bell: asyncio.Event, kind: Kind) -> None:
        """Have ``bell`` set whenever somebody rings for it, here or in another process."""
        self._bells[bell] = kind
        self._open_line()

    def remove(self, bell: asyncio.Event) -> None:
        """Undo ``add``."""
        self._bells.pop(bell, None)

    def close(self) -> None:
        """Hang up, for good."""
        self._dial = None
        if self._line is not None:
            self._line.close()
            self._line = None

    def _ring_here(self, kind: Kind) -> None:
        for bell, wanted in self._bells.items():
            if kind in ("work", wanted):
                bell.set()

    def _open_line(self) -> "_Line | None":
        if self._line is None and self._dial is not None:
            loop = asyncio.get_running_loop()
            self._line = _Line(
                self._dial, lambda kind: loop.call_soon_threadsafe(self._ring_here, kind)
            )
        return self._line


class _Line:
    """The connection to the other processes and its thread."""

    def __init__(self, dial: "Callable[[], Connection]", heard: Callable[[Kind], object]) -> None:
        self._dial = dial
        self._heard = heard
        self._near, self._far = socket.socketpair()  # a byte through it wakes the thread
        self._far.setblocking(False)
        self._called: set[Kind] = set()
        self._closing = threading.Event()
        self._thread = threading.Thread(target=self._work, name="bells", daemon=True)
        self._thread.start()

    def call(self, kind: Kind) -> None:
        """Call the other processes, unless such a call is about to be made."""
        if kind not in self._called:
            self._called.add(kind)
            with suppress(OSError):  # closed meanwhile
                self._near.send(_BYTES[kind])

    def close(self) -> None:
        """End the thread; it may be dialling, which takes some seconds at most."""
        self._closing.set()
        self._near.send(b".")
        self._thread.join()
        self._near.close()
        self._far.close()

    def _work(self) -> None:
        from psycopg import Error

        failures = 0
        while not self._closing.is_set():
            try:
                with self._dial() as connection:
                    connection.execute(f"listen {_CHANNEL}")
                    if failures:
                        _log.info("bells_connected", failures=failures)
                    failures = 0
                    self._serve(connection)
            except Error as error:
                if not failures:  # once for the whole outage
                    _log.warning("bells_disconnected", detail=str(error).strip())
                self._closing.wait(min(_RETRY_LEAST_S * 2**failures, _RETRY_MOST_S))
                failures = min(failures + 1, 16)

    def _serve(self, connection: "Connection") -> None:
        """Pass calls on, both ways, until the line is closed or the connection breaks."""
        with selectors.DefaultSelector() as selector:
            selector.register(connection.fileno(), selectors.EVENT_READ)
            selector.register(self._far, selectors.EVENT_READ)
            # Both sides may have missed a call while there was no connection.
            self._speak(connection, "work")
            self._hear("work")
            while not self._closing.wait(_PACE_S):
                selector.select()
                if called := self._take_calls():
                    self._speak(connection, _join(called))
                if heard := _take_heard(connection):
                    self._hear(_join(heard))

    def _take_calls(self) -> set[Kind]:
        try:
            sent = self._far.recv(16)
        except BlockingIOError:
            return set()
        # Cleared before we speak: what is stored from now on deserves a call of its own.
        self._called.clear()
        return {kind for kind, byte in _BYTES.items() if byte in sent}

    def _speak(self, connection: "Connection", kind: Kind) -> None:
        connection.execute(f"notify {_CHANNEL}, '{kind}'")

    def _hear(self, kind: Kind) -> None:
        with suppress(RuntimeError):  # the event loop is closed: nobody waits any more
            self._heard(kind)


def _take_heard(connection: "Connection") -> set[Kind]:
    """Return what other processes called; raise where the connection is broken."""
    own = connection.info.backend_pid
    calls = [each for each in connection.notifies(timeout=0) if each.pid != own]
    return {"verdict" if each.payload == "verdict" else "work" for each in calls}


def _join(kinds: set[Kind]) -> Kind:
    """Return the one call that says it all."""
    return "work" if "work" in kinds else "verdict"
