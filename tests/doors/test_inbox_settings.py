"""What an account says of the mail that comes back: stored, calculated, shown, and used by ``/send``."""

from datetime import datetime, timedelta

import pytest

from app.outbox.document_tag import read_tag
from tests.doors.sending import LETTER, configure, read_mail

pytestmark = pytest.mark.anyio


async def test_what_comes_back_is_configured_and_shown_with_the_minutes_it_comes_to(
    client, as_role
) -> None:
    alert = {"after_min": "60*24*2", "to": "Szef <szef@firma.example>", "hours": {"days": [5, 1]}}
    given = {"append_to": "complaint", "document_address": True, "answer_alert": alert}
    await configure(client, as_role("admin"), **given)
    shown = (await client.get("/config/global", headers=as_role("admin"))).json()
    assert (shown["append_to"], shown["document_address"]) == ("complaint", True)
    assert shown["answer_alert"] == {
        "after_min": 2880,
        "to": [{"address": "szef@firma.example", "name": "Szef"}],
        "hours": {"from": "08:00", "to": "16:00", "days": [1, 5], "timezone": "UTC"},
    }
    again = await client.put("/config/global", json=shown, headers=as_role("admin"))
    assert again.status_code == 200, again.text


async def test_a_message_with_a_document_asks_for_answers_at_its_own_address(
    client, as_role, office
) -> None:
    await configure(client, as_role("admin"), document_address=True)
    body = LETTER | {"reference": {"number": "FV 12/2026"}, "answer_within_min": "24*60"}
    sent = await client.post("/send", json=body, headers=as_role("sender"))
    assert sent.status_code == 202, sent.text
    mail = await read_mail(client, as_role("sender"), sent.json()["id"])
    address = mail["Reply-To"].addresses[0]
    assert address.display_name == "Firma Sp. z o.o."
    assert read_tag(office.vault, address.addr_spec) == sent.json()["id"]


def list_codes(answer: dict) -> list[tuple[str, str | None]]:
    return [(each["code"], each.get("pointer")) for each in answer["warnings"]]


async def test_a_sent_copy_that_has_no_folder_to_go_to_is_warned_of(client, as_role) -> None:
    admin = as_role("admin")
    saved = await configure(client, admin, sent_copy="folder")
    assert list_codes(saved) == [("sent_copy_needs_imap", "/sent_copy")]
    login = {"host": "mx.firma.example", "username": "x", "password": "y"}
    for protocol, warned in (("pop3", True), ("imap", False)):
        incoming = login | {"protocol": protocol}
        saved = await configure(client, admin, sent_copy="folder", incoming=incoming)
        assert bool(list_codes(saved)) == warned, protocol


async def test_what_pop3_cannot_do_is_warned_of(client, as_role) -> None:
    login = {"host": "mx.firma.example", "username": "x", "password": "y"}
    wished = login | {"after": "seen", "first_sync": "unseen"}
    saved = await configure(client, as_role("admin"), incoming=wished | {"protocol": "pop3"})
    assert list_codes(saved) == [
        ("only_of_imap", "/incoming/after"),
        ("only_of_imap", "/incoming/first_sync"),
    ]
    saved = await configure(client, as_role("admin"), incoming=wished)
    assert list_codes(saved) == []


async def test_a_message_tells_until_when_its_answer_is_waited_for(client, as_role) -> None:
    await configure(client, as_role("admin"))
    for minutes, waits in (("24*60", True), (0, False)):
        body = LETTER | {"answer_within_min": minutes}
        sent = (await client.post("/send", json=body, headers=as_role("sender"))).json()
        path = f"/messages/{sent['id']}"
        answer = (await client.get(path, headers=as_role("sender"))).json()["answer"]
        assert (answer is not None) == waits
        if waits:
            created_at, due_at = map(datetime.fromisoformat, (sent["created_at"], answer["due_at"]))
            assert due_at - created_at == timedelta(days=1)
            assert (answer["answered_at"], answer["alerted_at"]) == (None, None)
            await client.post(f"{path}/cancel", headers=as_role("sender"))
            gone = (await client.get(path, headers=as_role("sender"))).json()
            assert (gone["status"], gone["answer"]) == ("cancelled", None)


@pytest.mark.parametrize(
    ("local_part", "has_room"), [("a" * 23, True), ("a" * 24, False), ('"jan kos"', False)]
)
async def test_an_address_without_room_for_a_documents_tag_is_warned_of_and_used_as_it_is(
    client, as_role, office, local_part, has_room
) -> None:
    address = f"{local_part}@firma.example"
    saved = await configure(client, as_role("admin"), document_address=True, reply_to=address)
    warned = [] if has_room else [("document_address_without_room", "/document_address")]
    assert list_codes(saved) == warned
    body = LETTER | {"reference": {"number": "FV 12/2026"}}
    sent = (await client.post("/send", json=body, headers=as_role("sender"))).json()
    assert [code for code, _ in list_codes(sent)] == [code for code, _ in warned]
    mail = await read_mail(client, as_role("sender"), sent["id"])
    shown = mail["Reply-To"].addresses[0].addr_spec
    assert (read_tag(office.vault, shown) == sent["id"], shown == address) == (
        has_room,
        not has_room,
    )
    other = (await client.post("/send", json=LETTER, headers=as_role("sender"))).json()
    assert other["warnings"] == []  # about no document
