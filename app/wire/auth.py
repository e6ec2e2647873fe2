"""Logging in: which mechanisms, in which order, and the exchange.

`choose_mechanisms` decides before anything is sent; no mechanism at all is used over an
unencrypted connection unless that is allowed. `log_in` tries them in turn and goes on only
after a reply that says the server did not look at the password: a wrong password is given
once (account lock-outs). Everything written here is masked in whatever the server says later.
"""

import base64
import binascii

import spnego
from aiosmtplib import SMTP, SMTPAuthenticationError, SMTPResponse

from app.wire.causes import permits_next_mechanism
from app.wire.channel import Channel, ProtocolViolation
from app.wire.reply import Reply, read_reply
from app.wire.steps import Halted
from app.wire.target import Target

_NAMES = {
    "plain": "PLAIN",
    "login": "LOGIN",
    "cram_md5": "CRAM-MD5",
    "ntlm": "NTLM",
    "xoauth2": "XOAUTH2",
}
# Under TLS the simple ones first: servers with hashed passwords offer CRAM-MD5 and answer 535.
_AUTO_ENCRYPTED: tuple[str, ...] = ("PLAIN", "LOGIN", "CRAM-MD5")
_AUTO_CLEAR: tuple[str, ...] = ("CRAM-MD5", "PLAIN", "LOGIN")

_CHALLENGE = 334


def choose_mechanisms(target: Target, offered: tuple[str, ...], encrypted: bool) -> tuple[str, ...]:
    """Return the mechanisms to try, in order; raise Halted where there is none."""
    if not encrypted and not target.allow_insecure_auth:
        raise Halted("insecure_auth", "the connection is not encrypted; no login was tried")
    if target.password is None:
        raise Halted("credentials_refused", "there is no password; no login was tried")
    automatic = _AUTO_ENCRYPTED if encrypted else _AUTO_CLEAR
    wanted = automatic if target.auth == "auto" else (_NAMES[target.auth],)
    chosen = tuple(name for name in wanted if name in offered)
    if not chosen:
        raise Halted(
            "mechanism_not_offered",
            f"wanted {' or '.join(wanted)}, the server offers {' '.join(offered) or 'no login'}",
        )
    return chosen


async def log_in(
    smtp: SMTP, channel: Channel, target: Target, mechanisms: tuple[str, ...]
) -> Reply:
    """Log in with the first mechanism that the server accepts; return its reply.

    Raises SMTPAuthenticationError with the last refusal, ProtocolViolation.
    """
    username = target.username or ""
    password = target.password.reveal() if target.password else ""
    with channel.keeping_secret(password):
        for mechanism in mechanisms:
            try:
                response = await _exchange(smtp, mechanism, username, password, target.tls_name)
            except SMTPAuthenticationError as exc:
                if exc.code == _CHALLENGE:  # the exchange is left half-way
                    raise ProtocolViolation(f"{mechanism}: a challenge out of place") from None
                refusal = read_reply(exc.code, exc.message)
                if mechanism == mechanisms[-1] or not permits_next_mechanism(refusal):
                    raise
            else:
                return read_reply(response.code, response.message)
    raise AssertionError("choose_mechanisms returned none")


async def _exchange(
    smtp: SMTP, mechanism: str, username: str, password: str, host: str
) -> SMTPResponse:
    match mechanism:
        case "PLAIN":
            return await smtp.auth_plain(username, password)
        case "CRAM-MD5":
            return await smtp.auth_crammd5(username, password)
        case "XOAUTH2":
            return await smtp.auth_xoauth2(username, password)
        case "LOGIN":
            return await _answer_login(smtp, username, password)
        case _:
            return await _answer_ntlm(smtp, username, password, host)


async def _answer_login(smtp: SMTP, username: str, password: str) -> SMTPResponse:
    # aiosmtplib sends the user name with AUTH LOGIN; a server that ignores it asks for the name
    # and would get the password instead, in clear in its log. One at a time suits all servers.
    response = await smtp.execute_command(b"AUTH", b"LOGIN")
    for answer in (username, password):
        if response.code != _CHALLENGE:
            break
        response = await smtp.execute_command(base64.b64encode(answer.encode()))
    return _require_success(response)


async def _answer_ntlm(smtp: SMTP, username: str, password: str, host: str) -> SMTPResponse:
    """Speak [MS-SMTPNTLM] §2.2: AUTH NTLM, negotiate, challenge, authenticate."""
    context = spnego.client(
        username,
        password,
        hostname=host,
        service="smtp",
        protocol="ntlm",
        options=spnego.NegotiateOptions.use_ntlm,  # never the machine's own Kerberos or SSPI login
    )
    response = await smtp.execute_command(b"AUTH", b"NTLM")
    challenge: bytes | None = None
    for _leg in range(2):
        if response.code != _CHALLENGE:
            break
        try:
            token = context.step(challenge)
        except Exception:  # spnego parses the server's bytes and raises whatever it meets
            raise ProtocolViolation("NTLM: the challenge cannot be read") from None
        response = await smtp.execute_command(base64.b64encode(token or b""))
        if response.code == _CHALLENGE:
            try:
                challenge = base64.b64decode(response.message, validate=True)
            except (binascii.Error, ValueError):
                raise ProtocolViolation("NTLM: the challenge is not base64") from None
    return _require_success(response)


def _require_success(response: SMTPResponse) -> SMTPResponse:
    if response.code != 235:
        raise SMTPAuthenticationError(response.code, response.message)
    return response
