"""The list of messages and one message: who sees what, what is found, and what can be done."""

import re
from typing import Any

import pytest
from sqlalchemy import select, update

from app.outbox.event_types import EVENT_TYPES
from app.outbox.tables import message, recipient
from app.web.screens.messages_words import EVENTS
from tests.doors.sending import CONFIG, attach, configure

pytestmark = pytest.mark.anyio
LIST = "/ui/messages"


@pytest.fixture
async def send(client, as_role):
    """Return what sends a message as the ERP does, and gives its id."""
    await configure(client, as_role("admin"), bcc="archiwum@firma.example")

    async def send_one(to="Klient <ksiegowosc@klient.example>", **members: Any) -> str:
        body = {"to": to, "subject": "FV 12/2026", "body": "Dzień dobry"} | members
        answer = await client.post("/send", json=body, headers=as_role("sender"))
        assert answer.status_code in (201, 202), answer.text
        return answer.json()["id"]

    return send_one


async def let(office, message_id: str, state: str, reason: str | None = None) -> None:
    """Let the recipients of a message be in a state, as a worker would leave them."""

    def change(tx):
        tx.execute(
            update(recipient)
            .where(recipient.c.message_id == message_id)
            .values(state=state, reason=reason, due_at=None)
        )
        tx.execute(
            update(message).where(message.c.id == message_id).values(status=state, due_at=None)
        )

    await office.db.write(change)


async def read_state(office, message_id: str) -> str:
    query = select(message.c.status).where(message.c.id == message_id)
    return await office.db.read(lambda tx: tx.scalar(query))


async def test_without_mail_the_list_says_what_to_do(signed_in):
    answer = await (await signed_in("admin")).get(LIST)
    assert "No mail yet." in answer.text and 'href="/ui/compose"' in answer.text


@pytest.mark.parametrize(
    ("query", "found"),
    [
        ({"q": "to:jan@klient.example"}, ["Umowa"]),
        ({"q": "ref:FV 7/2026 status:queued"}, ["Faktura"]),
        ({"q": "UMOW"}, ["Umowa"]),
        ({"q": "user:anna"}, ["Umowa"]),
        ({"user": "anna"}, ["Umowa"]),
        ({"status": "waiting"}, ["Umowa", "Faktura"]),
        ({"status": "failed"}, []),
        ({"since": "2020-01-01", "until": "2020-12-31"}, []),
        ({"since": "2020-01-01"}, ["Umowa", "Faktura"]),
    ],
)
async def test_messages_are_found(signed_in, send, query, found):
    await send(subject="Faktura", reference={"number": "FV 7/2026"})
    await send("jan@klient.example", subject="Umowa", as_user="anna")
    answer = await (await signed_in("sender")).get(LIST, params=query)
    assert answer.status_code == 200
    assert re.findall(r'<a href="/ui/messages/\w{26}">([^<]+)', answer.text) == found


@pytest.mark.parametrize(
    ("query", "said"),
    [
        ({"q": "to:nobody"}, "write a whole mail address"),
        ({"q": "status:gone"}, "write one of these words: attention"),
        ({"since": "yesterday"}, "Write the day as year-month-day"),
    ],
)
async def test_what_is_not_understood_is_said_at_its_field(signed_in, query, said):
    answer = await (await signed_in("admin")).get(LIST, params=query)
    assert answer.status_code == 422
    name, value = next(iter(query.items()))
    assert (
        said in answer.text
        and f'id="e-{name}"' in answer.text
        and f'value="{value}"' in answer.text
    )


async def test_a_long_list_has_pages_that_keep_the_search(signed_in, send, monkeypatch):
    monkeypatch.setattr("app.web.screens.messages.PAGE", 2)
    for number in range(3):
        await send(subject=f"Faktura {number}")
    browser = await signed_in("admin")
    first = (await browser.get(LIST, params={"q": "Faktura"})).text
    older = re.search(r'href="([^"]+)" rel="next"', first)[1].replace("&amp;", "&")
    assert "Faktura 2" in first and "Faktura 0" not in first
    second = (await browser.get(older)).text
    assert "Faktura 0" in second and "Faktura 1" not in second and 'rel="next"' not in second


