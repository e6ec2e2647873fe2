"""``multipart/form-data`` read in memory: unprotected content never touches a disk (G4).

Starlette's own form parser spools parts over 1 MiB to a temporary file; here the body, which is
bounded already, is split where it lies.
"""

from collections.abc import Iterator
from dataclasses import dataclass, field

from multipart import MultipartError, MultipartSegment, PushMultipartParser, parse_options_header

from app.errors import Fault, Malformed, Refused
from app.mime.address import UNPRINTABLE

_MOST_PARTS = 220  # 200 attachments, and room
_MESSAGE_PART = "message"


@dataclass(frozen=True, slots=True)
class FilePart:
    """One file of a form. media_type: as the part says, parameters included; "" where it does not."""

    filename: str
    media_type: str
    content: bytes = field(repr=False)


def read_form(raw: bytes, content_type: str) -> tuple[bytes, tuple[FilePart, ...]]:
    """Return the ``message`` part (JSON) and the file parts in their order.

    Raises ``Malformed`` for what is no form, ``Refused`` for a form with other parts than these.
    """
    boundary = parse_options_header(content_type)[1].get("boundary")
    if not boundary:
        raise Malformed("multipart/form-data needs its boundary.", code="malformed_form")
    message: bytes | None = None
    files: list[FilePart] = []
    faults: list[Fault] = []
    try:
        for segment, content in _split(raw, boundary):
            # With a file name, too: `curl -F message=@message.json` gives it one.
            if segment.name == _MESSAGE_PART and message is None:
                message = content
            elif segment.filename:
                if UNPRINTABLE.search(segment.filename):
                    detail = f"{segment.filename!a} holds what no file name can."
                    faults.append(Fault("", "invalid_filename", detail))
                files.append(FilePart(segment.filename, _read_type(segment), content))
            else:
                detail = f"Part {segment.name!r} is neither the one message part nor a file."
                faults.append(Fault("", "unknown_part", detail))
    except (MultipartError, ValueError, LookupError) as error:
        raise Malformed(f"The form cannot be read: {error}.", code="malformed_form") from None
    if message is None:
        detail = "Give a part named message with the JSON of the message."
        faults.append(Fault("", "message_part_missing", detail))
    if message is None or faults:
        raise Refused(faults[0].detail, faults=faults)
    return message, tuple(files)


def read_fields(raw: bytes, content_type: str) -> dict[str, str]:
    """Return the fields of a form without files; raise ``Malformed`` for what is no form."""
    boundary = parse_options_header(content_type)[1].get("boundary")
    if not boundary:
        raise Malformed("multipart/form-data needs its boundary.", code="malformed_form")
    try:
        return {segment.name: content.decode() for segment, content in _split(raw, boundary)}
    except (MultipartError, ValueError, LookupError) as error:
        raise Malformed(f"The form cannot be read: {error}.", code="malformed_form") from None


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
                yield segment, pieces[0] if len(pieces) == 1 else b"".join(pieces)


def _read_type(segment: MultipartSegment) -> str:
    return next((value for name, value in segment.headerlist if name == "Content-Type"), "")
