"""Writing a mail by hand: choose, fill, see, change, attach, send once or save as a draft."""

import re

import pytest

from tests.doors.sending import CONFIG, configure, list_files, read_mail

pytestmark = pytest.mark.anyio
PAGE = "/ui/compose"


class Writer:
    """A browser at the form; ``post`` sends it as a browser does, with the files."""

    def __init__(self, browser) -> None:
        self.browser = browser

    async def open(self, **query) -> str:
        return (await self.browser.get(PAGE, params=query)).text

    async def post(self, action, page=None, files=(), **fields):
        page = page or await self.open()
        hidden = dict(re.findall(r'type="hidden" name="(csrf|once)" value="([^"]*)"', page))
        # A browser sends an empty part where no file is chosen.
        parts = [("files", each) for each in files] or [("files", ("", b""))]
        data = {**hidden, **{name.replace("m_", "m-"): value for name, value in fields.items()}}
        return await self.browser.post(f"{PAGE}/{action}", data=data, files=parts)


@pytest.fixture
async def writer(client, as_role, signed_in):
    """An administrator who writes; a common configuration is stored."""
    await configure(client, as_role("admin"))
    return Writer(await signed_in("admin"))


@pytest.fixture
def list_sent(client, as_role):
    """Return what lists all messages, as the API shows them."""

    async def list_all():
        return (await client.get("/messages", headers=as_role("admin"))).json()["data"]

    return list_all


LETTER = {"to": "Klient <k@klient.example>", "subject": "Dzień dobry", "body": "Treść"}
REMINDER = {"to": "k@klient.example", "template": "document", "language": "pl", "m_numer": "FV 1"}


async def test_a_letter_without_a_template_is_sent(writer, list_sent):
    answer = await writer.post("send", **LETTER)
    (sent,) = await list_sent()
    assert answer.headers["location"] == f"/ui/messages/{sent['id']}"
    assert (sent["subject"], sent["recipients"][0]["name"]) == ("Dzień dobry", "Klient")
    assert "Accepted: see what becomes of it." in (await writer.browser.get("/ui/messages")).text


async def test_a_template_asks_for_its_values(writer):
    page = await writer.open(template="document", language="pl")
    assert 'name="m-numer"' in page and 'name="m-z dnia"' in page
    assert 'type="date" id="f-m-z dnia"' in page
    assert 'name="subject"' not in page
    assert 'name="documents"' in await writer.open(template="documents")


async def test_a_template_that_was_not_changed_is_sent_as_itself(writer, list_sent):
    answer = await writer.post("send", **REMINDER, **{"m-z dnia": "2026-10-31"})
    assert answer.status_code == 303, answer.text
    (sent,) = await list_sent()
    assert sent["resolved"]["template"] == {
        "name": "document",
        "origin": "builtin",
        "language": "pl",
    }
    assert "FV 1" in sent["subject"]


async def test_it_is_seen_in_a_frame_before_it_is_sent(writer, list_sent):
    shown = await writer.post("preview", **REMINDER, **{"m-z dnia": "2026-10-31"})
    assert "FV 1" in shown.text and "31.10.2026" in shown.text
    assert shown.headers["content-security-policy"].startswith("sandbox;")
    text = await writer.post("preview", **REMINDER, view="text")
    assert "<pre>" in text.text
    assert await list_sent() == []


async def test_what_misses_is_said_at_its_field_and_in_the_preview(writer, client, as_role):
    body = {"subject": "{umowa}", "body": "{umowa} {data od}"}
    await client.put(
        "/config/global/templates/own?language=pl", json=body, headers=as_role("admin")
    )
    fields = {"to": "nikt", "template": "own", "language": "pl"}
    answer = await writer.post("send", **fields)
    assert answer.status_code == 422
    for name in ("to", "m-umowa", "m-data od"):
        assert f'id="e-{name}"' in answer.text, name
    shown = await writer.post("preview", **fields)
    assert shown.status_code == 422 and "{umowa} has no value." in shown.text


