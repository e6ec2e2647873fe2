"""What a room or a craft may raise, and nothing else.

Each class is one answer of the HTTP contract (§1 Errors); the doors translate it into an RFC 9457
problem document without looking inside. A fault names one member of the request that is wrong;
an error carries all of them at once, so that a caller mends everything in one go.
Texts are English sentences that say what to do; they never contain a secret.
"""

from collections.abc import Iterable
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Fault:
    """One thing wrong with a request.

    pointer: RFC 6901 pointer into the request's JSON ("" is the whole document).
    code: stable slug such as ``macro_missing``. detail: what is wrong and what to do.
    """

    pointer: str
    code: str
    detail: str


@dataclass(frozen=True, slots=True)
class Notice:
    """Something the caller should know although the request was accepted (``warnings``)."""

    code: str
    detail: str
    pointer: str | None = None


class AwizoError(Exception):
    """Base of all that a room may raise.

    status: the HTTP contract's. code: slug of the whole problem; where faults are given and no code,
    that of the first fault.
    retryable: the same request may succeed later without a change.
    """

    status = 500
    retryable = False

    def __init__(
        self,
        detail: str,
        *,
        code: str | None = None,
        faults: Iterable[Fault] = (),
        retry_after_s: float | None = None,
    ) -> None:
        super().__init__(detail)
        self.detail = detail
        self.faults = tuple(faults)
        self.code = code or (self.faults[0].code if self.faults else self.default_code)
        self.retry_after_s = retry_after_s

    default_code = "error"


class Malformed(AwizoError):
    """The request cannot be read at all."""

    status = 400
    default_code = "malformed"


class Unauthenticated(AwizoError):
    """No valid credential."""

    status = 401
    default_code = "unauthenticated"


class Denied(AwizoError):
    """The credential is known, its role forbids this."""

    status = 403
    default_code = "forbidden"


class Missing(AwizoError):
    """There is no such thing, or it is somebody else's."""

    status = 404
    default_code = "not_found"


class Conflict(AwizoError):
    """The thing's present state forbids this."""

    status = 409
    default_code = "conflict"


class Stale(AwizoError):
    """If-Match names an older version."""

    status = 412
    default_code = "stale"


class TooLarge(AwizoError):
    """Over one of the limits that GET /limits shows."""

    status = 413
    default_code = "too_large"


class Unsupported(AwizoError):
    """A media type that this endpoint does not take."""

    status = 415
    default_code = "unsupported_media_type"


class Refused(AwizoError):
    """The content is refused; ``faults`` lists every reason."""

    status = 422
    default_code = "refused"


class Throttled(AwizoError):
    """Too many; ``retry_after_s`` says when again."""

    status = 429
    default_code = "rate_limited"
    retryable = True


class Unavailable(AwizoError):
    """The database is away or the disk is full; nothing was accepted."""

    status = 503
    default_code = "unavailable"
    retryable = True


def refuse(faults: Iterable[Fault]) -> None:
    """Raise ``Refused`` with all faults, or do nothing where there are none."""
    found = tuple(faults)
    if found:
        raise Refused(
            found[0].detail
            if len(found) == 1
            else f"{len(found)} members of the request are wrong.",
            faults=found,
        )
