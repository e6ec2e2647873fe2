"""Every file in dialogues/ is one lesson: what a server says, and what must come of it."""

import asyncio
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from app.wire.address_policy import AddressPolicy
from app.wire.conveyor import Conveyor
from app.wire.dsn import choose_notify
from app.wire.envelope import Envelope, Recipient, Transaction, Verdict
from app.wire.session import Session
from app.wire.steps import SessionFailed, Step
from app.wire.target import Secret, Target
from tests.crafts.wire.certificates import Authority
from tests.crafts.wire.dialogue import Dialogue, Peer, play, read_dialogue

DIALOGUES = sorted((Path(__file__).parent / "dialogues").glob("*.txt"))
BODY = "Subject: hello\\r\\n\\r\\nHello\\r\\n"
KNOWN = set(
    "lesson connection auth login allow_insecure_auth starttls_seen timeout_ms from to notify ret "  # noqa: SIM905
    "envid smtputf8 body mark final_s messages mode open expect again usable dsn_refused steps "
    "mask stale says wait_lost unwanted lot pipelining_broken".split()
)
pytestmark = pytest.mark.anyio


def aim(header: dict[str, str], port: int, ca_pem: str) -> Target:
    username, _, password = header.get("login", "").partition(" ")
    return Target(
        host="127.0.0.1",
        port=port,
        connection=header.get("connection", "auto"),
        auth=header.get("auth", "auto"),
        username=username or None,
        password=Secret(password) if password else None,
        timeout_ms=int(header.get("timeout_ms", "5000")),
        ca_pem=ca_pem,
        allow_insecure_auth=header.get("allow_insecure_auth") == "yes",
        starttls_seen=header.get("starttls_seen") == "yes",
    )


def address(header: dict[str, str]) -> Envelope:
    notify = choose_notify(header["notify"].split()) if "notify" in header else None
    recipients = header.get("to", "jan@klient.example").split()
    return Envelope(
        sender=header.get("from", "faktury@firma.example").removeprefix("<>"),
        recipients=tuple(Recipient(recipient, notify) for recipient in recipients),
        envid=header.get("envid"),
        ret=header.get("ret"),
        smtputf8=header.get("smtputf8") == "yes",
    )


def spell(verdict: Verdict) -> str:
    parts = [verdict.kind, verdict.cause]
    if verdict.reply and verdict.kind not in ("sent", "accepted"):
        parts += [str(verdict.reply.code), verdict.reply.enhanced]
        parts += ["local"] if verdict.reply.local else []
    return " ".join(part for part in parts if part)


async def wait_until_stale(session: Session) -> None:
    async with asyncio.timeout(5):
        while not session.is_stale():  # noqa: ASYNC110 (it is the server that changes)
            await asyncio.sleep(0.01)


async def carry(
    session: Session, header: dict[str, str], peer: Peer, steps: list[Step]
) -> Transaction:
    """Send one message; a mark must come at most once for a recipient, after the body."""
    if header.get("mode") == "envelope":
        return await session.try_envelope(address(header), steps.append)
    marks: list[tuple[int, ...]] = []

    async def mark(accepted: tuple[int, ...]) -> bool:
        assert not set(accepted) & {index for mark in marks for index in mark}
        marks.append(accepted)
        assert peer.heard[-1:] != ["."]
        await asyncio.sleep(0)  # the body goes out meanwhile
        if "wait_lost" in header:
            await wait_until_stale(session)
        return header.get("mark") != "no"

    transaction = await session.send(
        address(header),
        header.get("body", BODY).encode().decode("unicode_escape").encode("latin-1"),
        before_dot=mark,
        final_reply_timeout_s=float(header.get("final_s", "5")),
        observe=steps.append,
    )
    at_the_dot = tuple(
        index for index, verdict in enumerate(transaction.verdicts) if verdict.phase == "dot"
    )
    assert not at_the_dot or at_the_dot == tuple(index for mark in marks for index in mark)
    return transaction


@dataclass
class Parcel:
    """A job of the conveyor; number: from 1, as the headers name it."""

    number: int
    header: dict[str, str]
    envelope: Envelope
    body: bytes
    marked: list[int] = field(default_factory=list)
    asked: int = 0

    def is_wanted(self) -> bool:
        self.asked += 1
        return self.asked < 2 or self.header.get("unwanted") != str(self.number)

    async def before_dot(self, accepted: tuple[int, ...]) -> bool:
        assert accepted
        assert not set(accepted) & set(self.marked)
        await asyncio.sleep(0.01)
        self.marked += accepted
        return self.header.get("mark") != f"no {self.number}"


