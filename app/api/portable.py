"""``/export`` and ``/import``: all that is configured as one document, without secrets."""

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Annotated, Any, Literal, TypeVar

from fastapi import APIRouter, Query
from fastapi import Body as JsonBody
from pydantic import BaseModel, ConfigDict, Field, WithJsonSchema
from sqlalchemy.engine import Connection

from app.api.body import Addresses, Body, Choice, Instant, Route, UserId, read_json, show_instant
from app.api.collect import collect, refer
from app.api.gate import TheOffice
from app.api.sign_in import TheAdmin
from app.api.templates import ShownNotice, show_notices
from app.configuration.accounts import Grant
from app.configuration.bring_in import BroughtIn, bring_in
from app.configuration.document import describe_input
from app.configuration.export import export_configuration
from app.configuration.portable import Account, Given, MailDomain, Template, User
from app.errors import Fault
from app.outbox.follow import configuration_changed
from app.settings import read_version

router = APIRouter(route_class=Route, tags=["configuration"])

_MOST = 10_000  # of each kind
_Ignored = Annotated[Any, Field(description="Shown in an export; ignored here.")]


class PortableUser(Body):
    """A user. Absent members are removed, but an absent signature stays."""

    id: UserId
    name: str | None = Field(None, max_length=256)
    address: Addresses | None = None
    language: str | None = Field(None, max_length=35)
    active_scope: Annotated[Literal["global", "personal"], Choice] | None = None
    signature: Any = Field(None, description="`html` and `text`.")


class PortableDomain(Body):
    """An e-mail domain's settings, as `PUT /domains/{domain}` takes them."""

    name: str = Field(max_length=255, examples=["firma.example"])
    settings: dict[str, Any]


class PortableRight(Body):
    """What somebody may do with an account."""

    user: UserId
    read: bool = False
    send: bool = False
    manage: bool = False
    until: Instant | None = None


class PortableAccount(Body):
    """An account's configuration, as `PUT /config/{scope}` takes it."""

    scope: str = Field(max_length=140, examples=["global", "users/anna", "accounts/01m8…"])
    holder: UserId | None = Field(None, description="Of `accounts/…`; absent: a group's.")
    configuration: Annotated[dict[str, Any], WithJsonSchema(describe_input())]
    rights: list[PortableRight] = Field([], max_length=1000)


class PortableTemplate(Body):
    """A template: `subject` and `body`, or `source`, another system's file as it is."""

    name: str = Field(max_length=128, examples=["document"])
    scope: str = Field("global", max_length=140)
    language: str | None = Field(None, max_length=35, examples=["pl"])
    subject: str | None = Field(
        None, description="Absent: the source's `<title>`, or that of the template it replaces."
    )
    body: str | None = None
    source: str | None = Field(None, examples=["<html><body>Dokument <numer></body></html>"])
    requires: list[str] = Field([])
    strict_macros: bool = False


_EXAMPLE: dict[str, Any] = {
    "awizo_export": 1,
    "accounts": [
        {
            "scope": "global",
            "configuration": {
                "smtp": {
                    "host": "smtpauths.bluewin.ch",
                    "port": "587 AUTH:LOGIN CONN:STARTTLS LIMITE:12 WAIT:15.5",
                    "username": "salaires@firma.example",
                },
                "sender": {"address": "salaires@firma.example"},
            },
        }
    ],
    "templates": [
        {
            "name": "document",
            "language": "pl",
            "subject": "Dokument {numer}",
            "source": "<html><body><p>W załączeniu dokument <b><numer></b>.</p></body></html>",
        }
    ],
}


def _list_of(model: type[Body]) -> Any:
    return Annotated[
        list[Any], WithJsonSchema({"type": "array", "items": refer(model), "maxItems": _MOST})
    ]


class PortableDocument(Body):
    """Everything that is configured. Each list may be absent; what is not named stays."""

    model_config = ConfigDict(json_schema_extra={"examples": [_EXAMPLE]})
    awizo_export: Literal[1] = Field(description="The format's number.")
    users: _list_of(PortableUser) = Field([], max_length=_MOST)  # type: ignore[valid-type]
    domains: _list_of(PortableDomain) = Field([], max_length=_MOST)  # type: ignore[valid-type]
    accounts: _list_of(PortableAccount) = Field([], max_length=_MOST)  # type: ignore[valid-type]
    templates: _list_of(PortableTemplate) = Field([], max_length=_MOST)  # type: ignore[valid-type]
    exported_at: _Ignored = None
    awizo_version: _Ignored = None


PORTABLE: Sequence[type[Body]] = (
    PortableDocument,
    PortableUser,
    PortableDomain,
    PortableAccount,
    PortableTemplate,
)
Raw = Annotated[dict[str, Any], WithJsonSchema(refer(PortableDocument)), JsonBody()]
Export = Annotated[dict[str, Any], WithJsonSchema(refer(PortableDocument))]


