"""``/inbox``: who reads which mail, filters and pages, and who took care of what."""

from datetime import timedelta

import httpx
import pytest

from app.configuration.tables import account_right
from app.inbox.mailboxes import claim, enroll, note_failed
from app.inbox.take import take, understand
from app.outbox.identity import make_message_id
from app.outbox.office import Office
from app.outbox.order import Reference
from tests.rooms.outbox.desk import configure, send

pytestmark = pytest.mark.anyio

MAILBOX = {"incoming": {"host": "imap.firma.example", "username": "x", "password": "y"}}
MAIL = (
    "From: Klient <klient@klient.example>\r\nTo: anna@firma.example\r\nSubject: {}\r\n"
    "Message-ID: <{}@klient.example>\r\n{}\r\nDzień dobry\r\n"
)


async def receive(office: Office, account: str, *mails: bytes) -> None:
    await office.db.write(enroll)
    held = await office.db.write(claim, account, "test.1")
    assert held is not None
    batch = [understand(f"1:{hash(raw)}", raw, len(raw)) for raw in mails]
    assert await office.db.write(take, office.vault, held, batch, is_renumbered=False) == len(mails)


def write(name: str, *more: str) -> bytes:
    return MAIL.format(name, name, "".join(f"{each}\r\n" for each in more)).encode()


async def list_subjects(
    client: httpx.AsyncClient, headers: dict[str, str], query: str = ""
) -> list:
    answer = await client.get(f"/inbox{query}", headers=headers)
    assert answer.status_code == 200, answer.text
    return [each["subject"] for each in answer.json()["data"]]


async def test_a_mail_is_read_by_those_who_may_read_its_account(client, as_role, office) -> None:
    common = await configure(office, config=MAILBOX)
    annas = await configure(office, "anna", config=MAILBOX)
    await receive(office, common, write("wspólny"))
    await receive(office, annas, write("dla Anny"))
    assert await list_subjects(client, as_role("admin")) == ["dla Anny", "wspólny"]
    assert await list_subjects(client, as_role("sender")) == ["dla Anny", "wspólny"]
    assert await list_subjects(client, as_role("anna")) == ["dla Anny"]
    assert await list_subjects(client, as_role("piotr")) == []
    (line,) = (await client.get("/inbox", headers=as_role("anna"))).json()["data"]
    for path in ("", "/raw"):
        answer = await client.get(f"/inbox/{line['id']}{path}", headers=as_role("piotr"))
        assert (answer.status_code, answer.json()["code"]) == (404, "incoming_not_found")
    granted = await client.put(
        f"/accounts/{annas}/rights/piotr", json={"read": True}, headers=as_role("admin")
    )
    assert granted.status_code == 200, granted.text
    assert await list_subjects(client, as_role("piotr")) == ["dla Anny"]
    past = office.clock() - timedelta(seconds=1)
    await office.db.write(lambda tx: tx.execute(account_right.update().values(until=past)))
    assert await list_subjects(client, as_role("piotr")) == []


async def test_answers_are_found_by_their_document_kind_and_whether_they_are_done(
    client, as_role, office
) -> None:
    headers = as_role("sender")
    account = await configure(office, config=MAILBOX)
    sent = await send(office, reference=Reference("reminder", "FV 12/2026", "KONTR-0042"))
    ours = make_message_id(office.vault, sent, "firma.example")
    await receive(
        office, account, write("odpowiedź", f"In-Reply-To: {ours}"), write("inny"),
        write("urlop", "Auto-Submitted: auto-replied"),
    )  # fmt: skip
    for query, found in {
        "?reference.number=FV 12/2026": ["odpowiedź"],
        "?reference.customer=KONTR-0042&reference.type=reminder": ["odpowiedź"],
        "?reference.number=FV 12": [],
        f"?message={sent}": ["odpowiedź"],
        "?kind=auto_reply": ["urlop"],
        f"?account={account}&kind=human": ["inny", "odpowiedź"],
        "?account=unknown": [],
        "?matched=true&verified=true": ["odpowiedź"],
        "?matched=false": ["urlop", "inny"],
        "?kind=report": [],
        "?q=ODPOWIEDŹ": ["odpowiedź"],
        "?q=fv 12/2026&kind=human": ["odpowiedź"],
        "?q=nobody": [],
    }.items():
        assert await list_subjects(client, headers, query) == found, query
    (line,) = (await client.get(f"/inbox?message={sent}", headers=headers)).json()["data"]
    assert (line["verified"], line["from"]["address"]) == (True, "klient@klient.example")
    shown = await client.get(f"/inbox/{line['id']}", headers=headers)
    assert shown.json()["text"] == "Dzień dobry"
    raw = await client.get(f"/inbox/{line['id']}/raw", headers=headers)
    assert raw.content == write("odpowiedź", f"In-Reply-To: {ours}")
    assert raw.headers["content-type"] == "message/rfc822"
    assert raw.headers["x-content-type-options"] == "nosniff"

    path = f"/inbox/{line['id']}/handled"
    done = await client.post(path, json={"note": "zapłacone"}, headers=headers)
    assert (done.status_code, done.json()["handled_note"]) == (200, "zapłacone")
    again = await client.post(path, json={"note": "zapłacone"}, headers=as_role("admin"))
    assert again.json()["handled_by"] == done.json()["handled_by"]
    assert await list_subjects(client, headers, "?handled=true") == ["odpowiedź"]
    assert await list_subjects(client, headers, "?handled=false") == ["urlop", "inny"]
    reopened = await client.post(path, json={"handled": False}, headers=headers)
    assert reopened.json()["handled_at"] is None
    trail = (await client.get(f"/audit?object=inbox/{line['id']}", headers=as_role("admin"))).json()
    assert [each["action"] for each in trail["data"]] == ["inbox.reopened", "inbox.handled"]


