"""What servers ask for, by a table of what they say."""

import pytest

from app.outbox.complaint import Complaint, classify_complaint, hear, hear_failed
from app.wire.envelope import Verdict
from app.wire.reply import read_reply, speak_locally
from app.wire.steps import SessionFailed

SAID = [
    # The account's rate
    ("mail", 421, "4.7.0 Try again later", "rate"),
    ("dot", 421, "Service not available", "rate"),
    ("mail", 450, "4.7.1 Error: too much mail from 192.0.2.1, message rate exceeded", "rate"),
    ("mail", 451, "4.7.0 slow down", "rate"),
    ("dot", 452, "4.7.1 policy", "rate"),
    ("rcpt", 451, "4.7.650 temporarily rate limited", "rate"),
    ("rcpt", 452, "4.7.1 hourly quota exceeded", "rate"),
    ("dot", 421, "4.7.28 unusual rate of mail", "rate"),
    ("auth", 454, "4.7.0 Too many login attempts, please try again later", "rate"),
    # Its connections
    ("greeting", 421, "4.7.0 Error: too many connections from 192.0.2.1", "connections"),
    ("greeting", 421, "4.3.2 Too many connections from your IP address", "connections"),
    ("greeting", 421, "Too many concurrent SMTP connections", "connections"),
    ("mail", 432, "4.3.2 Concurrent connections limit exceeded", "connections"),
    ("mail", 432, "4.3.2 STOREDRV.ClientSubmit; sender thread limit exceeded", "connections"),
    ("mail", 421, "4.4.5 concurrency limit reached", "connections"),
    # This session
    ("mail", 421, "too many messages in this connection", "session"),
    ("mail", 421, "4.7.0 Max message per connection reached, closing", "session"),
    ("mail", 452, "4.5.0 too many mails for one SMTP session", "session"),
    # One recipient, one mailbox, one message
    ("rcpt", 450, "4.7.1 Greylisted, come back in 300 s", None),
    ("rcpt", 451, "4.7.1 please try again later", None),
    ("rcpt", 450, "4.2.0 mailbox busy", None),
    ("rcpt", 450, "4.2.1 The user is receiving mail too quickly", None),
    ("rcpt", 452, "4.2.2 quota exceeded", None),
    ("rcpt", 452, "4.5.3 too many recipients", None),
    ("dot", 451, "4.7.1 Greylisting in action", None),
    # The server itself
    ("mail", 421, "4.3.2 shutting down", None),
    ("mail", 421, "4.4.2 timeout exceeded", None),
    ("dot", 451, "4.3.0 later", None),
    ("mail", 452, "4.3.1 Insufficient system storage", None),
    ("auth", 454, "4.7.0 Temporary authentication failure", None),
    ("greeting", 421, "4.3.2 All server ports are busy", None),
    ("dot", 554, "5.7.1 message rate limit exceeded", None),
]


@pytest.mark.parametrize(("step", "code", "text", "kind"), SAID)
def test_a_reply_asks_for(step: str, code: int, text: str, kind: str | None) -> None:
    assert classify_complaint(step, read_reply(code, text)) == kind


def said(code: int, text: str, *, kind: str = "deferred", phase: str = "mail") -> list[Verdict]:
    return [Verdict(kind, phase, read_reply(code, text))]  # type: ignore[arg-type]


def test_the_number_that_a_session_carried_is_part_of_its_end() -> None:
    ended = said(421, "too many messages in this connection", kind="not_tried")
    complaint = hear(ended, messages=20, is_prompt=False)
    assert complaint == Complaint("session", "421 too many messages in this connection", 20)
    assert hear(ended, messages=0, is_prompt=True) is None


@pytest.mark.parametrize(
    ("text", "is_prompt", "heard"),
    [
        ("closing", True, Complaint("session", "421 closing", 7, is_plain=False)),
        ("closing", False, None),  # it was idle
        ("4.3.2 shutting down", True, None),
        ("4.7.0 rate limited", True, Complaint("rate", "421 4.7.0 rate limited")),
    ],
)
def test_a_kept_connection_that_ends_without_a_word_why_is_only_suspected(
    text: str, is_prompt: bool, heard: Complaint | None
) -> None:
    ended = said(421, text, kind="not_tried")
    assert hear(ended, messages=7, is_prompt=is_prompt) == heard


def test_our_own_words_and_what_was_sent_ask_for_nothing() -> None:
    local = Verdict("deferred", "mail", speak_locally(451, "4.7.1", "rate limit"))
    sent = Verdict("sent", "dot", read_reply(250, "ok, but slow down: rate limit"))
    assert hear([local, sent], messages=1, is_prompt=True) is None


@pytest.mark.parametrize(
    ("step", "code", "text", "heard"),
    [
        ("greeting", 421, "too many connections", ("connections", True)),
        ("greeting", 421, "try later", ("connections", False)),
        ("auth", 454, "4.7.0 Too many login attempts", ("rate", True)),
        ("auth", 421, "try later", None),
        ("greeting", 554, "no", None),
    ],
)
def test_a_server_that_does_not_let_us_in(
    step: str, code: int, text: str, heard: tuple[str, bool] | None
) -> None:
    complaint = hear_failed(SessionFailed("any", step, read_reply(code, text), ""))
    assert (complaint and (complaint.kind, complaint.is_plain)) == heard


def test_a_server_that_says_nothing_asks_for_nothing() -> None:
    assert hear_failed(SessionFailed("timeout", "connect", None, "no answer")) is None
