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

    code: slug of the whole problem; where faults are given and no code, that of the first fault.
    retryable: the same request may succeed later without a change.
    """

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
    """400: the request cannot be read at all."""

    default_code = "malformed"


class Unauthenticated(AwizoError):
    """401: no valid credential."""

    default_code = "unauthenticated"


class Denied(AwizoError):
    """403: the credential is known, its role forbids this."""

    default_code = "forbidden"


class Missing(AwizoError):
    """404: there is no such thing, or it is somebody else's."""

    default_code = "not_found"


class Conflict(AwizoError):
    """409: the thing's present state forbids this."""

    default_code = "conflict"


class Stale(AwizoError):
    """412: If-Match names an older version."""

    default_code = "stale"


class TooLarge(AwizoError):
    """413: over one of the limits that GET /limits shows."""

    default_code = "too_large"


class Unsupported(AwizoError):
    """415: a media type that this endpoint does not take."""

    default_code = "unsupported_media_type"


class Refused(AwizoError):
    """422: the content is refused; ``faults`` lists every reason."""

    default_code = "refused"


class Throttled(AwizoError):
    """429: too many; ``retry_after_s`` says when again."""

    default_code = "rate_limited"
    retryable = True


class Unavailable(AwizoError):
    """503: the database is away or the disk is full; nothing was accepted."""

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
