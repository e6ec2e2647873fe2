"""Mailboxes: whatever a caller writes in an address field in, one canonical form out.

A field may be text with mailboxes separated by ``,`` or ``;``, a list of such texts and of
``{"address", "name"}`` objects, or null. Every fault is found in one pass, each with its pointer;
nothing here raises, and the time is linear in the length of the input.
Intranet names (``.local``, ``root@localhost``), address literals and quoted local parts are
mailboxes like others; RFC 5322 groups are not. Whether an address exists is not asked.
"""

import re
import unicodedata
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

import email_validator

from app.errors import Fault
from app.mime.mailbox_list import BLANKS, split_mailboxes

MAX_LOCAL_PART_OCTETS = 64  # RFC 5321 §4.5.3.1.1
MAX_ADDRESS_OCTETS = 254  # RFC 5321 §4.5.3.1.3, less the angle brackets
MAX_NAME_LENGTH = 256  # characters; ours, so that no header grows without bound
MAX_MAILBOXES = 10_000  # per field; ours, far above any limit of recipients, bounds the faults
MAX_TEXT_LENGTH = 1_000_000  # characters of one text; the same, for the time

# Line breaks, NUL and other controls, and lone surrogates, which no encoding can carry.
UNPRINTABLE = re.compile("[\x00-\x1f\x7f-\x9f\u2028\u2029\ud800-\udfff]")

# Names of intranets are addresses here (RFC 6761 leaves them to their owner); the list is the
# library's own switch for that.
email_validator.SPECIAL_USE_DOMAIN_NAMES = []

# What email-validator accepts and changes only in the domain's case, found 20 times faster: most of
# a batch. "--" is left to the library (IDNA), and so is a last label of digits alone.
_ATEXT = "[A-Za-z0-9!#$%&'*+/=?^_`{|}~-]"
_LABEL = "(?![^.]{64})[A-Za-z0-9]++(?:-[A-Za-z0-9]++)*+"
_PLAIN = re.compile(
    rf"(?=[^@]{{1,{MAX_LOCAL_PART_OCTETS}}}@)(?=.{{3,{MAX_ADDRESS_OCTETS}}}\Z)"
    rf"{_ATEXT}++(?:\.{_ATEXT}++)*+@(?:{_LABEL}\.)*(?![0-9]+\Z){_LABEL}"
)


@dataclass(frozen=True, slots=True)
class Mailbox:
    """An address in canonical form and the name shown with it ("" = none).

    address: local part in NFC as typed (quoted only where it must be), domain as lower-case
    A-labels or as an address literal.
    """

    address: str
    name: str = ""

    @property
    def domain(self) -> str:
        """Return what stands after the @."""
        return self.address.rpartition("@")[2]

    @property
    def needs_smtputf8(self) -> bool:
        """Say whether only a server with SMTPUTF8 (RFC 6531) can take the address."""
        return not self.address.isascii()

    @property
    def key(self) -> str:
        """Return what all spellings of one recipient have in common."""
        return self.address.casefold()


def parse_mailboxes(value: object, pointer: str) -> tuple[tuple[Mailbox, ...], tuple[Fault, ...]]:
    """Read an address field; null, "" and [] hold no mailbox and are no fault.

    pointer: where the field stands in the request, such as ``/to``.
    Answers what could be read and every fault (``invalid_address``, ``unknown_field``,
    ``too_many_mailboxes``), both in input order.
    """
    mailboxes: list[Mailbox] = []
    faults: list[Fault] = []
    for found in _read_field(value, pointer):
        if len(mailboxes) + len(faults) == MAX_MAILBOXES:
            detail = f"A field holds at most {MAX_MAILBOXES} mailboxes."
            faults.append(Fault(pointer, "too_many_mailboxes", detail))
            break
        if isinstance(found, Mailbox):
            mailboxes.append(found)
        else:
            faults.append(found)
    return tuple(mailboxes), tuple(faults)


def parse_mailbox(value: object, pointer: str) -> tuple[Mailbox | None, tuple[Fault, ...]]:
    """Read a field that holds exactly one mailbox, in any of the forms of ``parse_mailboxes``."""
    mailboxes, faults = parse_mailboxes(value, pointer)
    if not faults and len(mailboxes) != 1:
        faults = (_blame(pointer, f"exactly one mailbox is needed, {len(mailboxes)} are given"),)
    return (None, faults) if faults else (mailboxes[0], ())