async def test_a_user_sees_own_mail_only_and_no_hidden_recipient(signed_in, send):
    own, other = await send(as_user="anna"), await send(as_user="piotr")
    anna = await signed_in("anna")
    assert own in (await anna.get(LIST)).text and other not in (await anna.get(LIST)).text
    shown = (await anna.get(f"{LIST}/{own}")).text
    assert "ksiegowosc@klient.example" in shown and "archiwum@firma.example" not in shown
    for path in ("", "/progress", "/raw", "/content/html", "/files/0"):
        browser = anna
        browser.headers["HX-Request"] = "true"
        assert (await browser.get(f"{LIST}/{other}{path}")).status_code == 404, path
    del anna.headers["HX-Request"]
    assert (await anna.submit(LIST, f"{LIST}/{other}/cancel")).status_code == 404
    sender = await signed_in("sender")
    assert "archiwum@firma.example" in (await sender.get(f"{LIST}/{own}")).text


@pytest.mark.parametrize(
    ("language", "state", "reason"),
    [
        ("en", "Failed", "The server refused this recipient."),
        ("pl", "Nie dostarczono", "Serwer nie przyjął tego odbiorcy."),
        ("fr", "Échec", "Le serveur a refusé ce destinataire."),
    ],
)
async def test_what_became_of_it_is_said_in_plain_words(
    signed_in, send, office, language, state, reason
):
    sent = await send()
    await let(office, sent, "failed", "recipient_refused")
    shown = await (await signed_in("admin")).get(f"{LIST}/{sent}", params={"lang": language})
    assert state in shown.text and reason in shown.text
    assert "recipient_refused" not in shown.text


async def test_the_html_is_shown_in_a_frame_that_can_do_nothing(signed_in, send):
    logo = attach("logo.png", b"\x89PNG", content_type="image/png", content_id="logo@x")
    body = '<html><body><script>x()</script><img src="cid:logo@x"><img src="https://x.example/i"></body></html>'
    sent = await send(body=body, attachments=[logo])
    browser = await signed_in("admin")
    page = (await browser.get(f"{LIST}/{sent}")).text
    assert f'sandbox src="{LIST}/{sent}/content/html"' in page and "<script>x()" not in page
    frame = await browser.get(f"{LIST}/{sent}/content/html")
    policy = frame.headers["content-security-policy"]
    assert policy.startswith("sandbox;") and "default-src 'none'" in policy
    assert "img-src data:;" in policy and "script-src" not in policy
    assert 'src="data:image/png;base64,iVBORw=="' in frame.text
    text = await browser.get(f"{LIST}/{sent}/content/text")
    assert "sandbox" in text.headers["content-security-policy"]


async def test_a_text_cannot_become_html_in_its_frame(signed_in, send):
    sent = await send(body="<script>alert(1)</script> & co")
    for view in ("html", "text"):
        frame = await (await signed_in("admin")).get(f"{LIST}/{sent}/content/{view}")
        assert "&lt;script&gt;alert(1)&lt;/script&gt; &amp; co" in frame.text


async def test_attachments_are_given_as_they_are_sent(signed_in, send):
    files = [attach("FV ąę.csv", b"a;b"), attach("dane.csv", b"1"), attach("dane.csv", b"2")]
    sent = await send(attachments=files)
    browser = await signed_in("admin")
    assert "FV ąę.csv" in (await browser.get(f"{LIST}/{sent}")).text
    given = [await browser.get(f"{LIST}/{sent}/files/{number}") for number in range(3)]
    assert [each.content for each in given] == [b"a;b", b"1", b"2"]
    assert given[0].headers["content-disposition"].startswith("attachment; filename*=UTF-8''FV%20")
    assert (await browser.get(f"{LIST}/{sent}/files/3")).status_code == 404
    locked = await send(attachments=files, attachment_password="tajne-hasło")
    shown = await browser.get(f"{LIST}/{locked}")
    assert "zalaczniki.zip" in shown.text and "ZIP with a password" in shown.text
    assert (await browser.get(f"{LIST}/{locked}/files/0")).content.startswith(b"PK")


