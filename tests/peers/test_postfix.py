"""What Postfix makes of our sessions: logins, delivery, and the reports that DSN asks for."""

import secrets
from collections.abc import Callable
from dataclasses import dataclass
from email.message import EmailMessage

import pytest

from app.wire.address_policy import AddressPolicy
from app.wire.conveyor import Conveyor
from app.wire.envelope import Envelope, Recipient, Transaction
from app.wire.session import Session
from app.wire.steps import SessionFailed
from app.wire.target import Secret, Target
from tests.peers.postfix import PASSWORD, USER, Postfix

pytestmark = [pytest.mark.anyio, pytest.mark.peer]


def aim(postfix: Postfix, **changes: object) -> Target:
    wanted: dict[str, object] = {
        "host": "127.0.0.1",
        "port": postfix.submission_port,
        "username": USER,
        "password": Secret(PASSWORD),
        "ca_pem": postfix.ca_pem,
    }
    return Target(**wanted | changes)


async def agree(accepted: tuple[int, ...]) -> bool:
    return True


async def open_session(target: Target) -> Session:
    return await Session.open(target, policy=AddressPolicy(), ehlo_name="awizo.example")


async def send(target: Target, envelope: Envelope, body: bytes) -> Transaction:
    session = await open_session(target)
    transaction = await session.send(envelope, body, before_dot=agree, final_reply_timeout_s=30)
    await session.quit()
    return transaction


def write(subject: str, text: str = "Hello\r\n") -> bytes:
    return (
        f"From: {USER}\r\nTo: jan@klient.example\r\nSubject: {subject}\r\n"
        "Date: Sun, 22 Nov 2026 10:00:00 +0100\r\n"
        f"Message-ID: <{subject}@firma.example>\r\n\r\n{text}"
    ).encode()


def reports_on(subject: str) -> Callable[[EmailMessage], bool]:
    def wanted(message: EmailMessage) -> bool:
        return message.get_content_type() == "multipart/report" and subject in message.as_string()

    return wanted


@pytest.mark.parametrize("auth", ["auto", "plain", "login", "cram_md5"])
async def test_every_login_that_it_offers_delivers(auth: str, postfix: Postfix) -> None:
    subject = secrets.token_hex(8)
    body = write(subject, ".a dot\r\n..two\r\nzażółć\r\n")
    envelope = Envelope(USER, (Recipient("jan@klient.example"),))
    transaction = await send(aim(postfix, auth=auth), envelope, body)
    assert transaction.trouble is None
    message = postfix.wait_for_mail("jan", lambda message: message["Subject"] == subject)
    assert "with ESMTPSA" in message["Received"]
    assert message["Return-Path"] == f"<{USER}>"
    raw = next(raw for raw in postfix.read_raw("jan") if subject.encode() in raw)
    assert raw.endswith(body.replace(b"\r\n", b"\n"))


async def test_a_wrong_password_is_refused_by_its_own_words(postfix: Postfix) -> None:
    with pytest.raises(SessionFailed) as caught:
        await open_session(aim(postfix, password=Secret("falsch")))
    assert caught.value.cause == "credentials_refused"
    assert caught.value.reply
    assert (caught.value.reply.code, caught.value.reply.enhanced) == (535, "5.7.8")


async def test_mail_without_tls_is_the_accounts_trouble(postfix: Postfix) -> None:
    target = aim(postfix, connection="plaintext", auth="none")
    transaction = await send(target, Envelope(USER, (Recipient("jan@klient.example"),)), b"x\r\n")
    assert transaction.trouble
    assert (transaction.trouble.kind, transaction.trouble.cause) == ("deferred", "auth_required")


async def test_one_of_three_is_unknown_and_the_others_get_it(postfix: Postfix) -> None:
    subject = secrets.token_hex(8)
    names = ("jan@klient.example", "brak@klient.example", "ewa@klient.example")
    envelope = Envelope(USER, tuple(map(Recipient, names)))
    transaction = await send(aim(postfix), envelope, write(subject))
    assert [verdict.kind for verdict in transaction.verdicts] == ["sent", "refused", "sent"]
    refusal = transaction.verdicts[1].reply
    assert refusal
    assert (refusal.code, refusal.enhanced) == (550, "5.1.1")
    for user in ("jan", "ewa"):
        assert postfix.wait_for_mail(user, lambda message: message["Subject"] == subject)


async def test_a_success_report_carries_envid_and_orcpt(postfix: Postfix) -> None:
    subject = secrets.token_hex(8)
    recipient = Recipient("jan+faktury@klient.example", ("SUCCESS",), original="Jan=x@erp.example")
    envelope = Envelope(USER, (recipient,), envid=f"m+{subject}=1", ret="headers")
    assert (await send(aim(postfix), envelope, write(subject))).trouble is None
    report = postfix.wait_for_mail("anna", reports_on(subject))
    told = report.as_string()
    assert f"Original-Envelope-Id: m+{subject}=1" in told
    assert "Original-Recipient: rfc822;Jan=x@erp.example" in told
    assert "Action: delivered" in told


@pytest.mark.parametrize(
    ("ret", "returned"), [("headers", "text/rfc822-headers"), ("full", "message/rfc822")]
)
async def test_a_failure_report_returns_what_ret_asks_for(
    ret: str, returned: str, postfix: Postfix
) -> None:
    subject = secrets.token_hex(8)
    recipient = Recipient("nikt@gone.example", ("FAILURE",))
    envelope = Envelope(USER, (recipient,), envid=subject, ret=ret)
    assert (await send(aim(postfix), envelope, write(subject))).trouble is None
    report = postfix.wait_for_mail("anna", reports_on(subject))
    assert returned in {part.get_content_type() for part in report.walk()}
    told = report.as_string()
    assert f"Original-Envelope-Id: {subject}" in told
    assert "Original-Recipient: rfc822;nikt@gone.example" in told
    assert "Action: failed" in told


