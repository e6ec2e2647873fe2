"""Every type of event that there is, by area: what ``/events`` shows, webhooks push and people choose from.

A test finds an event in the code that is missing here; ``docs/states.md`` says what each means.
"""

from collections.abc import Mapping, Sequence

EVENT_TYPES: Mapping[str, Sequence[str]] = {
    "message": (
        "message.accepted",
        "message.drafted",
        "message.retried",
        "message.released",
        "message.resent",
        "message.copied",
        "message.copy_failed",
        "message.unanswered",
    ),
    "recipient": (
        "recipient.queued",
        "recipient.returned",
        "recipient.released",
        "recipient.deferred",
        "recipient.uncertain",
        "recipient.held",
        "recipient.sent",
        "recipient.relayed",
        "recipient.expanded",
        "recipient.delayed",
        "recipient.delivered",
        "recipient.displayed",
        "recipient.complained",
        "recipient.failed",
        "recipient.suppressed",
        "recipient.cancelled",
        "recipient.expired",
    ),
    "inbox": (
        "inbox.received",
        "inbox.report",
        "inbox.answer",
        "inbox.auto_reply",
        "inbox.unread",
    ),
    "account": (
        "account.paused",
        "account.resumed",
        "account.consent_needed",
        "account.mailbox_failed",
        "account.mailbox_recovered",
    ),
}
