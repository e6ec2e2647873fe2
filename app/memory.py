"""Memory of a process that runs for long: what is loaded is no garbage, what was freed is used again.

``app.__main__`` switches garbage collection off before it imports anything; ``rest_memory`` has it on.
"""

import ctypes
import gc

_M_TRIM_THRESHOLD, _M_MMAP_THRESHOLD = -1, -3  # malloc.h
_KEPT_BYTES = 16 << 20
_LARGE_BYTES = 1 << 20


def rest_memory() -> None:
    """Collect garbage from now on, but not in what is loaded, which took 8 % of a busy process.

    The garbage that loading made (2 600 objects of 190 000) stays; to find it takes a sixth of a second.
    """
    gc.freeze()  # else a full one stops everything for a tenth of a second
    gc.set_threshold(10_000, 20, 20)
    gc.enable()
    keep_freed_memory()


def keep_freed_memory() -> None:
    """Let glibc keep a little of what is freed: else every message's pages are given back to the
    system and asked for again, a third of the time that composing one with a PDF takes. Blocks over
    1 MiB are given back at once. Another C library does as it does.
    """
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None)
    if mallopt is not None:
        mallopt(_M_TRIM_THRESHOLD, _KEPT_BYTES)
        mallopt(_M_MMAP_THRESHOLD, _LARGE_BYTES)
