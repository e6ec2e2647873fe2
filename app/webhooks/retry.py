"""When a webhook is tried again, and when no more.

Any 2xx is success. Everything else is a failure and tried again after growing waits, about three
days in all; 410 is the receiver's wish to be left alone.
"""

from datetime import timedelta

WAITS_S = (5, 300, 1800, 2 * 3600, 5 * 3600, 10 * 3600, 14 * 3600, 20 * 3600, 24 * 3600)
_SPREAD = 0.1  # of a wait, to either side: those that failed together do not come back together
MOST_AGE = timedelta(days=4)  # the waits, spread, and a day; what is older tells nobody anything
GONE = 410
FALTERING = 5  # failures in a row: from then on one try at a time


def is_success(code: int | None) -> bool:
    """Whether the receiver took it."""
    return code is not None and 200 <= code < 300


def wait_after(tries: int, jitter: float) -> timedelta | None:
    """Return the wait after so many failed tries (1, 2 …); None: it is given up.

    jitter: 0 to 1, drawn by the caller.
    """
    if tries > len(WAITS_S):
        return None
    return timedelta(seconds=WAITS_S[tries - 1] * (1 - _SPREAD + 2 * _SPREAD * jitter))
