"""Find the template a send uses: language before scope (contract §3).

A user's templates belong to the personal scope: they apply while it is active and are dormant
otherwise. For each language in turn the personal scope, the global one and the built-in texts are
asked; the first that has the name wins.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from sqlalchemy import RowMapping, select
from sqlalchemy.engine import Connection

from app.accounts.people import read_person
from app.configuration.language import order_languages
from app.configuration.model import GLOBAL
from app.configuration.resolve import Resolved
from app.configuration.tables import template, template_version
from app.errors import Missing
from app.templates_engine.builtin import get_builtin

BUILTIN = "builtin"
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
    stored = {
        (row["scope"], row["language"]): row
        for row in _read_stored(tx, list_template_scopes(resolved), name)
    }
    for origin, tag in _order_places(tx, resolved, user, language, stored):
        if row := stored.get((origin, tag)):
            return _show(row)
        if origin == BUILTIN and (text := get_builtin(name, tag, level)):
            return FoundTemplate(name, BUILTIN, tag, text.subject, text.body)
    raise Missing(f"There is no template named {name!r}.", code="template_not_found")


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
    person = None if user is None else read_person(tx, user)
    return order_languages(
        language, person.language if person else None, resolved.language if resolved else None
    )


def _order_places(
    tx: Connection,
    resolved: Resolved | None,
    user: str | None,
    language: str | None,
    stored: dict[tuple[str, str], RowMapping],
) -> Iterator[tuple[str, str]]:
    origins = [*list_template_scopes(resolved), BUILTIN]
    wanted = prefer_languages(tx, resolved, user, language)
    yield from ((origin, tag) for tag in wanted for origin in origins)
    # Any language is better than none.
    yield from sorted(stored, key=lambda place: (origins.index(place[0]), place[1]))


def _read_stored(tx: Connection, scopes: Sequence[str], name: str) -> Sequence[RowMapping]:
    query = select(template_version).join(
        template,
        (template.c.scope == template_version.c.scope)
        & (template.c.name == template_version.c.name)
        & (template.c.language == template_version.c.language)
        & (template.c.version == template_version.c.version),
    )
    query = query.where(
        template.c.scope.in_(scopes), template.c.name == name, template.c.removed_at.is_(None)
    )
    return tx.execute(query).mappings().all()


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
