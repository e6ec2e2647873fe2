"""Delivery status notifications: the parameters of RFC 3461 on MAIL and RCPT.

Pure functions: values in, ESMTP parameters out. None or an empty value means *no parameter*,
which leaves the decision to the server; NEVER is a decision.
"""

import re
from collections.abc import Sequence

MAX_ENVID_CHARS = 100  # RFC 3461 §4.4
MAX_ORCPT_CHARS = 500  # RFC 3461 §4.2

# The words of a configuration (contract §2) and those of RFC 3461 §4.1.
_NOTIFY = {"onsuccess": "SUCCESS", "onfailure": "FAILURE", "delay": "DELAY", "never": "NEVER"}
_PLAIN = re.compile(r"[!-*,-<>-~]*")
_HEX_PAIR = re.compile(rb"\+([0-9A-F]{2})")


def encode_xtext(text: str) -> str:
    """Write text as xtext: printable US-ASCII without blank, ``+`` and ``=``, else ``+XX``."""
    if _PLAIN.fullmatch(text):
        return text
    return "".join(
        chr(octet) if 33 <= octet <= 126 and octet not in b"+=" else f"+{octet:02X}"
        for octet in text.encode("utf-8", "surrogateescape")
    )


def decode_xtext(text: str) -> str:
    """Read xtext; what is not well-formed stays as it is (reports of others are never refused)."""
    data = _HEX_PAIR.sub(lambda m: bytes([int(m[1], 16)]), text.encode("utf-8", "surrogateescape"))
    return data.decode("utf-8", "surrogateescape")


def choose_notify(notifications: Sequence[str]) -> tuple[str, ...]:
    """Translate a configuration's words (``OnSuccess``, ``Delay``, ``Never``, ``None``) to NOTIFY's.

    ``()`` means no NOTIFY parameter. Case, ``-`` and ``_`` do not matter.
    """
    folded = (word.lower().replace("-", "").replace("_", "") for word in notifications)
    return tuple(dict.fromkeys(_NOTIFY[word] for word in folded if word != "none"))


def list_mail_parameters(ret: str | None, envid: str | None) -> list[str]:
    """Return RET and ENVID for MAIL. ret: ``full`` or ``headers``."""
    parameters = []
    if ret:
        parameters.append(f"RET={'FULL' if ret.lower() == 'full' else 'HDRS'}")
    if envid and len(encoded := encode_xtext(envid)) <= MAX_ENVID_CHARS:
        parameters.append(f"ENVID={encoded}")
    return parameters


def list_rcpt_parameters(notify: Sequence[str] | None, original: str) -> list[str]:
    """Return NOTIFY and ORCPT for one RCPT. original: the address as the sender gave it."""
    parameters = [f"NOTIFY={','.join(notify)}"] if notify else []
    orcpt = f"rfc822;{encode_xtext(original)}" if original.isascii() else _name_utf8(original)
    if len(orcpt) <= MAX_ORCPT_CHARS:
        parameters.append(f"ORCPT={orcpt}")
    return parameters


def _name_utf8(address: str) -> str:
    # RFC 6533 §3, utf-8-addr-xtext: all but QCHAR as \x{HEX}; it holds no "+" or "=", so it is
    # already valid xtext and goes through servers that are not 8-bit clean.
    return "utf-8;" + "".join(
        c if 33 <= ord(c) <= 126 and c not in "+=\\" else f"\\x{{{ord(c):02X}}}" for c in address
    )