async def test_never_brings_no_report_although_delivery_fails(postfix: Postfix) -> None:
    silent, loud = secrets.token_hex(8), secrets.token_hex(8)
    for subject, notify in ((silent, ("NEVER",)), (loud, ("FAILURE",))):
        envelope = Envelope(USER, (Recipient("nikt@gone.example", notify),))
        assert (await send(aim(postfix), envelope, write(subject))).trouble is None
    postfix.wait_for_mail("anna", reports_on(loud))
    postfix.wait_until_empty()
    assert not any(reports_on(silent)(message) for message in postfix.read_mail("anna"))


async def test_a_message_over_its_size_is_refused_before_it_travels(postfix: Postfix) -> None:
    envelope = Envelope(USER, (Recipient("jan@klient.example"),))
    transaction = await send(aim(postfix), envelope, write("big", "x" * 70 + "\r\n") * 10_000)
    assert transaction.trouble
    assert (transaction.trouble.kind, transaction.trouble.cause) == ("refused", "too_large")


async def test_an_address_beyond_ascii_is_delivered(postfix: Postfix) -> None:
    subject = secrets.token_hex(8)
    recipient = Recipient("żółw@klient.example", ("SUCCESS",))
    envelope = Envelope(USER, (recipient,), envid=subject)
    assert (await send(aim(postfix), envelope, write(subject))).trouble is None
    assert postfix.wait_for_mail("zolw", lambda message: message["Subject"] == subject)


async def test_a_relay_in_clear_text_takes_mail_without_login(postfix: Postfix) -> None:
    subject = secrets.token_hex(8)
    target = Target("127.0.0.1", postfix.relay_port, connection="plaintext", auth="none")
    envelope = Envelope("", (Recipient("jan@klient.example"),))
    assert (await send(target, envelope, write(subject))).trouble is None
    message = postfix.wait_for_mail("jan", lambda message: message["Subject"] == subject)
    assert message["Return-Path"] == "<>"


async def test_asking_for_an_envelope_delivers_nothing(postfix: Postfix) -> None:
    session = await open_session(aim(postfix))
    before = len(postfix.read_raw("ewa"))
    names = ("ewa@klient.example", "brak@klient.example")
    transaction = await session.try_envelope(Envelope(USER, tuple(map(Recipient, names))))
    assert [verdict.kind for verdict in transaction.verdicts] == ["accepted", "refused"]
    assert session.usable
    await session.quit()
    postfix.wait_until_empty()
    assert len(postfix.read_raw("ewa")) == before


async def test_it_offers_what_we_use(postfix: Postfix) -> None:
    session = await open_session(aim(postfix))
    capabilities = session.capabilities
    assert capabilities.size == 1_000_000
    assert capabilities.dsn
    assert capabilities.pipelining
    assert capabilities.smtputf8
    assert session.starttls_offered
    await session.quit()


@dataclass
class Parcel:
    """A message for the conveyor."""

    envelope: Envelope
    body: bytes
    marked: tuple[int, ...] = ()

    def is_wanted(self) -> bool:
        return True

    async def before_dot(self, accepted: tuple[int, ...]) -> bool:
        self.marked = accepted
        return True


@pytest.mark.parametrize("encrypted", [True, False], ids=["starttls", "plaintext"])
async def test_the_conveyor_is_understood_message_by_message(
    encrypted: bool, postfix: Postfix
) -> None:
    plain = {"port": postfix.relay_port, "username": None, "connection": "plaintext"}
    session = await open_session(aim(postfix, **{} if encrypted else plain))
    assert session.pipelining
    run = secrets.token_hex(8)
    to = [("jan",), ("brak", "jan"), ("brak",), ("jan", "brak")] * 5
    texts = ["short\r\n", ".dots\r\n..\r\n", "long\r\n" + "x" * 70 + "\r\n", "y\r\n" * 60_000]
    parcels = [
        Parcel(
            Envelope(USER, tuple(Recipient(f"{name}@klient.example") for name in names)),
            write(f"{run}-{number}", texts[number % 4]),
        )
        for number, names in enumerate(to)
    ]
    ready, came = list(parcels), []
    await Conveyor[Parcel](session, final_reply_timeout_s=30).carry(
        lambda: ready.pop(0) if ready else None,
        lambda parcel, transaction: came.append((parcel, transaction)),
    )
    assert session.usable
    assert not session.pipelining_broken
    assert session.rides_proven
    await session.quit()
    assert [parcel for parcel, _ in came] == parcels
    for names, (parcel, transaction) in zip(to, came, strict=True):
        kinds = ["sent" if name == "jan" else "refused" for name in names]
        assert [verdict.kind for verdict in transaction.verdicts] == kinds
        sent = tuple(index for index, name in enumerate(names) if name == "jan")
        assert parcel.marked == sent
    postfix.wait_until_empty()
    raws = [raw for raw in postfix.read_raw("jan") if run.encode() in raw]
    for number, names in enumerate(to):
        wanted = parcels[number].body.replace(b"\r\n", b"\n")
        assert sum(raw.endswith(wanted) for raw in raws) == names.count("jan")
