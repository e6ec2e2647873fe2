"""The automatic reply at the doors: its settings, its preview, and what a mail says became of it."""

import pytest
from sqlalchemy import select

from app.configuration.tables import account as accounts
from app.inbox.clerk import tidy_up
from app.inbox.mailboxes import claim, enroll
from app.inbox.tables import auto_reply, mailbox
from app.inbox.take import take, understand
from app.outbox.tables import message
from tests.doors.sending import configure, list_faults

pytestmark = pytest.mark.anyio

AWAY = {
    "enabled": True,
    "subject": "Urlop",
    "body": "Cześć {from name}, {subject}: wracam {until}.",
}
BOX = {"host": "imap.firma.example", "username": "faktury@firma.example", "password": "x"}


@pytest.fixture
async def account(client, as_role, office) -> str:
    """The id of the common account, which has a mailbox and answers nobody."""
    await configure(client, as_role("admin"), incoming=BOX)
    return await office.db.read(lambda tx: tx.scalar(select(accounts.c.id)))


async def try_out(client, headers, account, **body):
    answer = await client.post(
        f"/accounts/{account}/auto-reply/preview", json=body, headers=headers
    )
    assert answer.status_code == 200, answer.text
    return answer.json()


async def receive(office, account, *fields: str) -> str:
    """Have a mail collected after the first time, and the clerk come by; return its id."""
    await office.db.write(enroll)
    await office.db.write(
        lambda tx: tx.execute(
            mailbox.update().values(synced_at=office.clock(), claimed_by=None, lease_until=None)
        )
    )
    held = await office.db.write(claim, account, "test.1")
    head = ("From: Jan <jan@klient.example>", "To: faktury@firma.example", "Subject: A", *fields)
    raw = ("\r\n".join(head) + "\r\n\r\nCo słychać?\r\n").encode()
    batch = [understand(f"1:{abs(hash(raw))}", raw, len(raw))]
    assert await office.db.write(take, office.vault, held, batch, is_renumbered=False) == 1
    await tidy_up(office)


async def list_mails(client, headers) -> list:
    lines = (await client.get("/inbox", headers=headers)).json()["data"]
    return [(await client.get(f"/inbox/{each['id']}", headers=headers)).json() for each in lines]


async def test_it_is_configured_shown_as_it_was_given_and_taken_again(client, as_role) -> None:
    given = {
        "enabled": True, "engine": "JINJA", "body": "Cześć {{ from_nmae }}!", "period_h": 24,
        "from_at": "2026-12-24T00:00:00+01:00", "until_at": " 2027-01-07T08:00:00Z",
    }  # fmt: skip
    await configure(client, as_role("admin"), auto_reply=given)
    answer = await client.get("/config/global", headers=as_role("admin"))
    shown = answer.json()
    assert shown["auto_reply"] == given | {"engine": "jinja", "until_at": "2027-01-07T08:00:00Z"}
    again = await client.put("/config/global", json=shown, headers=as_role("admin"))
    assert again.status_code == 200, again.text
    assert [(each["code"], each["pointer"]) for each in again.json()["warnings"]] == [
        ("unknown_name", "/auto_reply/body")
    ]
    off = {"auto_reply": {"enabled": False}}
    patched = await client.patch("/config/global", json=off, headers=as_role("admin"))
    assert patched.json()["auto_reply"] == shown["auto_reply"] | {"enabled": False}


async def test_it_goes_along_with_an_export(client, as_role) -> None:
    await configure(client, as_role("admin"), auto_reply=AWAY)
    exported = (await client.get("/export", headers=as_role("admin"))).json()
    none = await client.patch("/config/global", json={"auto_reply": None}, headers=as_role("admin"))
    assert "auto_reply" not in none.json()
    back = await client.post("/import?dry_run=false", json=exported, headers=as_role("admin"))
    assert back.status_code == 200, back.text
    shown = (await client.get("/config/global", headers=as_role("admin"))).json()
    assert shown["auto_reply"] == AWAY


async def test_a_preview_is_what_would_be_sent_and_sends_nothing(
    client, as_role, office, account
) -> None:
    wish = AWAY | {"until_at": "2099-01-07T00:00:00+01:00"}
    mail = {"from": "Ewa Żak <ewa@klient.example>", "subject": "Oferta"}
    shown = await try_out(client, as_role("admin"), account, auto_reply=wish, mail=mail)
    assert (shown["would_reply"], shown["reason"]) == (True, None)
    assert shown["to"] == "ewa@klient.example"
    assert shown["subject"] == "Urlop"
    assert shown["text"].strip() == "Cześć Ewa Żak, Oferta: wracam 07.01.2099."
    assert shown["html"] is None
    count = select(message.c.id).union_all(select(auto_reply.c.sender_key))
    assert (await office.db.read(lambda tx: tx.execute(count).all())) == []


