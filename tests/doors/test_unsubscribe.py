"""Unsubscribing: what mail carries, and where its link leads."""

import re

import pytest
from sqlalchemy import update

from app.outbox.tables import recipient
from tests.doors.sending import LETTER, configure, read_mail

pytestmark = pytest.mark.anyio

PUBLIC = "https://awizo.firma.example"
WHO = "szef@klient.example"
ONE_CLICK = {"List-Unsubscribe": "One-Click"}
HTML = "<html><body><p>Dzień dobry</p></body></html>"


@pytest.fixture
def settings(settings):
    return settings.model_copy(update={"public_url": PUBLIC})


@pytest.fixture
async def admin(client, as_role):
    """The admin's header; a configuration that lets its receivers unsubscribe is stored."""
    await configure(client, as_role("admin"), unsubscribe={"enabled": True})
    return as_role("admin")


async def send(client, headers, **members):
    letter = LETTER | {"to": WHO, "body": HTML} | members
    answer = await client.post("/send", json=letter, headers=headers)
    assert answer.status_code == 202, answer.text
    tried = update(recipient).where(recipient.c.message_id == answer.json()["id"])
    office = client._transport.app.state.office
    await office.db.write(lambda tx: tx.execute(tried.values(attempts=1)) and None)
    return answer.json(), await read_mail(client, headers, answer.json()["id"])


def read_path(mail):
    """Return the path of a mail's link: the same in the header, the HTML and the text."""
    (link,) = re.findall(rf"<{PUBLIC}(/unsubscribe/[^>]+)>", mail["List-Unsubscribe"])
    html = mail.get_body(("html",))
    if html is not None:
        assert f'href="{PUBLIC}{link}"' in html.get_content()
    assert f": {PUBLIC}{link}" in mail.get_body(("plain",)).get_content()
    return link


async def list_suppressed(client, headers):
    data = (await client.get("/suppressions", headers=headers)).json()["data"]
    return [(each["address"], each["scope"], each["reason"]) for each in data]


async def test_a_mail_to_one_has_the_line_the_link_and_one_click(client, admin):
    _, mail = await send(client, admin, language="fr")
    read_path(mail)
    assert mail["List-Unsubscribe-Post"] == "List-Unsubscribe=One-Click"
    html = mail.get_body(("html",)).get_content()
    assert html.rstrip().endswith("Ne plus recevoir ces messages</a></p></body></html>")
    assert "Ne plus recevoir ces messages: " in mail.get_body(("plain",)).get_content()


async def test_the_line_is_the_configurations_and_mail_is_a_way_too(client, admin):
    wish = {"enabled": True, "text": {"pl": 'Koniec & "kropka"'}, "mailto": "koniec@firma.example"}
    await configure(client, admin, unsubscribe=wish)
    _, mail = await send(client, admin)
    assert "Koniec &amp; &quot;kropka&quot;</a>" in mail.get_body(("html",)).get_content()
    token = read_path(mail).rpartition("/")[2]
    assert f"<mailto:koniec@firma.example?subject=unsubscribe%20{token}>" in (
        mail["List-Unsubscribe"].replace("\n", "")
    )


async def test_one_click_suppresses_in_the_scope_of_the_message_however_often(client, admin):
    await configure(client, admin, "users/anna")
    sent, mail = await send(client, admin, as_user="anna")
    path = read_path(mail)
    assert (await client.get(path)).status_code == 200
    assert await list_suppressed(client, admin) == []  # following the link changes nothing
    for _ in range(2):
        assert (await client.post(path, data=ONE_CLICK)).status_code == 200
    assert await list_suppressed(client, admin) == [(WHO, "users/anna", "unsubscribed")]
    stopped = (await client.get(f"/messages/{sent['id']}", headers=admin)).json()
    assert stopped["recipients"][0]["reason"] == "unsubscribed"
    again, _ = await send(client, admin, as_user="anna")
    other, _ = await send(client, admin)
    assert (again["status"], other["status"]) == ("suppressed", "queued")
    (row,) = (await client.get("/suppressions", headers=admin)).json()["data"]
    assert (row["made_by"], row["message_id"]) == ("recipient", sent["id"])


async def test_one_click_comes_as_a_multipart_form_too(client, admin):
    _, mail = await send(client, admin)
    form = {"List-Unsubscribe": (None, "One-Click")}
    assert (await client.post(read_path(mail), files=form)).status_code == 200
    assert await list_suppressed(client, admin) == [(WHO, "global", "unsubscribed")]


async def test_the_page_speaks_the_visitors_language_and_can_do_nothing_else(client, admin):
    _, mail = await send(client, admin)
    path = read_path(mail)
    for asked, language in (
        ("fr-CH, en;q=0.8", "fr"), ("de, en;q=0.5, pl;q=0.4", "en"), ("de", "pl"), ("", "pl"),
        ("en;q=x, fr;q=0.1", "fr"),
    ):  # fmt: skip
        page = await client.get(path, headers={"Accept-Language": asked})
        assert f'<html lang="{language}">' in page.text
    policy = page.headers["content-security-policy"]
    assert policy.startswith("default-src 'none'; style-src 'sha256-")
    assert "frame-ancestors 'none'" in policy
    assert page.headers["referrer-policy"] == "no-referrer"
    assert "set-cookie" not in page.headers
    assert WHO not in page.text
    assert "s…@klient.example" in page.text


