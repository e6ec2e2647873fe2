"""The files of a message: in base64 inside the JSON, or as the file parts of a form."""

import base64
import mimetypes
from collections.abc import Sequence
from typing import Annotated, Any, Literal

from pydantic import Field

from app.api.body import Body, Choice
from app.api.collect import collect
from app.api.multipart import FilePart
from app.errors import Fault
from app.mime.outgoing import parse_media_type
from app.mime.protect import Plain

MOST_ATTACHMENTS = 200
_DEFAULT_TYPE = "application/octet-stream"


class AttachmentBody(Body):
    """One file. In a multipart request `content` is left out and `filename` names the file part."""

    filename: str = Field(min_length=1, max_length=255, examples=["FV 12-2026.pdf"])
    content_type: str | None = Field(
        None, max_length=255, description="Absent: by the file name.", examples=["application/pdf"]
    )
    content: str | None = Field(
        None, description="Base64.", json_schema_extra={"contentEncoding": "base64"}
    )
    protect: Annotated[Literal["auto", "zip", "none"], Choice] = Field(
        "auto",
        description="`auto`: PDF → AES-256, others → one AES-256 ZIP; `none` switches it off.",
    )
    content_id: str | None = Field(
        None,
        pattern=r"^[!-;=?-~]{1,200}$",
        description="Without angle brackets. Makes it an inline image (`cid:`), never protected.",
    )


def read_attachments(
    given: Sequence[Any], files: Sequence[FilePart], first: int, faults: list[Fault]
) -> tuple[Plain, ...]:
    """Return the listed files and, after them, the file parts that the list does not name.

    first: the place of the first one among the attachments of the message.
    """
    waiting = list(files)
    found: list[Plain] = []
    for index, raw in enumerate(given, first):
        at = f"/attachments/{index}"
        body, wrong = collect(AttachmentBody, raw, at)
        faults += wrong
        media_type = body.content_type or ""
        if {f"{at}/filename", f"{at}/content", at} & {each.pointer for each in wrong}:
            continue
        if body.content is None:
            part = next((each for each in waiting if each.filename == body.filename), None)
            if part is None:
                detail = "Give the content in base64, or a file part of this file name."
                faults.append(Fault(f"{at}/content", "required", detail))
                continue
            waiting.remove(part)
            content, media_type = part.content, media_type or part.media_type
        else:
            try:
                content = _decode(body.content)
            except ValueError:
                detail = "The content is not base64 (RFC 4648 §4)."
                faults.append(Fault(f"{at}/content", "invalid_base64", detail))
                continue
        media_type = media_type or _guess(body.filename)
        if not _is_media_type(media_type):
            detail = "A media type looks like application/pdf; multipart is none of a file."
            faults.append(Fault(f"{at}/content_type", "invalid_media_type", detail))
        if body.content_id is not None and body.protect == "zip":
            detail = (
                "An inline part is shown in the text, so it cannot be packed; drop one of both."
            )
            faults.append(Fault(f"{at}/protect", "inline_not_protected", detail))
        found.append(Plain(body.filename, media_type, content, body.content_id, body.protect))
    if len(given) + len(waiting) > MOST_ATTACHMENTS:
        detail = f"A message has at most {MOST_ATTACHMENTS} attachments."
        faults.append(Fault("/attachments", "too_many", detail))
    for index, part in enumerate(waiting, first + len(given)):
        _, wrong = collect(AttachmentBody, {"filename": part.filename}, f"/attachments/{index}")
        faults += wrong
        media_type = part.media_type or _guess(part.filename)
        if not _is_media_type(media_type):
            media_type = _DEFAULT_TYPE
        found.append(Plain(part.filename, media_type, part.content))
    return tuple(found)


def _decode(text: str) -> bytes:
    # Line breaks are common in what ERPs produce; anything else outside the alphabet is a mistake.
    compact = "".join(text.split()) if len(text.split(None, 1)) > 1 else text.strip()
    return base64.b64decode(compact, validate=True)


def _guess(filename: str) -> str:
    return mimetypes.guess_type(filename)[0] or _DEFAULT_TYPE


def _is_media_type(media_type: str) -> bool:
    parsed = parse_media_type(media_type)
    return parsed is not None and not parsed[0].startswith("multipart/")
