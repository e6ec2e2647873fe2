"""Reports that machines send about our mail, in one value.

DSN (RFC 3464, 6533), MDN (RFC 8098) and ARF (RFC 5965, and Outlook.com's forerunner of it). Read as
they come, not as they should: missing blank lines, comments behind actions, addresses without a type
or in brackets, a missing ``report-type``. Old bounces without any of these are read by ``bounce``.
Nothing here raises. What a report says is a claim of whoever sent it: only an identifier that we
signed makes it one about our mail.
"""

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from itertools import islice
from typing import Literal

from app.mime.entity import Leaf, read_header
from app.mime.fields import (
    NO_FIELDS,
    Fields,
    iterate_fields,
    read_date,
    read_fields,
    read_identifiers,
    read_mailboxes,
)

ReportKind = Literal["dsn", "mdn", "arf"]
Action = Literal["failed", "delayed", "delivered", "relayed", "expanded"]

MAX_REPORTED = 1000  # recipients of one report; more than any server takes at once
MAX_BLOCK_OCTETS = 1024 * 1024  # of the machine-readable part
MAX_SAID_CHARS = 1000  # of a diagnostic

DSN_TYPES = frozenset({"message/delivery-status", "message/global-delivery-status"})
MDN_TYPES = frozenset(
    {"message/disposition-notification", "message/global-disposition-notification"}
)
ARF_TYPE = "message/feedback-report"
REPORT_TYPES = DSN_TYPES | MDN_TYPES | {ARF_TYPE}
RETURNED_TYPES = frozenset(
    {"message/rfc822", "text/rfc822-headers", "message/global", "message/global-headers"}
)

_STATUS = re.compile(r"(?<![\d.])([245]\.\d{1,3}\.\d{1,3})(?![\d.]\d)")  # RFC 3463 §2
_REPLY = re.compile(r"(?<![\d.])([245])[0-5]\d(?![\d.])")  # RFC 5321 §4.2
_HEX_PAIR = re.compile(rb"\+([0-9A-F]{2})")  # RFC 3461 §4
_UTF8_ADDRESS = re.compile(r"\\x\{([0-9A-Fa-f]{2,6})\}")  # RFC 6533 §3
_TYPED = re.compile(r"\s*[A-Za-z0-9-]{1,40}\s*;\s*")
# Longest first: "delayed" must not hide in "delay". "error" is OpenSMTPD's, "failure" Lotus's.
_ACTIONS: tuple[tuple[str, Action], ...] = (
    ("fail", "failed"),
    ("error", "failed"),
    ("delay", "delayed"),
    ("deliver", "delivered"),
    ("relay", "relayed"),
    ("expand", "expanded"),
)
_BY_CLASS: dict[str, Action] = {"5": "failed", "4": "delayed", "2": "delivered"}
_STARTS_RECIPIENT = ("original-recipient", "final-recipient", "action")
_OF_RECIPIENT = frozenset({*_STARTS_RECIPIENT, "status", "diagnostic-code"})


@dataclass(frozen=True, slots=True)
class ReportedRecipient:
    """What became of one recipient; "" is what the report does not say.

    status: RFC 3463, as ``5.1.1``. diagnostic: the words of the server, in one line.
    """

    action: Action
    final_recipient: str = ""
    original_recipient: str = ""
    status: str = ""
    diagnostic: str = ""
    remote_mta: str = ""
    will_retry_until: datetime | None = None


@dataclass(frozen=True, slots=True)
class Disposition:
    """What a reader did (RFC 8098 §3.2.6), such as ``displayed``, ``deleted``, ``dispatched``.

    is_automatic: no person asked for it. modifiers: ``error`` and others. The recipients: of whom
    it speaks.
    """

    type: str
    is_automatic: bool
    modifiers: tuple[str, ...] = ()
    final_recipient: str = ""
    original_recipient: str = ""


@dataclass(frozen=True, slots=True)
class Report:
    """One report.

    envelope_id: our ENVID, decoded from xtext. original_message_id: with its angle brackets.
    recipients: also of an MDN with which Dovecot or Sieve refuse a message. complained: of whom an
    ARF report speaks. reporting_mta: of an MDN, the program. returned: the header of our message,
    as far as it came back.
    """

    kind: ReportKind
    envelope_id: str = ""
    original_message_id: str = ""
    recipients: tuple[ReportedRecipient, ...] = ()
    disposition: Disposition | None = None
    feedback_type: str = ""
    complained: tuple[str, ...] = ()
    reporting_mta: str = ""
    returned: Fields = NO_FIELDS


def read_report(leaves: Sequence[Leaf]) -> Report | None:
    """Read the report that the leaves of a message hold, or answer None."""
    returned = read_returned(leaves)
    for leaf in leaves:
        if leaf.media_type in REPORT_TYPES:
            block = leaf.decode_content(MAX_BLOCK_OCTETS)
            if leaf.media_type in DSN_TYPES:
                return _read_dsn(block, returned)
            if leaf.media_type in MDN_TYPES:
                return _read_mdn(read_fields(block), returned)
            return _read_arf(read_fields(block), returned)
    complained = returned.get_all("x-hmxmroriginalrecipient")
    if complained:  # Outlook.com (JMRP): our message, attached, with this field put in
        return Report(
            "arf",
            original_message_id=find_message_id(returned),
            feedback_type="abuse",
            complained=tuple(read_address(each) for each in complained[:MAX_REPORTED]),
            returned=returned,
        )
    return None


def read_returned(leaves: Sequence[Leaf]) -> Fields:
    """Return the header of the message that came back, empty where none did."""
    for leaf in leaves:
        if leaf.media_type in RETURNED_TYPES:
            content = leaf.decode_content(MAX_BLOCK_OCTETS).lstrip(b"\r\n")
            return read_header(content, 0, len(content))[0]
    return NO_FIELDS


