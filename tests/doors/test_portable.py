"""All that is configured goes out as one document and comes in again, here or elsewhere."""

import json

import httpx
import pytest
from sqlalchemy import func, select

from app.accounts.audit import SYSTEM
from app.accounts.keys import create_key
from app.accounts.tables import audit
from app.configuration.tables import account, template_version
from app.main import create_app
from app.outbox.office import open_office
from tests.doors.sending import list_faults

pytestmark = pytest.mark.anyio

HTML = "<html><head><title>Dokument {numer}</title></head><body><b><numer></b></body></html>"
GLOBAL = {
    "smtp": {
        "host": "smtp.firma.example", "port": "587 AUTH:LOGIN CONN:STARTTLS LIMITE:12 WAIT:15,5",
        "username": "faktury@firma.example", "password": "tajne hasło",
    },
    "sender": {"address": "faktury@firma.example", "name": "Firma"},
    "bcc": "archiwum@firma.example",
    "attachment_password": "lato-2026",
    "macros": {"firma": "Firma Sp. z o.o."},
}  # fmt: skip
GROUP = {
    "name": "Windykacja", "sender": {"address": "windykacja@oddzial.example"},
    "smtp": {"username": "windykacja", "password": "inne hasło"},
}  # fmt: skip


@pytest.fixture
def call(client, as_role):
    """Call as the admin; the answer must have the status."""

    async def send(method, path, body=None, status=200):
        answer = await client.request(method, path, json=body, headers=as_role("admin"))
        assert answer.status_code == status, answer.text
        return answer.json() if answer.content else None

    return send


@pytest.fixture
async def house(call):
    """A configured installation: users, a domain, three kinds of accounts, a right, templates."""
    await call("PUT", "/config/global", GLOBAL, 201)
    anna = {"name": "Anna", "address": "anna@firma.example", "language": "fr",
            "signature": {"text": "Anna"}}  # fmt: skip
    await call("PUT", "/users/anna", anna)
    sender = {"sender": {"address": "anna@firma.example"}}
    await call("PUT", "/config/users/anna", sender, 201)
    await call("PUT", "/config/users/anna/active-scope", {"scope": "global"})
    domain = {"smtp": {"host": "smtp.oddzial.example", "connection": "ssl_tls"}}
    await call("PUT", "/domains/oddzial.example", domain, 201)
    group = (await call("POST", "/accounts", GROUP, 201))["id"]
    right = {"read": True, "send": True, "until": "2099-01-01T00:00:00+01:00"}
    await call("PUT", f"/accounts/{group}/rights/piotr", right)
    for language, subject in (("pl", "Dokument {numer}"), ("fr", "Document {numer}")):
        text = {"subject": subject, "body": HTML, "requires": ["numer"]}
        path = f"/config/global/templates/document?language={language}"
        await call("PUT", path, text, 201)
        await call("PUT", path, text | {"body": HTML + " "})
    return group


@pytest.fixture
async def elsewhere(settings, tmp_path, sqlite_template):
    """Another installation, with its own keys: a function that calls it as its admin."""
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / "elsewhere" / "awizo.db").write_bytes(sqlite_template.read_bytes())
    here = settings.model_copy(
        update={"data_dir": tmp_path / "elsewhere", "database_url": None, "admin_key": None}
    )
    office = open_office(here)
    app = create_app(here, work=False, office=office)
    async with app.router.lifespan_context(app):
        key = await _make_key(office)
        transport = httpx.ASGITransport(app)
        async with httpx.AsyncClient(
            transport=transport, base_url="http://elsewhere.example", headers=key
        ) as client:

            async def send(method, path, body=None, status=200):
                answer = await client.request(method, path, json=body)
                assert answer.status_code == status, answer.text
                return answer.json()

            yield send
    await office.close()


async def _make_key(office):
    _, key = await office.db.write(
        create_key, office.vault, SYSTEM, role="admin", name="elsewhere", user=None,
        expires_at=None, at=office.clock(),
    )  # fmt: skip
    return {"Authorization": f"Bearer {key}"}


