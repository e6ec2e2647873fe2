"""``POST /send``: what is answered, what is stored, and what the configuration adds."""

import base64
from datetime import timedelta

import pytest

from app.outbox.health import note_success
from app.settings import Settings
from tests.doors.sending import (
    LETTER,
    attach,
    configure,
    list_faults,
    parse_mail,
    read_mail,
)

pytestmark = pytest.mark.anyio


@pytest.fixture
async def sender(client, as_role):
    """The header of an ERP's key; a global configuration is stored."""
    await configure(client, as_role("admin"))
    return as_role("sender")


async def test_the_example_of_the_contract_is_accepted(client, sender):
    body = {
        "as_user": "anna", "template": "overdue-reminder", "language": "pl", "level": 2,
        "to": "Klient <ksiegowosc@klient.example>", "cc": [], "bcc": [], "reply_to": None,
        "macros": {"kontrahent": "Klient Sp. z o.o.", "numer": "FV 12/2026"}, "documents": [],
        "attachments": [attach("dane.csv", b"a;b", protect="auto")],
        "attachment_password": "tajne-hasło",
        "notifications": ["OnSuccess", "OnFailure"], "read_receipt": True, "importance": "high",
        "send_at": None, "not_after": None, "smtp_password": None,
        "reference": {"type": "reminder", "number": "FV 12/2026", "customer": "KONTR-0042"},
        "metadata": {}, "dry_run": False,
    }  # fmt: skip
    answer = await client.post("/send", json=body, headers=sender)
    assert answer.status_code == 202, answer.text
    shown = answer.json()
    assert answer.headers["location"] == f"/messages/{shown['id']}"
    assert shown["status"] == "queued"
    assert shown["message_id"].endswith("@firma.example>")
    assert [(each["address"], each["name"], each["kind"], each["state"]) for each in shown["recipients"]] == [
        ("ksiegowosc@klient.example", "Klient", "to", "queued")
    ]  # fmt: skip
    assert shown["resolved"] == {
        "scope": "global",
        "server": "smtp.firma.example:587",
        "template": {"name": "overdue-reminder", "origin": "builtin", "language": "pl"},
    }
    (file,) = shown["attachments"]
    assert (file["filename"], file["protection"]) == ("zalaczniki.zip", "zip_aes256")
    mail = await read_mail(client, sender, shown["id"])
    assert mail["Importance"] == "high"
    assert "<faktury@firma.example>" in mail["Disposition-Notification-To"]
    stored = (await client.get(f"/messages/{shown['id']}", headers=sender)).json()
    assert (stored.pop("attempts"), stored.pop("answer")) == ([], None)
    assert stored == shown


async def test_without_any_configuration_nothing_is_sent(client, as_role):
    answer = await client.post("/send", json=LETTER, headers=as_role("sender"))
    assert answer.status_code == 409
    assert answer.json()["code"] == "no_configuration"


async def test_what_is_wrong_is_said_without_any_configuration_too(client, as_role):
    body = LETTER | {"to": "nobody", "level": 4}
    answer = await client.post("/send", json=body, headers=as_role("sender"))
    assert answer.status_code == 422
    assert list_faults(answer) == [
        ("/level", "out_of_range"),
        ("/to", "invalid_address"),
        ("", "no_configuration"),
    ]


async def test_copies_of_the_configuration_are_added_and_nobody_gets_two(client, as_role, sender):
    await configure(client, as_role("admin"), cc="szef@firma.example", bcc="ARCHIWUM@firma.example")
    body = LETTER | {
        "cc": "Szef <SZEF@firma.example>",
        "bcc": "archiwum@firma.example; x@y.example",
    }
    shown = (await client.post("/send", json=body, headers=sender)).json()
    assert [(each["kind"], each["address"]) for each in shown["recipients"]] == [
        ("to", "ksiegowosc@klient.example"),
        ("cc", "SZEF@firma.example"),
        ("bcc", "archiwum@firma.example"),
        ("bcc", "x@y.example"),
    ]
    mail = await read_mail(client, sender, shown["id"])
    assert mail["Bcc"] is None
    assert b"archiwum" not in mail.as_bytes().lower()


@pytest.mark.parametrize(
    ("given", "addresses"),
    [
        ("a@x.example, b@x.example; c@x.example", ["a@x.example", "b@x.example", "c@x.example"]),
        (["a@x.example", "B <b@x.example>, c@x.example"], ["a@x.example", "b@x.example", "c@x.example"]),
        ([{"address": "a@x.example", "name": "Ą"}], ["a@x.example"]),
        ('"Nowak, Jan" <jan@x.example>', ["jan@x.example"]),
        ("root@serwer.local, x@firma.test", ["root@serwer.local", "x@firma.test"]),
        ("kontakt@żółw.example", ["kontakt@xn--w-uga1v8h.example"]),
    ],
)  # fmt: skip
async def test_addresses_may_be_written_in_many_ways(client, sender, given, addresses):
    answer = await client.post("/send", json=LETTER | {"to": given}, headers=sender)
    assert [each["address"] for each in answer.json()["recipients"]] == addresses


