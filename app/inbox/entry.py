"""A mail as the row that it is stored as: bounded text that every database takes."""

from dataclasses import asdict
from datetime import datetime
from typing import Any

from app.mime.incoming import Incoming
from app.mime.quoted import find_answer

MAX_TEXT_CHARS = 100_000
MAX_MAILBOXES = 100


def read_answer(read: Incoming) -> str:
    """Return the words of a mail without what it quotes; for a thread, where it is long."""
    return find_answer(read.text, read.html)[:MAX_TEXT_CHARS]


def describe(read: Incoming, answer: str, at: datetime) -> dict[str, Any]:
    """Return the columns of ``incoming`` that the mail itself fills."""
    sender = read.from_
    values: dict[str, Any] = {
        "kind": read.kind,
        "message_id": read.message_id or None,
        "in_reply_to": " ".join(read.in_reply_to) or None,
        "sender_address": sender.address if sender else "",
        "sender_key": sender.key if sender else "",
        "sender_name": sender.name if sender else "",
        "to": [
            {"address": each.address, "name": each.name}
            for each in (*read.to, *read.cc)[:MAX_MAILBOXES]
        ],
        "subject": read.subject,
        "text": answer,
        "attachments": [
            {
                "filename": part.filename,
                "content_type": part.media_type,
                "bytes": len(part.content),
            }
            for part in read.attachments
        ],
        "report": _describe_report(read),
    }
    clean: dict[str, Any] = _clean(values)
    return clean | {"sent_at": read.date, "received_at": at}


def _describe_report(read: Incoming) -> dict[str, Any] | None:
    report = read.report
    if report is None:
        return None
    recipients = [
        asdict(each) | {"will_retry_until": _write_instant(each.will_retry_until)}
        for each in report.recipients
    ]
    return {
        "kind": report.kind,
        "envelope_id": report.envelope_id,
        "original_message_id": report.original_message_id,
        "reporting_mta": report.reporting_mta,
        "recipients": recipients,
        "disposition": asdict(report.disposition) if report.disposition else None,
        "feedback_type": report.feedback_type,
        "complained": report.complained,
    }


def _write_instant(at: datetime | None) -> str | None:
    return None if at is None else at.isoformat().replace("+00:00", "Z")


def _clean(value: Any) -> Any:
    """Take out what PostgreSQL refuses in text and JSON: NUL and lone surrogates."""
    if isinstance(value, str):
        return value.replace("\0", "").encode("utf-8", "replace").decode()
    if isinstance(value, dict):
        return {name: _clean(each) for name, each in value.items()}
    return [_clean(each) for each in value] if isinstance(value, (list, tuple)) else value
