"""What went wrong, in one of the words of contract §5. Pure functions, one table each.

`classify_reply` reads a server's reply at a step, `classify_error` an exception at a step,
`classify_certificate` a failed verification. `is_account_trouble` tells the causes that are the
configuration's (pause the account, keep the mail) from those that are the message's.
Transient unless proved permanent: what is not recognised never becomes a final refusal here.
"""

import re
import ssl

from aiosmtplib import SMTPServerDisconnected
from aiosmtplib.errors import SMTPTimeoutError

from app.wire.address_policy import AddressDenied, NameNotFound
from app.wire.channel import ProtocolViolation
from app.wire.reply import Reply

ACCOUNT_CAUSES = frozenset(
    "host_not_allowed name_not_found connection_refused timeout connection_lost greeting_refused "  # noqa: SIM905
    "protocol_error starttls_not_offered starttls_refused tls_failed certificate_expired "
    "certificate_wrong_host certificate_untrusted insecure_auth mechanism_not_offered "
    "credentials_refused auth_disabled auth_temporary auth_required rate_limited consent_needed "
    "token_unavailable".split()
)
MESSAGE_CAUSES = frozenset("sender_refused recipient_refused content_refused too_large".split())  # noqa: SIM905
CAUSES = ACCOUNT_CAUSES | MESSAGE_CAUSES

# Words of servers that slow us down: Postfix anvil, Exim, Exchange Online, Gmail, Yahoo, OVH.
_RATE_WORDS = re.compile(
    r"too many (?:connections|messages|mails|e-?mails|concurrent|sessions|errors|login)"
    r"|rate.?limit|throttl|too (?:fast|quickly|frequent)|message rate|(?:sending|hourly|daily) "
    r"(?:\w+ )*(?:limit|quota)|(?:limit|quota) (?:\w+ )*exceeded|unusual rate",
    re.IGNORECASE,
)
# RFC 3463 X.7.28 is Gmail's "unusual rate"; X.7.650 and X.4.5/X.5.127 are Exchange Online's.
_RATE_CODES = frozenset(("4.7.28", "4.7.650", "4.4.5", "4.5.127"))
# These name the mailbox or the sender's reputation, whatever words stand beside them.
_MAILBOX_FULL = re.compile(r"[45]\.2\.[1-9]")
_AUTH_DISABLED_CODES = frozenset(("5.7.139",))  # Exchange Online: SMTP AUTH or basic auth is off

_SENDER_DENIED = frozenset(("5.7.60", "5.2.252"))  # Exchange: this login may not send as that

# OpenSSL X509_V_ERR_*.
_DATE_ERRORS = frozenset((9, 10))  # not yet valid, has expired
_NAME_ERRORS = frozenset((62, 63, 64))  # host name, e-mail, address mismatch

_REFUSED_AT = {
    "greeting": "greeting_refused",
    "ehlo": "greeting_refused",
    "starttls": "starttls_refused",
    "mail": "sender_refused",
    "rcpt": "recipient_refused",
    "data": "content_refused",
}


def classify_reply(step: str, reply: Reply) -> str:
    """Name the cause behind a refusing reply at a step (``greeting`` … ``data``)."""
    if reply.is_transient and _is_rate_limit(reply):
        return "rate_limited"
    if step == "auth":
        return _classify_auth(reply)
    if 200 <= reply.code < 400:  # agreement where it makes no sense
        return "protocol_error"
    if step in ("mail", "rcpt", "data"):
        if reply.code in (530, 538) or (reply.code == 535 and step == "mail"):
            return "auth_required"
        if reply.code == 421:
            return "connection_lost"
        if reply.enhanced in _SENDER_DENIED:
            return "sender_refused"
        if reply.code == 552 and reply.enhanced in (None, "5.3.4", "5.2.3") and step != "rcpt":
            return "too_large"
        if reply.enhanced == "5.3.4":
            return "too_large"
    return _REFUSED_AT.get(step, "protocol_error")


def _classify_auth(reply: Reply) -> str:
    if reply.code == 534 or reply.enhanced in _AUTH_DISABLED_CODES:
        return "auth_disabled"
    if reply.code == 530:
        return "auth_required"
    if reply.code == 538:  # RFC 4954 §6: encryption required
        return "insecure_auth"
    if reply.code in NEXT_MECHANISM_CODES:
        return "mechanism_not_offered"
    if reply.is_transient:
        return "auth_temporary"
    return "credentials_refused" if reply.is_permanent else "protocol_error"


# AUTO tries its next mechanism only after these: the server did not look at the password
# (RFC 4954 §4, §6; 503 is Postfix's and Exim's "AUTH not available").
NEXT_MECHANISM_CODES = frozenset((500, 502, 503, 504))


def permits_next_mechanism(reply: Reply) -> bool:
    """Tell whether AUTO may try another mechanism: never after a refused password."""
    return reply.code in NEXT_MECHANISM_CODES or (
        reply.code == 534 and reply.enhanced not in _AUTH_DISABLED_CODES
    )


def classify_error(step: str, error: BaseException) -> str:
    """Name the cause behind an exception at a step."""
    if isinstance(error, AddressDenied):
        return "host_not_allowed"
    if isinstance(error, NameNotFound):
        return "name_not_found"
    if isinstance(error, ssl.SSLCertVerificationError):
        return classify_certificate(error.verify_code)
    if isinstance(error, ProtocolViolation):
        return "protocol_error"
    if isinstance(error, (TimeoutError, SMTPTimeoutError)):
        return "timeout"
    if isinstance(error, ssl.SSLError):
        return "tls_failed"
    if isinstance(error, OSError):
        return _classify_os_error(step, error)
    return "protocol_error"


def _classify_os_error(step: str, error: OSError) -> str:
    if step == "connect":  # refused, no route, forbidden by a firewall of this machine
        return "connection_refused"
    # aiosmtplib reports a cut during the STARTTLS handshake with the system's error as cause.
    cut_in_handshake = isinstance(error, SMTPServerDisconnected) and error.__cause__ is not None
    if step == "tls" or (step == "starttls" and cut_in_handshake):
        return "tls_failed"
    return "connection_lost"


def classify_certificate(verify_code: int) -> str:
    """Name the cause behind OpenSSL's verification error (X509_V_ERR_*)."""
    if verify_code in _DATE_ERRORS:
        return "certificate_expired"
    if verify_code in _NAME_ERRORS:
        return "certificate_wrong_host"
    return "certificate_untrusted"


def is_account_trouble(cause: str) -> bool:
    """Tell whether the cause is the configuration's or the server's, not the message's."""
    return cause in ACCOUNT_CAUSES


def _is_rate_limit(reply: Reply) -> bool:
    if reply.enhanced in _RATE_CODES:
        return True
    if reply.enhanced and _MAILBOX_FULL.fullmatch(reply.enhanced):
        return bool(re.search(r"too (?:quickly|fast)|rate", reply.text, re.IGNORECASE))
    if reply.enhanced == "4.5.3" or "recipients" in reply.text:  # too many for one message
        return False
    return bool(_RATE_WORDS.search(reply.text))
