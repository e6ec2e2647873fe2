"""The corpus of foreign mail, and what was read of a message in a form that fits a table."""

import json
from pathlib import Path
from typing import Any

from app.mime.incoming import Incoming
from app.mime.report import Report

FOLDER = Path(__file__).parent / "reports"


def load_corpus() -> dict[str, bytes]:
    """Return every message of the corpus by the name of its lesson."""
    return {path.stem: path.read_bytes() for path in sorted(FOLDER.glob("*.eml"))}


def load_expected() -> dict[str, dict[str, Any]]:
    """Return what must be read of each."""
    return json.loads((FOLDER / "expected.json").read_text())


def tell(incoming: Incoming) -> dict[str, Any]:
    """Return the kind of a message and what its report says, without what is empty."""
    path = "<>" if incoming.return_path == "" else incoming.return_path
    told: dict[str, Any] = {"kind": incoming.kind, "return_path": path}
    if incoming.report:
        told |= _tell_report(incoming.report)
    return {name: value for name, value in told.items() if value not in ("", [], None)}


def _tell_report(report: Report) -> dict[str, Any]:
    disposition = report.disposition
    recipients = [
        " | ".join(
            (
                each.action,
                each.final_recipient,
                each.original_recipient,
                each.status,
                each.remote_mta,
                f"{each.will_retry_until or ''}",
                each.diagnostic,
            )
        )
        for each in report.recipients
    ]
    return {
        "envelope_id": report.envelope_id,
        "original_message_id": report.original_message_id,
        "recipients": recipients,
        "disposition": disposition
        and " | ".join(
            (
                "automatic" if disposition.is_automatic else "manual",
                "/".join((disposition.type, *disposition.modifiers)),
                disposition.final_recipient,
            )
        ),
        "feedback_type": report.feedback_type,
        "complained": list(report.complained),
        "reporting_mta": report.reporting_mta,
        "returned_subject": report.returned.get("subject"),
    }
