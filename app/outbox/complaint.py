"""What a server asks of its client's manners, heard in its replies; pure, tested as a table.

A reply speaks of the account's *rate* (too many messages, come back later), of its *connections* (too
many at once) or of this *session* (so many messages a connection, then 421). What is said of one
recipient (greylisting, a full mailbox) is none of these, and so is a server that shuts down.
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from app.wire.causes import classify_reply
from app.wire.envelope import Verdict
from app.wire.reply import Reply
from app.wire.steps import SessionFailed

Kind = Literal["rate", "connections", "session"]

_ENVELOPE = frozenset(("mail", "rcpt", "data", "body", "dot"))
_SESSION_WORDS = re.compile(
    r"(?:messages?|mails?|e-?mails?|transactions?|deliveries) "
    r"(?:in|on|for|per|during|over|within)(?: (?:this|the|one|a|single|same))* "
    r"(?:smtp )?(?:connection|session)",
    re.IGNORECASE,
)
# Postfix anvil, Exim, Exchange Online (432 4.3.2, "thread limit").
_CONNECTION_WORDS = re.compile(
    r"(?:too many|maximum|max|concurrent|simultaneous)\b[^.;]*\b(?:connections?|sessions?)"
    r"|(?:connection|session|thread|concurrency) limit",
    re.IGNORECASE,
)
_GREYLIST_WORDS = re.compile(r"gr[ae]y.?list", re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class Complaint:
    """A wish of the server. words: its own. messages: how many a session carried (``session``).

    is_plain: it says so; otherwise only the circumstances can tell (``connections``: that we have
    others; ``session``: that another one ended after as many).
    """

    kind: Kind
    words: str
    messages: int = 0
    is_plain: bool = True


def hear(verdicts: Sequence[Verdict], *, messages: int, is_prompt: bool) -> Complaint | None:
    """Return what a server asked for while it was handed a message.

    messages: that this session carried before. is_prompt: the session had not been idle.
    """
    for verdict in verdicts:
        reply = verdict.reply
        if reply is None or reply.local or verdict.kind not in ("deferred", "not_tried"):
            continue
        kind = classify_complaint(verdict.phase, reply)
        if kind == "session":
            return Complaint(kind, str(reply), messages) if messages else None
        if verdict.kind == "deferred" and kind is not None:
            return Complaint(kind, str(reply))
        # Nothing was asked for this message yet: a kept connection ended, by idleness or by count.
        if reply.code == 421 and is_prompt and messages and kind is not None:
            if kind == "rate" and classify_reply(verdict.phase, reply) != "rate_limited":
                return Complaint("session", str(reply), messages, is_plain=False)
            return Complaint(kind, str(reply))
    return None


def hear_failed(failed: SessionFailed) -> Complaint | None:
    """Return what a server asked for instead of letting us in."""
    reply = failed.reply
    if reply is None or not reply.is_transient:
        return None
    kind = classify_complaint(failed.step, reply)
    if kind is not None:
        return Complaint("rate" if kind == "session" else kind, str(reply))
    if failed.step in ("greeting", "ehlo"):
        return Complaint("connections", str(reply), is_plain=False)
    return None


def classify_complaint(step: str, reply: Reply) -> Kind | None:
    """Return what a reply at a step (``greeting`` … ``dot``) asks for, by its words and codes."""
    enhanced = reply.enhanced or ""
    if not reply.is_transient or _GREYLIST_WORDS.search(reply.text):
        return None
    if enhanced.startswith("4.2.") or enhanced == "4.5.3":  # a mailbox; recipients of one message
        return None
    if _SESSION_WORDS.search(reply.text):
        return "session"
    if _CONNECTION_WORDS.search(reply.text):
        return "connections"
    if classify_reply(step if step in ("mail", "rcpt") else "data", reply) == "rate_limited":
        return "rate"
    if step not in _ENVELOPE:
        return None
    if reply.code == 421:  # 4.3, 4.4: it shuts down, or we were too slow
        return None if enhanced.startswith(("4.3.", "4.4.")) else "rate"
    # At RCPT 4.7.1 is greylisting more often than anything else.
    is_policy = reply.code in (450, 451, 452) and enhanced.startswith("4.7.")
    return "rate" if is_policy and step != "rcpt" else None
