"""A portable configuration as values: what a document names, and what an import makes of it."""

from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

from app.configuration.accounts import Grant
from app.configuration.model import GLOBAL, ActiveScope
from app.errors import Fault
from app.templates_engine.values import escape_pointer

Kind = Literal["created", "changed", "unchanged", "kept"]


@dataclass(frozen=True, slots=True)
class User:
    """A user. address: as a caller writes it. signature: None leaves it as it is."""

    id: str
    name: str | None = None
    address: object = None
    language: str | None = None
    active_scope: ActiveScope | None = None
    signature: object = None


@dataclass(frozen=True, slots=True)
class MailDomain:
    """An e-mail domain's server settings."""

    name: str
    settings: Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Account:
    """A scope's configuration. holder: of ``accounts/<id>``; the others' follows from the scope."""

    scope: str
    configuration: Mapping[str, Any]
    holder: str | None = None
    rights: Sequence[Grant] = ()


@dataclass(frozen=True, slots=True)
class Template:
    """A template. subject: None takes the one from ``<title>`` or of the template that is replaced."""

    name: str
    body: str
    scope: str = GLOBAL
    language: str | None = None
    subject: str | None = None
    requires: tuple[str, ...] = ()
    strict_macros: bool = False


@dataclass(frozen=True, slots=True)
class Given:
    """A document that was read. Each thing stands under the pointer to it; what was misread is not
    among them, its faults are."""

    users: Mapping[str, User] = field(default_factory=dict)
    domains: Mapping[str, MailDomain] = field(default_factory=dict)
    accounts: Mapping[str, Account] = field(default_factory=dict)
    templates: Mapping[str, Template] = field(default_factory=dict)
    faults: Sequence[Fault] = ()


@dataclass(frozen=True, slots=True)
class Change:
    """What becomes of one thing. members: pointer, before and after of each that differs."""

    object: str
    kind: Kind
    members: Sequence[tuple[str, Any, Any]] = ()


def compare(
    before: Mapping[str, Any], after: Mapping[str, Any], named: Collection[str]
) -> list[Change]:
    """Return what became of each thing; ``named``: what the document names, the rest is kept."""
    changes = []
    for path in sorted({**before, **after}):
        was, now = before.get(path), after.get(path)
        if was == now:
            changes.append(Change(path, "unchanged" if path in named else "kept"))
        else:
            kind: Kind = "created" if was is None else "changed"
            changes.append(Change(path, kind, tuple(_list_differences("", was, now))))
    return changes


def _list_differences(pointer: str, was: Any, now: Any) -> Iterator[tuple[str, Any, Any]]:
    if isinstance(was, Mapping) and isinstance(now, Mapping):
        for name in sorted({**was, **now}):
            if was.get(name) != now.get(name):
                where = f"{pointer}/{escape_pointer(name)}"
                yield from _list_differences(where, was.get(name), now.get(name))
    else:
        yield pointer, was, now