async def test_a_list_is_read_page_by_page_the_newest_first(client, as_role, office) -> None:
    account = await configure(office, config=MAILBOX)
    await receive(office, account, *(write(str(number)) for number in range(5)))
    seen, after = [], ""
    while True:
        answer = (await client.get(f"/inbox?limit=2{after}", headers=as_role("admin"))).json()
        seen += [each["subject"] for each in answer["data"]]
        if answer["next"] is None:
            break
        after = f"&after={answer['next']}"
    assert seen == ["4", "3", "2", "1", "0"]


async def test_an_account_shows_how_its_mailbox_stands(client, as_role, office) -> None:
    account = await configure(office, config=MAILBOX)
    headers = as_role("admin")
    assert (await client.get("/config/global", headers=headers)).json()["mailbox"] is None
    await office.db.write(enroll)
    held = await office.db.write(claim, account, "test.1")
    await office.db.write(note_failed, held, "credentials_refused", "no such user")
    shown = (await client.get("/config/global", headers=headers)).json()["mailbox"]
    assert (shown["cause"], shown["detail"]) == ("credentials_refused", "no such user")
    assert sorted(shown["advice"]) == ["en", "fr", "pl"]
    assert shown["next_try_at"] > shown["failed_at"]
    saved = await client.patch(
        "/config/global", json={"incoming": {"password": "z"}}, headers=headers
    )
    assert saved.status_code == 200, saved.text
    await office.db.write(enroll)
    shown = (await client.get("/config/global", headers=headers)).json()["mailbox"]
    assert shown["cause"] is None


async def test_a_person_corrects_the_kind_and_links_a_mail_with_its_message(
    client, as_role, office
) -> None:
    account = await configure(office, config=MAILBOX)
    sent = await send(office, reference=Reference("reminder", "FV 12/2026"))
    await receive(office, account, write("pytanie", "Auto-Submitted: auto-replied"))
    (line,) = (await client.get("/inbox", headers=as_role("sender"))).json()["data"]
    path, headers = f"/inbox/{line['id']}", as_role("sender")
    shown = await client.post(f"{path}/kind", json={"kind": "human"}, headers=headers)
    assert (shown.status_code, shown.json()["kind"]) == (200, "human")
    assert shown.json()["kind_by"] == "sender"
    shown = await client.post(f"{path}/message", json={"message": sent}, headers=headers)
    assert (shown.json()["message"], shown.json()["verified"]) == (sent, False)
    assert (shown.json()["linked_by"], shown.json()["reference"]["number"]) == (
        "sender", "FV 12/2026",
    )  # fmt: skip
    shown = await client.post(f"{path}/message", json={"message": None}, headers=headers)
    assert (shown.json()["message"], shown.json()["linked_by"]) == (None, None)
    wrong = await client.post(f"{path}/message", json={"message": "none"}, headers=headers)
    assert (wrong.status_code, wrong.json()["code"]) == (422, "message_not_found")
    trail = (await client.get(f"/audit?object=inbox/{line['id']}", headers=as_role("admin"))).json()
    assert [each["action"] for each in trail["data"]] == [
        "inbox.message", "inbox.message", "inbox.kind",
    ]  # fmt: skip
    assert trail["data"][2]["before"] == {"kind": "auto_reply", "kind_by": None}


async def test_what_an_erased_person_wrote_is_gone_and_that_they_wrote_stays(
    client, as_role, office
) -> None:
    account = await configure(office, config=MAILBOX)
    await receive(office, account, write("pytanie"))
    headers = as_role("admin")
    (line,) = (await client.get("/inbox", headers=headers)).json()["data"]
    answer = await client.delete("/recipients/KLIENT@klient.example", headers=headers)
    assert answer.json() == {"messages": 0, "pending": 0, "incoming": 1}
    shown = await client.get(f"/inbox/{line['id']}", headers=headers)
    assert "klient.example" not in shown.text and "pytanie" not in shown.text
    assert (shown.json()["received_at"], shown.json()["kind"]) == (line["received_at"], "human")
    feed = await client.get("/events", headers=headers)
    assert "klient.example" not in feed.text
    body = {"to": "ola@firma.example"}
    for answer in (
        await client.get(f"/inbox/{line['id']}/raw", headers=headers),
        await client.post(f"/inbox/{line['id']}/forward", json=body, headers=headers),
    ):
        assert (answer.status_code, answer.json()["code"]) == (404, "body_erased")
    trail = await client.get("/audit?action=recipient.erase", headers=headers)
    assert trail.json()["data"][0]["after"] == {"messages": 0, "incoming": 1}