def is_canonical(address: str) -> bool:
    """Say whether a text is an address in the form that ``Mailbox`` promises."""
    return _canonicalise(address)[0] == address != ""


def _read_field(value: object, pointer: str) -> Iterator[Mailbox | Fault]:
    if isinstance(value, list | tuple):
        for index, member in enumerate(value):
            yield from _read_member(member, f"{pointer}/{index}")
    elif value is not None:
        yield from _read_member(value, pointer)


def _read_member(value: object, pointer: str) -> Iterator[Mailbox | Fault]:
    if isinstance(value, Mapping):
        yield from _read_object(value, pointer)
    elif not isinstance(value, str):
        yield _blame(pointer, "a mailbox is text or an object with address and name")
    elif len(value) > MAX_TEXT_LENGTH:
        yield _blame(pointer, f"the text is longer than {MAX_TEXT_LENGTH} characters")
    else:
        for written in split_mailboxes(value):
            if written.wrong:
                yield _blame(pointer, written.wrong, written.text)
            else:
                yield from _make(written.address, pointer, written.name, pointer)


def _read_object(value: Mapping[object, object], pointer: str) -> Iterator[Mailbox | Fault]:
    for key in value:
        if key not in ("address", "name"):
            escaped = str(key).replace("~", "~0").replace("/", "~1")  # RFC 6901 §3
            detail = "A mailbox has the members address and name."
            yield Fault(f"{pointer}/{escaped}", "unknown_field", detail)
    address, name = value.get("address"), value.get("name")
    if name is None:
        name = ""
    if not isinstance(address, str):
        yield _blame(f"{pointer}/address", "the address must be text")
    if not isinstance(name, str):
        yield _blame(f"{pointer}/name", "the name must be text")
    if isinstance(address, str) and isinstance(name, str):
        yield from _make(address, f"{pointer}/address", name, f"{pointer}/name")


def _make(
    address: str, address_pointer: str, name: str, name_pointer: str
) -> Iterator[Mailbox | Fault]:
    canonical, wrong = _canonicalise(address.strip(BLANKS))
    wrong_name = _find_wrong_in_name(name)
    if wrong:
        yield _blame(address_pointer, wrong, address)
    if wrong_name:
        yield _blame(name_pointer, wrong_name, name)
    if not wrong and not wrong_name:
        yield Mailbox(canonical, unicodedata.normalize("NFC", name.strip(BLANKS)))


def _canonicalise(address: str) -> tuple[str, str]:
    """Return the canonical form and "", or "" and what is wrong."""
    if _PLAIN.fullmatch(address):
        local_part, _, domain = address.rpartition("@")
        return f"{local_part}@{domain.lower()}", ""
    if len(address) > MAX_ADDRESS_OCTETS:
        return "", f"it is longer than {MAX_ADDRESS_OCTETS} octets"
    if UNPRINTABLE.search(address):
        return "", "it contains a line break or another control character"
    try:
        valid = email_validator.validate_email(
            address,
            strict=True,
            allow_quoted_local=True,
            allow_domain_literal=True,
            globally_deliverable=False,
            check_deliverability=False,
        )
    except email_validator.EmailNotValidError as error:
        return "", str(error).rstrip(".")
    if valid.ascii_domain.rpartition(".")[2].isdigit():
        return "", "an IP address stands in square brackets: user@[192.0.2.1]"
    # The library writes well-known local parts (Info@) in lower case; as typed is nicer to read.
    local_part = valid.local_part
    if not address.startswith('"'):
        local_part = unicodedata.normalize("NFC", address.rpartition("@")[0])
    if len(local_part.encode()) > MAX_LOCAL_PART_OCTETS:
        return "", f"what stands before the @ is longer than {MAX_LOCAL_PART_OCTETS} octets"
    canonical = f"{local_part}@{valid.ascii_domain}"
    if len(canonical.encode()) > MAX_ADDRESS_OCTETS:
        return "", f"it is longer than {MAX_ADDRESS_OCTETS} octets"
    return canonical, ""


def _find_wrong_in_name(name: str) -> str:
    if len(name) > MAX_NAME_LENGTH:
        return f"the display name is longer than {MAX_NAME_LENGTH} characters"
    if UNPRINTABLE.search(name):
        return "the display name contains a line break or another control character"
    return ""


def _blame(pointer: str, wrong: str, text: str = "") -> Fault:
    shown = f"{text[:60]!a}: {wrong}." if text else f"{wrong[0].upper()}{wrong[1:]}."
    return Fault(pointer, "invalid_address", shown)