async def test_the_filled_text_is_changed_by_hand(writer, client, as_role, list_sent):
    body = {"subject": "Nr {numer}", "body": "Dokument {numer}"}
    await client.put(
        "/config/global/templates/own?language=pl", json=body, headers=as_role("admin")
    )
    fields = {"to": "k@klient.example", "template": "own", "language": "pl", "m_numer": "FV 1"}
    page = (await writer.post("change", **fields)).text
    assert 'name="changed" value="on"' in page
    assert 'value="Nr FV 1"' in page and "Dokument FV 1</textarea>" in page
    await writer.post(
        "send", page, **fields, changed="on", subject="Nr FV 1", body="Dokument FV 1, dziękuję"
    )
    (sent,) = await list_sent()
    mail = await read_mail(client, as_role("admin"), sent["id"])
    assert mail.get_content().strip() == "Dokument FV 1, dziękuję"
    assert 'name="changed"' not in (await writer.post("again", **fields, changed="on")).text


async def test_a_signature_is_not_put_into_what_is_changed_by_hand(writer, client, as_role):
    person = {"name": "Anna", "signature": {"text": "Z poważaniem, Anna"}}
    await client.put("/users/anna", json=person, headers=as_role("admin"))
    fields = {"user": "anna", "to": "k@firma.example", "subject": "S", "body": "Treść"}
    changed = await writer.post("change", **fields)
    assert "Treść</textarea>" in changed.text and "Z poważaniem" not in changed.text
    seen = await writer.post("preview", **fields)
    assert seen.text.count("Z poważaniem, Anna") == 1


async def test_files_go_along_protected_with_the_password(writer, client, as_role, list_sent):
    files = [("FV ąę.csv", b"a;b", "text/csv"), ("b.txt", b"B", "text/plain")]
    await writer.post("send", **LETTER, files=files)
    await writer.post("send", **LETTER, files=files[:1], attachment_password="tajne-hasło")
    locked, plain = await list_sent()
    mail = await read_mail(client, as_role("admin"), plain["id"])
    assert list_files(mail) == {"FV ąę.csv": "a;b", "b.txt": "B"}
    assert [each["protection"] for each in locked["attachments"]] == ["zip_aes256"]


async def test_a_password_is_never_written_into_a_page(writer):
    answer = await writer.post("send", **LETTER | {"to": ""}, attachment_password="tajne-hasło")
    assert answer.status_code == 422 and "tajne-hasło" not in answer.text


async def test_files_that_are_too_large_are_refused_at_their_field(writer, office, monkeypatch):
    monkeypatch.setattr(type(office.settings), "max_attachment_bytes", 10, raising=False)
    object.__setattr__(office.settings, "max_attachment_bytes", 10)
    answer = await writer.post("send", **LETTER, files=[("a.bin", b"x" * 11, "image/png")])
    assert answer.status_code == 413 and 'id="e-files"' in answer.text


async def test_pressing_send_twice_sends_once(writer, list_sent):
    page = await writer.open()
    answers = [await writer.post("send", page, **LETTER) for _ in range(2)]
    assert len({each.headers["location"] for each in answers}) == 1
    assert len(await list_sent()) == 1


async def test_another_letter_from_the_same_page_asks_first(writer, list_sent):
    page = await writer.open()
    await writer.post("send", page, **LETTER)
    answer = await writer.post("send", page, **LETTER | {"to": "b@klient.example"})
    assert answer.status_code == 422 and "was sent already. Send it anyway?" in answer.text
    again = await writer.post("send", answer.text, **LETTER | {"to": "b@klient.example"})
    assert again.status_code == 303
    assert len(await list_sent()) == 2


async def test_a_draft_is_kept_for_a_mail_program(writer, client, as_role, list_sent):
    answer = await writer.post("draft", **LETTER, bcc="ukryty@klient.example")
    (sent,) = await list_sent()
    assert sent["status"] == "draft"
    assert (
        "Open the draft in your mail program"
        in (await writer.browser.get(answer.headers["location"])).text
    )
    mail = await read_mail(client, as_role("admin"), sent["id"])
    assert mail["X-Unsent"] == "1" and mail["Bcc"] and not mail["Message-ID"]


