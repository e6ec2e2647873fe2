"""``POST /inbox/{id}/forward``: a mail goes on, whole, by those who may."""

import pytest

from tests.doors.sending import list_faults, list_files, read_mail
from tests.doors.test_inbox import MAILBOX, receive
from tests.rooms.outbox.desk import configure

pytestmark = pytest.mark.anyio

RAW = (
    "From: Klient <klient@klient.example>\r\nTo: faktury@firma.example\r\nSubject: {firma} pyta\r\n"
    "Message-ID: <q1@klient.example>\r\n\r\nProszę o {telefon}.\r\n"
).encode()


async def get_only(client, headers) -> str:
    (line,) = (await client.get("/inbox", headers=headers)).json()["data"]
    return str(line["id"])


async def test_a_mail_goes_on_with_its_words_and_itself_and_fills_in_nothing(
    client, as_role, office
) -> None:
    macros = {"firma": "Firma", "telefon": "123"}
    account = await configure(office, config=MAILBOX | {"macros": macros})
    await receive(office, account, RAW)
    mail_id = await get_only(client, as_role("admin"))
    answer = await client.post(
        f"/inbox/{mail_id}/forward",
        json={"to": "Ola <ola@firma.example>", "note": "Zadzwoń {dziś}."},
        headers=as_role("admin"),
    )
    assert answer.status_code == 202, answer.text
    shown = answer.json()
    assert answer.headers["Location"] == f"/messages/{shown['id']}"
    assert [each["address"] for each in shown["recipients"]] == ["ola@firma.example"]
    mail = await read_mail(client, as_role("admin"), shown["id"])
    assert mail["Subject"] == "Fwd: {firma} pyta"
    assert mail["References"] == "<q1@klient.example>"
    text = mail.get_body(("plain",)).get_content()
    assert text.startswith("Zadzwoń {dziś}.")
    assert "From: Klient <klient@klient.example>" in text
    assert "> Proszę o {telefon}." in text
    assert list_files(mail) == {f"{mail_id}.eml": RAW}
    trail = (await client.get("/audit", headers=as_role("admin"))).json()["data"]
    assert trail[0]["action"] == "inbox.forward"


async def test_who_reads_but_may_not_send_cannot_forward(client, as_role, office) -> None:
    account = await configure(office, "anna", config=MAILBOX)
    await receive(office, account, RAW)
    granted = await client.put(
        f"/accounts/{account}/rights/piotr", json={"read": True}, headers=as_role("admin")
    )
    assert granted.status_code == 200, granted.text
    mail_id = await get_only(client, as_role("piotr"))
    path, body = f"/inbox/{mail_id}/forward", {"to": "ola@firma.example"}
    refused = await client.post(path, json=body, headers=as_role("piotr"))
    assert (refused.status_code, refused.json()["code"]) == (403, "account_not_allowed")
    done = await client.post(path, json=body, headers=as_role("anna"))
    assert done.status_code == 202, done.text


async def test_addresses_that_are_none_are_all_named(client, as_role, office) -> None:
    account = await configure(office, config=MAILBOX)
    await receive(office, account, RAW)
    mail_id = await get_only(client, as_role("admin"))
    path, headers = f"/inbox/{mail_id}/forward", as_role("admin")
    wrong = await client.post(path, json={"to": ["ola", "ewa@firma.example"]}, headers=headers)
    assert wrong.status_code == 422
    assert [pointer for pointer, _ in list_faults(wrong)] == ["/to/0"]
    none = await client.post(path, json={"to": ""}, headers=headers)
    assert list_faults(none) == [("/to", "required")]
