"""The configuration page: saved, refused with every fault at its field, switched, revealed."""

import re

import pytest
from selectolax.lexbor import LexborHTMLParser

pytestmark = pytest.mark.anyio
GLOBAL = "/ui/config/global"
ANNA = "/ui/config/users/anna"
FORM = {
    "smtp.host": "smtp.firma.example", "smtp.connection": "starttls", "smtp.port": "",
    "smtp.auth": "auto", "smtp.username": "faktury", "smtp.password": "tajne hasło",
    "smtp.password_mode": "stored", "smtp.tls_verify": "on", "sender.address": "faktury@firma.example",
    "sender.name": "Firma \"Ąę\" Sp. z o.o.", "bcc": "archiwum@firma.example; Szef <szef@firma.example>",
    "notifications": "some", "notify.OnFailure": "on", "notify.Delay": "on", "importance": "high",
    "language": "pl", "macros": "firma = Firma Sp. z o.o.\nmiasto=Łódź",
}  # fmt: skip


async def read(client, as_role, scope="global"):
    answer = await client.get(f"/config/{scope}", headers=as_role("admin"))
    return answer.json() if answer.status_code == 200 else None


def find_value(html, name):
    field = re.search(rf'<input[^>]*name="{re.escape(name)}"[^>]*>', html)
    return re.search(r'value="([^"]*)"', field[0])[1]


async def test_what_the_form_says_is_what_the_api_shows(signed_in, client, as_role):
    browser = await signed_in("admin")
    answer = await browser.submit(GLOBAL, GLOBAL, **FORM)
    assert answer.headers["location"] == GLOBAL
    shown = await read(client, as_role)
    assert shown["smtp"]["host"] == "smtp.firma.example" and "port" not in shown["smtp"]
    assert shown["smtp"]["effective_port"] == 587 and shown["smtp"]["password_set"] is True
    assert shown["sender"] == {"address": "faktury@firma.example", "name": 'Firma "Ąę" Sp. z o.o.'}
    assert [each["address"] for each in shown["bcc"]] == [
        "archiwum@firma.example",
        "szef@firma.example",
    ]
    assert shown["notifications"] == ["OnFailure", "Delay"]
    assert shown["macros"] == {"firma": "Firma Sp. z o.o.", "miasto": "Łódź"}
    assert "Saved." in (await browser.get(GLOBAL)).text


async def test_saving_what_is_shown_changes_nothing(signed_in, client, as_role):
    given = {
        "mode": "smtp",
        "smtp": {"host": "smtp.firma.example", "port": 2525, "connection": "plaintext",
                 "timeout_ms": 5000, "username": "u", "auth": "none",
                 "password_encoding": "ascii", "batch_limit": 12, "batch_wait_s": 15.5,
                 "tls_verify": False},
        "sender": {"address": "a@firma.example", "name": "A, B", "return_path": "odbicia@firma.example"},
        "reply_to": ["r@firma.example"], "cc": [], "bcc": '"K, L" <b@firma.example>',
        "notifications": "Never",
        "return_content": "full", "read_receipt": True, "importance": "very_low", "language": "de",
        "on_uncertain": "hold", "give_up_after_h": 1.5, "attachment_password": "",
        "macros": {"firma": "F", "data od": {"type": "date", "value": "2026-10-31"}, "n": 7,
                   "wiersze": "a\nb"},
        "signature": {"html": "<p>{firma}\n<b>&amp;</b></p>", "text": "{firma}\n\n"}, "footer": "",
        "senders": "b@firma.example", "sent_copy": "bcc", "name": "Faktury", "outgoing": False,
        "always_use_address": True, "suppress_hard_bounces": True,
        "incoming": {"protocol": "pop3", "host": "pop.firma.example", "connection": "starttls",
                     "auth": "login", "username": "u", "tls_verify": False, "timeout_ms": 5000,
                     "enabled": False},
        "unsubscribe": {"enabled": False, "reminders": True, "mailto": "nie@firma.example",
                        "text": {"pl": "Nie chcę", "fr": "Non"}},
        "append_to": "complaint", "document_address": "odp-*@firma.example",
        "answer_alert": {"after_min": 2880, "to": '"K, L" <b@firma.example>',
                         "hours": {"from": "07:30", "to": "24:00", "days": [2, 7],
                                   "timezone": "Europe/Warsaw"}},
        # What the form does not offer stays.
        "closing": {"user_signature": False},
    }  # fmt: skip
    common = {"instance_footer": {"text": "KRS"}, "product_footer": True}
    await client.put("/config/global", json=given | common, headers=as_role("admin"))
    await client.put("/config/users/anna", json=given, headers=as_role("admin"))
    browser = await signed_in("admin")
    for scope, path in (("global", GLOBAL), ("users/anna", ANNA)):
        before = await read(client, as_role, scope)
        fields = read_fields((await browser.get(path)).text)
        fields.pop("everyone", None)
        assert (await browser.submit(path, path, **fields)).status_code == 303
        after = await read(client, as_role, scope)
        expected = before | {"version": before["version"] + 1, "updated_at": after["updated_at"]}
        if scope == "global":  # nothing wider: none and absent are the same
            expected.pop("cc"), after.pop("cc", None)
        assert after == expected