async def check_conveyor(session: Session, header: dict[str, str], peer: Peer) -> None:
    """Carry messages over a conveyor; ``|`` stands between what belongs to each of them."""
    to = header.get("to", "jan@klient.example").split("|")
    parcels = [
        Parcel(
            number + 1,
            header,
            address(header | {"to": to[min(number, len(to) - 1)]}),
            f"Subject: {number + 1}\r\n".encode(),
        )
        for number in range(int(header["messages"]))
    ]
    ready, came = list(parcels), {}
    conveyor = Conveyor[Parcel](session, final_reply_timeout_s=float(header.get("final_s", "5")))

    def take() -> Parcel | None:
        if not ready or (ready[0].number == int(header.get("lot", "99")) + 1 and not came):
            return None
        return ready.pop(0)

    def settle(parcel: Parcel, transaction: Transaction) -> None:
        assert parcel.number not in came
        came[parcel.number] = transaction

    await conveyor.carry(take, settle)
    assert set(came) | {parcel.number for parcel in ready} == {p.number for p in parcels}
    spelled = [
        "; ".join(map(spell, came[parcel.number].verdicts))
        if parcel.number in came
        else "not taken"
        for parcel in parcels
    ]
    assert " | ".join(spelled) == header["expect"]
    for number, transaction in came.items():
        for index, verdict in enumerate(transaction.verdicts):
            assert verdict.phase != "dot" or index in parcels[number - 1].marked
    assert session.pipelining_broken is (header.get("pipelining_broken") == "yes")
    assert session.dsn_refused is (header.get("dsn_refused") == "yes")
    if "usable" in header:
        assert session.usable is (header["usable"] == "yes")


async def check_messages(
    session: Session, header: dict[str, str], peer: Peer, steps: list[Step]
) -> None:
    transaction = await carry(session, header, peer, steps)
    assert "; ".join(map(spell, transaction.verdicts)) == header["expect"]
    assert session.dsn_refused is (header.get("dsn_refused") == "yes")
    if "stale" in header:
        peer.go_on.set()
        await wait_until_stale(session)
    if "usable" in header:
        assert session.usable is (header["usable"] == "yes")
    if "again" in header:
        transaction = await carry(session, header, peer, steps)
        assert "; ".join(map(spell, transaction.verdicts)) == header["again"]


async def converse(dialogue: Dialogue, peer: Peer, authority: Authority, steps: list[Step]) -> None:
    header = dialogue.header
    opening = Session.open(
        aim(header, peer.port, authority.pem),
        policy=AddressPolicy(),
        ehlo_name="awizo.example",
        observe=steps.append,
        login=header.get("mode") != "connect",
    )
    if "open" in header:
        with pytest.raises(SessionFailed) as caught:
            await opening
        failure = caught.value
        code = f" {failure.reply.code}" if failure.reply else ""
        assert f"{failure.cause} at {failure.step}{code}" == header["open"]
        assert steps[-1].step == failure.step
        assert not steps[-1].ok
        return
    session = await opening
    if "messages" in header:
        await check_conveyor(session, header, peer)
    elif "expect" in header:
        await check_messages(session, header, peer, steps)
    await session.quit(steps.append)


@pytest.mark.parametrize("path", DIALOGUES, ids=[path.stem for path in DIALOGUES])
async def test_a_dialogue_ends_as_its_file_says(path: Path, authority: Authority) -> None:
    dialogue = read_dialogue(path)
    header = dialogue.header
    assert set(header) <= KNOWN, "a member of the header that nothing reads"
    steps: list[Step] = []
    implicit = header.get("connection") == "ssl_tls"
    context = authority.make_server_context()
    async with play(dialogue, context, implicit_tls=implicit) as peer:
        async with asyncio.timeout(20):
            await converse(dialogue, peer, authority, steps)
            await peer.done.wait()
    assert peer.faults == []
    # What a flooding server gets rid of is what fits into two sockets' buffers.
    assert peer.said_bytes < 16 << 20
    told = repr(steps)
    for secret in header.get("login", "").split()[1:] + header.get("mask", "").split():
        assert secret not in told
    if "steps" in header:
        assert " ".join(step.step for step in steps) == header["steps"]
    if "says" in header:
        assert header["says"] in " ".join(f"{step.reply} {step.detail}" for step in steps)
