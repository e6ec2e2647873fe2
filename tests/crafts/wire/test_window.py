"""The window: whatever a server says and wherever a connection breaks, verdicts are the truth."""

import asyncio
from collections.abc import Callable
from dataclasses import dataclass
from itertools import repeat
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from app.wire.capabilities import Capabilities
from app.wire.envelope import Transaction
from app.wire.session import Session
from app.wire.window import Window
from tests.crafts.wire.simulated_server import Answer, Received, Server, agree, open_session
from tests.crafts.wire.test_conveyor import Job
from tests.effort import look

CHUNKING = Capabilities(pipelining=True, chunking=True)


@dataclass
class Marked(Job):
    """A message whose recipients may be asked for twice, each time with a mark."""

    async def before_dot(self, accepted: tuple[int, ...]) -> bool:
        for _ in range(self.turns):
            await asyncio.sleep(0)
        self.marked += accepted if self.mark else ()
        return self.mark


class ChunkServer(Server):
    """A server that knows BDAT, keeps the order, and hears nothing more once it has said 421."""

    _refused_mail = False

    def _step(self) -> bool:
        line, found, rest = self._unread.partition(b"\r\n")
        if not found or b"421 " in self.said:
            return False
        if not line.startswith(b"BDAT "):
            return super()._step()
        size = int(line.split()[1])
        if len(rest) < size:
            return False
        self._unread = rest[size:]
        now = self.transactions[-1] if self.transactions else Received()
        if now.ended:  # BDAT without MAIL
            now = Received()
        code = self._answer("BDAT") if now.accepted else 554
        self.said += f"{code} BDAT\r\n".encode()
        now.ended, now.body, now.final = True, rest[:size], code
        self._finals.append((len(self.said), now))
        return True

    def _hear_command(self, line: str) -> None:
        if line == "RSET":
            self._refused_mail = False
            self.transactions.append(Received())
        if line.startswith("RCPT") and self._refused_mail:
            self.said += b"503 MAIL first\r\n"
            return
        before = len(self.said)
        super()._hear_command(line)
        if line.startswith("MAIL"):
            self._refused_mail = self.said[before:][:1] != b"2"


def carry(
    jobs: list[Marked], session: Session, size: int
) -> tuple[dict[int, Transaction], Callable[[], Any]]:
    """Prepare to carry jobs; return where their transactions will stand, and what does it."""
    ready, came = list(jobs), {}

    def settle(job: Marked, transaction: Transaction) -> None:
        assert job.number not in came, "settled twice"
        came[job.number] = transaction

    window = Window[Marked](session, size=size, final_reply_timeout_s=2)
    return came, lambda: window.carry(lambda: ready.pop(0) if ready else None, settle)


def check(jobs: list[Marked], came: dict[int, Transaction], server: Server) -> None:
    """Hold every verdict against what the server knows."""
    for job in jobs:
        if job.number not in came:
            assert all(not job.find(server, index) for index in range(job.recipients))
            continue
        for index, verdict in enumerate(came[job.number].verdicts):
            taken = [each for each in job.find(server, index) if each.final < 300]
            assert len(taken) <= 1, "delivered twice"
            if taken:
                assert index in job.marked, "sent without its mark"
                assert taken[0].body == job.body
                assert verdict.kind in (("sent", "uncertain") if taken[0].heard else ("uncertain",))
            else:
                assert verdict.kind != "sent"


def open_chunking(answer: Answer, **limits: Any) -> tuple[Session, ChunkServer]:
    session, server = open_session(answer, CHUNKING, kind=ChunkServer, **limits)
    assert isinstance(server, ChunkServer)
    return session, server


def test_a_cut_at_any_byte_leaves_true_verdicts() -> None:
    def refuse_one(command: str) -> int:
        return 550 if command.startswith("RCPT r1@m2") else agree(command)

    async def cut_at(limit: str, byte: int, turns: int) -> tuple[int, tuple[str, ...]]:
        jobs = [Marked(1, turns=turns), Marked(2, 2, turns=turns), Marked(3, turns=turns)]
        session, server = open_chunking(refuse_one, **{limit: byte})
        came, go = carry(jobs, session, 2)
        await go()
        check(jobs, came, server)
        length = len(server.said if limit == "said_limit" else server.heard)
        kinds = (verdict.kind for number in sorted(came) for verdict in came[number].verdicts)
        return length, tuple(kinds)

    async def cut_everywhere() -> None:
        for limit in ("said_limit", "heard_limit"):
            for turns in (0, 3):
                whole, kinds = await cut_at(limit, 1 << 20, turns)
                assert kinds == ("sent", "sent", "refused", "sent")
                seen = {(await cut_at(limit, byte, turns))[1] for byte in range(1, whole)}
                assert ("uncertain", "uncertain", "uncertain") in seen

    asyncio.run(cut_everywhere())


codes = st.sampled_from([250] * 12 + [251, 354, 421, 450, 452, 501, 503, 550, 554])
final_codes = st.sampled_from([250] * 8 + [421, 451, 554, 354])
random_jobs = st.builds(
    Marked,
    number=st.just(0),
    recipients=st.integers(1, 3),
    wanted=st.lists(st.sampled_from([True] * 6 + [False]), max_size=2),
    mark=st.sampled_from([True] * 8 + [False]),
    turns=st.integers(0, 2),
)


@settings(max_examples=look(150), deadline=None)
@given(
    st.data(),
    st.lists(random_jobs, min_size=1, max_size=6),
    st.integers(1, 4),
    st.sampled_from([1 << 30, 40, 200, 500]),
)
def test_whatever_a_server_answers_the_verdicts_are_true(
    data: st.DataObject, jobs: list[Marked], size: int, said_limit: int
) -> None:
    def answer(command: str) -> int:
        if command == "BDAT":
            return data.draw(final_codes)
        return 250 if command == "RSET" else data.draw(codes)

    async def go_on() -> None:
        for number, job in enumerate(jobs, 1):
            job.number, job.marked = number, []
        session, server = open_chunking(
            answer, said_limit=said_limit, pieces=repeat(data.draw(st.integers(1, 60)))
        )
        came, go = carry(jobs, session, size)
        await go()
        check(jobs, came, server)

    asyncio.run(go_on())


def test_a_server_that_does_not_know_bdat_has_refused_nothing() -> None:
    def answer(command: str) -> int:
        return 500 if command == "BDAT" else agree(command)

    async def go_on() -> None:
        jobs = [Marked(1), Marked(2), Marked(3)]
        session, _ = open_chunking(answer)
        came, go = carry(jobs, session, 2)
        await go()
        assert {verdict.kind for each in came.values() for verdict in each.verdicts} == {
            "not_tried"
        }
        assert session.usable
        assert session.chunking_broken
        assert 3 not in came

    asyncio.run(go_on())


def test_many_are_on_their_way_at_once() -> None:
    async def go_on() -> None:
        jobs = [Marked(number) for number in range(1, 9)]
        session, server = open_chunking(agree)
        came, go = carry(jobs, session, 4)
        await go()
        assert [each.verdicts[0].kind for each in came.values()] == ["sent"] * 8
        first = server.heard[: server.heard.index(b"r0@m5.example")]
        assert first.count(b"BDAT") == 4
        assert b"\r\n.\r\n" not in server.heard

    asyncio.run(go_on())
