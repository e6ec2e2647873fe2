"""What a server says it can do: the reply to EHLO as a value."""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

_MECHANISM = re.compile(r"[A-Z0-9_-]{1,20}")  # RFC 4422 §3.1
_SIZE = re.compile(r"[0-9]{1,20}")


@dataclass(frozen=True, slots=True)
class Capabilities:
    """size: largest message in bytes, 0 for no limit (RFC 1870 §4); None: SIZE is not offered."""

    size: int | None = None
    dsn: bool = False
    starttls: bool = False
    auth: tuple[str, ...] = ()
    pipelining: bool = False
    smtputf8: bool = False
    eightbitmime: bool = False
    chunking: bool = False


def read_capabilities(
    extensions: Mapping[str, str], mechanisms: Sequence[str] = ()
) -> Capabilities:
    """Read what aiosmtplib parsed from EHLO; a server that only knows HELO has nothing."""
    size = extensions.get("size", "").strip() or "0"
    return Capabilities(
        # 20 digits: RFC 1870 §3; more is nonsense and int() of it is work for nothing.
        size=int(size) if "size" in extensions and _SIZE.fullmatch(size) else None,
        dsn="dsn" in extensions,
        starttls="starttls" in extensions,
        auth=tuple(dict.fromkeys(filter(_MECHANISM.fullmatch, map(str.upper, mechanisms))))[:32],
        pipelining="pipelining" in extensions,
        smtputf8="smtputf8" in extensions,
        eightbitmime="8bitmime" in extensions,
        chunking="chunking" in extensions,
    )
