"""``/templates``, ``/macros`` and the templates of each scope."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from typing import Annotated, Any

import anyio
from fastapi import APIRouter, Path, Query
from fastapi import Body as JsonBody
from pydantic import BaseModel, Field, WithJsonSchema
from sqlalchemy.engine import Connection

from app.accounts.people import Person, read_person
from app.api.body import Body, Route, UserId
from app.api.collect import collect, refer
from app.api.gate import (
    Page,
    TheOffice,
)
from app.api.order import ClosingWish, Language
from app.api.sign_in import TheSender
from app.configuration.fill import fill
from app.configuration.language import read_language
from app.configuration.list_templates import ListedTemplate, list_templates
from app.configuration.resolve import Resolved, look_up
from app.configuration.templates import (
    FoundTemplate,
    find_template,
    make_inline,
    prefer_languages,
)
from app.errors import Fault, Notice, Refused, refuse
from app.templates_engine.catalogue import CATALOGUE
from app.templates_engine.closing import PARTS, ClosingText, read_wish
from app.templates_engine.documents import parse_documents
from app.templates_engine.values import parse_macros

router = APIRouter(route_class=Route, tags=["templates"])

TheName = Annotated[str, Path(description="1 to 128 letters, digits, `-`, `_`, `.`")]
TheLanguage = Annotated[
    str | None, Query(description="A language tag; absent: the user's, the configuration's, pl.")
]
User = Annotated[UserId | None, Query(description="For whom; absent: the global scope.")]
Level = Annotated[int, Field(ge=1, le=3, description="Of the built-in `overdue-reminder`.")]


class ShownNotice(BaseModel):
    """Something to know although it was accepted."""

    code: str
    detail: str
    pointer: str | None = None


class ShownMacro(BaseModel):
    """A macro of the catalogue."""

    name: str = Field(examples=["numer"])
    aliases: list[str]
    meaning: dict[str, str] = Field(description="In pl, fr and en.")
    type: str
    example: str
    rule: dict[str, str] | None = Field(description="What is used without a value; null: refused.")


class ShownVariant(BaseModel):
    """A template in one language."""

    language: str
    origin: str = Field(examples=["users/anna", "global", "builtin"])
    dormant: bool = Field(description="A personal one while the global scope is active.")


class ShownName(BaseModel):
    """A template name, and what a send without a language uses for it."""

    name: str
    language: str | None = Field(description="null: all there is is dormant.")
    origin: str | None
    languages: list[str]
    variants: list[ShownVariant]


class Template(BaseModel):
    """The template that a send uses."""

    name: str
    origin: str
    language: str
    subject: str
    body: str
    requires: list[str]
    strict_macros: bool


class RenderBody(Body):
    """What to render: a template by name, or a subject and a body that are not stored."""

    name: str | None = Field(None, max_length=128, examples=["overdue-reminder"])
    subject: str | None = None
    body: str | None = None
    user: UserId | None = None
    language: Language | None = None
    level: Level = 1
    macros: dict[str, Any] = Field({}, examples=[{"numer": "FV 12/2026"}])
    documents: list[dict[str, Any]] = Field([])
    requires: list[str] = Field([])
    strict_macros: bool | None = None
    closing: ClosingWish = Field(None, description="As in `/send`.")


Given = Annotated[dict[str, Any], WithJsonSchema(refer(RenderBody)), JsonBody()]


class ShownPart(BaseModel):
    """A signature or a footer that stands below the text."""

    part: str = Field(json_schema_extra={"enum": list(PARTS)})
    origin: str = Field(examples=["users/anna", "global"])


class ShownRendering(BaseModel):
    """The finished texts."""

    subject: str
    html: str | None
    text: str
    bytes: int
    language: str
    origin: str
    parts: list[ShownPart] = Field(description="Signatures and footers below the text, in order.")
    warnings: list[ShownNotice]


@router.get("/macros")
async def list_macros(caller: TheSender) -> Page[ShownMacro]:
    """List the macros that every template knows."""
    return Page(
        data=[
            ShownMacro(
                name=macro.name,
                aliases=list(macro.aliases),
                meaning=dict(macro.meaning),
                type=macro.type,
                example=macro.example,
                rule=dict(macro.rule) if macro.rule else None,
            )
            for macro in CATALOGUE
        ],
        next=None,
    )


@router.get("/templates")
async def list_template_names(
    caller: TheSender, office: TheOffice, user: User = None
) -> Page[ShownName]:
    """List every template name, its languages, and where the effective one comes from."""
    found = await office.db.read(list_templates, caller.acts_as(user))
    return Page(data=[_show_name(each) for each in found], next=None)


@router.get("/templates/{name}")
async def read_effective_template(
    caller: TheSender,
    office: TheOffice,
    name: TheName,
    user: User = None,
    language: TheLanguage = None,
    level: Annotated[int, Query(ge=1, le=3)] = 1,
) -> Template:
    """Show the template that a send uses: language before scope."""
    acting = caller.acts_as(user)
    wanted = _read_language(language)

    def find(tx: Connection) -> FoundTemplate:
        return find_template(tx, look_up(tx, acting), acting, name, wanted, level)

    found = await office.db.read(find)
    return Template(
        name=found.name,
        origin=found.origin,
        language=found.language,
        subject=found.subject,
        body=found.body,
        requires=list(found.requires),
        strict_macros=found.strict_macros,
    )


@router.post("/templates/render")
async def render_template(caller: TheSender, office: TheOffice, given: Given) -> ShownRendering:
    """Render by exactly the code that sends; nothing is stored."""
    asked, faults = collect(RenderBody, given)
    user = caller.acts_as(asked.user)
    macros, wrong_macros = parse_macros(asked.macros, "/macros")
    documents, wrong_documents = parse_documents(asked.documents, "/documents")
    if all(given.get(name) is None for name in ("name", "subject", "body")):
        faults.append(Fault("/name", "required", "Name a template, or give subject and body."))
    closing = read_wish(asked.closing, "/closing", faults)
    refuse([*faults, *wrong_macros, *wrong_documents])
    ground = await office.db.read(_read_ground, asked, user)
    rendered = await anyio.to_thread.run_sync(
        partial(
            fill,
            ground.found,
            ground.resolved,
            macros=macros,
            documents=documents,
            strict=asked.strict_macros,
            max_rendered_bytes=office.settings.max_rendered_bytes,
            person=ground.person,
            closing=closing,
        )
    )
    return ShownRendering(
        subject=rendered.subject,
        html=rendered.html,
        text=rendered.text,
        bytes=rendered.bytes,
        language=ground.found.language,
        origin=ground.found.origin,
        parts=show_parts(rendered.closing),
        warnings=show_notices(rendered.warnings),
    )


@dataclass(frozen=True, slots=True)
class _Ground:
    found: FoundTemplate
    resolved: Resolved | None
    person: Person | None


def _read_ground(tx: Connection, asked: RenderBody, user: str | None) -> _Ground:
    resolved = look_up(tx, user)
    language = asked.language
    if asked.name is None or (asked.subject is not None and asked.body is not None):
        tag = prefer_languages(tx, resolved, user, language)[0]
        found = make_inline(asked.subject or "", asked.body or "", tag)
    else:
        found = find_template(tx, resolved, user, asked.name, language, asked.level)
    return _Ground(
        FoundTemplate(
            found.name,
            found.origin,
            found.language,
            found.subject if asked.subject is None else asked.subject,
            found.body if asked.body is None else asked.body,
            (*found.requires, *asked.requires),
            found.strict_macros,
        ),
        resolved,
        None if user is None else read_person(tx, user),
    )


def _read_language(language: str | None) -> str | None:
    tag = None if language is None else read_language(language)
    if language is not None and tag is None:
        detail = "Give a language tag such as pl or fr-CH."
        raise Refused(detail, faults=[Fault("", "invalid_language", detail)])
    return tag


def _show_name(listed: ListedTemplate) -> ShownName:
    return ShownName(
        name=listed.name,
        language=listed.language,
        origin=listed.origin,
        languages=sorted({each.language for each in listed.variants}),
        variants=[
            ShownVariant(language=each.language, origin=each.origin, dormant=each.dormant)
            for each in listed.variants
        ],
    )


def show_parts(closing: Sequence[ClosingText]) -> list[ShownPart]:
    """Return what stands below a text, and where each part comes from."""
    return [ShownPart(part=each.part, origin=each.origin) for each in closing]


def show_notices(notices: Sequence[Notice]) -> list[ShownNotice]:
    """Return warnings as an answer shows them."""
    return [
        ShownNotice(code=each.code, detail=each.detail, pointer=each.pointer) for each in notices
    ]
