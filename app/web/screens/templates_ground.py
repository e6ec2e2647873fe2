"""What the screens of templates share: which text is meant, who may change it, sample values.

A text is edited in the scope it is saved to; where that scope has none, the one that applies is the
draft to begin with.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import date
from typing import Any
from urllib.parse import urlencode

from sqlalchemy import Row
from sqlalchemy.engine import Connection

from app.accounts.caller import Caller
from app.accounts.people import Person, check_user_id, read_person
from app.configuration import stored_templates
from app.configuration.fill import fill
from app.configuration.language import read_language
from app.configuration.resolve import Resolved, look_up
from app.configuration.rights import require_reader
from app.configuration.stored_templates import Key, Text
from app.configuration.templates import (
    FoundTemplate,
    find_template,
    make_inline,
    prefer_languages,
)
from app.errors import Denied, Fault, Missing, Refused
from app.templates_engine.catalogue import CATALOGUE
from app.templates_engine.catalogue import resolve as resolve_macro
from app.templates_engine.documents import Document, parse_documents
from app.templates_engine.render import Rendered
from app.templates_engine.values import DateValue, MacroValue, TextValue

MOST_VERSIONS = 30
_DERIVED = frozenset({"list", "table", "money"})  # they come from the documents
_DOCUMENTS: list[dict[str, Any]] = [
    {"number": "FV 12/2026", "issued_on": "2026-10-01", "due_on": "2026-10-15", "amount": "1230.00",
     "outstanding": "1230.00", "currency": "PLN", "days_overdue": 22},
    {"number": "FV 13/2026", "issued_on": "2026-10-10", "due_on": "2026-10-24", "amount": "246.00",
     "outstanding": "100.00", "currency": "PLN", "days_overdue": 13},
]  # fmt: skip


@dataclass(frozen=True, slots=True)
class Which:
    """Which text: user None is the global scope. language None: whichever applies."""

    user: str | None
    name: str
    language: str | None = None
    level: int = 1

    def link(self, page: str, **more: object) -> str:
        """Return the address of a page about this text."""
        fields = {"name": self.name, "language": self.language, "user": self.user, **more}
        if self.level != 1:
            fields.setdefault("level", self.level)
        return f"/ui/templates/{page}?{urlencode({k: v for k, v in fields.items() if v})}"


@dataclass(frozen=True, slots=True)
class Opened:
    """A text as the editor shows it.

    stored: what its own scope has, None: nothing. origin: of the text shown, None: there is none.
    is_own: it is of the language asked for. versions: the newest first, for those who may see them.
    """

    which: Which
    text: Text
    origin: str | None
    is_own: bool
    from_language: str | None
    stored: Row[Any] | None
    versions: Sequence[Row[Any]]
    is_dormant: bool
    can_write: bool
    ground: "Ground"


@dataclass(frozen=True, slots=True)
class Ground:
    """What a text is filled from."""

    resolved: Resolved | None
    person: Person | None


def read_which(caller: Caller, fields: Mapping[str, str]) -> Which:
    """Read which text is meant; raise ``Refused``, ``Denied``."""
    user = fields.get("user", "").strip()
    acting = caller.acts_as(check_user_id(user) if user else None)
    language = fields.get("language", "").strip()
    tag = read_language(language) if language else None
    if language and tag is None:
        detail = "Give a language tag such as pl or fr-CH."
        raise Refused(detail, faults=[Fault("/language", "invalid_language", detail)])
    level = fields.get("level", "1")
    return Which(
        acting, fields.get("name", "").strip(), tag, int(level) if level in ("2", "3") else 1
    )


def may_write(caller: Caller, user: str | None) -> bool:
    """Whether the caller may change what this scope has stored."""
    return caller.is_admin or (caller.role == "user" and user == caller.user)


def open_text(tx: Connection, caller: Caller, which: Which) -> Opened:
    """Return a text to look at or to edit; an empty one for a name that nobody has used."""
    ground = read_ground(tx, which.user)
    language = which.language or prefer_languages(tx, ground.resolved, which.user, None)[0]
    found = _find(tx, ground, which, language)
    if which.language is None and found is not None:
        language = found.language
    stored, versions = None, []
    if may_read(caller, which.user) and which.name:
        key = Key(which.user, which.name, language)
        try:
            versions = list(
                stored_templates.list_versions(tx, key, before=None, limit=MOST_VERSIONS)
            )
            stored = stored_templates.read_template(tx, key)
        except Missing:
            pass  # this scope has none now, or never had
    origin = stored.scope if stored is not None else found.origin if found else None
    return Opened(
        which=replace(which, language=language),
        text=_read_text(stored, found),
        origin=origin,
        is_own=stored is not None or found is None or found.language == language,
        from_language=found.language if found else None,
        stored=stored,
        versions=versions,
        is_dormant=stored is not None and stored_templates.is_dormant(tx, which.user),
        can_write=may_write(caller, which.user),
        ground=ground,
    )


def may_read(caller: Caller, user: str | None) -> bool:
    """Whether the caller may see what this scope has stored, versions included."""
    try:
        require_reader(caller, user)
    except (Denied, Missing):
        return False
    return True


def read_ground(tx: Connection, user: str | None) -> Ground:
    """Read what a scope's texts are filled from."""
    return Ground(look_up(tx, user), None if user is None else read_person(tx, user))


def render_sample(ground: Ground, text: Text, language: str, max_rendered_bytes: int) -> Rendered:
    """Fill a text with sample values by the code that sends; raise ``Refused``."""
    found = replace(
        make_inline(text.subject, text.body, language),
        requires=text.requires,
        strict_macros=text.strict_macros,
    )
    macros, documents = sample_values(ground, text.requires)
    return fill(
        found,
        ground.resolved,
        macros=macros,
        documents=documents,
        max_rendered_bytes=max_rendered_bytes,
        person=ground.person,
    )


def sample_values(
    ground: Ground, requires: Sequence[str] = ()
) -> tuple[dict[str, MacroValue], tuple[Document, ...]]:
    """Return values for every macro; what the configuration knows itself is left to it."""
    resolved = ground.resolved
    given = set(resolved.macros if resolved else ())
    if (resolved and resolved.sender) or (ground.person and ground.person.name):
        given.add("wysyłający")
    macros: dict[str, MacroValue] = {
        macro.name: _sample(macro.type, macro.example)
        for macro in CATALOGUE
        if macro.type not in _DERIVED and macro.name not in given
    }
    for name in map(resolve_macro, requires):
        if name not in macros and name not in given:
            macros[name] = TextValue(f"[{name}]")
    documents, _ = parse_documents(_DOCUMENTS, "/documents")
    return macros, documents


def _sample(kind: str, example: str) -> MacroValue:
    if kind != "date":
        return TextValue(example)
    day, month, year = map(int, example.split("."))
    return DateValue(date(year, month, day))


def _find(tx: Connection, ground: Ground, which: Which, language: str) -> FoundTemplate | None:
    try:
        return find_template(tx, ground.resolved, which.user, which.name, language, which.level)
    except Missing:
        return None


def _read_text(stored: Row[Any] | None, found: FoundTemplate | None) -> Text:
    if stored is not None:
        return Text(stored.subject, stored.body, tuple(stored.requires), stored.strict_macros)
    if found is not None:
        return Text(found.subject, found.body, found.requires, found.strict_macros)
    return Text("", "")
