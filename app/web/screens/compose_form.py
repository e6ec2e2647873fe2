"""The form of a letter: read with its files, in memory alone, and made an ``Order``.

Unprotected content touches no disk (G4): Starlette's own parser would spool it there.
"""

import mimetypes
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Annotated, Any

from fastapi import Depends, Request
from multipart import MultipartError, MultipartSegment, PushMultipartParser, parse_options_header

from app.configuration.templates import FoundTemplate
from app.errors import Fault, Malformed, Unsupported
from app.mime.address import Mailbox, parse_mailbox, parse_mailboxes
from app.mime.outgoing import parse_media_type
from app.mime.protect import Plain
from app.outbox.order import Order, Reference
from app.templates_engine.catalogue import BY_NAME
from app.templates_engine.documents import parse_documents
from app.templates_engine.parse import compile_template
from app.templates_engine.scan import Slot, Url
from app.templates_engine.values import parse_macros
from app.web.form import Form, require_same_site, require_token
from app.web.visit import TheVisit, Visit

MACRO = "m-"  # begins the names of the fields of macros
_MOST_PARTS = 300
_DERIVED = frozenset({"list", "table", "money"})  # they come from the documents
_DEFAULT_TYPE = "application/octet-stream"
_DOCUMENT = ("number", "issued_on", "due_on", "amount", "currency")
_FIELDS = {
    **{f"/{name}": name for name in ("to", "cc", "bcc", "reply_to", "template", "language")},
    **{f"/{name}": name for name in ("subject", "body", "documents", "send_at", "smtp_password")},
    **{f"/{name}": name for name in ("attachment_password", "importance")},
    "/account": "account",
    "/from": "sender",
    "/attachments": "files",
    "/reference/type": "reference",
    "/reference/number": "reference",
}


@dataclass(frozen=True, slots=True)
class Letter:
    """A posted letter: its fields and its files."""

    form: Form
    files: tuple[Plain, ...] = field(default=(), repr=False)


async def read_letter(request: Request, visit: TheVisit) -> Letter:
    """Return the posted form with its files; raise ``Denied`` where it is not from a page of ours."""
    media_type, options = parse_options_header(request.headers.get("content-type", ""))
    if media_type.lower() != "multipart/form-data" or not options.get("boundary"):
        raise Unsupported("This form comes as multipart/form-data.")
    require_same_site(request)
    raw = await request.body()  # bounded for every request
    fields: dict[str, list[str]] = {}
    files: list[Plain] = []
    try:
        for segment, content in _split(raw, options["boundary"]):
            if segment.filename is None:
                fields.setdefault(segment.name, []).append(content.decode())
            elif segment.filename:
                files.append(Plain(segment.filename, _read_type(segment), content))
    except (MultipartError, ValueError, LookupError):
        raise Malformed("This form cannot be read.", code="malformed_form") from None
    if any("\0" in value for values in fields.values() for value in values):
        raise Malformed("Take the NUL character out.", code="malformed_form")
    form = Form(fields)
    require_token(form, visit)
    protect = form.get("protect") if form.get("protect") in ("zip", "none") else "auto"
    return Letter(
        form,
        tuple(Plain(each.filename, each.media_type, each.content, None, protect) for each in files),
    )


TheLetter = Annotated[Letter, Depends(read_letter)]


def list_macros(found: FoundTemplate) -> list[str]:
    """Return the macros that a text asks for, in their order; not those made of documents."""
    compiled = compile_template(found.subject, found.body)
    names: dict[str, None] = dict.fromkeys(found.requires)
    for program in (compiled.subject, compiled.body):
        for fill in program.fills:
            parts: Sequence[object] = fill.parts if isinstance(fill, Url) else (fill,)
            names |= dict.fromkeys(part.name for part in parts if isinstance(part, Slot))
        names |= dict.fromkeys(part.name for part in program.parts)
    return [name for name in names if name not in BY_NAME or BY_NAME[name].type not in _DERIVED]


def uses_documents(found: FoundTemplate) -> bool:
    """Whether a text has something that is made of a list of documents."""
    source = found.subject + found.body
    return any(name in source for name in ("tabela dokumentów", "numery", "suma"))


