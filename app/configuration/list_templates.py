"""Every template name that a send may use, and which text each stands for."""

from dataclasses import dataclass

from sqlalchemy import select
from sqlalchemy.engine import Connection

from app.configuration.model import GLOBAL, name_scope
from app.configuration.resolve import look_up
from app.configuration.tables import template
from app.configuration.templates import (
    BUILTIN,
    choose_place,
    list_template_scopes,
    prefer_languages,
)
from app.templates_engine.builtin import BUILTIN_LANGUAGES, BUILTIN_NAMES


@dataclass(frozen=True, slots=True)
class Variant:
    """A template in one language. dormant: a personal one while the global scope is active."""

    language: str
    origin: str
    dormant: bool


@dataclass(frozen=True, slots=True)
class ListedTemplate:
    """One name. language, origin: of what a send without a language uses; None: all is dormant.

    variants: for each language the one that applies, and those that are dormant.
    """

    name: str
    language: str | None
    origin: str | None
    variants: tuple[Variant, ...]


def list_templates(tx: Connection, user: str | None) -> list[ListedTemplate]:
    """Return every name for a send of ``user`` (None: the global scope), sorted."""
    resolved = look_up(tx, user)
    scopes = list_template_scopes(resolved)
    wanted = prefer_languages(tx, resolved, user, None)
    rows = tx.execute(
        select(template.c.scope, template.c.name, template.c.language).where(
            template.c.scope.in_({GLOBAL, name_scope(user)}), template.c.removed_at.is_(None)
        )
    ).all()
    stored: dict[str, set[tuple[str, str]]] = {name: set() for name in BUILTIN_NAMES}
    for row in rows:
        stored.setdefault(row.name, set()).add((row.scope, row.language))
    return [_list(name, wanted, scopes, stored[name]) for name in sorted(stored)]


def _list(
    name: str, wanted: list[str], scopes: list[str], stored: set[tuple[str, str]]
) -> ListedTemplate:
    languages = {language for _, language in stored}
    if name in BUILTIN_NAMES:
        languages |= set(BUILTIN_LANGUAGES)
    variants = []
    for language in sorted(languages):
        origin = next(
            (scope for scope in scopes if (scope, language) in stored),
            BUILTIN if name in BUILTIN_NAMES and language in BUILTIN_LANGUAGES else None,
        )
        if origin:
            variants.append(Variant(language, origin, dormant=False))
        asleep = [scope for scope, tag in stored if tag == language and scope not in scopes]
        variants += [Variant(language, scope, dormant=True) for scope in asleep]
    origin, used = choose_place(name, wanted, scopes, stored) or (None, None)
    return ListedTemplate(name, used, origin, tuple(variants))
