"""The conveyor: whatever a server says and wherever a connection breaks, verdicts are the truth."""

import asyncio
from collections.abc import Callable
from dataclasses import dataclass, field
from itertools import repeat
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from app.wire.body import prepare_body
from app.wire.capabilities import Capabilities
from app.wire.conveyor import Conveyor
from app.wire.envelope import Envelope, Recipient, Transaction
from app.wire.session import Session
from tests.crafts.wire.simulated_server import Received, Server, agree, open_session
from tests.effort import look


@dataclass
class Job:
    """A message; wanted, mark: what is answered each time it is asked; turns: a mark takes so long."""

    number: int
    recipients: int = 1
    wanted: list[bool] = field(default_factory=list)
    mark: bool = True
    turns: int = 0
    marked: list[int] = field(default_factory=list)

    @property
    def envelope(self) -> Envelope:
        addresses = (f"r{index}@m{self.number}.example" for index in range(self.recipients))
        return Envelope("a@b.example", tuple(map(Recipient, addresses)))

    @property
    def body(self) -> bytes:
        return f"Subject: {self.number}\r\n\r\n".encode()

    def is_wanted(self) -> bool:
        return self.wanted.pop(0) if self.wanted else True

    async def before_dot(self, accepted: tuple[int, ...]) -> bool:
        for _ in range(self.turns):
            await asyncio.sleep(0)
        assert not set(accepted) & set(self.marked)
        if self.mark:
            self.marked += accepted
        return self.mark

    def find(self, server: Server, index: int) -> list[Received]:
        """Return the transactions in which this recipient was accepted and that ended."""
        address = self.envelope.recipients[index].address
        return [each for each in server.transactions if each.ended and address in each.accepted]


def carry(
    jobs: list[Job], session: Session, **options: Any
) -> tuple[dict[int, Transaction], Callable[[], Any]]:
    """Prepare to carry jobs; return where their transactions will stand, and what does it."""
    ready, came = list(jobs), {}

    def settle(job: Job, transaction: Transaction) -> None:
        assert job.number not in came, "settled twice"
        came[job.number] = transaction

    conveyor = Conveyor[Job](session, final_reply_timeout_s=2, **options)
    return came, lambda: conveyor.carry(lambda: ready.pop(0) if ready else None, settle)


def check(jobs: list[Job], came: dict[int, Transaction], server: Server) -> None:
    """Hold every verdict against what the server knows."""
    for transaction in server.transactions:
        if transaction.ended and transaction.accepted:
            assert transaction.body, "a lone dot would have delivered an empty message"
    for job in jobs:
        if job.number not in came:
            assert all(not job.find(server, index) for index in range(job.recipients))
            continue
        for index, verdict in enumerate(came[job.number].verdicts):
            ended = job.find(server, index)
            assert len(ended) <= 1, "delivered twice"
            if ended:
                assert index in job.marked, "a dot without its mark"
                assert ended[0].body == job.body
                if ended[0].heard:
                    final = ended[0].final
                    wanted = "sent" if final < 300 else "deferred" if final < 500 else "refused"
                    assert (verdict.kind, verdict.phase) == (wanted, "dot")
                else:
                    assert verdict.kind == "uncertain"
            elif verdict.kind == "uncertain":
                # Our dot went out although it did not come in.
                assert index in job.marked
                assert job.body + b".\r\n" in server.offered
            else:
                assert verdict.kind in ("deferred", "refused", "not_tried")


CASES = [Capabilities(pipelining=True), Capabilities()]


@pytest.mark.parametrize("capabilities", CASES, ids=["pipelined", "lock-step"])
@pytest.mark.parametrize("turns", [0, 3], ids=["mark at once", "mark in time"])
@pytest.mark.parametrize("limit", ["said_limit", "heard_limit"])
def test_a_cut_at_any_byte_leaves_true_verdicts(
    limit: str, turns: int, capabilities: Capabilities
) -> None:
    def refuse_one(command: str) -> int:
        return 550 if command.startswith("RCPT r1@m2") else agree(command)

    async def cut_at(byte: int) -> tuple[int, tuple[str, ...]]:
        jobs = [Job(1, turns=turns), Job(2, 2, turns=turns), Job(3, turns=turns)]
        session, server = open_session(refuse_one, capabilities, **{limit: byte})
        came, go = carry(jobs, session)
        await go()
        check(jobs, came, server)
        length = len(server.said if limit == "said_limit" else server.heard)
        kinds = (verdict.kind for number in sorted(came) for verdict in came[number].verdicts)
        return length, tuple(kinds)

    async def cut_everywhere() -> None:
        whole, kinds = await cut_at(1 << 20)
        assert kinds == ("sent", "sent", "refused", "sent")
        seen = {(await cut_at(byte))[1] for byte in range(1, whole)}
        assert ("uncertain", "not_tried", "not_tried") in seen or not capabilities.pipelining
        assert ("uncertain",) in seen or capabilities.pipelining

    asyncio.run(cut_everywhere())


codes = st.sampled_from([250] * 12 + [251, 354, 354, 421, 450, 452, 501, 503, 550, 554])
data_codes = st.sampled_from([354] * 12 + [250, 421, 451, 503, 554])
final_codes = st.sampled_from([250] * 8 + [421, 451, 554])
random_jobs = st.builds(
    Job,
    number=st.just(0),
    recipients=st.integers(1, 3),
    wanted=st.lists(st.sampled_from([True] * 6 + [False]), max_size=2),
    mark=st.sampled_from([True] * 8 + [False]),
    turns=st.integers(0, 2),
)