def read_order(visit: Visit, letter: Letter) -> tuple[Order, list[Fault]]:
    """Return what the form asks to send, and what is wrong with it so far."""
    form, faults = letter.form, list[Fault]()
    boxes = {name: _read_boxes(form, name, faults) for name in ("to", "cc", "bcc", "reply_to")}
    macros, wrong_macros = parse_macros(_read_macros(form), "/macros")
    documents, wrong_documents = parse_documents(_read_documents(form), "/documents")
    faults += [*wrong_macros, *wrong_documents]
    template = form.get("template") or None
    writes = template is None or form.get("changed") == "on"
    if not any(boxes[name] for name in ("to", "cc", "bcc")) and not faults:
        faults.append(Fault("/to", "required", "Name at least one recipient."))
    if writes and not form.get("subject").strip():
        faults.append(Fault("/subject", "required", "Write a subject."))
    order = Order(
        to=boxes["to"],
        cc=boxes["cc"],
        bcc=boxes["bcc"],
        reply_to=boxes["reply_to"] or None,
        user=visit.caller.acts_as(form.get("user").strip() or None),
        account=form.get("account") or None,
        sender=_read_sender(form, faults),
        template=None if writes else template,
        level=int(form.get("level")) if form.get("level") in ("2", "3") else 1,
        language=form.get("language") or None,
        subject=form.get("subject") if writes else None,
        body=form.get("body") if writes else None,
        macros=macros,
        documents=documents,
        attachments=letter.files,
        attachment_password=form.get("attachment_password") or None,
        importance=form.get("importance") or None,
        read_receipt=True if form.get("read_receipt") == "on" else None,
        send_at=_read_instant(visit, form.get("send_at"), faults),
        smtp_password=form.get("smtp_password") or None,
        reference=Reference(number=form.get("reference").strip() or None),
    )
    return order, faults


def name_field(pointer: str) -> str:
    """Return the field that a fault belongs to."""
    if pointer.startswith("/macros/"):
        name = pointer.split("/")[2].replace("~1", "/").replace("~0", "~")
        return MACRO + name
    while pointer not in _FIELDS and pointer:
        pointer = pointer.rpartition("/")[0]
    return _FIELDS.get(pointer, "")


def _split(raw: bytes, boundary: str) -> Iterator[tuple[MultipartSegment, bytes]]:
    parser = PushMultipartParser(boundary, max_segment_count=_MOST_PARTS)
    segment: MultipartSegment | None = None
    pieces: list[bytes] = []
    with parser:
        for happened in parser.parse(raw):
            if isinstance(happened, MultipartSegment):
                segment, pieces = happened, []
            elif happened:
                pieces.append(bytes(happened))
            elif segment is not None:
                yield segment, b"".join(pieces)


def _read_type(segment: MultipartSegment) -> str:
    given = next((value for name, value in segment.headerlist if name == "Content-Type"), "")
    parsed = parse_media_type(given)
    if parsed is None or parsed[0].startswith("multipart/"):
        return mimetypes.guess_type(segment.filename or "")[0] or _DEFAULT_TYPE
    return given


def _read_boxes(form: Form, name: str, faults: list[Fault]) -> tuple[Mailbox, ...]:
    found, wrong = parse_mailboxes(form.get(name), f"/{name}")
    faults += wrong
    return tuple(found)


def _read_sender(form: Form, faults: list[Fault]) -> Mailbox | None:
    if not form.get("sender"):
        return None
    found, wrong = parse_mailbox(form.get("sender"), "/from")
    faults += wrong
    return found


def _read_macros(form: Form) -> dict[str, Any]:
    values: dict[str, Any] = {}
    for field_name, value in form.values().items():
        name = field_name.removeprefix(MACRO)
        if name == field_name or not value.strip():
            continue
        is_date = name in BY_NAME and BY_NAME[name].type == "date"
        is_iso = re.fullmatch(r"\d{4}-\d\d-\d\d", value.strip()) is not None
        values[name] = {"type": "date", "value": value.strip()} if is_date and is_iso else value
    return values


def _read_documents(form: Form) -> list[Mapping[str, object]]:
    """Return documents of lines ``number; date; due; amount; currency``; what is empty is absent."""
    lines = [line for line in form.get("documents").splitlines() if line.strip()]
    split = [[part.strip() for part in re.split(r"[;\t]", line)] for line in lines]
    return [
        {name: value for name, value in zip(_DOCUMENT, parts, strict=False) if value}
        for parts in split
    ]


def _read_instant(visit: Visit, text: str, faults: list[Fault]) -> datetime | None:
    if not text.strip():
        return None
    try:
        return datetime.fromisoformat(text).replace(tzinfo=visit.zone)
    except ValueError:
        faults.append(Fault("/send_at", "invalid_instant", "Write day and time."))
        return None
