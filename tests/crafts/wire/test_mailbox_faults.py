"""IMAP and POP3 servers that do what servers should not: every fault has a cause, nothing hangs."""

import asyncio
import base64
import contextlib
import socket
import threading
from collections.abc import AsyncIterator
from typing import Any

import pytest

from app.wire.address_policy import AddressPolicy
from app.wire.imap import ImapSession
from app.wire.imap_folder import ImapFolder
from app.wire.mailbox import open_mailbox
from app.wire.pop3 import Pop3Session
from app.wire.steps import SessionFailed
from app.wire.target import Secret, Target

pytestmark = pytest.mark.anyio

IMAP = {
    b"CAPABILITY": b"* CAPABILITY IMAP4rev1\r\n{tag} OK done\r\n",
    b"LOGIN": b"{tag} OK in\r\n",
    b"LOGOUT": b"* BYE bye\r\n{tag} OK done\r\n",
    b"SELECT": b"* OK [UIDVALIDITY 7] x\r\n{tag} OK [READ-WRITE]\r\n",
    b"EXAMINE": b"* OK [UIDVALIDITY 7] x\r\n{tag} OK [READ-ONLY]\r\n",
}
CAN_IDLE = b"* CAPABILITY IMAP4rev1 IDLE\r\n{tag} OK done\r\n"
MAIL = b"Subject: Faktura\r\n\r\n..kropka\r\n" + b"x" * 5000 + b"\r\n"


@contextlib.asynccontextmanager
async def serve(
    script: dict[bytes, bytes], greeting: bytes, *, is_pop3: bool = False
) -> AsyncIterator[tuple[int, list[bytes]]]:
    """Answer each command by its first word, in a thread; b"" hangs, b"cut" ends the connection."""
    heard: list[bytes] = []
    listening = socket.create_server(("127.0.0.1", 0))

    def talk(connection: socket.socket) -> None:
        with connection, connection.makefile("rb") as lines, contextlib.suppress(OSError):
            connection.sendall(greeting)
            for line in lines:
                heard.append(line.strip())
                words = line.split()
                if words == [b"DONE"]:  # belongs to the IDLE before it
                    name = b"DONE"
                else:
                    tag, name = (b"", words[0]) if is_pop3 else (words[0], b" ".join(words[1:2]))
                answer = script.get(name.upper(), b"-ERR what" if is_pop3 else b"{tag} BAD what")
                if answer == b"cut":
                    return
                end = b"" if answer.endswith(b"\n") or not answer else b"\r\n"
                connection.sendall(answer.replace(b"{tag}", tag) + end)

    def run() -> None:
        with contextlib.suppress(OSError):
            while True:
                talk(listening.accept()[0])

    thread = threading.Thread(target=run)
    thread.start()
    try:
        yield listening.getsockname()[1], heard
    finally:
        listening.shutdown(socket.SHUT_RDWR)
        listening.close()
        await asyncio.to_thread(thread.join, 5)


def aim(port: int, **more: Any) -> Target:
    members = {"connection": "plaintext", "username": "a b", "password": Secret("ta\"jne"),
               "timeout_ms": 150, "allow_insecure_auth": True} | more  # fmt: skip
    return Target("127.0.0.1", port, **members)


async def fail(kind: Any, target: Target, *steps: Any) -> SessionFailed:
    with pytest.raises(SessionFailed) as failed:
        async with asyncio.timeout(5), open_mailbox(kind, target, AddressPolicy()) as mailbox:
            for method, *args in steps:
                await mailbox.do(method, *args)
    assert "jne" not in failed.value.detail
    return failed.value