async def test_null_is_the_same_as_absent_everywhere(client, sender):
    nulls = dict.fromkeys(
        ["as_user", "cc", "bcc", "reply_to", "template", "language", "level", "strict_macros",
         "macros", "documents", "attachments", "attachment_password", "notifications",
         "read_receipt", "importance", "send_at", "not_after", "smtp_password", "reference",
         "metadata", "dry_run"]
    )  # fmt: skip
    answer = await client.post("/send", json=LETTER | nulls, headers=sender)
    assert answer.status_code == 202, answer.text


async def test_words_are_taken_in_any_case(client, sender):
    body = LETTER | {"importance": "Very-High", "notifications": ["ONSUCCESS", "delay"]}
    shown = (await client.post("/send", json=body, headers=sender)).json()
    assert (await read_mail(client, sender, shown["id"]))["X-Priority"] == "1"


async def test_reply_to_is_configured_given_or_explicitly_none(client, as_role, sender):
    await configure(client, as_role("admin"), reply_to="biuro@firma.example")
    for given, expected in (
        ({}, "biuro@firma.example"),
        ({"reply_to": "anna@firma.example"}, "anna@firma.example"),
        ({"reply_to": ""}, None),
        ({"reply_to": []}, None),
    ):
        shown = (await client.post("/send", json=LETTER | given, headers=sender)).json()
        assert (await read_mail(client, sender, shown["id"]))["Reply-To"] == expected


async def test_a_dry_run_gives_the_finished_message_and_stores_nothing(client, sender):
    answer = await client.post("/send", json=LETTER | {"dry_run": True}, headers=sender)
    assert answer.status_code == 200
    shown = answer.json()
    mail = parse_mail(base64.b64decode(shown["raw"]))
    assert mail["Subject"] == "FV 12/2026"
    assert shown["text"].strip() == "Dzień dobry"
    assert "location" not in answer.headers
    assert (await client.get("/messages", headers=sender)).json()["data"] == []
    assert (await client.get("/events", headers=sender)).json()["data"] == []


async def test_a_dry_run_tells_what_is_wrong(client, sender):
    body = LETTER | {"dry_run": True, "to": "nobody"}
    answer = await client.post("/send", json=body, headers=sender)
    assert (answer.status_code, list_faults(answer)) == (422, [("/to", "invalid_address")])


async def test_send_at_is_the_date_and_the_message_waits_for_it(client, sender, clock):
    send_at = (clock() + timedelta(hours=5)).replace(microsecond=0)
    body = LETTER | {"send_at": send_at.isoformat()}
    shown = (await client.post("/send", json=body, headers=sender)).json()
    assert shown["status"] == "scheduled"
    assert shown["send_at"] == shown["next_attempt_at"]
    assert (await read_mail(client, sender, shown["id"]))["Date"].datetime == send_at
    clock.advance(hours=6)
    later = (await client.get(f"/messages/{shown['id']}", headers=sender)).json()
    assert later["status"] == "queued"


async def test_a_send_at_in_the_past_means_now(client, sender):
    body = LETTER | {"send_at": "2020-01-01T00:00:00Z"}
    shown = (await client.post("/send", json=body, headers=sender)).json()
    assert (shown["status"], shown["send_at"]) == ("queued", None)


@pytest.mark.parametrize(
    ("asked", "capabilities", "expected"),
    [
        ({"notifications": ["OnSuccess"]}, {"dsn": False}, ["dsn_not_offered"]),
        ({"notifications": ["Never"]}, {"dsn": False}, ["dsn_not_offered"]),
        ({"notifications": ["None"]}, {"dsn": False}, []),
        ({"notifications": ["OnSuccess"]}, {"dsn": True}, []),
        ({}, {"dsn": True, "size": 200}, ["size_over_server_limit"]),
        ({"to": "józef@klient.example"}, {"dsn": True}, ["smtputf8_not_offered"]),
        ({"smtp_password": "x"}, {"dsn": True}, ["smtp_password_ignored"]),
    ],
)
async def test_what_the_server_cannot_do_is_warned_of(
    client, sender, office, asked, capabilities, expected
):
    shown = (await client.post("/send", json=LETTER, headers=sender)).json()
    assert shown["warnings"] == []  # nothing is known of the server yet
    account_id = await office.db.read(
        lambda tx: tx.exec_driver_sql("select id from account").scalar()
    )
    await office.db.write(
        note_success, account_id, at=office.clock(), capabilities=capabilities,
        starttls_seen=None, dsn_refused=None, pipelining_broken=None,
    )  # fmt: skip
    shown = (await client.post("/send", json=LETTER | asked, headers=sender)).json()
    assert [each["code"] for each in shown["warnings"]] == expected
    stored = (await client.get(f"/messages/{shown['id']}", headers=sender)).json()
    assert stored["warnings"] == shown["warnings"]


