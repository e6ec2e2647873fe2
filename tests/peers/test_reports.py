"""Reports that Postfix really writes lead back to our message and say what became of it."""

import secrets

import pytest

from app.mime.incoming import Incoming, read_incoming
from app.mime.tags import find_tags
from app.wire.address_policy import AddressPolicy
from app.wire.envelope import Envelope, Recipient
from app.wire.session import Session
from app.wire.target import Secret, Target
from tests.peers.postfix import PASSWORD, USER, Postfix, wait_until

pytestmark = [pytest.mark.anyio, pytest.mark.peer]


async def agree(accepted: tuple[int, ...]) -> bool:
    return True


async def send_and_read_report(postfix: Postfix, recipient: Recipient, ret: str) -> Incoming:
    """Send one message with an ENVID of its own; answer the report on it."""
    envid = f"018f6f7e-{secrets.token_hex(4)}.a_b-c"
    target = Target(
        "127.0.0.1", postfix.submission_port, username=USER, password=Secret(PASSWORD),
        ca_pem=postfix.ca_pem,
    )  # fmt: skip
    body = (
        f"From: {USER}\r\nMessage-ID: <{envid}@firma.example>\r\nSubject: x\r\n\r\nx\r\n".encode()
    )
    session = await Session.open(target, policy=AddressPolicy(), ehlo_name="awizo.example")
    envelope = Envelope(USER, (recipient,), envid=envid, ret=ret)
    sent = await session.send(envelope, body, before_dot=agree, final_reply_timeout_s=30)
    await session.quit()
    assert sent.trouble is None
    found: list[bytes] = []

    def look() -> bool:
        found[:] = [raw for raw in postfix.read_raw("anna") if envid.encode() in raw]
        return bool(found)

    wait_until(look, 20, postfix.read_log)
    incoming = read_incoming(found[0])
    assert incoming.kind == "dsn"
    assert incoming.return_path == ""
    tags = find_tags(incoming)
    assert (tags.envelope_id, tags.message_ids[0]) == (envid, f"<{envid}@firma.example>")
    return incoming


async def test_a_delivery_is_read_as_delivered(postfix: Postfix) -> None:
    recipient = Recipient("jan+a@klient.example", ("SUCCESS",), original="Jan=x@erp.example")
    report = (await send_and_read_report(postfix, recipient, "headers")).report
    assert report
    (told,) = report.recipients
    assert (told.action, told.status) == ("delivered", "2.0.0")
    assert told.final_recipient == "jan+a@klient.example"
    assert told.original_recipient == "Jan=x@erp.example"


@pytest.mark.parametrize("ret", ["headers", "full"])
async def test_a_failure_is_read_as_failed(ret: str, postfix: Postfix) -> None:
    recipient = Recipient("nikt@gone.example", ("FAILURE",))
    report = (await send_and_read_report(postfix, recipient, ret)).report
    assert report
    (told,) = report.recipients
    assert (told.action, told.status, told.diagnostic) == ("failed", "5.1.1", "user unknown")
    assert report.returned.get("subject") == "x"