def read_fields(html):
    """Return what a browser would post of the configuration's form."""
    form = LexborHTMLParser(html).css_first("form#config")
    fields = {}
    for node in form.css("input, select, textarea"):
        given = node.attributes
        name = given.get("name")
        if name in (None, "csrf"):
            continue
        if node.tag == "select":
            chosen = node.css_first("option[selected]") or node.css_first("option")
            fields[name] = chosen.attributes["value"]
        elif node.tag == "textarea":
            fields[name] = node.text().removeprefix("\n")
        elif given.get("type") != "checkbox":
            fields[name] = given.get("value") or ""
        elif "checked" in given:
            fields[name] = "on"
    return fields


ANSWERS = {
    "append_to": " complaint ", "document_address": "on", "document_address.pattern": "",
    "answer_alert.after_min": "60*24*2", "answer_alert.to": "szef@firma.example, b@firma.example",
    "own.hours": "on", "answer_alert.hours.from": "08:00", "answer_alert.hours.to": "16:00",
    "answer_alert.hours.day.1": "on", "answer_alert.hours.day.5": "on",
    "answer_alert.hours.timezone": "Europe/Warsaw",
}  # fmt: skip


async def test_what_becomes_of_answers_is_saved_and_the_minutes_are_worked_out(
    signed_in, client, as_role
):
    browser = await signed_in("admin")
    assert (await browser.submit(GLOBAL, GLOBAL, **FORM, **ANSWERS)).status_code == 303
    shown = await read(client, as_role)
    assert (shown["append_to"], shown["document_address"]) == ("complaint", True)
    alert = shown["answer_alert"]
    assert [each["address"] for each in alert["to"]] == ["szef@firma.example", "b@firma.example"]
    assert (alert["after_min"], alert["hours"]) == (
        2880, {"from": "08:00", "to": "16:00", "days": [1, 5], "timezone": "Europe/Warsaw"}
    )  # fmt: skip
    html = (await browser.get(GLOBAL)).text
    assert find_value(html, "answer_alert.after_min") == "2880"
    assert "It comes to 2 d 0 h." in html
    compared = (await browser.get("/ui/config/compare?left=global&right=users/anna")).text
    assert "08:00–16:00 Europe/Warsaw, Monday, Friday" in compared and "complaint" in compared
    off = {"document_address": "off"}
    await browser.submit(GLOBAL, GLOBAL, **FORM, **off)
    assert {"append_to", "document_address", "answer_alert"} & set(
        await read(client, as_role)
    ) == set()


async def test_what_is_wrong_with_answers_stands_at_its_field_in_an_open_group(signed_in):
    browser = await signed_in("admin")
    for given, wrong in (
        ({"answer_alert.after_min": "two days"}, "answer_alert.after_min"),
        ({"answer_alert.after_min": "", "own.hours": "on"}, "answer_alert.after_min"),
        ({"answer_alert.to": "nobody"}, "answer_alert.to"),
        ({"answer_alert.hours.from": "25:00"}, "answer_alert.hours.from"),
        ({"answer_alert.hours.to": "07:00"}, "answer_alert.hours.to"),
        ({"answer_alert.hours.timezone": "Moon"}, "answer_alert.hours.timezone"),
        ({"document_address": "pattern", "document_address.pattern": "a@b.example"},
         "document_address.pattern"),
        ({"append_to": "x" * 300}, "append_to"),
    ):  # fmt: skip
        answer = await browser.submit(GLOBAL, GLOBAL, **(FORM | ANSWERS | given))
        assert answer.status_code == 422, given
        page = LexborHTMLParser(answer.text)
        (group,) = [each for each in page.css("details.group") if each.css_first("small.error")]
        assert "open" in group.attributes
        assert [each.attributes["id"] for each in group.css("small.error")] == [f"e-{wrong}"]
    none = {name: value for name, value in ANSWERS.items() if ".day." not in name}
    answer = await browser.submit(GLOBAL, GLOBAL, **FORM, **none)
    assert 'id="e-answer_alert.hours.days"' in answer.text


