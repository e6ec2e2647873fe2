"""What needs no server to be refused: a message that it could not take, or that must not go out.

Pure: an envelope, a body and what the server can do in; a verdict for each recipient out, in our
own words (`Reply.local`). Whoever is refused here is never asked for.
"""

from app.wire.body import Body
from app.wire.capabilities import Capabilities
from app.wire.envelope import Envelope, Phase, Verdict, is_mailbox
from app.wire.reply import speak_locally

_NO_UTF8 = "this needs SMTPUTF8, which the server does not offer"


def admit(
    envelope: Envelope, body: Body | None, capabilities: Capabilities
) -> list[Verdict | None]:
    """Return a verdict for each recipient that is refused at once, None for one to be asked for."""
    for_all = _refuse_sender(envelope, capabilities)
    if body is not None:
        for_all = _refuse_body(body, capabilities) or for_all
    if for_all is not None:
        return [for_all] * len(envelope.recipients)
    return [_refuse_recipient(each.address, capabilities) for each in envelope.recipients]


def _refuse_body(body: Body, capabilities: Capabilities) -> Verdict | None:
    size_bytes, limit = len(body.octets), capabilities.size
    if not body.is_sound:
        text = "the message holds a lone CR, LF or a NUL"
        return _refuse("mail", 554, "5.6.0", text, "content_refused")
    if limit and size_bytes > limit:
        text = f"the message has {size_bytes} bytes, the server takes {limit}"
        return _refuse("mail", 552, "5.3.4", text, "too_large")
    if not body.is_ascii and not capabilities.eightbitmime:
        text = "the message is 8-bit and the server does not offer 8BITMIME"
        return _refuse("mail", 554, "5.6.3", text, "content_refused")
    return None


def _refuse_sender(envelope: Envelope, capabilities: Capabilities) -> Verdict | None:
    sender = envelope.sender
    if sender and not is_mailbox(sender):
        text = "the sender's address is not valid"
        return _refuse("mail", 553, "5.1.7", text, "sender_refused")
    if not capabilities.smtputf8 and (envelope.smtputf8 or not sender.isascii()):
        return _refuse("mail", 553, "5.6.7", _NO_UTF8, "sender_refused")
    return None


def _refuse_recipient(address: str, capabilities: Capabilities) -> Verdict | None:
    if not is_mailbox(address):
        text = "the recipient's address is not valid"
        return _refuse("rcpt", 553, "5.1.3", text, "recipient_refused")
    if not capabilities.smtputf8 and not address.isascii():
        return _refuse("rcpt", 553, "5.6.7", _NO_UTF8, "recipient_refused")
    return None


def _refuse(phase: Phase, code: int, enhanced: str, text: str, cause: str) -> Verdict:
    return Verdict("refused", phase, speak_locally(code, enhanced, text), cause)
