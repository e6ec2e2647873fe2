"""Random bytes from the operating system, fetched many at a time.

One call for a few bytes costs more than it looks: it lets another thread run and waits for its turn.
As good as ``secrets``: every byte is given out once, and a forked child fetches its own.
"""

import os
import threading

_FETCH_BYTES = 4096
_lock = threading.Lock()
_fetched = b""


def draw_bytes(count: int) -> bytes:
    """Return ``count`` (at most 4096) random bytes."""
    global _fetched
    with _lock:
        if len(_fetched) < count:
            _fetched = os.urandom(_FETCH_BYTES)
        drawn, _fetched = _fetched[:count], _fetched[count:]
    return drawn


def _forget() -> None:
    global _fetched, _lock
    _fetched, _lock = b"", threading.Lock()


os.register_at_fork(after_in_child=_forget)