async def test_only_groups_that_say_something_are_open(signed_in, client, as_role):
    browser = await signed_in("admin")
    for path in (GLOBAL, ANNA):
        assert list_open((await browser.get(path)).text) == ["Connection", "Sender"]
    refused = await browser.submit(GLOBAL, GLOBAL, **read_fields((await browser.get(GLOBAL)).text))
    assert refused.status_code == 422
    assert list_open(refused.text) == ["Connection", "Sender"]
    given = {
        "smtp": {"host": "smtp.firma.example", "batch_limit": 5},
        "sender": {"address": "a@firma.example"},
        "bcc": [], "unsubscribe": {"enabled": False}, "attachment_password": "tajne hasło",
    }  # fmt: skip
    await client.put("/config/users/anna", json=given, headers=as_role("admin"))
    assert list_open((await browser.get(ANNA)).text) == [
        "Connection", "Sender", "Copies", "Protection", "Limits", "Unsubscribing",
    ]  # fmt: skip
    assert list_open((await browser.get("/ui/accounts/new")).text)[0] == "Account"


def list_open(html):
    return [
        each.css_first("legend").text()
        for each in LexborHTMLParser(html).css("form#config details.group")
        if "open" in each.attributes
    ]


async def test_a_refused_form_keeps_every_value_and_names_every_fault_at_its_field(
    signed_in, client, as_role
):
    browser = await signed_in("admin")
    wrong = FORM | {
        "smtp.host": "",
        "smtp.port": "99999",
        "smtp.timeout_ms": "soon",
        "bcc": "nobody",
    }
    answer = await browser.submit(GLOBAL, GLOBAL, **wrong)
    assert answer.status_code == 422
    faulty = set(re.findall(r'id="e-([^"]+)"', answer.text))
    assert faulty == {"smtp.host", "smtp.port", "smtp.timeout_ms", "bcc"}
    for name in faulty:
        field = re.search(rf'<input[^>]*id="f-{re.escape(name)}"[^>]*>', answer.text)[0]
        assert 'aria-invalid="true"' in field and f"e-{name}" in field
    assert (
        find_value(answer.text, "smtp.port") == "99999"
        and find_value(answer.text, "bcc") == "nobody"
    )
    assert find_value(answer.text, "smtp.password") == "tajne hasło"
    assert await read(client, as_role) is None


async def test_options_behind_the_port_are_understood(signed_in, client, as_role):
    browser = await signed_in("admin")
    given = FORM | {"smtp.port": "2525 LIMITE:12 WAIT:15,5", "smtp.connection": "starttls"}
    assert (await browser.submit(GLOBAL, GLOBAL, **given)).status_code == 303
    smtp = (await read(client, as_role))["smtp"]
    assert (smtp["port"], smtp["batch_limit"], smtp["batch_wait_s"]) == (2525, 12, 15.5)


async def test_a_form_of_an_older_version_is_not_saved(signed_in, client, as_role):
    browser = await signed_in("admin")
    await browser.submit(GLOBAL, GLOBAL, **FORM)
    await browser.submit(GLOBAL, GLOBAL, **FORM, version="1")
    answer = await browser.submit(GLOBAL, GLOBAL, **(FORM | {"importance": "low"}), version="1")
    assert answer.status_code == 412
    assert (await read(client, as_role))["importance"] == "high"


async def test_switching_scopes_loses_nothing(signed_in, client, as_role):
    browser = await signed_in("admin")
    await browser.submit(GLOBAL, GLOBAL, **FORM)
    own = FORM | {"own.smtp": "on", "own.sender": "on", "sender.address": "anna@firma.example"}
    await browser.submit(ANNA, ANNA, **own)
    before = await read(client, as_role), await read(client, as_role, "users/anna")
    assert before[1]["active_scope"] == "personal"
    for scope, stored in (("global", "global"), ("personal", "personal")):
        answer = await browser.submit(ANNA, f"{ANNA}/active", scope=scope)
        assert answer.headers["location"] == ANNA
        after = await read(client, as_role), await read(client, as_role, "users/anna")
        assert after[1]["active_scope"] == stored
        assert after[0] == before[0]
        assert after[1] | {"active_scope": ""} == before[1] | {"active_scope": ""}