def find_message_id(returned: Fields) -> str:
    """Return the Message-ID of a header, or ""; some servers replace it and keep ours."""
    for name in ("message-id", "x-original-message-id"):
        if found := read_identifiers(returned.get(name)):
            return found[0]
    return ""


def find_status(text: str) -> str:
    """Return the first enhanced status code in a text, or the class of its first reply code."""
    if match := _STATUS.search(text):
        return match[1]
    match = _REPLY.search(text)
    return f"{match[1]}.0.0" if match else ""


def read_address(value: str) -> str:
    """Read ``rfc822; jan@firma.example``, with or without type and brackets."""
    typed = _TYPED.match(value)
    address = (value[typed.end() :] if typed else value).strip()
    if address.startswith("<") and ">" in address:
        address = address[1 : address.index(">")]
    return _UTF8_ADDRESS.sub(_decode_character, address)[:500].strip()


def _decode_character(match: re.Match[str]) -> str:
    number = int(match[1], 16)
    return "\ufffd" if number > 0x10FFFF or not chr(number).isprintable() else chr(number)


def _read_dsn(block: bytes, returned: Fields) -> Report:
    groups = [Fields(tuple(group)) for group in islice(_split_groups(block), MAX_REPORTED)]
    everything = Fields(tuple(item for group in groups for item in group.items))
    recipients = [_read_recipient(each) for each in groups]
    told = read_identifiers(everything.get("x-original-message-id"))  # Gmail's
    return Report(
        "dsn",
        envelope_id=decode_xtext(everything.get("original-envelope-id")),
        original_message_id=find_message_id(returned) or (told[0] if told else ""),
        recipients=tuple(each for each in recipients if each),
        reporting_mta=_cut_type(everything.get("reporting-mta")),
        returned=returned,
    )


def _split_groups(block: bytes) -> Iterator[list[tuple[str, str]]]:
    """Yield the groups of fields; where the blank line is missing, a repeated field starts one."""
    group: list[tuple[str, str]] = []
    for name, value in iterate_fields(block):
        begins = name in _STARTS_RECIPIENT and any(name == key for key, _ in group)
        if group and (not name or begins):
            yield group
            group = []
        if name and len(group) < 100:
            group.append((name, value))
    if group:
        yield group


def _read_recipient(group: Fields) -> ReportedRecipient | None:
    if not any(name in _OF_RECIPIENT for name, _ in group.items):
        return None
    diagnostic = _cut_type(group.get("diagnostic-code"))
    status = find_status(group.get("status"))
    told = find_status(diagnostic)
    if not status or (status.endswith(".0.0") and told[:1] == status[:1]):
        status = told  # Exim always says 5.0.0; the server's own words know more
    word = group.get("action").lower()
    action = next((action for start, action in _ACTIONS if word.startswith(start)), None)
    action = action or _BY_CLASS.get(status[:1])
    final = read_address(group.get("final-recipient"))
    original = read_address(group.get("original-recipient"))
    if action is None or not (final or original):
        return None
    return ReportedRecipient(
        action,
        final,
        original,
        status,
        diagnostic,
        _cut_type(group.get("remote-mta")).partition("(")[0].rstrip(" ."),
        read_date(group.get("will-retry-until")),
    )


def _read_mdn(fields: Fields, returned: Fields) -> Report:
    mode, _, told = fields.get("disposition").lower().partition(";")
    words = [word.strip() for word in told.partition("(")[0].replace(",", "/").split("/")]
    final = read_address(fields.get("final-recipient"))
    original = read_address(fields.get("original-recipient"))
    named = read_identifiers(fields.get("original-message-id"))
    refusals: tuple[ReportedRecipient, ...] = ()
    # Dovecot refuses by an MDN (RFC 5429 §2.1.2 lets Sieve): the message reached nobody.
    if words[0] == "deleted" and "dovecot" in fields.get("reporting-ua").lower() and final:
        refusals = (ReportedRecipient("failed", final, original, "5.7.1"),)
    return Report(
        "mdn",
        envelope_id=decode_xtext(fields.get("original-envelope-id")),
        original_message_id=named[0] if named else find_message_id(returned),
        recipients=refusals,
        disposition=Disposition(
            words[0][:40],
            mode.strip().startswith("automatic"),
            tuple(word[:40] for word in words[1:] if word)[:10],
            final,
            original,
        ),
        reporting_mta=fields.get("reporting-ua")[:MAX_SAID_CHARS],
        returned=returned,
    )


def _read_arf(fields: Fields, returned: Fields) -> Report:
    # Yahoo and others blacken the address; the message often still has it.
    complained = read_mailboxes(fields.get_all("original-rcpt-to"))
    complained = complained or read_mailboxes(returned.get_all("to"))
    return Report(
        "arf",
        envelope_id=decode_xtext(fields.get("original-envelope-id")),
        original_message_id=find_message_id(returned),
        feedback_type=fields.get("feedback-type").lower()[:40],
        complained=tuple(each.address for each in complained[:MAX_REPORTED]),
        reporting_mta=_cut_type(fields.get("reporting-mta")),
        returned=returned,
    )


def _cut_type(value: str) -> str:
    typed = _TYPED.match(value)
    return (value[typed.end() :] if typed else value)[:MAX_SAID_CHARS].strip()


def decode_xtext(text: str) -> str:
    """Decode xtext (RFC 3461 §4), as far as it is that."""
    octets = text.strip("<> ").encode("utf-8", "replace")
    return _HEX_PAIR.sub(lambda match: bytes([int(match[1], 16)]), octets).decode(
        "utf-8", "replace"
    )
