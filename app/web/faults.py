"""What is wrong, in the visitor's language: words for the codes of ``app.errors``.

English readers get the room's own sentence, which knows the numbers and names; others get the words
here, and that sentence where a code has none.
"""

from collections.abc import Mapping
from typing import TYPE_CHECKING

from app.web.words import mark

if TYPE_CHECKING:
    from app.web.visit import Guest

TITLES: Mapping[int, str] = {
    400: mark("This did not work"),
    403: mark("You may not do this"),
    404: mark("There is nothing here"),
    409: mark("This is not possible now"),
    412: mark("Somebody was faster"),
    422: mark("Something is not right"),
    429: mark("Too many, too fast"),
    500: mark("Something went wrong here"),
    503: mark("Not available right now"),
}
WORDS: Mapping[str, str] = {
    "key_unknown": mark("This key is not known here."),
    "key_revoked": mark("This key was revoked."),
    "key_expired": mark("This key has expired."),
    "no_page": mark("A key of role probe opens no page."),
    "csrf": mark("This page is out of date. Go back, load it again and repeat."),
    "role_forbids": mark("Your key's role may not do this."),
    "other_user": mark("Your key is bound to one user and acts only as that one."),
    "not_found": mark("It is not there, or not yours to see."),
    "rate_limited": mark("Wait a minute, then try again."),
    "internal_error": mark("The server's log has the details under the number below."),
    "unavailable": mark("The database does not answer. Nothing was changed; try again shortly."),
    "stale": mark(
        "It was changed since you opened it. Load the page again and repeat your change."
    ),
}


def say(guest: "Guest", code: str, detail: str) -> str:
    """Return what is wrong, as precisely as the visitor's language allows."""
    if detail and guest.language == "en":
        return detail
    return guest._(WORDS[code]) if code in WORDS else detail


def say_all(guest: "Guest") -> Mapping[str, str]:
    """Return the words for every code; none in English, where the rooms' own are better."""
    return {} if guest.language == "en" else {code: guest._(text) for code, text in WORDS.items()}