@pytest.mark.parametrize(
    ("change", "greeting", "cause", "step"),
    [
        ({}, b"", "timeout", "greeting"),
        ({}, b"* BYE too many\r\n", "greeting_refused", "greeting"),
        ({}, b"220 smtp.firma.example ESMTP\r\n", "protocol_error", "greeting"),
        ({}, b"* OK " + b"x" * 5_000_000 + b"\r\n", "protocol_error", "greeting"),
        ({b"CAPABILITY": b"cut"}, b"* OK hi\r\n", "connection_lost", "greeting"),
        ({b"CAPABILITY": b"* CAPABILITY IMAP4rev1 LOGINDISABLED\r\n{tag} OK done"}, b"* OK hi\r\n",
         "mechanism_not_offered", "login"),
        ({b"LOGIN": b"{tag} NO [AUTHENTICATIONFAILED] no"}, b"* OK hi\r\n",
         "credentials_refused", "login"),
        ({b"LOGIN": b"{tag} NO [UNAVAILABLE] later"}, b"* OK hi\r\n", "auth_temporary", "login"),
        ({b"LOGIN": b""}, b"* OK hi\r\n", "timeout", "login"),
        ({b"LOGIN": b"cut"}, b"* OK hi\r\n", "connection_lost", "login"),
        ({b"SELECT": b"{tag} NO no such folder"}, b"* OK hi\r\n", "folder_not_found", "select"),
        ({b"SELECT": b"{tag} OK done"}, b"* OK hi\r\n", "protocol_error", "select"),
        ({b"UID": b"* 1 FETCH (UID 1 BODY[] {9999999999}\r\n"}, b"* OK hi\r\n",
         "protocol_error", "search"),
        ({b"UID": b"cut"}, b"* OK hi\r\n", "connection_lost", "search"),
    ],
)  # fmt: skip
async def test_what_an_imap_server_does_wrong_has_a_cause(
    change: dict[bytes, bytes], greeting: bytes, cause: str, step: str
) -> None:
    async with serve(IMAP | change, greeting) as (port, _):
        select = (lambda session: session.select("INBOX", readonly=False),)
        failed = await fail(ImapFolder, aim(port), select, (ImapFolder.list_uids,))
    assert (failed.cause, failed.step) == (cause, step), failed.detail


@pytest.mark.parametrize(
    ("capabilities", "greeting", "connection", "cause"),
    [
        (b"IMAP4rev1", b"* OK hi\r\n", "starttls", "starttls_not_offered"),
        (b"IMAP4rev1 STARTTLS", b"* PREAUTH in\r\n", "starttls", "starttls_not_offered"),
        (b"IMAP4rev1", b"* OK hi\r\n", "auto", "insecure_auth"),
        (b"IMAP4rev1 STARTTLS", b"* OK hi\r\n", "auto", "starttls_refused"),
    ],
)
async def test_a_password_never_follows_a_starttls_that_is_taken_away(
    capabilities: bytes, greeting: bytes, connection: str, cause: str
) -> None:
    script = IMAP | {b"CAPABILITY": b"* CAPABILITY " + capabilities + b"\r\n{tag} OK done\r\n"}
    script[b"STARTTLS"] = b"{tag} NO not now"
    async with serve(script, greeting) as (port, heard):
        target = aim(port, connection=connection, allow_insecure_auth=False)
        assert (await fail(ImapSession, target)).cause == cause
    assert not any(b"LOGIN" in line or b"AUTHENTICATE" in line for line in heard)


async def test_what_is_sent_before_the_encryption_is_not_believed() -> None:
    script = IMAP | {b"CAPABILITY": b"* CAPABILITY IMAP4rev1 STARTTLS\r\n{tag} OK done\r\n"}
    script[b"STARTTLS"] = b"{tag} OK go\r\n* CAPABILITY IMAP4rev1 AUTH=PLAIN\r\n"
    async with serve(script, b"* OK hi\r\n") as (port, _):
        assert (await fail(ImapSession, aim(port, connection="starttls"))).cause == "protocol_error"


async def test_user_names_are_quoted_and_control_characters_are_not_sent() -> None:
    async with serve(IMAP, b"* OK hi\r\n") as (port, heard):
        async with open_mailbox(ImapSession, aim(port), AddressPolicy()):
            pass
        assert any(line.endswith(b'LOGIN "a b" "ta\\"jne"') for line in heard)
        target = aim(port, username="a\r\nx1 DELETE INBOX")
        assert (await fail(ImapSession, target)).cause == "credentials_refused"
    assert not any(b"DELETE" in line for line in heard)


