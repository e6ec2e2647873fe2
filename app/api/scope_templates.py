"""The templates that a scope has stored, with every version."""

from functools import partial
from typing import Annotated, Any

from fastapi import Path, Response
from pydantic import BaseModel, Field
from sqlalchemy import Row
from sqlalchemy.engine import Connection

from app.api.body import Body, ShownInstant
from app.api.gate import (
    After,
    IfMatch,
    Limit,
    Page,
    TheOffice,
    check_match,
    cut_page,
    decode_cursor,
)
from app.api.scope import ReadScope, WriteScope, make_routers, on_each
from app.api.sign_in import TheCaller
from app.api.templates import ShownNotice, TheLanguage, TheName, show_notices
from app.configuration import stored_templates
from app.configuration.stored_templates import Key, SavedTemplate, Text, name_template
from app.errors import Notice
from app.outbox.follow import configuration_changed

scoped = make_routers("templates")

_Ignored = Annotated[Any, Field(description="Shown in answers; ignored here.")]
_HTML = "<html><body><p>W załączeniu dokument <b>{numer}</b>.</p><p>{wysyłający}</p></body></html>"


class TemplateBody(Body):
    """A template. What an answer shows beyond it is accepted and ignored."""

    subject: str = Field(examples=["Dokument {numer}"])
    body: str = Field(examples=[_HTML], description="HTML where it starts with `<html`, else text.")
    requires: list[str] = Field([], description="Macros that must have a value.")
    strict_macros: bool = Field(False, description="Refuse unknown names in braces.")
    scope: _Ignored = None
    origin: _Ignored = None
    name: _Ignored = None
    language: _Ignored = None
    version: _Ignored = None
    saved_at: _Ignored = None
    saved_by: _Ignored = None
    dormant: _Ignored = None
    warnings: _Ignored = None


class StoredTemplate(BaseModel):
    """A stored version of a template."""

    scope: str
    name: str
    language: str
    version: int
    subject: str
    body: str
    requires: list[str]
    strict_macros: bool
    saved_at: ShownInstant
    saved_by: str
    dormant: bool = Field(description="A personal one while the global scope is active.")
    warnings: list[ShownNotice] = []


class Version(BaseModel):
    """One saved version."""

    version: int
    subject: str
    saved_at: ShownInstant
    saved_by: str


@on_each(scoped, "GET", "/templates/{name}")
async def read_scope_template(
    office: TheOffice,
    scope: ReadScope,
    response: Response,
    name: TheName,
    language: TheLanguage = None,
) -> StoredTemplate:
    """Show the template that this scope has stored."""

    def read(tx: Connection) -> StoredTemplate:
        key = name_template(tx, scope.user, name, language)
        return _show_stored(tx, key, stored_templates.read_template(tx, key))

    return _tag(response, await office.db.read(read))


@on_each(scoped, "PUT", "/templates/{name}", responses={201: {"description": "Created"}})
async def put_scope_template(
    caller: TheCaller,
    office: TheOffice,
    scope: WriteScope,
    response: Response,
    name: TheName,
    given: TemplateBody,
    language: TheLanguage = None,
    if_match: IfMatch = None,
) -> StoredTemplate:
    """Save a template as its scope's newest version.

    A user's first one, without a personal configuration, makes one that inherits everything.
    """
    text = Text(given.subject, given.body, tuple(given.requires), given.strict_macros)
    at = office.clock()

    def put(tx: Connection) -> StoredTemplate:
        key = name_template(tx, scope.user, name, language)
        saved = stored_templates.put_template(
            tx, caller, key, text, at, partial(check_match, if_match)
        )
        return _show_saved(tx, key, saved, response)

    return _tag(response, await office.db.write(put))


@on_each(scoped, "DELETE", "/templates/{name}", status_code=204)
async def delete_scope_template(
    caller: TheCaller,
    office: TheOffice,
    scope: WriteScope,
    name: TheName,
    language: TheLanguage = None,
    if_match: IfMatch = None,
) -> None:
    """Remove a template: the wider scope's applies then, or the built-in one. Versions stay."""
    at = office.clock()

    def delete(tx: Connection) -> None:
        key = name_template(tx, scope.user, name, language)
        stored_templates.delete_template(tx, caller, key, at, partial(check_match, if_match))

    await office.db.write(delete)


@on_each(scoped, "GET", "/templates/{name}/versions")
async def list_scope_template_versions(
    office: TheOffice,
    scope: ReadScope,
    name: TheName,
    language: TheLanguage = None,
    limit: Limit = 100,
    after: After = None,
) -> Page[Version]:
    """List the saved versions, the newest first; those of a removed template too."""
    before = decode_cursor(after, int)[0] if after else None

    def read(tx: Connection) -> Any:
        key = name_template(tx, scope.user, name, language)
        return stored_templates.list_versions(tx, key, before=before, limit=limit + 1)

    shown, following = cut_page(await office.db.read(read), limit, lambda row: (row.version,))
    return Page(
        data=[
            Version(
                version=row.version,
                subject=row.subject,
                saved_at=row.saved_at,
                saved_by=row.saved_by,
            )
            for row in shown
        ],
        next=following,
    )


@on_each(scoped, "GET", "/templates/{name}/versions/{version}")
async def read_scope_template_version(
    office: TheOffice,
    scope: ReadScope,
    name: TheName,
    version: Annotated[int, Path(ge=1, le=2**31 - 1)],
    language: TheLanguage = None,
) -> StoredTemplate:
    """Show one version; put it again to restore it."""

    def read(tx: Connection) -> StoredTemplate:
        key = name_template(tx, scope.user, name, language)
        return _show_stored(tx, key, stored_templates.read_version(tx, key, version))

    return await office.db.read(read)


def _show_saved(
    tx: Connection, key: Key, saved: SavedTemplate, response: Response
) -> StoredTemplate:
    if saved.account_id is not None:
        configuration_changed(tx, saved.account_id, saved.version.saved_at)
    if saved.created:
        response.status_code = 201
    return _show_stored(tx, key, saved.version, saved.notices)


def _show_stored(
    tx: Connection, key: Key, row: Row[Any], notices: tuple[Notice, ...] = ()
) -> StoredTemplate:
    return StoredTemplate(
        scope=row.scope,
        name=row.name,
        language=row.language,
        version=row.version,
        subject=row.subject,
        body=row.body,
        requires=list(row.requires),
        strict_macros=row.strict_macros,
        saved_at=row.saved_at,
        saved_by=row.saved_by,
        dormant=stored_templates.is_dormant(tx, key.user),
        warnings=show_notices(notices),
    )


def _tag(response: Response, shown: StoredTemplate) -> StoredTemplate:
    response.headers["ETag"] = f'"{shown.version}"'
    return shown