async def test_the_whole_message_is_given_byte_for_byte(signed_in, send, client, as_role):
    sent = await send()
    raw = await (await signed_in("admin")).get(f"{LIST}/{sent}/raw")
    asked = await client.get(f"/messages/{sent}/raw", headers=as_role("admin"))
    assert raw.content == asked.content
    assert raw.headers["content-type"] == "message/rfc822"


@pytest.mark.parametrize(
    ("state", "verb", "becomes"),
    [
        ("failed", "retry", "queued"),
        ("held", "release", "queued"),
        ("held", "cancel", "cancelled"),
        ("sent", "cancel", "sent"),
        ("sent", "retry", "sent"),
    ],
)
async def test_a_message_is_moved_by_hand_or_it_says_why_not(
    signed_in, send, office, state, verb, becomes
):
    sent = await send()
    await let(office, sent, state)
    browser = await signed_in("admin")
    answer = await browser.submit(LIST, f"{LIST}/{sent}/{verb}")
    assert await read_state(office, sent) == becomes
    if becomes == state:
        assert answer.status_code == 409 and 'role="alert"' in answer.text
    else:
        assert answer.headers["location"] == f"{LIST}/{sent}"


async def test_sending_anew_makes_another_message(signed_in, send, office):
    sent = await send()
    await let(office, sent, "sent")
    browser = await signed_in("admin")
    answer = await browser.submit(LIST, f"{LIST}/{sent}/resend")
    new = answer.headers["location"]
    assert new != f"{LIST}/{sent}"
    assert sent in (await browser.get(new)).text


async def test_a_release_asks_for_the_password_that_nobody_stored(
    signed_in, send, office, client, as_role
):
    smtp = CONFIG["smtp"] | {"username": "faktury", "password_mode": "ask"}
    await configure(client, as_role("admin"), smtp=smtp)
    sent = await send(smtp_password="pierwsze")
    await let(office, sent, "held", "password_refused")
    browser = await signed_in("admin")
    answer = await browser.submit(LIST, f"{LIST}/{sent}/release")
    assert answer.status_code == 422 and 'aria-describedby="e-smtp_password' in answer.text
    answer = await browser.submit(LIST, f"{LIST}/{sent}/release", smtp_password="nowe")
    assert answer.status_code == 303
    assert await read_state(office, sent) == "queued"


async def test_several_are_moved_at_once_and_it_says_which_could_not(signed_in, send, office):
    ids = [await send() for _ in range(3)]
    for each in ids[:2]:
        await let(office, each, "failed")
    await let(office, ids[2], "sent")
    browser = await signed_in("admin")
    answer = await browser.submit(LIST, f"{LIST}/do", do="retry", id=ids, query="status=failed")
    assert answer.headers["location"] == f"{LIST}?status=failed"
    shown = (await browser.get(LIST)).text
    assert "Done for 2 messages." in shown and "1 ×: There is nothing to retry" in shown
    assert [await read_state(office, each) for each in ids] == ["queued", "queued", "sent"]


async def test_nothing_ticked_is_said(signed_in, send):
    await send()
    browser = await signed_in("admin")
    await browser.submit(LIST, f"{LIST}/do", do="cancel")
    assert "Tick the messages first." in (await browser.get(LIST)).text


async def test_the_part_that_changes_asks_again_only_while_something_moves(signed_in, send, office):
    sent = await send()
    browser = await signed_in("admin")
    browser.headers["HX-Request"] = "true"
    part = (await browser.get(f"{LIST}/{sent}/progress")).text
    assert 'hx-trigger="every 2s"' in part and "<html" not in part
    await let(office, sent, "sent")
    assert "hx-trigger" not in (await browser.get(f"{LIST}/{sent}/progress")).text


async def test_a_change_without_the_pages_token_is_refused(signed_in, send, office):
    sent = await send()
    browser = await signed_in("admin")
    assert (await browser.post(f"{LIST}/{sent}/cancel", data={"csrf": "x"})).status_code == 403
    assert await read_state(office, sent) == "queued"


def test_every_event_of_a_message_has_words():
    types = {*EVENT_TYPES["message"], *EVENT_TYPES["recipient"]}
    assert types - set(EVENTS) == set()