@pytest.mark.parametrize(
    ("search", "idle", "done", "has_news"),
    [
        (b"* 2 EXISTS\r\n", b"", b"", True),  # between two commands
        (b"", b"* 2 EXISTS\r\n+ idling", b"", True),
        (b"", b"+ idling\r\n* 2 EXISTS", b"", True),
        (b"", b"+ idling\r\n* 1 EXPUNGE", b"", True),
        (b"", b"+ idling", b"* 2 EXISTS\r\n", True),  # while we end it
        (b"", b"+ idling\r\n* OK still here", b"", False),
    ],
)
async def test_news_is_heard_wherever_a_server_tells_it(
    search: bytes, idle: bytes, done: bytes, has_news: bool
) -> None:
    script = IMAP | {
        b"UID": b"* SEARCH 1\r\n" + search + b"{tag} OK done", b"IDLE": idle,
        b"DONE": done + b"{tag} OK done", b"CAPABILITY": CAN_IDLE,
    }  # fmt: skip
    async with serve(script, b"* OK hi\r\n") as (port, heard):
        async with open_mailbox(ImapFolder, aim(port), AddressPolicy()) as mailbox:
            await mailbox.do(ImapFolder.select, "INBOX", readonly=True)
            await mailbox.do(ImapFolder.list_uids)
            assert await mailbox.do(ImapFolder.wait, 0.05) is has_news
        assert (b"DONE" in heard) is not bool(search)


async def test_a_server_that_tells_the_same_with_every_reply_is_not_asked_for_ever() -> None:
    script = IMAP | {
        b"UID": b"* SEARCH 1\r\n* 2 EXISTS\r\n{tag} OK done", b"IDLE": b"+ idling",
        b"CAPABILITY": CAN_IDLE, b"DONE": b"{tag} OK done",
    }  # fmt: skip
    async with (
        serve(script, b"* OK hi\r\n") as (port, _),
        open_mailbox(ImapFolder, aim(port), AddressPolicy()) as mailbox,
    ):
        for has_news in (True, False, False):
            await mailbox.do(ImapFolder.select, "INBOX", readonly=True)
            await mailbox.do(ImapFolder.list_uids)
            assert await mailbox.do(ImapFolder.wait, 0.05) is has_news


async def test_a_server_that_drips_is_given_up(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("app.wire.mailbox._MOST_STEP_S", 0.1)
    async with serve(IMAP | {b"SELECT": b""}, b"* OK hi\r\n") as (port, _):
        target = aim(port, timeout_ms=60_000)
        select = (lambda session: session.select("INBOX", readonly=False),)
        failed = await fail(ImapFolder, target, select)
    assert (failed.cause, failed.step) == ("timeout", "read")


async def test_who_is_cancelled_drops_the_connection_at_once() -> None:
    async with serve(IMAP | {b"UID": b""}, b"* OK hi\r\n") as (port, heard):

        async def run() -> None:
            target = aim(port, timeout_ms=60_000)
            async with open_mailbox(ImapFolder, target, AddressPolicy()) as mailbox:
                await mailbox.do(ImapFolder.select, "INBOX", readonly=True)
                await mailbox.do(ImapFolder.list_uids)

        task = asyncio.create_task(run())
        async with asyncio.timeout(5):
            while not any(b"SEARCH" in line for line in heard):  # noqa: ASYNC110
                await asyncio.sleep(0.005)
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)
    assert task.cancelled()


POP3 = {
    b"CAPA": b"+OK\r\nUSER\r\nUIDL\r\nTOP\r\n.\r\n",
    b"USER": b"+OK",
    b"PASS": b"+OK in",
    b"UIDL": b"+OK\r\n1 aaa\r\n2 bbb\r\n.\r\n",
    b"LIST": b"+OK 1 %d" % len(MAIL),
    b"RETR": b"+OK\r\n" + MAIL.replace(b"\r\n.", b"\r\n..") + b".\r\n",
    b"TOP": b"+OK\r\nSubject: Faktura\r\n\r\n.\r\n",
    b"DELE": b"+OK",
    b"QUIT": b"+OK",
}


