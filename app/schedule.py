"""Waits between tries, as a person writes them: ``1m, 5m*2, 30m``."""

import re

_UNIT_S = {"s": 1.0, "m": 60.0, "h": 3600.0, "d": 86400.0}
_STEP = re.compile(r"(\d+(?:\.\d+)?)\s*([smhd])(?:\s*\*\s*(\d{1,3}))?", re.IGNORECASE)


def parse_schedule(text: str) -> tuple[float, ...]:
    """Return the waits of a retry schedule in seconds: ``1m, 5m*2`` is ``(60, 300, 300)``.

    Raises ValueError for anything that is not a list of such steps.
    """
    waits: list[float] = []
    for part in text.split(","):
        match = _STEP.fullmatch(part.strip())
        if match is None:
            raise ValueError(f"{part.strip()!r} is no wait such as 30s, 5m*2, 1h or 1d")
        wait_s = float(match[1]) * _UNIT_S[match[2].lower()]
        if wait_s <= 0:
            raise ValueError("a wait is longer than nothing")
        waits += [wait_s] * int(match[3] or 1)
    if not waits:
        raise ValueError("the retry schedule names at least one wait")
    return tuple(waits)