def changed(done):
    return {each["object"]: each["change"] for each in done["changes"] if each["change"] != "kept"}


def members(done, name):
    (found,) = [each["members"] for each in done["changes"] if each["object"] == name]
    return {each["pointer"]: (each["before"], each["after"]) for each in found}


async def count(office, table):
    return await office.db.read(lambda tx: tx.scalar(select(func.count()).select_from(table)))


async def test_an_export_holds_all_that_is_configured_and_no_secret(call, house):
    shown = await call("GET", "/export")
    assert shown["awizo_export"] == 1
    assert [each["id"] for each in shown["users"]] == ["anna", "piotr"]
    assert shown["users"][0]["signature"] == {"text": "Anna"}
    assert [each["name"] for each in shown["domains"]] == ["oddzial.example"]
    group, common, anna = shown["accounts"]
    assert (group["scope"], group["holder"]) == (f"accounts/{house}", None)
    assert group["rights"] == [
        {"user": "piotr", "read": True, "send": True, "manage": False,
         "until": "2098-12-31T23:00:00+00:00"}
    ]  # fmt: skip
    assert (common["scope"], anna["scope"], anna["holder"]) == ("global", "users/anna", "anna")
    assert common["configuration"]["smtp"]["password_set"] is True
    assert common["configuration"]["smtp"]["batch_wait_s"] == 15.5
    assert [(each["language"], each["body"]) for each in shown["templates"]] == [
        ("fr", HTML + " "), ("pl", HTML + " "),
    ]  # fmt: skip
    for secret in ("tajne", "inne", "lato-2026"):
        assert secret not in json.dumps(shown, ensure_ascii=False)


async def test_the_own_export_brought_in_changes_nothing(call, house, office):
    shown = await call("GET", "/export")
    lines, versions = await count(office, audit), await count(office, template_version)
    for path in ("/import", "/import?dry_run=false"):
        done = await call("POST", path, shown)
        assert done["summary"] == {"created": 0, "changed": 0, "unchanged": 8, "kept": 0}
    assert await count(office, audit) == lines
    assert await count(office, template_version) == versions
    again = await call("GET", "/export")
    assert {**again, "exported_at": ""} == {**shown, "exported_at": ""}


async def test_an_import_goes_to_another_installation_where_passwords_are_entered_again(
    call, house, elsewhere
):
    shown = await call("GET", "/export")
    rehearsed = await elsewhere("POST", "/import", shown)
    assert rehearsed["dry_run"] and rehearsed["summary"]["created"] == 8
    assert (await elsewhere("GET", "/export"))["accounts"] == []
    done = await elsewhere("POST", "/import?dry_run=false", shown)
    assert changed(done) == changed(rehearsed)
    codes = {(each["code"], each["pointer"]) for each in done["warnings"]}
    assert ("password_missing", "/accounts/1/configuration/smtp/password") in codes
    assert (
        "attachment_password_missing", "/accounts/1/configuration/attachment_password",
    ) in codes  # fmt: skip
    there = await elsewhere("GET", "/export")
    for document in (shown, there):
        for each in document["accounts"]:
            for state in ("password_set", "password_mode"):
                each["configuration"].get("smtp", {}).pop(state, None)
            each["configuration"].pop("attachment_password_set")
    ignored = {"exported_at": "", "awizo_version": ""}
    assert there | ignored == shown | ignored
    state = (await elsewhere("GET", "/config/global"))["state"]
    assert state == "awaiting_password"
    second = await elsewhere("POST", "/import?dry_run=false", there)
    assert (second["summary"]["created"], second["summary"]["changed"]) == (0, 0)


