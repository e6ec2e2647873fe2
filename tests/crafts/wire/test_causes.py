"""Every cause of contract §5, by a table of what servers and libraries say."""

import errno
import ssl

import pytest
from aiosmtplib import SMTPServerDisconnected
from aiosmtplib.errors import SMTPReadTimeoutError

from app.wire import causes
from app.wire.address_policy import AddressDenied, NameNotFound
from app.wire.channel import ProtocolViolation
from app.wire.reply import read_reply

REPLIES = [
    ("greeting", 554, "5.7.1 no", "greeting_refused"),
    ("greeting", 421, "4.3.2 All server ports are busy", "greeting_refused"),
    ("greeting", 421, "4.7.0 Error: too many connections from 192.0.2.1", "rate_limited"),
    ("greeting", 421, "Too many concurrent SMTP connections", "rate_limited"),
    ("greeting", 250, "hello?", "protocol_error"),
    ("ehlo", 550, "5.7.1 bad helo", "greeting_refused"),
    ("starttls", 454, "4.7.0 TLS not available", "starttls_refused"),
    ("starttls", 502, "5.5.1 not implemented", "starttls_refused"),
    ("auth", 535, "5.7.8 Username and Password not accepted", "credentials_refused"),
    ("auth", 535, "5.7.3 Authentication unsuccessful", "credentials_refused"),
    ("auth", 535, "authorization failed", "credentials_refused"),
    ("auth", 550, "5.7.1 login failed", "credentials_refused"),
    ("auth", 501, "5.5.2 cannot decode", "credentials_refused"),
    ("auth", 534, "5.7.9 Application-specific password required", "auth_disabled"),
    ("auth", 534, "5.7.14 Please log in via your web browser", "auth_disabled"),
    ("auth", 535, "5.7.139 SmtpClientAuthentication is disabled", "auth_disabled"),
    ("auth", 454, "4.7.0 Temporary authentication failure", "auth_temporary"),
    ("auth", 421, "4.3.2 try later", "auth_temporary"),
    ("auth", 454, "4.7.0 Too many login attempts, please try again later", "rate_limited"),
    ("auth", 421, "4.7.0 Too many errors", "rate_limited"),
    ("auth", 530, "5.7.0 Must issue a STARTTLS command first", "auth_required"),
    ("auth", 538, "5.7.11 Encryption required", "insecure_auth"),
    ("auth", 504, "5.7.4 Unrecognized authentication type", "mechanism_not_offered"),
    ("auth", 503, "AUTH command used when not advertised", "mechanism_not_offered"),
    ("auth", 502, "5.5.1 not implemented", "mechanism_not_offered"),
    ("auth", 250, "ok?", "protocol_error"),
    ("mail", 530, "5.7.57 Client not authenticated to send mail", "auth_required"),
    ("mail", 535, "5.7.8 log in", "auth_required"),
    ("mail", 550, "5.7.1 sender not allowed", "sender_refused"),
    ("mail", 450, "4.1.8 sender domain not found", "sender_refused"),
    ("mail", 421, "4.4.2 timeout exceeded", "connection_lost"),
    ("mail", 552, "5.3.4 message too big", "too_large"),
    ("mail", 552, "message size exceeds", "too_large"),
    ("mail", 452, "4.3.1 Insufficient system storage", "sender_refused"),
    ("mail", 450, "4.7.1 Error: too much mail, message rate exceeded", "rate_limited"),
    ("rcpt", 550, "5.1.1 User unknown", "recipient_refused"),
    ("rcpt", 552, "5.2.2 mailbox full", "recipient_refused"),
    ("rcpt", 552, "no room", "recipient_refused"),
    ("rcpt", 452, "4.5.3 Error: too many recipients", "recipient_refused"),
    ("rcpt", 452, "too many recipients", "recipient_refused"),
    ("rcpt", 452, "4.2.2 The recipient's quota exceeded", "recipient_refused"),
    ("rcpt", 450, "4.2.1 The user is receiving mail too quickly", "rate_limited"),
    ("rcpt", 450, "4.7.1 Greylisted", "recipient_refused"),
    ("rcpt", 451, "4.7.650 temporarily rate limited", "rate_limited"),
    ("rcpt", 530, "5.7.1 Authentication required", "auth_required"),
    ("data", 554, "5.7.1 spam", "content_refused"),
    ("data", 554, "5.2.252 SendAsDenied", "sender_refused"),
    ("data", 552, "5.3.4 too big", "too_large"),
    ("data", 552, "5.7.0 content presents a security issue", "content_refused"),
    ("data", 552, "5.2.2 over quota", "content_refused"),
    ("data", 421, "4.7.28 unusual rate of unsolicited mail", "rate_limited"),
    ("data", 451, "4.3.0 local error", "content_refused"),
    ("data", 250, "already?", "protocol_error"),
    ("quit", 500, "what", "protocol_error"),
]