async def test_saving_for_everyone_is_preselected_and_keeps_personal_ones(
    signed_in, client, as_role
):
    browser = await signed_in("admin")
    await browser.submit(ANNA, ANNA, **FORM, **{"own.smtp": "on", "own.sender": "on"})
    assert re.search(r'name="everyone" checked', (await browser.get(GLOBAL)).text)
    await browser.submit(GLOBAL, GLOBAL, **FORM, everyone="on")
    anna = await read(client, as_role, "users/anna")
    assert anna["active_scope"] == "global" and anna["smtp"]["password_set"] is True


async def test_the_common_configuration_can_be_loaded_into_a_users_form(signed_in, client, as_role):
    browser = await signed_in("admin")
    await browser.submit(GLOBAL, GLOBAL, **FORM)
    html = (await browser.get(f"{ANNA}?load=global")).text
    assert find_value(html, "smtp.host") == "smtp.firma.example"
    assert "tajne" not in html and "Nothing is saved yet" in html
    assert await read(client, as_role, "users/anna") is None


async def test_a_password_is_shown_only_to_who_entered_it(signed_in):
    anna, admin = await signed_in("anna"), await signed_in("admin")
    await anna.submit(ANNA, ANNA, **FORM, **{"own.smtp": "on", "own.sender": "on"})
    assert "tajne" not in (await anna.get(ANNA)).text
    assert "tajne hasło" in (await anna.submit(ANNA, f"{ANNA}/reveal")).text
    assert (await admin.submit(ANNA, f"{ANNA}/reveal")).status_code == 403
    assert "Only who entered it" in (await admin.get(ANNA)).text


async def test_pausing_resuming_and_removing(signed_in, client, as_role):
    browser = await signed_in("admin")
    await browser.submit(GLOBAL, GLOBAL, **FORM)
    await browser.submit(GLOBAL, f"{GLOBAL}/pause")
    assert (await read(client, as_role))["state"] == "paused"
    await browser.submit(GLOBAL, f"{GLOBAL}/pause", resume="1")
    assert (await read(client, as_role))["state"] == "active"
    await browser.submit(GLOBAL, f"{GLOBAL}/delete")
    assert await read(client, as_role) is None


async def test_a_password_that_is_waited_for_is_entered_on_the_page(signed_in, client, as_role):
    browser = await signed_in("admin")
    await browser.submit(GLOBAL, GLOBAL, **(FORM | {"smtp.password": ""}))
    assert (await read(client, as_role))["state"] == "awaiting_password"
    await browser.submit(GLOBAL, f"{GLOBAL}/password", password="tajne")
    assert (await read(client, as_role))["state"] == "active"


@pytest.mark.parametrize(
    ("role", "path", "status"),
    [("anna", GLOBAL, 403), ("anna", ANNA, 200), ("anna", "/ui/config/users/piotr", 404),
     ("sender", GLOBAL, 403), ("sender", ANNA, 200), ("admin", ANNA, 200),
     ("anna", f"{ANNA}?load=global", 403)],
)  # fmt: skip
async def test_who_may_open_a_configuration(signed_in, role, path, status):
    assert (await (await signed_in(role)).get(path)).status_code == status


@pytest.mark.parametrize("role", ["sender", "piotr"])
@pytest.mark.parametrize(
    "action", ["", "/test", "/active", "/reveal", "/delete", "/password", "/pause", "/mend"]
)
async def test_who_may_not_change_a_configuration(signed_in, client, as_role, role, action):
    browser = await signed_in(role)
    answer = await browser.submit("/ui/", f"{ANNA}{action}", **FORM, scope="personal", password="x")
    assert answer.status_code in (403, 404)
    assert await read(client, as_role, "users/anna") is None


async def test_a_user_is_led_to_their_own_configuration(signed_in):
    answer = await (await signed_in("anna")).get("/ui/config")
    assert answer.headers["location"] == ANNA


async def test_the_list_shows_every_scope_to_an_admin_and_no_common_one_to_a_sender(signed_in):
    admin = await signed_in("admin")
    await admin.submit(GLOBAL, GLOBAL, **FORM)
    assert 'href="/ui/config/global"' in (await admin.get("/ui/config")).text
    shown = (await (await signed_in("sender")).get("/ui/config")).text
    assert 'href="/ui/config/global"' not in shown and 'href="/ui/config/users/anna"' in shown


async def test_a_user_id_of_any_form_has_a_page(signed_in):
    browser = await signed_in("admin")
    answer = await browser.get("/ui/config/open", params={"user": "Żółć & <b>?#%"})
    shown = await browser.get(answer.headers["location"])
    assert shown.status_code == 200 and "Żółć &amp; &lt;b&gt;" in shown.text
