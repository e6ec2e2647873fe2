"""What a browser posts: read in memory, its CSRF token checked before anything is done.

Two locks: the token in the form is the session's, and the browser does not say that another site
made it post (``Sec-Fetch-Site``). A form shown again after a refusal is ``Filled``.
"""

import hmac
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Annotated
from urllib.parse import parse_qs

from fastapi import Depends, Request

from app.db import new_id
from app.errors import Denied, Fault, Malformed, Unsupported
from app.web.visit import Guest, TheGuest

CSRF = "csrf"
ONCE = "once"
_MOST_FIELDS = 1000
_MOST_BYTES = 2 * 1024 * 1024  # a CA file and a template are far below


class Form:
    """The fields of a form, each with its values in their order."""

    def __init__(self, fields: Mapping[str, Sequence[str]]) -> None:
        self._fields = fields

    def __contains__(self, name: str) -> bool:
        return name in self._fields

    def get(self, name: str) -> str:
        """Return the last value of a field, without line ends of other systems; "" without one."""
        return self._fields.get(name, ("",))[-1].replace("\r\n", "\n")

    def list(self, name: str) -> Sequence[str]:
        """Return every value of a field, such as boxes of one name."""
        return self._fields.get(name, ())

    def values(self) -> dict[str, str]:
        """Return the last value of each field, to show the form again."""
        return {name: self.get(name) for name in self._fields if name != CSRF}


@dataclass(frozen=True, slots=True)
class Filled:
    """A form as it is shown. values: by field name. errors: what is wrong, by field name."""

    values: Mapping[str, str] = field(default_factory=dict, repr=False)
    errors: Mapping[str, str] = field(default_factory=dict)

    def value(self, name: str) -> str:
        """Return what stands in a field."""
        return self.values.get(name, "")

    def error(self, name: str) -> str:
        """Return what is wrong with a field; "" where nothing is."""
        return self.errors.get(name, "")


def place_faults(
    faults: Iterable[Fault], names: Mapping[str, str], say: Mapping[str, str]
) -> dict[str, str]:
    """Return the words for each fault by field name. names: field names by pointer.

    A pointer into a list belongs to the field that holds it; what belongs nowhere stands under "".
    """
    placed: dict[str, str] = {}
    for fault in faults:
        pointer = fault.pointer
        while pointer not in names and pointer:
            pointer = pointer.rpartition("/")[0]
        name = names.get(pointer, "")
        placed.setdefault(name, say.get(fault.code) or fault.detail)
    return placed


async def read_form(request: Request, guest: TheGuest) -> Form:
    """Return the posted form; raise ``Denied`` where it is not from a page of ours."""
    media_type = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    if media_type != "application/x-www-form-urlencoded":
        raise Unsupported("A form comes as application/x-www-form-urlencoded.")
    require_same_site(request)
    raw = bytearray()
    async for piece in request.stream():
        raw += piece
        if len(raw) > _MOST_BYTES:
            raise Malformed("This form is too large.", code="form_too_large")
    try:
        fields = parse_qs(
            raw.decode(), keep_blank_values=True, max_num_fields=_MOST_FIELDS, errors="strict"
        )
    except ValueError:
        raise Malformed("This form cannot be read.", code="malformed_form") from None
    if "\0" in raw.decode() or any("\0" in value for each in fields.values() for value in each):
        raise Malformed("Take the NUL character out.", code="malformed_form")
    form = Form(fields)
    require_token(form, guest)
    return form


TheForm = Annotated[Form, Depends(read_form)]


def issue_id(guest: Guest) -> str:
    """Return a fresh id, signed for this session: what a form makes gets it, however often it comes."""
    fresh = new_id(guest.at)
    return f"{fresh}.{_sign(fresh, guest)}"


def read_issued_id(form: Form, guest: Guest) -> str:
    """Return the id that the form was issued with; a fresh one where that is none of this session."""
    issued, _, signature = form.get(ONCE).partition(".")
    is_ours = hmac.compare_digest(signature.encode(), _sign(issued, guest).encode())
    return issued if is_ours else new_id(guest.at)


def _sign(issued: str, guest: Guest) -> str:
    key = guest.session.csrf.encode()
    return hmac.new(key, f"once:{issued}".encode(), "sha256").hexdigest()[:32]


def require_token(form: Form, guest: Guest) -> None:
    """Raise ``Denied`` where the form is not from a page of this session."""
    if not hmac.compare_digest(form.get(CSRF).encode(), guest.session.csrf.encode()):
        raise Denied("This page is out of date; open it again and repeat.", code="csrf")


def require_same_site(request: Request) -> None:
    """Raise ``Denied`` where the browser says that another site made it post."""
    if request.headers.get("sec-fetch-site", "same-origin") != "same-origin":
        raise Denied("This form was sent from another site.", code="csrf")