@pytest.mark.parametrize(("step", "code", "text", "cause"), REPLIES)
def test_a_reply_names_its_cause(step: str, code: int, text: str, cause: str) -> None:
    assert causes.classify_reply(step, read_reply(code, text)) == cause


def cut_in_handshake() -> SMTPServerDisconnected:
    error = SMTPServerDisconnected("reset while upgrading")
    error.__cause__ = ConnectionResetError()
    return error


ERRORS = [
    ("resolve", AddressDenied("no"), "host_not_allowed"),
    ("resolve", NameNotFound("no"), "name_not_found"),
    ("resolve", TimeoutError(), "timeout"),
    ("connect", ConnectionRefusedError(), "connection_refused"),
    ("connect", OSError(errno.EHOSTUNREACH, "no route"), "connection_refused"),
    ("connect", OSError(errno.ENETUNREACH, "unreachable"), "connection_refused"),
    ("connect", TimeoutError(errno.ETIMEDOUT, "timed out"), "timeout"),
    ("tls", ssl.SSLError(1, "WRONG_VERSION_NUMBER"), "tls_failed"),
    ("tls", ConnectionResetError(), "tls_failed"),
    ("tls", TimeoutError(), "timeout"),
    ("starttls", ssl.SSLError(1, "handshake failure"), "tls_failed"),
    ("starttls", cut_in_handshake(), "tls_failed"),
    ("starttls", SMTPServerDisconnected("gone"), "connection_lost"),
    ("greeting", SMTPServerDisconnected("gone"), "connection_lost"),
    ("greeting", SMTPReadTimeoutError("late"), "timeout"),
    ("greeting", ProtocolViolation("HTTP/1.1"), "protocol_error"),
    ("data", ConnectionResetError(), "connection_lost"),
    ("data", BrokenPipeError(), "connection_lost"),
    ("ehlo", ValueError("nonsense"), "protocol_error"),
]


@pytest.mark.parametrize(("step", "error", "cause"), ERRORS)
def test_an_error_names_its_cause(step: str, error: Exception, cause: str) -> None:
    assert causes.classify_error(step, error) == cause


@pytest.mark.parametrize(
    ("verify_code", "cause"),
    [
        (9, "certificate_expired"),
        (10, "certificate_expired"),
        (62, "certificate_wrong_host"),
        (64, "certificate_wrong_host"),
        (18, "certificate_untrusted"),
        (19, "certificate_untrusted"),
        (20, "certificate_untrusted"),
        (21, "certificate_untrusted"),
        (66, "certificate_untrusted"),
    ],
)
def test_a_certificate_names_its_cause(verify_code: int, cause: str) -> None:
    assert causes.classify_certificate(verify_code) == cause


@pytest.mark.parametrize(
    ("code", "text", "permitted"),
    [
        (504, "5.7.4 unknown", True),
        (502, "5.5.1 no", True),
        (503, "5.5.1 no", True),
        (500, "5.5.2 no", True),
        (534, "5.7.9 too weak", True),
        (534, "5.7.139 disabled", False),
        (535, "5.7.8 wrong", False),
        (454, "4.7.0 later", False),
        (421, "4.7.0 gone", False),
        (550, "5.7.1 no", False),
        (530, "5.7.0 STARTTLS first", False),
    ],
)
def test_another_mechanism_is_tried_only_when_the_password_was_not_looked_at(
    code: int, text: str, permitted: bool
) -> None:
    assert causes.permits_next_mechanism(read_reply(code, text)) is permitted


def test_every_cause_in_the_tables_is_a_word_of_the_contract() -> None:
    named = {row[-1] for row in (*REPLIES, *ERRORS)}
    assert named <= causes.CAUSES
    assert causes.is_account_trouble("auth_required")
    assert not causes.is_account_trouble("recipient_refused")