async def test_who_pressed_by_mistake_takes_it_back(client, admin):
    _, mail = await send(client, admin)
    path = read_path(mail)
    left = await client.post(path, data={"do": "leave"})
    assert 'value="undo"' in left.text
    assert 'value="undo"' in (await client.get(path)).text
    assert (await client.post(path, data={"do": "undo"})).status_code == 200
    assert (await client.post(path, data={"do": "undo"})).status_code == 200
    assert await list_suppressed(client, admin) == []
    trail = (await client.get("/audit?actor=recipient", headers=admin)).json()["data"]
    assert [each["action"] for each in trail] == ["suppression.delete", "suppression.create"]
    body = {"address": WHO}
    assert (await client.post("/suppressions", json=body, headers=admin)).status_code == 201
    await client.post(path, data={"do": "undo"})  # what others entered stays
    assert await list_suppressed(client, admin) == [(WHO, "global", "manual")]


async def test_a_link_of_several_asks_who_it_is_and_tells_nobody(client, admin):
    _, mail = await send(client, admin, to=[WHO, "inny@klient.example"])
    assert mail["List-Unsubscribe-Post"] is None  # one click cannot say who
    path = read_path(mail)
    page = await client.get(path)
    assert 'name="address"' in page.text
    assert "klient.example" not in page.text
    assert (await client.post(path, data=ONE_CLICK)).status_code == 422
    said = {
        (await client.post(path, data={"do": "leave", "address": address})).text
        for address in ("INNY@klient.example", "obcy@klient.example")
    }
    assert len(said) == 1
    assert await list_suppressed(client, admin) == [
        ("inny@klient.example", "global", "unsubscribed")
    ]


async def test_a_link_that_is_not_ours_leads_nowhere_whatever_it_names(client, admin, clock):
    sent, mail = await send(client, admin)
    path = read_path(mail)
    message_id, number, signature = path.rpartition("/")[2].split(".")
    forged = [
        f"{message_id}.1.{signature}", f"{message_id}.all.{signature}", f"{message_id}.{number}.",
        f"{message_id}.{number}.{signature[:4]}{'a' * 16}", "x", "%00.0.x", "é.é.é",
        f"{sent['id'][::-1]}.0.{signature}",
    ]  # fmt: skip
    answers = [await client.get(f"/unsubscribe/{each}") for each in forged]
    answers += [await client.post(f"/unsubscribe/{each}", data=ONE_CLICK) for each in forged]
    assert {answer.status_code for answer in answers} == {404}
    assert len({answer.text for answer in answers}) <= 2  # ours, and the one of no path at all
    assert await list_suppressed(client, admin) == []
    for content in (b"\xff=1", b"a" * 9000, b"more=1"):
        headers = {"Content-Type": "application/x-www-form-urlencoded"}
        assert (await client.post(path, content=content, headers=headers)).status_code in (400, 422)
    codes = [(await client.post(path, data=ONE_CLICK)).status_code for _ in range(31)]
    assert set(codes[:30]) == {200}
    assert codes[30] in (200, 429)  # a new minute may have begun


async def test_an_erased_person_has_no_link_any_more(client, admin):
    _, mail = await send(client, admin)
    await client.delete(f"/recipients/{WHO}", headers=admin)
    assert (await client.get(read_path(mail))).status_code == 404


async def test_reminders_and_drafts_have_no_line_unless_it_is_wished(client, admin):
    reminder = {"template": "overdue-reminder", "to": WHO, "macros": {"numer": "1", "z dnia": "x"}}
    wanted = {"enabled": True, "reminders": True}
    for wish, has_line in (({"enabled": True}, False), (wanted, True), ({}, False)):
        await configure(client, admin, unsubscribe=wish)
        for letter in (reminder, LETTER | {"reference": {"type": "reminder"}}):
            answer = await client.post("/send", json=letter, headers=admin)
            assert answer.status_code == 202, answer.text
            mail = await read_mail(client, admin, answer.json()["id"])
            assert (mail["List-Unsubscribe"] is not None) == has_line
    await configure(client, admin, "users/anna", mode="draft", unsubscribe={"enabled": True})
    drafted = await client.post("/send", json=LETTER | {"as_user": "anna"}, headers=admin)
    assert drafted.status_code == 201
    mail = await read_mail(client, admin, drafted.json()["id"])
    assert mail["List-Unsubscribe"] is None


async def test_the_wish_is_inherited_and_its_origin_shown(client, admin):
    shown = (await client.get("/config/effective?user=anna", headers=admin)).json()
    assert shown["unsubscribe"] == {"value": {"enabled": True}, "origin": "global"}
    assert shown["suppress_hard_bounces"] == {"value": False, "origin": "default"}


class TestWithoutPublicUrl:
    """An installation that does not know under which name it is reached."""

    @pytest.fixture
    def settings(self, settings):
        return settings.model_copy(update={"public_url": None})

    async def test_mail_goes_without_a_line_and_says_what_to_do(self, client, admin):
        sent, mail = await send(client, admin)
        assert mail["List-Unsubscribe"] is None
        assert [each["code"] for each in sent["warnings"]] == ["public_url_missing"]


class TestWithPlainHttp:
    """One click is for https only (RFC 8058 §3.1)."""

    @pytest.fixture
    def settings(self, settings):
        return settings.model_copy(update={"public_url": "http://awizo.firma.example"})

    async def test_there_is_a_link_but_no_one_click(self, client, admin):
        _, mail = await send(client, admin)
        assert mail["List-Unsubscribe"].startswith("<http://awizo.firma.example/unsubscribe/")
        assert mail["List-Unsubscribe-Post"] is None


async def test_who_wrote_a_mail_cannot_use_its_link_before_it_went_out(client, admin):
    letter = LETTER | {"to": WHO, "body": HTML}
    answer = await client.post("/send", json=letter, headers=admin)
    path = read_path(await read_mail(client, admin, answer.json()["id"]))
    assert (await client.post(path, data=ONE_CLICK)).status_code == 404
    assert await list_suppressed(client, admin) == []
