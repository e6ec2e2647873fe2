"""Which signatures and footers a send has: the user's, the sending account's, the instance's.

What an account says (``signature``, ``footer``, ``closing``) is not inherited by accounts that write
in their own name: it applies up to the scope whose ``sender`` stands in From. So a personal
configuration without a sender writes as the common mailbox and with its signature, unless it gives
one itself; empty means none. ``instance_footer`` and ``product_footer`` stand in the global one.
"""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from app.accounts.people import Person
from app.configuration.model import GLOBAL, StoredAccount, name_scope
from app.errors import Fault, Notice
from app.templates_engine.closing import PARTS, ClosingText, advise

PIECES = ("signature", "footer", "instance_footer")
GLOBAL_ONLY = ("instance_footer", "product_footer", "user_senders")


def list_closing(
    person: Person | None, layers: Sequence[StoredAccount] = ()
) -> tuple[ClosingText, ...]:
    """Return the parts in their order, those that are switched off too (``wanted``).

    layers: the applying configurations, the narrowest first.
    """
    account = _take_account(layers)
    common = [layer for layer in layers if layer.scope == GLOBAL]
    switches: dict[str, bool] = {}
    for layer in reversed(account):
        switches |= layer.document.get("closing", {})
    found: dict[str, tuple[Mapping[str, str], str]] = {}
    if person is not None and person.signature:
        found["user_signature"] = person.signature, name_scope(person.id)
    for part, reach in (
        ("account_signature", account),
        ("account_footer", account),
        ("instance_footer", common),
        ("product_footer", common),
    ):
        for layer in reach:
            given: Any = layer.document.get(PARTS[part])
            if given is not None and given is not False:
                found[part] = ({} if given is True else given), layer.scope
                break
    return tuple(
        ClosingText(part, origin, **piece, wanted=switches.get(PARTS[part], True))
        for part, (piece, origin) in found.items()
        if piece or part == "product_footer"
    )


def _take_account(layers: Sequence[StoredAccount]) -> list[StoredAccount]:
    """Return the layers that write in the sending account's name, the narrowest first."""
    taken = []
    for layer in layers:
        taken.append(layer)
        if "sender" in layer.document:
            break
    return taken


def check_global_only(document: Mapping[str, Any], scope: str) -> list[Fault]:
    """Return what only the global configuration may say, where this is another's."""
    if scope == GLOBAL:
        return []
    detail = "It belongs to the whole instance: put it to /config/global."
    return [Fault(f"/{name}", "global_only", detail) for name in GLOBAL_ONLY if name in document]


def advise_on_closing(document: Mapping[str, Any]) -> Iterator[Notice]:
    """Yield advice on the pieces that a configuration holds."""
    known = tuple(document.get("macros") or ())
    for name in PIECES:
        yield from advise(document.get(name), f"/{name}", known)
