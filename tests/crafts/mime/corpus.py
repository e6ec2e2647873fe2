"""The corpus of foreign mail, and what was read of a message in a form that fits a table."""

import json
from collections import Counter
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


# By the beginnings of the files' names.
DIALECTS = {
    "Postfix": ("postfix",),
    "Exim": ("exim",),
    "Exchange, Microsoft 365": ("exchange",),
    "Gmail": ("gmail",),
    "Dovecot (LDA, LMTP)": ("dovecot",),
    "qmail": ("qmail",),
    "sendmail": ("sendmail",),
    "Amazon SES, Domino, OpenSMTPD, OVH, Yahoo, Kundenserver": (
        "ses", "domino", "opensmtpd", "ovh", "yahoo", "kundenserver",
    ),
    "mail programs: reading (MDN)": ("mdn",),
    "providers: complaints (ARF)": ("arf",),
    "absence: Exchange, Gmail, Sieve, Zimbra": ("absence",),
    "damaged, odd, or no report": (),
}  # fmt: skip


def write_table() -> str:
    """Return a table for people: of each dialect the files, and what is read in them."""
    expected = load_expected()
    rows = {dialect: Counter[str]() for dialect in DIALECTS}
    files = Counter[str]()
    for name in load_corpus():
        known = (each for each, starts in DIALECTS.items() if name.startswith(starts or ("?",)))
        dialect = next(known, list(DIALECTS)[-1])
        files[dialect] += 1
        rows[dialect].update(_name_results(expected[name]))
    lines = [
        f"| {dialect} | {files[dialect]} | "
        + ", ".join(f"{count} {result}" for result, count in sorted(rows[dialect].items()))
        + " |"
        for dialect in DIALECTS
    ]
    total = f"| **all** | {files.total()} | every file as expected |"
    return "\n".join(["| written by | files | read as |", "| --- | --- | --- |", *lines, total])


def _name_results(told: dict[str, Any]) -> list[str]:
    if told["kind"] == "dsn":
        actions = [each.partition(" | ")[0] for each in told.get("recipients", ())]
        return actions or ["report without recipients"]
    if told["kind"] == "mdn":
        return [told["disposition"].split(" | ")[1].partition("/")[0]]
    words = {"arf": "complaint", "human": "person", "auto_reply": "automatic", "list": "list"}
    return [words[told["kind"]]]


if __name__ == "__main__":
    print(write_table())
