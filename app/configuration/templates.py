"""Find the template a send uses: language before scope (contract §3).

A user's templates belong to the personal scope: they apply while it is active and are dormant
otherwise. For each language in turn the personal scope, the global one and the built-in texts are
asked; the first that has the name wins.
"""

import unicodedata
from collections.abc import Collection, Sequence
from dataclasses import dataclass

from sqlalchemy import RowMapping, bindparam, select
from sqlalchemy.engine import Connection

from app.accounts.people import read_person
from app.configuration.language import order_languages
from app.configuration.model import GLOBAL
from app.configuration.resolve import Resolved
from app.configuration.tables import template, template_version
from app.errors import Missing
from app.templates_engine.builtin import BUILTIN_LANGUAGES, BUILTIN_NAMES, get_builtin

BUILTIN = "builtin"
# Every send of a template reads this: built once.
_STORED = (
    select(template_version)
    .join(
        template,
        (template.c.scope == template_version.c.scope)
        & (template.c.name == template_version.c.name)
        & (template.c.language == template_version.c.language)
        & (template.c.version == template_version.c.version),
    )
    .where(
        template.c.scope.in_((bindparam("narrow"), bindparam("wide"))),
        template.c.name == bindparam("name"),
        template.c.removed_at.is_(None),
    )
)
INLINE = "inline"


@dataclass(frozen=True, slots=True)
class FoundTemplate:
    """A template that applies. origin: ``users/<id>``, ``global``, ``builtin``, or ``inline``."""

    name: str
    origin: str
    language: str
    subject: str
    body: str
    requires: tuple[str, ...] = ()
    strict_macros: bool = False
    version: int = 0


def find_template(
    tx: Connection,
    resolved: Resolved | None,
    user: str | None,
    name: str,
    language: str | None = None,
    level: int = 1,
) -> FoundTemplate:
    """Return the template ``name`` for a send of ``user``.

    language: the one asked for. level: 1 to 3, of the built-in ``overdue-reminder`` only.
    Raises ``Missing`` ``template_not_found``.
    """
    name = unicodedata.normalize("NFC", name)
    scopes = list_template_scopes(resolved)
    stored = {(row["scope"], row["language"]): row for row in _read_stored(tx, scopes, name)}
    wanted = prefer_languages(tx, resolved, user, language)
    place = choose_place(name, wanted, scopes, stored.keys())
    if place is None:
        raise Missing(f"There is no template named {name!r}.", code="template_not_found")
    if row := stored.get(place):
        return _show(row)
    text = get_builtin(name, place[1], level)
    if text is None:
        raise Missing(f"{name} has the levels 1 to 3.", code="template_not_found")
    return FoundTemplate(name, BUILTIN, text.language, text.subject, text.body)


def choose_place(
    name: str, wanted: Sequence[str], scopes: Sequence[str], stored: Collection[tuple[str, str]]
) -> tuple[str, str] | None:
    """Return scope (or ``builtin``) and language of the template that applies, if any does.

    wanted: languages in order. scopes: narrowest first. stored: scope and language of those that
    are stored under this name.
    """
    builtin = {(BUILTIN, tag) for tag in BUILTIN_LANGUAGES if name in BUILTIN_NAMES}
    for place in ((origin, tag) for tag in wanted for origin in (*scopes, BUILTIN)):
        if place in stored or place in builtin:
            return place
    # Any language is better than none.
    rest = [place for place in stored if place[0] in scopes]
    return min(rest, key=lambda place: (scopes.index(place[0]), place[1]), default=None)


def make_inline(subject: str, body: str, language: str) -> FoundTemplate:
    """Return a subject and a body given with the request as a template without a name."""
    return FoundTemplate("", INLINE, language, subject, body)


def list_template_scopes(resolved: Resolved | None) -> list[str]:
    """Return the scopes whose templates apply, the narrowest first."""
    if resolved is None or resolved.scope == GLOBAL:
        return [GLOBAL]
    return [resolved.scope, GLOBAL]


def prefer_languages(
    tx: Connection, resolved: Resolved | None, user: str | None, language: str | None
) -> list[str]:
    """Return the languages in the order they are looked for: asked, user's, configuration's, pl."""
    if resolved is not None and resolved.user == user:
        person = resolved.person
    else:
        person = None if user is None else read_person(tx, user)
    return order_languages(
        language, person.language if person else None, resolved.language if resolved else None
    )


def _read_stored(tx: Connection, scopes: Sequence[str], name: str) -> Sequence[RowMapping]:
    wanted = {"narrow": scopes[0], "wide": scopes[-1], "name": name}
    return tx.execute(_STORED, wanted).mappings().all()


def _show(row: RowMapping) -> FoundTemplate:
    return FoundTemplate(
        name=row["name"],
        origin=row["scope"],
        language=row["language"],
        subject=row["subject"],
        body=row["body"],
        requires=tuple(row["requires"]),
        strict_macros=row["strict_macros"],
        version=row["version"],
    )
