"""Draft mode: the finished message is handed to the user's mail program, as an .eml."""

import pytest

from tests.doors.sending import CONFIG, LETTER, attach, configure, list_faults, read_mail

pytestmark = pytest.mark.anyio


@pytest.fixture
async def sender(client, as_role):
    """The header of an ERP's key; the global configuration is in draft mode."""
    await configure(client, as_role("admin"), mode="draft", bcc="archiwum@firma.example")
    return as_role("sender")


async def test_a_draft_is_a_mail_to_be_opened_edited_and_sent(client, sender):
    body = LETTER | {"bcc": "cicho@klient.example", "attachments": [attach("a.csv", b"a")]}
    answer = await client.post("/send", json=body, headers=sender)
    assert answer.status_code == 201
    shown = answer.json()
    assert (shown["status"], shown["message_id"]) == ("draft", None)
    assert answer.headers["location"] == f"/messages/{shown['id']}"
    mail = await read_mail(client, sender, shown["id"])
    assert mail["X-Unsent"] == "1"
    assert mail["Message-ID"] is None
    assert [each.addr_spec for each in mail["Bcc"].addresses] == [
        "cicho@klient.example", "archiwum@firma.example",
    ]  # fmt: skip
    raw = await client.get(f"/messages/{shown['id']}/raw", headers=sender)
    assert raw.headers["content-type"] == "message/rfc822"
    assert raw.headers["content-disposition"].endswith('.eml"')
    events = (await client.get(f"/messages/{shown['id']}/events", headers=sender)).json()["data"]
    assert [each["type"] for each in events] == ["message.drafted"]


async def test_a_draft_needs_no_server(client, as_role):
    body = {"mode": "draft", "sender": CONFIG["sender"]}
    await client.put("/config/global", json=body, headers=as_role("admin"))
    answer = await client.post("/send", json=LETTER, headers=as_role("sender"))
    assert answer.status_code == 201
    assert answer.json()["resolved"]["server"] is None


async def test_attachments_of_a_draft_are_protected_as_ever(client, sender):
    body = LETTER | {"attachments": [attach("a.csv", b"a")], "attachment_password": "tajne"}
    shown = (await client.post("/send", json=body, headers=sender)).json()
    assert [each["protection"] for each in shown["attachments"]] == ["zip_aes256"]


async def test_a_draft_stays_a_draft(client, sender):
    message_id = (await client.post("/send", json=LETTER, headers=sender)).json()["id"]
    for verb in ("cancel", "retry", "release", "resend"):
        answer = await client.post(f"/messages/{message_id}/{verb}", headers=sender)
        assert (answer.status_code, answer.json()["code"]) == (409, "is_draft"), verb
    shown = (await client.get(f"/messages/{message_id}", headers=sender)).json()
    assert shown["status"] == "draft"
    listed = (await client.get("/messages?status=draft", headers=sender)).json()["data"]
    assert [each["id"] for each in listed] == [message_id]


@pytest.mark.parametrize(
    ("changes", "pointer"),
    [
        ({"template": "overdue-reminder", "subject": None, "body": None}, "/template"),
        ({"reference": {"type": "reminder"}}, "/reference/type"),
        ({"reference": {"type": "Reminder"}}, "/reference/type"),
    ],
)
async def test_overdue_reminders_need_smtp(client, sender, changes, pointer):
    body = LETTER | {"macros": {"numer": "FV 1", "kontrahent": "K"}} | changes
    answer = await client.post("/send", json=body, headers=sender)
    assert (answer.status_code, list_faults(answer)) == (422, [(pointer, "smtp_required")])


async def test_when_it_is_sent_is_up_to_its_user(client, sender):
    body = LETTER | {"send_at": "2126-01-01T00:00:00Z", "not_after": "2126-01-02T00:00:00Z"}
    answer = await client.post("/send", json=body, headers=sender)
    assert list_faults(answer) == [("/send_at", "send_at_too_far")]
    body = LETTER | {"not_after": "2126-01-02T00:00:00Z"}
    shown = (await client.post("/send", json=body, headers=sender)).json()
    assert shown["status"] == "draft"
    assert [(each["code"], each["pointer"]) for each in shown["warnings"]] == [
        ("ignored_in_draft", "/not_after")
    ]


async def test_waiting_for_a_draft_ends_at_once(client, sender):
    answer = await client.post("/send?wait=60", json=LETTER, headers=sender)
    assert answer.status_code == 201


async def test_a_personal_configuration_decides(client, as_role, sender):
    await configure(client, as_role("admin"), "users/anna", mode="smtp")
    answer = await client.post("/send", json=LETTER | {"as_user": "anna"}, headers=sender)
    assert answer.status_code == 202
    answer = await client.post("/send", json=LETTER | {"as_user": "piotr"}, headers=sender)
    assert answer.status_code == 201
