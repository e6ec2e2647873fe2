"""Protects a message's attachments with a password, or refuses them.

With a password every attachment leaves encrypted: PDFs (by content) each by itself, all others
together in one ZIP, except those that ``protect: none`` or a ``content_id`` takes out. Order of the
result: what stays by itself in the order it came, then the ZIP.
It fails closed: whatever goes wrong raises (``Refused`` for what a file or the password is,
``Unavailable`` for what the machine is), and nothing is returned. Contents stay in memory and pipes.
Audit, size limits and whose password applies are the caller's.
"""

import asyncio
import unicodedata
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Literal, Protocol

from app.errors import Fault, Notice, Unavailable, refuse
from app.mime.aes_zip import Member, clean_names, write_zip
from app.mime.frames import Outcome

ZIP_NAMES = {"pl": "zalaczniki.zip", "fr": "pieces-jointes.zip"}
PDF_HEAD_BYTES = 1024  # where readers look for "%PDF-" (PDF Reference 1.7, appendix H, note 13)
PASSWORD_BYTES = 127  # ISO 32000-2 §7.6.4.3.2 cuts there: pikepdf then locks everybody out
POPPLER_BYTES = 32  # poppler's tools refuse longer ones

FAULTS = {
    "pdf_encrypted": "This PDF is already encrypted. Send it unencrypted, or with protect: zip.",
    "pdf_damaged": (
        "This PDF is damaged, or takes more memory or time to read than it may. "
        "Create it anew, or send it with protect: zip."
    ),
}
NOTICES = {
    "pdf_signed": (
        "Encrypting would break this PDF's signature: it travels unchanged in the encrypted ZIP."
    ),
    "pdf_einvoice": (
        "This PDF carries an electronic invoice. Encrypted it is no longer PDF/A, and the "
        "receiver's software cannot read the invoice before somebody enters the password."
    ),
}


@dataclass(frozen=True, slots=True)
class Plain:
    """An attachment as given. protect: ``auto``, ``zip``, ``none``; any other word is ``auto``."""

    filename: str
    media_type: str
    content: bytes
    content_id: str | None = None
    protect: str = "auto"


@dataclass(frozen=True, slots=True)
class Protected:
    """An attachment as it is sent."""

    filename: str
    media_type: str
    content: bytes
    content_id: str | None
    protection: Literal["pdf_aes256", "zip_aes256", "none"]


@dataclass(frozen=True, slots=True)
class Protection:
    """All attachments of a message, and what the sender should know about them."""

    parts: tuple[Protected, ...]
    warnings: tuple[Notice, ...]


class Encrypter(Protocol):
    """What encrypts PDFs: ``pool.ProtectPool``, or what keeps its results for several messages."""

    async def encrypt(self, content: bytes, password: str) -> Outcome:
        """Encrypt one PDF; see ``ProtectPool.encrypt``."""
        ...


def check_password(
    password: str, pointer: str
) -> tuple[str, tuple[Fault, ...], tuple[Notice, ...]]:
    """Normalise an attachment password (NFC) and say what is wrong or doubtful about it.

    Right are 1-127 bytes of UTF-8 without control characters. Never repeats the password.
    """
    normal = unicodedata.normalize("NFC", password)
    size_bytes = len(normal.encode(errors="replace"))
    faults = []
    if not normal:
        faults.append(("password_empty", "An attachment password has at least one character."))
    if size_bytes > PASSWORD_BYTES:
        faults.append(
            ("password_too_long", f"At most {PASSWORD_BYTES} bytes of UTF-8; it has {size_bytes}.")
        )
    # Cc: cannot be typed. Cs: half a character, has no UTF-8.
    if any(unicodedata.category(sign) in ("Cc", "Cs") for sign in normal):
        faults.append(("password_controls", "Control characters cannot be typed by a receiver."))
    notices: tuple[Notice, ...] = ()
    if POPPLER_BYTES < size_bytes <= PASSWORD_BYTES:
        detail = f"Some PDF readers (poppler) refuse passwords over {POPPLER_BYTES} bytes of UTF-8."
        notices = (Notice("password_long", detail, pointer),)
    return normal, tuple(Fault(pointer, code, detail) for code, detail in faults), notices


