"""What the tests of sending share: a stored configuration, files, and readers of finished mail."""

import base64
import io
from email import message_from_bytes
from email.message import EmailMessage
from email.policy import default
from typing import Any

import pikepdf

CONFIG: dict[str, Any] = {
    "smtp": {"host": "smtp.firma.example", "port": 587},
    "sender": {"address": "faktury@firma.example", "name": "Firma Sp. z o.o."},
    "macros": {"firma": "Firma Sp. z o.o."},
}
LETTER: dict[str, Any] = {
    "to": "Klient <ksiegowosc@klient.example>",
    "subject": "FV 12/2026",
    "body": "Dzień dobry",
}


async def configure(client, headers, scope="global", **changes):
    """Store a configuration: ``CONFIG`` with ``changes``; return the answer."""
    answer = await client.put(f"/config/{scope}", json=CONFIG | changes, headers=headers)
    assert answer.status_code in (200, 201), answer.text
    return answer.json()


def list_faults(answer) -> list[tuple[str, str]]:
    """Return pointer and code of every fault of a problem, in their order."""
    return [(each["pointer"], each["code"]) for each in answer.json()["errors"]]


async def read_mail(client, headers, message_id) -> EmailMessage:
    """Return the finished message, parsed."""
    answer = await client.get(f"/messages/{message_id}/raw", headers=headers)
    assert answer.status_code == 200, answer.text
    return parse_mail(answer.content)


def parse_mail(raw: bytes) -> EmailMessage:
    """Return finished mail, parsed by the standard library."""
    mail = message_from_bytes(raw, policy=default)
    assert isinstance(mail, EmailMessage)
    return mail


def list_files(mail: EmailMessage) -> dict[str, bytes]:
    """Return the attachments of a mail by their names."""
    return {part.get_filename() or "": part.get_content() for part in mail.iter_attachments()}


def make_pdf(text: str = "FV 12/2026", **saving: Any) -> bytes:
    """Return a small PDF with ``text`` in its title."""
    pdf = pikepdf.new()
    pdf.add_blank_page()
    pdf.docinfo["/Title"] = text
    written = io.BytesIO()
    pdf.save(written, **saving)
    return written.getvalue()


def attach(filename: str, content: bytes, **members: Any) -> dict[str, Any]:
    """Return an attachment as JSON has it."""
    return {"filename": filename, "content": base64.b64encode(content).decode()} | members


def encode_form(message: bytes | str, *files: tuple[str, str, bytes], boundary="xyz") -> tuple:
    """Return the body of a form (files: name, media type, content) and its header."""
    parts = [("message", "", "application/json", message)]
    parts += [("file", name, media_type, content) for name, media_type, content in files]
    body = b""
    for name, filename, media_type, content in parts:
        disposition = f'form-data; name="{name}"' + (f'; filename="{filename}"' if filename else "")
        head = f"--{boundary}\r\nContent-Disposition: {disposition}\r\n"
        head += f"Content-Type: {media_type}\r\n\r\n" if media_type else "\r\n"
        body += (
            head.encode() + (content.encode() if isinstance(content, str) else content) + b"\r\n"
        )
    body += f"--{boundary}--\r\n".encode()
    return body, {"Content-Type": f"multipart/form-data; boundary={boundary}"}