@settings(max_examples=look(200), deadline=None)
@given(
    st.data(),
    st.lists(random_jobs, min_size=1, max_size=5),
    st.sampled_from([*CASES, Capabilities(pipelining=True, dsn=True), Capabilities(dsn=True)]),
    st.one_of(st.none(), st.integers(1, 400)),
    st.one_of(st.none(), st.integers(1, 40)),
)
def test_whatever_a_server_answers_the_verdicts_are_true(
    data: st.DataObject,
    jobs: list[Job],
    capabilities: Capabilities,
    said_limit: int | None,
    piece: int | None,
) -> None:
    def answer(command: str) -> int:
        wanted = {"DATA": data_codes, ".": final_codes}.get(command, codes)
        return data.draw(wanted, label=command)

    async def go_through() -> None:
        for number, job in enumerate(jobs):
            job.number = number
        session, server = open_session(
            answer,
            capabilities,
            said_limit=said_limit or 1 << 20,
            pieces=repeat(piece) if piece else None,
        )
        came, go = carry(jobs, session)
        await go()
        check(jobs, came, server)
        assert session.usable or server.closed

    asyncio.run(go_through())


@given(st.lists(st.integers(1, 30), max_size=60))
def test_how_the_replies_are_cut_up_does_not_matter(sizes: list[int]) -> None:
    async def go_through() -> None:
        jobs = [Job(number, 2) for number in range(4)]
        session, server = open_session(agree, pieces=iter(sizes))
        came, go = carry(jobs, session)
        await go()
        check(jobs, came, server)
        assert all(transaction.trouble is None for transaction in came.values())
        assert len(came) == 4
        assert session.usable

    asyncio.run(go_through())


def test_one_round_trip_a_message() -> None:
    async def count() -> None:
        turns: list[bytes] = []
        session, _ = open_session(agree)
        receive = session.channel.data_received

        def count_turn(data: bytes) -> None:
            turns.append(data)
            receive(data)

        session.channel.data_received = count_turn  # type: ignore[method-assign]
        came, go = carry([Job(number) for number in range(50)], session)
        await go()
        assert len(came) == 50
        assert len(turns) == 51

    asyncio.run(count())


@pytest.mark.parametrize("failing", ["take", "settle", "mark"])
def test_what_a_caller_raises_comes_out_and_everybody_is_settled(failing: str) -> None:
    class Failing(Job):
        async def before_dot(self, accepted: tuple[int, ...]) -> bool:
            if failing == "mark" and self.number == 2:
                raise ConnectionError("database away")
            return await super().before_dot(accepted)

    async def fail() -> None:
        jobs = [Failing(number) for number in range(1, 5)]
        ready, came = list(jobs), {}
        session, server = open_session(agree)

        def take() -> Job | None:
            if failing == "take" and len(ready) == 2:
                raise ConnectionError("database away")
            return ready.pop(0) if ready else None

        def settle(job: Job, transaction: Transaction) -> None:
            came[job.number] = transaction
            if failing == "settle" and job.number == 1:
                raise ConnectionError("database away")

        with pytest.raises(ConnectionError, match="database away"):
            await Conveyor[Job](session, final_reply_timeout_s=2).carry(take, settle)
        await session.channel.wait_closed()
        assert set(came) | {job.number for job in ready} == {1, 2, 3, 4}
        check(jobs, came, server)
        assert not session.usable

    asyncio.run(fail())


@pytest.mark.parametrize("silent_at", [".", "DATA", "RCPT r0@m1.example"])
def test_a_cancelled_carry_settles_everybody(silent_at: str) -> None:
    async def cancel() -> None:
        session, server = open_session(agree)
        whole = server._say

        def say(command: str) -> int:
            code = whole(command)
            if command == silent_at:
                server._said_limit = len(server.said) - 1
                server._break = lambda: None  # type: ignore[method-assign]
            return code

        server._say = say  # type: ignore[method-assign]
        jobs = [Job(1), Job(2)]
        came, go = carry(jobs, session)
        task = asyncio.create_task(go())
        for _ in range(10):
            await asyncio.sleep(0)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        kinds = [verdict.kind for number in sorted(came) for verdict in came[number].verdicts]
        assert kinds == (["uncertain", "not_tried"] if silent_at == "." else ["not_tried"])

    asyncio.run(cancel())


def test_a_prepared_body_is_sent_as_it_is() -> None:
    body = prepare_body(b".a\r\nb\r\n..c")
    assert body.octets == b".a\r\nb\r\n..c\r\n"
    assert body.stuffed == b"..a\r\nb\r\n...c\r\n"
    assert body.is_sound
    plain = prepare_body(b"a\r\nb.\r\n")
    assert plain.stuffed is plain.octets


@given(st.lists(st.sampled_from([b"\r", b"\n", b"\r\n", b".", b"a", b"\0", b"\xff"])))
def test_a_body_is_sound_when_every_line_end_is_whole(parts: list[bytes]) -> None:
    octets = b"".join(parts)
    rest = octets.replace(b"\r\n", b"")
    body = prepare_body(octets)
    assert body.is_sound is not any(octet in rest for octet in b"\r\n\0")
    assert body.is_ascii is (b"\xff" not in octets)
    if body.is_sound:
        assert b"\r\n.\r\n" not in b"\r\n" + body.stuffed
        assert not any(line == b"." for line in body.stuffed.split(b"\r\n"))