async def protect(
    parts: Sequence[Plain],
    password: str | None,
    *,
    language: str,
    pool: Encrypter,
    pointer: str = "/attachments",
    date: datetime | None = None,
) -> Protection:
    """Protect the attachments of one message; without a password they pass as they are.

    language: of the message, names the ZIP. pointer: where ``parts`` stand in the request.
    date: written into the ZIP, without zone. Warnings of ``check_password`` are not repeated.
    Raises Refused with every fault (``pdf_encrypted``, ``pdf_damaged``, ``password_*``), and
    Unavailable ``protection_failed``.
    """
    if not password:
        return Protection(tuple(map(_pass_on, parts)), ())
    normal, faults, _ = check_password(password, "/attachment_password")
    refuse(faults)
    outcomes = await _encrypt_pdfs(parts, normal, pool)
    refuse(
        Fault(f"{pointer}/{index}/content", outcome.verdict, FAULTS[outcome.verdict])
        for index, outcome in outcomes.items()
        if outcome.verdict in FAULTS
    )
    done: list[Protected] = []
    packed: list[Plain] = []
    warnings: list[Notice] = []
    for index, part in enumerate(parts):
        outcome = outcomes.get(index)
        if _is_open(part):
            done.append(_pass_on(part))
        elif outcome is not None and outcome.verdict == "pdf_aes256":
            done.append(
                Protected(part.filename, "application/pdf", outcome.content, None, "pdf_aes256")
            )
        else:
            packed.append(part)
        if outcome is not None:
            slugs = ("pdf_signed",) if outcome.verdict == "pdf_signed" else outcome.notices
            warnings += (Notice(slug, NOTICES[slug], f"{pointer}/{index}") for slug in slugs)
    if packed:
        done.append(await _pack(packed, normal, language, date))
        if not normal.isascii():
            detail = (
                "7-Zip on Windows reads passwords with letters beyond ASCII differently: "
                "receivers may not be able to open the ZIP there."
            )  # CPP/7zip/Archive/Zip/ZipHandler.cpp: CP_ACP, where we and others take UTF-8
            warnings.append(Notice("password_not_ascii", detail, "/attachment_password"))
    return Protection(tuple(done), tuple(warnings))


def is_pdf(content: bytes) -> bool:
    """Tell a PDF by its content, whatever its name and type say."""
    return b"%PDF-" in content[:PDF_HEAD_BYTES]


async def _encrypt_pdfs(
    parts: Sequence[Plain], password: str, pool: Encrypter
) -> dict[int, Outcome]:
    """Encrypt what is to travel as a PDF by itself; keyed by its place in ``parts``."""
    places = [
        index
        for index, part in enumerate(parts)
        if not _is_open(part) and part.protect != "zip" and is_pdf(part.content)
    ]
    outcomes = await asyncio.gather(
        *(pool.encrypt(parts[index].content, password) for index in places),
        return_exceptions=True,  # waits for all: no worker is killed for its neighbour's sake
    )
    for outcome in outcomes:
        if isinstance(outcome, BaseException):
            raise outcome
    return {
        index: outcome
        for index, outcome in zip(places, outcomes, strict=True)
        if isinstance(outcome, Outcome)
    }


async def _pack(
    parts: Sequence[Plain], password: str, language: str, date: datetime | None
) -> Protected:
    names = clean_names([part.filename for part in parts])
    members = [Member(name, part.content) for name, part in zip(names, parts, strict=True)]
    try:
        content = await asyncio.to_thread(write_zip, members, password, modified=date)
    except MemoryError as error:
        raise Unavailable(
            "There is not enough memory to pack the attachments now; nothing was sent.",
            code="protection_failed",
        ) from error
    name = ZIP_NAMES.get(language[:2].lower(), "attachments.zip")
    return Protected(name, "application/zip", content, None, "zip_aes256")


def _is_open(part: Plain) -> bool:
    return part.protect == "none" or part.content_id is not None


def _pass_on(part: Plain) -> Protected:
    return Protected(part.filename, part.media_type, part.content, part.content_id, "none")
