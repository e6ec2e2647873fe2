"""Logging in: which mechanisms, in which order, and the exchange.

`choose_mechanisms` decides before anything is sent; no mechanism at all is used over an
unencrypted connection unless that is allowed. `try_mechanism` gives a password once; whether
another mechanism may follow is `causes.permits_next_mechanism` (account lock-outs).
Everything written here is masked in whatever the server says later.
"""

import base64
import binascii
import logging

from aiosmtplib import SMTP, SMTPAuthenticationError, SMTPResponse

from app.wire.channel import Channel, ProtocolViolation
from app.wire.reply import Reply, read_reply
from app.wire.steps import Halted
from app.wire.target import Auth, Target

_NAMES: dict[Auth, str] = {
    "plain": "PLAIN",
    "login": "LOGIN",
    "cram_md5": "CRAM-MD5",
    "ntlm": "NTLM",
    "xoauth2": "XOAUTH2",
}
# Under TLS the simple ones first: servers with hashed passwords offer CRAM-MD5 and answer 535.
_AUTO_ENCRYPTED: tuple[Auth, ...] = ("plain", "login", "cram_md5")
_AUTO_CLEAR: tuple[Auth, ...] = ("cram_md5", "plain", "login")

_CHALLENGE = 334
SUCCESS = 235

# At DEBUG it would log the NTLM exchange, from which a password can be guessed.
logging.getLogger("spnego").setLevel(logging.INFO)


def choose_mechanisms(
    target: Target, offered: tuple[str, ...], encrypted: bool
) -> tuple[Auth, ...]:
    """Return the mechanisms to try, in order; raise Halted where there is none."""
    if not encrypted and not target.allow_insecure_auth:
        raise Halted("insecure_auth", "the connection is not encrypted; no login was tried")
    if target.password is None:
        raise Halted("credentials_refused", "there is no password; no login was tried")
    if not all(map(_can_be_sent, (target.username or "", target.password.reveal()))):
        raise Halted("credentials_refused", "the user name or password cannot be sent")
    automatic = _AUTO_ENCRYPTED if encrypted else _AUTO_CLEAR
    wanted = automatic if target.auth == "auto" else (target.auth,)
    chosen = tuple(word for word in wanted if _NAMES[word] in offered)
    if not chosen:
        names = " or ".join(_NAMES[word] for word in wanted)
        has = " ".join(offered) or "no login"
        raise Halted("mechanism_not_offered", f"wanted {names}, the server offers {has}")
    return chosen


async def try_mechanism(smtp: SMTP, channel: Channel, target: Target, mechanism: Auth) -> Reply:
    """Try one mechanism once and return the server's last word: 235, or its refusal."""
    username = target.username or ""
    password = target.password.reveal() if target.password else ""
    with channel.keeping_secret(password):
        try:
            response = await _exchange(smtp, mechanism, username, password, target.tls_name)
        except SMTPAuthenticationError as exc:
            response = SMTPResponse(exc.code, exc.message)
    if response.code == _CHALLENGE:  # the exchange is left half-way
        raise ProtocolViolation(f"{_NAMES[mechanism]}: a challenge out of place")
    return read_reply(response.code, response.message)


def make_xoauth2(username: str, access_token: str) -> str:
    """Return the initial response of SASL XOAUTH2, in base64; SMTP and IMAP send the same.

    To a refusal servers answer with a challenge, to which an empty line is the answer.
    """
    said = f"user={username}\x01auth=Bearer {access_token}\x01\x01"
    return base64.b64encode(said.encode()).decode()


def _can_be_sent(text: str) -> bool:
    # RFC 4616 §2: no NUL; JSON may bring lone surrogates, which have no UTF-8.
    return "\0" not in text and not any("\ud800" <= c <= "\udfff" for c in text)


async def _exchange(
    smtp: SMTP, mechanism: Auth, username: str, password: str, host: str
) -> SMTPResponse:
    match mechanism:
        case "plain":
            return await smtp.auth_plain(username, password)
        case "cram_md5":
            return await smtp.auth_crammd5(username, password)
        case "xoauth2":
            return await _answer_xoauth2(smtp, username, password)
        case "login":
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
    return response


async def _answer_xoauth2(smtp: SMTP, username: str, token: str) -> SMTPResponse:
    first = make_xoauth2(username, token)
    response = await smtp.execute_command(b"AUTH", b"XOAUTH2", first.encode())
    if response.code == _CHALLENGE:  # says why in JSON; the real answer follows
        response = await smtp.execute_command(b"")
    return response


async def _answer_ntlm(smtp: SMTP, username: str, password: str, host: str) -> SMTPResponse:
    """Speak [MS-SMTPNTLM] §2.2: AUTH NTLM, negotiate, challenge, authenticate."""
    import spnego  # a tenth of a second to load, for those who use it

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
    return response