async def test_it_goes_out_later_by_the_viewers_clock(writer, list_sent):
    writer.browser.cookies.set("awizo_zone", "Europe/Warsaw")
    answer = await writer.post("send", **LETTER, send_at="2027-01-15T08:00")
    assert answer.status_code == 303, answer.text
    (sent,) = await list_sent()
    assert (sent["status"], sent["send_at"]) == ("scheduled", "2027-01-15T07:00:00.000Z")


async def test_a_user_sends_as_themselves_only(writer, signed_in, list_sent):
    anna = Writer(await signed_in("anna"))
    assert (await anna.post("send", **LETTER, user="piotr")).status_code == 403
    assert (await anna.post("send", **LETTER)).status_code == 303
    assert [each["user"] for each in await list_sent()] == ["anna"]


async def test_a_configuration_without_a_stored_password_asks_for_it(writer, client, as_role):
    smtp = CONFIG["smtp"] | {"username": "faktury", "password_mode": "ask"}
    await configure(client, as_role("admin"), smtp=smtp)
    answer = await writer.post("send", **LETTER)
    assert answer.status_code == 422 and 'id="e-smtp_password"' in answer.text
    assert (await writer.post("send", **LETTER, smtp_password="haslo")).status_code == 303


async def test_without_a_configuration_it_says_so(signed_in):
    writer = Writer(await signed_in("admin"))
    assert "no mail configuration is stored" in await writer.open()
    assert (await writer.post("send", **LETTER)).status_code == 409


@pytest.mark.parametrize("action", ["send", "draft", "change", "preview", "again"])
async def test_nothing_is_done_without_the_pages_token(writer, action, list_sent):
    answer = await writer.post(action, 'type="hidden" name="csrf" value="x"', **LETTER)
    assert answer.status_code == 403
    assert await list_sent() == []


@pytest.mark.parametrize(
    ("content", "media_type"),
    [
        (b"x", "multipart/form-data; boundary=b"),
        (b"", "text/plain"),
        (b"--b\r\n\r\n", "multipart/form-data"),
    ],
)
async def test_what_is_no_form_is_refused(writer, content, media_type):
    answer = await writer.browser.post(
        f"{PAGE}/send", content=content, headers={"Content-Type": media_type}
    )
    assert answer.status_code in (400, 415)


async def test_the_account_and_from_are_chosen_among_those_that_may_be_used(
    writer, signed_in, client, as_role, list_sent
):
    headers = as_role("admin")
    own = {
        "name": "Windykacja",
        "sender": {"address": "windykacja@firma.example"},
        "senders": "naleznosci@firma.example",
    }
    account = (await client.post("/accounts", json=own, headers=headers)).json()["id"]
    page = await writer.open(account=account)
    assert f'<option value="{account}" selected>Windykacja' in page
    assert '<option value="naleznosci@firma.example">' in page
    answer = await writer.post("send", **LETTER, account=account, sender="naleznosci@firma.example")
    assert answer.status_code == 303, answer.text
    (sent,) = await list_sent()
    mail = await read_mail(client, headers, sent["id"])
    assert "naleznosci@firma.example" in mail["From"]
    answer = await writer.post("send", **LETTER, account=account, sender="obcy@firma.example")
    assert answer.status_code == 403 and 'id="e-sender"' in answer.text
    anna = Writer(await signed_in("anna"))
    assert account not in await anna.open()
    answer = await anna.post("send", **LETTER, account=account)
    assert answer.status_code == 403 and len(await list_sent()) == 1
    right = {"send": True, "until": "2099-01-01T00:00:00Z"}
    await client.put(f"/accounts/{account}/rights/anna", json=right, headers=headers)
    assert f'<option value="{account}">Windykacja' in await anna.open()
    assert (await anna.post("send", **LETTER, account=account)).status_code == 303