class ChangedMember(BaseModel):
    """One member that differs; an empty pointer is the whole thing."""

    pointer: str = Field(examples=["/configuration/smtp/host"])
    before: Any
    after: Any


class ShownChange(BaseModel):
    """What becomes of one thing."""

    object: str = Field(description="Its path.", examples=["config/users/anna"])
    change: str = Field(
        description="`created`, `changed`, `unchanged`, or `kept`: the document does not name it."
    )
    members: list[ChangedMember]


class ImportOutcome(BaseModel):
    """What an import changes, or changed."""

    dry_run: bool
    summary: dict[str, int] = Field(
        examples=[{"created": 1, "changed": 2, "unchanged": 14, "kept": 3}]
    )
    changes: list[ShownChange]
    warnings: list[ShownNotice]


@router.get("/export")
async def export_everything(caller: TheAdmin, office: TheOffice) -> Export:
    """Show all that is configured as one document: users, domains, accounts, templates; no secrets."""
    at = office.clock()
    return await office.db.read(write_portable, at)


@router.post("/import")
async def import_everything(
    caller: TheAdmin,
    office: TheOffice,
    given: Raw,
    dry_run: Annotated[
        bool, Query(description="Only show the difference; `false` applies it.")
    ] = True,
) -> ImportOutcome:
    """Show what a document would change; with `dry_run=false` change it, all of it or nothing.

    Nothing is removed. A stored password is kept where its server stays the same; else it has to be
    entered again, and mail waits until then.
    """
    document = read_portable(given)
    at = office.clock()

    def run(tx: Connection) -> BroughtIn:
        done = bring_in(
            tx, office.vault, office.policy(any_port=True), caller, document, at, dry_run=dry_run
        )
        if not dry_run:
            for account_id in sorted(done.account_ids):
                configuration_changed(tx, account_id, at)
        return done

    done = await office.db.write(run)
    if not dry_run:
        office.db.ring()
    kinds = [each.kind for each in done.changes]
    return ImportOutcome(
        dry_run=dry_run,
        summary={kind: kinds.count(kind) for kind in ("created", "changed", "unchanged", "kept")},
        changes=[
            ShownChange(
                object=each.object,
                change=each.kind,
                members=[
                    ChangedMember(pointer=pointer, before=before, after=after)
                    for pointer, before, after in each.members
                ],
            )
            for each in done.changes
        ],
        warnings=show_notices(tuple(done.notices)),
    )


def write_portable(tx: Connection, at: datetime) -> dict[str, Any]:
    """Return all that is configured, with the moment and the version it was taken from."""
    found = export_configuration(tx, at)
    return found | {"exported_at": show_instant(at), "awizo_version": read_version()}


def read_portable_file(raw: bytes) -> Given:
    """Return what a file holds, see ``read_portable``; raise ``Malformed`` where it is no JSON."""
    return read_portable(read_json(raw))


def read_portable(given: Mapping[str, Any]) -> Given:
    """Return what a document holds; what is wrong with it is among ``faults``."""
    document, faults = collect(PortableDocument, given)
    users = _collect_each(PortableUser, document.users, "/users", faults)
    domains = _collect_each(PortableDomain, document.domains, "/domains", faults)
    accounts = _collect_each(PortableAccount, document.accounts, "/accounts", faults)
    templates = _collect_each(PortableTemplate, document.templates, "/templates", faults)
    texts = {}
    for pointer, each in templates.items():
        body = each.source if each.body is None else each.body
        if body is None or (each.body is not None and each.source is not None):
            detail = "Give body, or source."
            faults.append(
                Fault(f"{pointer}/body", "required" if body is None else "conflict", detail)
            )
            continue
        texts[pointer] = Template(
            each.name, body, each.scope, each.language, each.subject, tuple(each.requires),
            each.strict_macros,
        )  # fmt: skip
    return Given(
        {pointer: User(**each.model_dump()) for pointer, each in users.items()},
        {pointer: MailDomain(each.name, each.settings) for pointer, each in domains.items()},
        {
            pointer: Account(
                each.scope,
                each.configuration,
                each.holder,
                [Grant(**right.model_dump()) for right in each.rights],
            )
            for pointer, each in accounts.items()
        },
        texts,
        faults,
    )


Item = TypeVar("Item", bound=Body)


def _collect_each(
    model: type[Item], raw: Sequence[Any], pointer: str, faults: list[Fault]
) -> dict[str, Item]:
    """Return the items that are well formed by their pointers; what is wrong with the others."""
    found = {}
    for index, each in enumerate(raw):
        where = f"{pointer}/{index}"
        item, wrong = collect(model, each, where)
        faults += wrong
        if not wrong:
            found[where] = item
    return found