async def test_a_preview_of_what_is_stored_and_of_a_mail_that_came(
    client, as_role, office, account
) -> None:
    await client.patch("/config/global", json={"auto_reply": AWAY}, headers=as_role("admin"))
    assert (await try_out(client, as_role("admin"), account))["would_reply"]
    await receive(office, account, "List-Id: <a.b>")
    (mail,) = await list_mails(client, as_role("admin"))
    shown = await try_out(client, as_role("admin"), account, incoming=mail["id"])
    assert (shown["would_reply"], shown["reason"]) == (False, "list")
    assert shown["text"].strip().startswith("Cześć Jan, A:")


@pytest.mark.parametrize(
    ("mail", "reason"),
    [
        ({"headers": {"Auto-Submitted": "auto-replied"}}, "machine"),
        ({"headers": {"Return-Path": "<>"}}, "null_path"),
        ({"from": "noreply@klient.example"}, "machine"),
        ({"from": "faktury@firma.example"}, "own_address"),
        ({"to": "lista@klient.example"}, "not_addressed"),
        ({"headers": {"Date": "Thu, 1 Jan 2004 00:00:00 +0000"}}, "old"),
        ({"from": "?"}, "no_sender"),
    ],
)
async def test_a_preview_says_why_nothing_would_go_out(
    client, as_role, account, mail, reason
) -> None:
    shown = await try_out(client, as_role("admin"), account, auto_reply=AWAY, mail=mail)
    assert (shown["would_reply"], shown["reason"]) == (False, reason)
    assert (shown["text"] is None) == (mail.get("from") == "?")


async def test_a_preview_says_all_that_is_wrong(client, as_role, account) -> None:
    path, headers = f"/accounts/{account}/auto-reply/preview", as_role("admin")
    for body, faults in [
        ({}, [("/auto_reply/body", "required")]),
        ({"auto_reply": {"period_h": 0, "x": 1}},
         [("/auto_reply/x", "unknown_field"), ("/auto_reply/period_h", "out_of_range")]),
        ({"auto_reply": {"body": "{umowa}"}}, [("/auto_reply/macros/umowa", "macro_missing")]),
        ({"auto_reply": {"engine": "jinja", "body": "{{ 'x' * 10**10 }}"}},
         [("/auto_reply/body", "template_failed")]),
        ({"auto_reply": {"engine": "jinja", "body": "{{ reference_number }}"}},
         [("/auto_reply/body", "reply_is_empty")]),
        ({"mail": {"subject": "a\r\nBcc: b", "cc": "x"}, "auto_reply": AWAY},
         [("/mail/subject", "invalid_format"), ("/mail/cc", "unknown_field")]),
        ({"mail": {"headers": {"a b": "c"}}}, None),
        ({"mail": 5, "incoming": 5}, [("/mail", "wrong_type"), ("/incoming", "wrong_type")]),
        ({"mail": {}, "incoming": "unknown", "auto_reply": AWAY}, [("/incoming", "conflict")]),
    ]:  # fmt: skip
        answer = await client.post(path, json=body, headers=headers)
        assert answer.status_code == 422, answer.text
        if faults is not None:
            assert sorted(list_faults(answer)) == sorted(faults), answer.text
    body = {"auto_reply": AWAY, "incoming": "unknown"}
    answer = await client.post(path, json=body, headers=headers)
    assert (answer.status_code, answer.json()["code"]) == (404, "incoming_not_found")


async def test_who_manages_an_account_may_try_it_and_nobody_else(
    client, as_role, office, account
) -> None:
    path, body = f"/accounts/{account}/auto-reply/preview", {"auto_reply": AWAY}
    for role, status in {"admin": 200, "sender": 403, "anna": 403, "probe": 403}.items():
        answer = await client.post(path, json=body, headers=as_role(role))
        assert answer.status_code == status, answer.text
    for right, status in {"read": 403, "manage": 200}.items():
        await client.put(
            f"/accounts/{account}/rights/anna", json={right: True}, headers=as_role("admin")
        )
        answer = await client.post(path, json=body, headers=as_role("anna"))
        assert answer.status_code == status, answer.text


async def test_a_mail_says_what_became_of_its_reply(client, as_role, office, account) -> None:
    headers = as_role("sender")
    await receive(office, account)
    await client.patch("/config/global", json={"auto_reply": AWAY}, headers=as_role("admin"))
    await receive(office, account, "X-A: 1")
    await receive(office, account, "X-A: 2")
    again, answered, before = await list_mails(client, headers)
    assert before["auto_reply"] is None
    sent = answered["auto_reply"]
    assert (sent["not_sent"], sent["detail"]) == (None, None)
    assert (again["auto_reply"]["message"], again["auto_reply"]["not_sent"]) == (None, "recent")
    shown = await client.get(f"/messages/{sent['message']}", headers=headers)
    assert shown.json()["subject"] == "Urlop"
    assert [each["address"] for each in shown.json()["recipients"]] == ["jan@klient.example"]
    feed = (await client.get("/events", headers=headers)).json()["data"]
    (event,) = [each for each in feed if each["type"] == "inbox.auto_reply"]
    assert event["data"]["message"] == sent["message"]