async def test_a_template_that_is_unknown_is_one_of_the_faults(client, sender):
    body = {"template": "nothing", "to": "x", "language": "!", "send_at": "tomorrow"}
    answer = await client.post("/send", json=body, headers=sender)
    assert answer.status_code == 422
    assert set(list_faults(answer)) == {
        ("/to", "invalid_address"),
        ("/language", "invalid_language"),
        ("/send_at", "invalid_time"),
        ("/template", "template_not_found"),
    }


async def test_a_user_sends_as_themselves_only(client, as_role, sender):
    anna = as_role("anna")
    assert (await client.post("/send", json=LETTER, headers=anna)).json()["user"] == "anna"
    body = LETTER | {"as_user": "anna"}
    assert (await client.post("/send", json=body, headers=anna)).status_code == 202
    body = LETTER | {"as_user": "piotr"}
    answer = await client.post("/send", json=body, headers=anna)
    assert (answer.status_code, answer.json()["code"]) == (403, "other_user")
    answer = await client.post("/send", json=LETTER, headers=as_role("probe"))
    assert answer.status_code == 403


async def test_a_user_id_is_the_same_in_every_normal_form(client, office, as_role, sender):
    body = LETTER | {"as_user": "z\u0301o\u0301ł"}
    assert (await client.post("/send", json=body, headers=sender)).json()["user"] == "źół"


async def test_a_password_that_is_asked_for_has_to_come_along(client, as_role, sender):
    smtp = {"host": "smtp.firma.example", "username": "u", "password_mode": "ask"}
    await configure(client, as_role("admin"), smtp=smtp)
    answer = await client.post("/send", json=LETTER, headers=sender)
    assert list_faults(answer) == [("/smtp_password", "smtp_password_required")]
    body = LETTER | {"smtp_password": "sekret-987"}
    answer = await client.post("/send", json=body, headers=sender)
    assert answer.status_code == 202
    assert "sekret-987" not in answer.text


class TestDelivery:
    """Where delivery is off."""

    @pytest.fixture(name="settings")
    def silent_settings(self, database_url, tmp_path) -> Settings:
        """A copy of the ERP's test database must not mail customers."""
        return Settings(data_dir=tmp_path / "data", database_url=database_url, delivery="off")

    async def test_mail_is_accepted_and_held(self, client, sender):
        shown = (await client.post("/send", json=LETTER, headers=sender)).json()
        assert (shown["status"], shown["delivery"]) == ("held", "off")
        assert shown["recipients"][0]["reason"] == "delivery_off"


class TestLimits:
    """Bounds of one message."""

    @pytest.fixture(name="settings")
    def small_settings(self, database_url, tmp_path) -> Settings:
        """Small bounds keep the tests small."""
        return Settings(
            data_dir=tmp_path / "data", database_url=database_url, max_recipients=3,
            max_attachment_bytes=1000, max_request_bytes=8192, max_rendered_bytes=2000,
        )  # fmt: skip

    async def test_recipients_are_counted_with_the_configured_copies(self, client, as_role, sender):
        to = "a@x.example, b@x.example, c@x.example"
        answer = await client.post("/send", json=LETTER | {"to": to}, headers=sender)
        assert answer.status_code == 202
        await configure(client, as_role("admin"), bcc="archiwum@firma.example")
        answer = await client.post("/send", json=LETTER | {"to": to}, headers=sender)
        assert (answer.status_code, list_faults(answer)) == (422, [("/to", "too_many_recipients")])

    async def test_attachments_over_the_limit_are_413(self, client, sender):
        body = LETTER | {"attachments": [attach("a", b"x" * 600), attach("b", b"x" * 400)]}
        assert (await client.post("/send", json=body, headers=sender)).status_code == 202
        body["attachments"].append(attach("c", b"x"))
        answer = await client.post("/send", json=body, headers=sender)
        assert answer.status_code == 413
        assert list_faults(answer) == [("/attachments", "attachments_too_large")]
        answer = await client.post("/send", json=body | {"level": 4}, headers=sender)
        assert answer.status_code == 422
        found = [("/level", "out_of_range"), ("/attachments", "attachments_too_large")]
        assert list_faults(answer) == found

    async def test_a_request_over_the_limit_is_413(self, client, sender):
        body = LETTER | {"body": "x" * 9000}
        answer = await client.post("/send", json=body, headers=sender)
        assert (answer.status_code, answer.json()["code"]) == (413, "too_large")

    async def test_a_filled_message_over_the_limit_is_422(self, client, sender):
        body = LETTER | {"body": "{x}", "macros": {"x": "x" * 3000}}
        answer = await client.post("/send", json=body, headers=sender)
        assert (answer.status_code, answer.json()["code"]) == (422, "rendered_too_large")


async def test_a_text_over_the_templates_limit_is_422(client, sender):
    body = LETTER | {"body": "x" * 32_768}
    answer = await client.post("/send", json=body, headers=sender)
    assert (answer.status_code, list_faults(answer)) == (422, [("/body", "template_too_large")])