async def test_the_difference_is_shown_first_and_then_applied(call, house, office):
    document = await call("GET", "/export")
    common = document["accounts"][1]["configuration"]
    common["macros"]["firma"] = "Nowa"
    common["smtp"]["timeout_ms"] = 60000
    document["users"] = []
    rehearsed = await call("POST", "/import", document)
    assert rehearsed["summary"] == {"created": 0, "changed": 1, "unchanged": 5, "kept": 2}
    assert members(rehearsed, "config/global") == {
        "/configuration/macros/firma": ("Firma Sp. z o.o.", "Nowa"),
        "/configuration/smtp/timeout_ms": (None, 60000),
    }
    assert (await call("GET", "/config/global"))["macros"] == {"firma": "Firma Sp. z o.o."}
    done = await call("POST", "/import?dry_run=false", document)
    assert {**done, "dry_run": True} == rehearsed
    stored = await call("GET", "/config/global")
    assert (stored["macros"], stored["state"]) == ({"firma": "Nowa"}, "active")
    lines = (await call("GET", "/audit?limit=2"))["data"]  # of one moment, in any order
    assert {each["action"] for each in lines} == {"configuration.import", "config.put"}


async def test_a_password_stays_with_its_server_and_is_asked_for_at_another(call, house):
    document = {"awizo_export": 1, "accounts": [
        {"scope": "global", "configuration": GLOBAL | {"smtp": {
            "host": "smtp.firma.example", "port": 587, "username": "faktury@firma.example",
            "connection": "starttls"}, "attachment_password": None}},
    ]}  # fmt: skip
    await call("POST", "/import?dry_run=false", document)
    revealed = await call("GET", "/config/global/password")
    assert revealed == {"password": "tajne hasło"}
    document["accounts"][0]["configuration"]["smtp"]["host"] = "other.firma.example"
    rehearsed = await call("POST", "/import", document)
    assert members(rehearsed, "config/global")["/configuration/smtp/password_set"] == (True, False)
    assert (await call("GET", "/config/global"))["state"] == "active"
    done = await call("POST", "/import?dry_run=false", document)
    assert [each["code"] for each in done["warnings"]] == ["password_needed_again"]
    assert (await call("GET", "/config/global"))["state"] == "awaiting_password"


async def test_what_cresus_and_symfonia_write_comes_in_as_it_is(call):
    document = {
        "awizo_export": 1,
        "accounts": [{"scope": "global", "configuration": {
            "smtp": {"host": "smtpauths.bluewin.ch",
                     "port": "587 AUTH:LOGIN CONN:STARTTLS LIMITE:12 WAIT:15.5"},
            "sender": {"address": "salaires@firma.example"},
        }}],
        "templates": [
            {"name": "faktura", "language": "pl", "source": HTML},
            {"name": "document", "language": "pl", "source": "<html><numer></html>"},
        ],
    }  # fmt: skip
    done = await call("POST", "/import?dry_run=false", document)
    assert set(changed(done).values()) == {"created"}
    smtp = (await call("GET", "/config/global"))["smtp"]
    assert (smtp["port"], smtp["auth"], smtp["connection"]) == (587, "login", "starttls")
    assert (smtp["batch_limit"], smtp["batch_wait_s"]) == (12, 15.5)
    asked = {"name": "faktura", "language": "pl", "macros": {"numer": "FV 1/2026"}}
    rendered = await call("POST", "/templates/render", asked)
    assert rendered["subject"] == "Dokument FV 1/2026"
    assert "<b>FV 1/2026</b>" in rendered["html"]
    builtin = (await call("GET", "/templates/document?language=fr"))["subject"]
    assert builtin
    stored = await call("GET", "/config/global/templates/document?language=pl")
    assert stored["body"] == "<html><numer></html>" and "{numer}" in stored["subject"]