async def test_pop3_lists_fetches_and_deletes() -> None:
    async with (
        serve(POP3, b"+OK hi\r\n", is_pop3=True) as (port, heard),
        open_mailbox(Pop3Session, aim(port), AddressPolicy()) as mailbox,
    ):
        assert await mailbox.do(Pop3Session.list_uids) == {"aaa": 1, "bbb": 2}
        whole = await mailbox.do(Pop3Session.fetch, 1, 10_000)
        assert (whole.raw, whole.is_whole) == (MAIL, True)
        head = await mailbox.do(Pop3Session.fetch, 1, 100)
        assert (head.raw, head.is_whole) == (b"Subject: Faktura\r\n\r\n", False)
        assert head.size_bytes == len(MAIL)
        await mailbox.do(Pop3Session.delete, 1)
        await mailbox.do(Pop3Session.quit)
    assert heard[-2:] == [b"DELE 1", b"QUIT"]


@pytest.mark.parametrize(("mechanism", "auth"), [("PLAIN", "plain"), ("XOAUTH2", "xoauth2")])
async def test_pop3_logs_in_by_sasl(mechanism: str, auth: str) -> None:
    secret = {"plain": '\0a b\0ta"jne', "xoauth2": 'user=a b\1auth=Bearer ta"jne\1\1'}[auth]
    said = base64.b64encode(secret.encode())
    script = POP3 | {
        b"CAPA": b"+OK\r\nSASL CRAM-MD5 %s\r\n.\r\n" % mechanism.encode(),
        b"AUTH": b"+ ", said.upper(): b"+OK in",
    }  # fmt: skip
    async with (
        serve(script, b"+OK hi\r\n", is_pop3=True) as (port, heard),
        open_mailbox(Pop3Session, aim(port, auth=auth), AddressPolicy()),
    ):
        assert heard[-2:] == [f"AUTH {mechanism}".encode(), said]


@pytest.mark.parametrize(
    ("change", "greeting", "cause", "step"),
    [
        ({}, b"", "timeout", "greeting"),
        ({}, b"-ERR busy\r\n", "greeting_refused", "greeting"),
        ({}, b"* OK imap\r\n", "protocol_error", "greeting"),
        ({b"PASS": b"-ERR [AUTH] no"}, b"+OK\r\n", "credentials_refused", "login"),
        ({b"PASS": b"-ERR [IN-USE] locked"}, b"+OK\r\n", "auth_temporary", "login"),
        ({b"UIDL": b"+OK\r\n1\r\n.\r\n"}, b"+OK\r\n", "protocol_error", "uidl"),
        ({b"UIDL": b"-ERR no"}, b"+OK\r\n", "mailbox_refused", "uidl"),
        ({b"UIDL": b"cut"}, b"+OK\r\n", "connection_lost", "uidl"),
        ({b"RETR": b"+OK\r\n" + b"y" * 200_000 + b"\r\n"}, b"+OK\r\n", "protocol_error", "fetch"),
        ({b"LIST": b"+OK"}, b"+OK\r\n", "protocol_error", "fetch"),
    ],
)
async def test_what_a_pop3_server_does_wrong_has_a_cause(
    change: dict[bytes, bytes], greeting: bytes, cause: str, step: str
) -> None:
    async with serve(POP3 | change, greeting, is_pop3=True) as (port, _):
        failed = await fail(
            Pop3Session, aim(port), (Pop3Session.list_uids,), (Pop3Session.fetch, 1, 10_000)
        )
    assert (failed.cause, failed.step) == (cause, step), failed.detail


async def test_what_nobody_asked_for_is_not_kept() -> None:
    said = (
        b"* SEARCH 7\r\n* 1 EXISTS\r\n* JUNK "
        + b"x" * 10_000
        + b"\r\n* 2 EXISTS\r\n{tag} OK done\r\n"
    )
    async with (
        serve(IMAP | {b"UID": said}, b"* OK hello\r\n") as (port, _),
        open_mailbox(ImapFolder, aim(port), AddressPolicy()) as mailbox,
    ):
        for _ in range(3):
            assert await mailbox.do(ImapFolder.list_uids) == [7]
        kept = mailbox.session._client._imap.untagged_responses
        assert sum(len(each) for each in kept.get("JUNK", ())) <= 10_000
        assert kept["EXISTS"][-1] == b"2"
