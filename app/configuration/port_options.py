"""Options written behind the port, as Crésus has them: ``587 AUTH:LOGIN CONN:STARTTLS LIMITE:12``.

Any order, any case, each at most once; ``LIMIT`` is ``LIMITE``, decimal seconds take a point or a
comma. The port may be missing: then it follows from the connection.
"""

import re
from collections.abc import Mapping
from typing import Any

from app.errors import Fault

_MEMBERS = {
    "AUTH": "auth",
    "CONN": "connection",
    "LIMITE": "batch_limit",
    "LIMIT": "batch_limit",
    "WAIT": "batch_wait_s",
}
_COLON = re.compile(r"\s*:\s*")
_DECIMAL = re.compile(r"\d{1,9}(?:[.,]\d{1,9})?", re.ASCII)
_WHOLE = re.compile(r"\d{1,9}", re.ASCII)
_MOST_CHARS = 200


def expand_port(smtp: Mapping[str, Any], pointer: str, faults: list[Fault]) -> dict[str, Any]:
    """Return ``smtp`` with a textual ``port`` taken apart into the members it stands for.

    A member that is also given by itself with another value is a fault (``conflicting_values``).
    """
    port = smtp.get("port")
    if not isinstance(port, str):
        return dict(smtp)
    where = f"{pointer}/port"
    found = _parse(port, where, faults)
    expanded = {name: value for name, value in smtp.items() if name != "port"}
    for name, value in found.items():
        given = expanded.get(name)
        if given is not None and _fold(given) != _fold(value):
            faults.append(
                Fault(
                    f"{pointer}/{name}",
                    "conflicting_values",
                    f"The text in port says {value}; keep one of the two.",
                )
            )
        expanded[name] = value
    return expanded


def _parse(text: str, pointer: str, faults: list[Fault]) -> dict[str, Any]:
    found: dict[str, Any] = {}
    if len(text) > _MOST_CHARS:
        faults.append(Fault(pointer, "too_long", f"At most {_MOST_CHARS} characters."))
        return found
    for word in _COLON.sub(":", text).replace(";", " ").split():
        key, colon, value = word.partition(":")
        name = _MEMBERS.get(key.upper()) if colon else "port"
        if name is None:
            detail = f"{key!a} is no option; AUTH, CONN, LIMITE and WAIT are."
            faults.append(Fault(pointer, "unknown_option", detail))
        elif name in found:
            what = "The port" if name == "port" else key.upper()
            faults.append(Fault(pointer, "duplicate_option", f"{what} is given twice."))
        else:
            found[name] = _read_value(name, value if colon else key, pointer, faults)
    return found


def _read_value(name: str, value: str, pointer: str, faults: list[Fault]) -> Any:
    if name in ("port", "batch_limit") and _WHOLE.fullmatch(value):
        return int(value)
    if name == "batch_wait_s" and _DECIMAL.fullmatch(value):
        return float(value.replace(",", "."))
    if name in ("auth", "connection") and value:
        return value
    what = {
        "port": "The port is a whole number, such as 587",
        "batch_limit": "LIMITE takes a whole number of messages, such as LIMITE:12",
        "batch_wait_s": "WAIT takes seconds, such as WAIT:15.5",
        "auth": "AUTH takes a mechanism, such as AUTH:LOGIN",
        "connection": "CONN takes a kind of connection, such as CONN:STARTTLS",
    }[name]
    faults.append(Fault(pointer, "invalid_option", f"{what}; it says {value!a}."))
    return None


def _fold(value: object) -> object:
    return value.strip().lower().replace("-", "_") if isinstance(value, str) else value