async def test_everything_wrong_is_said_at_once_and_nothing_is_taken(call, client, as_role, office):
    document = {
        "awizo_export": 1,
        "users": [{"id": "a/b"}, {"id": "anna", "address": "nie adres", "nick": 1},
                  {"id": "ola", "language": "po polsku"}, {"id": "jan", "active_scope": "personal"}],
        "domains": [{"name": "firma", "settings": {"smtp": {"host": "a.example"}}},
                    {"name": "ok.example", "settings": {"smtp": {"host": "a b"}}}],
        "accounts": [
            {"scope": "global", "configuration": GLOBAL},
            {"scope": "global", "configuration": GLOBAL},
            {"scope": "everybody", "configuration": {}},
            {"scope": "users/piotr", "configuration": {"mode": "mapi"}},
            {"scope": "users/ewa", "holder": "piotr", "configuration": {}},
            {"scope": "accounts/x y", "configuration": {}},
            {"scope": "accounts/abc", "configuration": {},
             "rights": [{"user": "ola"}, {"user": "jan", "read": "yes"}]},
            {"scope": "accounts/def", "holder": "ola", "configuration": {},
             "rights": [{"user": "ola", "read": True}]},
        ],
        "templates": [{"name": "n", "language": "pl", "source": "<html></html>"},
                      {"name": "n", "subject": "s"},
                      {"name": "-", "subject": "s", "body": "b"},
                      {"name": "m", "subject": "s", "body": "b", "source": "b"},
                      {"name": "o", "subject": "s", "body": "b", "requires": ["{"]}],
        "keys": [],
    }  # fmt: skip
    answer = await client.post("/import?dry_run=false", json=document, headers=as_role("admin"))
    assert answer.status_code == 422
    assert set(list_faults(answer)) == {
        ("/keys", "unknown_field"),
        ("/users/0/id", "invalid_user"),
        ("/users/1/nick", "unknown_field"),
        ("/users/2/language", "invalid_language"),
        ("/users/3/active_scope", "no_configuration"),
        ("/domains/0/name", "invalid_domain"),
        ("/domains/1/settings/smtp/host", "invalid_host"),
        ("/accounts/1", "duplicate"),
        ("/accounts/2/scope", "invalid_scope"),
        ("/accounts/3/configuration/mode", "unknown_value"),
        ("/accounts/4/holder", "other_holder"),
        ("/accounts/5/scope", "invalid_scope"),
        ("/accounts/6/rights/1/read", "wrong_type"),
        ("/accounts/7/rights/0", "holder_has_all"),
        ("/templates/0/subject", "required"),
        ("/templates/1/body", "required"),
        ("/templates/2", "invalid_name"),
        ("/templates/3/body", "conflict"),
        ("/templates/4/requires/0", "invalid_macro_name"),
    }
    assert await count(office, account) == 0
    users = (await call("GET", "/export"))["users"]  # as their keys made them
    assert {each["id"]: each["name"] for each in users} == {"anna": None, "piotr": None}


async def test_an_account_is_named_by_the_path_that_it_has_here(call, house, client, as_role):
    document = await call("GET", "/export")
    await call("POST", f"/accounts/{house}/default", None)
    answer = await client.post("/import", json=document, headers=as_role("admin"))
    assert ("/accounts/0/scope", "account_is_default") in list_faults(answer)


async def test_mail_that_waits_for_a_password_goes_on_when_an_import_brings_it(
    call, client, as_role
):
    waiting = {key: value for key, value in GLOBAL["smtp"].items() if key != "password"}
    await call("PUT", "/config/global", GLOBAL | {"smtp": waiting}, 201)
    letter = {"to": "a@x.example", "subject": "s", "body": "b"}
    sent = await call("POST", "/send", letter, 202)
    assert sent["recipients"][0]["state"] == "held"
    document = {"awizo_export": 1, "accounts": [{"scope": "global", "configuration": GLOBAL}]}
    await call("POST", "/import", document)
    assert (await call("GET", f"/messages/{sent['id']}"))["recipients"][0]["state"] == "held"
    await call("POST", "/import?dry_run=false", document)
    assert (await call("GET", f"/messages/{sent['id']}"))["recipients"][0]["state"] == "queued"
