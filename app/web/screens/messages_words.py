"""States, reasons and causes in plain words: what became of a mail, and why.

``describe_reason`` is one line; for causes that somebody can do something about, ``advise`` says what.
"""

from collections.abc import Mapping
from typing import TYPE_CHECKING

from app.outbox.advice import ADVICE
from app.web.words import mark

if TYPE_CHECKING:
    from app.web.visit import Guest

STATUSES: Mapping[str, str] = {
    "draft": mark("Draft"),
    "scheduled": mark("Scheduled"),
    "queued": mark("Queued"),
    "sending": mark("Sending"),
    "deferred": mark("Tried again later"),
    "held": mark("Held"),
    "sent": mark("Sent"),
    "delivered": mark("Delivered"),
    "partially_sent": mark("Partly sent"),
    "failed": mark("Failed"),
    "suppressed": mark("Not to be written to"),
    "cancelled": mark("Cancelled"),
    "expired": mark("Expired"),
}
# Which colour a badge has; the word says it, too.
KINDS: Mapping[str, str] = {
    "sent": "good",
    "delivered": "good",
    "deferred": "warning",
    "held": "warning",
    "partially_sent": "warning",
    "failed": "error",
    "suppressed": "error",
    "expired": "error",
}
_REASONS: Mapping[str, str] = {
    "awaiting_password": mark("The account's password has still to be entered; then it goes out."),
    "consent_needed": mark("The provider wants the owner's consent again; then it goes out."),
    "password_refused": mark("The server refused the password that was given with the message."),
    "uncertain": mark("The connection broke at the last moment: the server may have taken it."),
    "delivery_off": mark("Delivery is switched off here."),
    "scope_removed": mark("The configuration it was to go out with was removed."),
    "queue_held": mark("The queue was held after a restore: look whether it went out before."),
    "draft": mark("A draft: somebody sends it from their mail program."),
    "gave_up": mark("The server did not take it for as long as it was tried."),
    "not_after": mark("Its time was over before it could be handed over."),
    "bounced": mark("A report says that it did not reach the mailbox."),
    "erased": mark("This person's data was erased."),
    "body_erased": mark("The content was erased before it could be sent."),
    "refused": mark("The server refused it."),
    "host_not_allowed": mark("Awizo may not connect to this server or port."),
    "name_not_found": mark("There is no server of this name."),
    "connection_refused": mark("No mail server answers at this address and port."),
    "timeout": mark("The server did not answer in time."),
    "connection_lost": mark("The connection broke off."),
    "greeting_refused": mark("The server turned us away before we said anything."),
    "protocol_error": mark("The server's answer was not understood."),
    "starttls_not_offered": mark("The server offers no encryption."),
    "starttls_refused": mark("The server refused to encrypt the connection."),
    "tls_failed": mark("The connection could not be encrypted."),
    "certificate_expired": mark("The server's certificate has expired."),
    "certificate_wrong_host": mark("The server's certificate is for another name."),
    "certificate_untrusted": mark("Nobody we trust vouches for the server's certificate."),
    "insecure_auth": mark("Logging in without encryption was not tried."),
    "mechanism_not_offered": mark("The server does not know the chosen way of logging in."),
    "credentials_refused": mark("The server refused the user name or password."),
    "auth_disabled": mark("The provider does not let this account log in with a password."),
    "auth_temporary": mark("The server cannot check logins at the moment."),
    "token_unavailable": mark("The provider gave no access token."),
    "auth_required": mark("The server takes mail only after a login."),
    "sender_refused": mark("The server does not take mail from this sender."),
    "recipient_refused": mark("The server refused this recipient."),
    "content_refused": mark("The server refused the content."),
    "too_large": mark("The message is larger than the server takes."),
    "rate_limited": mark("The server asks us to send more slowly."),
}
EVENTS: Mapping[str, str] = {
    "message.accepted": mark("Accepted"),
    "message.drafted": mark("Saved as a draft"),
    "message.retried": mark("Somebody asked to try again"),
    "message.released": mark("Released by somebody"),
    "message.resent": mark("Sent anew as another message"),
    "message.copied": mark("A copy stands in the Sent folder"),
    "message.copy_failed": mark("No copy could be put into the Sent folder"),
    "message.unanswered": mark("Nobody answered in time"),
    "recipient.queued": mark("Waits to be sent"),
    "recipient.returned": mark("Handed back untried, waits to be sent"),
    "recipient.released": mark("Goes on: the password was entered"),
    "recipient.deferred": mark("Could not be handed over, is tried again"),
    "recipient.uncertain": mark("Nobody knows whether the server took it"),
    "recipient.held": mark("Held"),
    "recipient.sent": mark("The server took it"),
    "recipient.delivered": mark("Arrived in the mailbox"),
    "recipient.failed": mark("Failed for good"),
    "recipient.relayed": mark("Went on to a server that reports no further"),
    "recipient.expanded": mark("Was handed on to several addresses, such as a list's"),
    "recipient.delayed": mark("Is late: a server further on is still trying"),
    "recipient.displayed": mark("Was shown to somebody"),
    "recipient.complained": mark("Its reader calls it unwanted mail"),
    "recipient.suppressed": mark("Is not to be written to"),
    "recipient.cancelled": mark("Cancelled"),
    "recipient.expired": mark("Expired"),
}
_PLACES: Mapping[str, str] = {"to": mark("To"), "cc": mark("Cc"), "bcc": mark("Bcc")}
_PROTECTIONS: Mapping[str, str] = {
    "pdf_aes256": mark("PDF with a password"),
    "zip_aes256": mark("ZIP with a password"),
    "none": mark("not protected"),
}


def describe_status(guest: "Guest", status: str) -> str:
    """Return a message's status, or a recipient's state, in a word or two."""
    return guest._(STATUSES[status]) if status in STATUSES else status


def describe_reason(guest: "Guest", reason: str | None) -> str:
    """Return why it is so, in a sentence; "" where there is nothing to say."""
    return "" if reason is None else guest._(_REASONS[reason]) if reason in _REASONS else reason


def advise(guest: "Guest", reason: str | None) -> str:
    """Return what somebody can do about it; "" where nobody can."""
    return ADVICE[reason][guest.language] if reason is not None and reason in ADVICE else ""


def describe_event(guest: "Guest", kind: str) -> str:
    """Return what happened."""
    return guest._(EVENTS[kind]) if kind in EVENTS else kind


def describe_place(guest: "Guest", kind: str) -> str:
    """Return where a recipient stands: To, Cc or Bcc."""
    return guest._(_PLACES[kind])


def describe_protection(guest: "Guest", protection: str) -> str:
    """Return how an attachment is protected."""
    return guest._(_PROTECTIONS[protection])
