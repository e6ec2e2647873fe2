"""``/config``: save, edit, show, remove; who may; secrets never come back."""

import anyio
import pytest

from app.configuration.load import find_account
from app.outbox.complaint import Complaint
from app.outbox.health import note_trouble
from app.outbox.manners import heed
from tests.doors.sending import list_faults
from tests.effort import ONE_ENGINE

pytestmark = pytest.mark.anyio

PUBLISHED = {
    "mode": "smtp",
    "smtp": {
        "host": "smtp.firma.example", "port": 587,
        "connection": "auto", "auth": "auto",
        "username": "faktury@firma.example", "password": "tajne hasło", "password_mode": "stored",
        "timeout_ms": 30000, "batch_limit": 12, "batch_wait_s": 15.5,
        "tls_verify": True, "ca_pem": None, "allow_insecure_auth": False,
    },
    "sender": {
        "address": "faktury@firma.example", "name": "Firma Sp. z o.o.", "return_path": None,
    },
    "reply_to": "", "cc": "", "bcc": "archiwum@firma.example, szef@firma.example",
    "notifications": ["OnFailure", "Delay"], "return_content": "headers",
    "read_receipt": False, "importance": "normal", "language": "pl",
    "attachment_password": None,
    "on_uncertain": "resend", "give_up_after_h": 72,
    "macros": {"firma": "Firma Sp. z o.o."},
}  # fmt: skip
SMTP = {"host": "smtp.firma.example", "username": "faktury", "password": "tajne"}
GLOBAL = {"smtp": SMTP, "sender": {"address": "faktury@firma.example"}}


def show_faults(answer):
    return {(each["pointer"], each["code"]) for each in answer.json()["errors"]}


async def test_the_published_example_is_accepted_and_shown_without_its_secret(client, as_role):
    put = await client.put("/config/global", json=PUBLISHED, headers=as_role("admin"))
    assert put.status_code == 201, put.text
    got = await client.get("/config/global", headers=as_role("admin"))
    shown = got.json()
    assert "tajne" not in got.text + put.text
    assert shown["smtp"] == {
        "host": "smtp.firma.example", "port": 587, "connection": "auto", "auth": "auto",
        "username": "faktury@firma.example", "timeout_ms": 30000, "batch_limit": 12,
        "batch_wait_s": 15.5, "tls_verify": True, "allow_insecure_auth": False,
        "password_mode": "stored", "password_set": True, "effective_port": 587,
    }  # fmt: skip
    assert shown["bcc"] == [
        {"address": "archiwum@firma.example", "name": ""},
        {"address": "szef@firma.example", "name": ""},
    ]
    assert shown["cc"] == [] and shown["reply_to"] == []
    assert shown["notifications"] == ["OnFailure", "Delay"]
    assert shown["state"] == "active" and shown["trouble"] is None
    assert got.headers["etag"] == f'"{shown["version"]}"'


async def test_get_edit_put_keeps_the_password_and_everything_else(client, as_role):
    admin = as_role("admin")
    await client.put("/config/global", json=PUBLISHED, headers=admin)
    shown = (await client.get("/config/global", headers=admin)).json()
    shown["importance"] = "HIGH"
    again = await client.put("/config/global", json=shown, headers=admin)
    assert again.status_code == 200, again.text
    after = again.json()
    assert after["warnings"] == []
    assert after["smtp"]["password_set"] is True
    changed = {name for name in shown if shown[name] != after[name]}
    assert changed == {"importance", "version", "updated_at"}
    revealed = await client.get("/config/global/password", headers=admin)
    assert revealed.json() == {"password": "tajne hasło"}
    assert revealed.headers["cache-control"] == "no-store"


async def test_every_fault_is_named_at_once(client, as_role):
    wrong = {
        "mode": "mapi",
        "smtp": {
            "host": "http://smtp.firma.example", "port": 70000, "timeout_ms": "30000",
            "tls_verify": "yes", "colour": 1,
        },
        "sender": {"address": "nie adres"},
        "cc": ["dobry@firma.example", "zły adres"],
        "notifications": ["Never", "Delay"],
        "importance": "urgent", "give_up_after_h": -1, "language": "po polsku",
        "attachment_password": "x" * 128, "nowe": True,
    }  # fmt: skip
    answer = await client.put("/config/global", json=wrong, headers=as_role("admin"))
    assert answer.status_code == 422
    assert show_faults(answer) == {
        ("/mode", "unknown_value"),
        ("/smtp/host", "invalid_host"),
        ("/smtp/port", "out_of_range"),
        ("/smtp/timeout_ms", "wrong_type"),
        ("/smtp/tls_verify", "wrong_type"),
        ("/smtp/colour", "unknown_field"),
        ("/sender/address", "invalid_address"),
        ("/cc/1", "invalid_address"),
        ("/notifications", "notifications_conflict"),
        ("/importance", "unknown_value"),
        ("/give_up_after_h", "out_of_range"),
        ("/language", "invalid_language"),
        ("/attachment_password", "too_long"),
        ("/nowe", "unknown_field"),
    }


@ONE_ENGINE
@pytest.mark.parametrize(
    ("given", "faults"),
    [
        ({}, {("/smtp/host", "required"), ("/sender/address", "required")}),
        ({**GLOBAL, "smtp": {"port": 25}}, {("/smtp/host", "required")}),
        ({"mode": "draft"}, {("/sender/address", "required")}),
        (
            {**GLOBAL, "smtp": {**SMTP, "connection": "plaintext"}},
            {("/smtp/connection", "insecure_auth")},
        ),
        (
            {**GLOBAL, "smtp": {"host": "a.example", "password": "x"}},
            {("/smtp/username", "required")},
        ),
        (
            {**GLOBAL, "smtp": {**SMTP, "password_mode": "ask"}},
            {("/smtp/password", "password_not_stored")},
        ),
        (
            {**GLOBAL, "smtp": {"host": "169.254.169.254"}},
            {("/smtp/host", "host_not_allowed")},
        ),
        ({**GLOBAL, "smtp": {"host": "0251.0376.1.1"}}, {("/smtp/host", "host_not_allowed")}),
        ({**GLOBAL, "smtp": {"host": "[fe80::1]"}}, {("/smtp/host", "host_not_allowed")}),
        ({**GLOBAL, "smtp": []}, {("/smtp", "wrong_type")}),
    ],
)  # fmt: skip
async def test_what_does_not_fit_together_is_refused(client, as_role, given, faults):
    answer = await client.put("/config/global", json=given, headers=as_role("admin"))
    assert answer.status_code == 422
    assert faults <= show_faults(answer)
    missing = await client.get("/config/global", headers=as_role("admin"))
    assert missing.status_code == 404


async def test_options_behind_the_port_become_members(client, as_role):
    given = {
        **GLOBAL,
        "smtp": {**SMTP, "port": "wait:15,5 conn:starttls 587 Limite:12 AUTH:cram-md5"},
    }
    answer = await client.put("/config/global", json=given, headers=as_role("admin"))
    smtp = answer.json()["smtp"]
    assert smtp["port"] == 587 and smtp["connection"] == "starttls" and smtp["auth"] == "cram_md5"
    assert smtp["batch_limit"] == 12 and smtp["batch_wait_s"] == 15.5


@pytest.mark.parametrize(
    ("connection", "port"),
    [("ssl_tls", 465), ("STARTTLS", 587), ("auto", 587), ("plaintext", 25), (None, 587)],
)
async def test_the_port_follows_the_connection_when_none_is_given(
    client, as_role, connection, port
):
    given = {**GLOBAL, "smtp": {"host": "smtp.firma.example", "connection": connection}}
    answer = await client.put("/config/global", json=given, headers=as_role("admin"))
    assert answer.json()["smtp"]["effective_port"] == port
    assert "port" not in answer.json()["smtp"]


@pytest.mark.parametrize(
    "change",
    [
        {"host": "smtp.inna.example"},
        {"port": 2525},
        {"username": "ktoś inny"},
        {"connection": "auto"},
        {"connection": "plaintext", "port": 587, "allow_insecure_auth": True},
        {"tls_verify": False},
        {"allow_insecure_auth": True},
    ],
)
async def test_a_password_does_not_follow_to_another_or_weaker_server(client, as_role, change):
    admin = as_role("admin")
    first = {**SMTP, "connection": "starttls"}
    await client.put("/config/global", json={**GLOBAL, "smtp": first}, headers=admin)
    moved = {name: value for name, value in {**first, **change}.items() if name != "password"}
    answer = await client.put("/config/global", json={**GLOBAL, "smtp": moved}, headers=admin)
    shown = answer.json()
    assert answer.status_code == 200
    assert shown["smtp"]["password_set"] is False
    assert shown["smtp"]["password_mode"] == "awaiting"
    assert shown["state"] == "awaiting_password"
    assert [each["code"] for each in shown["warnings"]] == ["password_needed_again"]
    hidden = await client.get("/config/global/password", headers=admin)
    assert hidden.status_code == 404


async def test_a_safer_connection_and_another_spelling_of_the_host_keep_the_password(
    client, as_role
):
    admin = as_role("admin")
    first = {**SMTP, "tls_verify": False, "allow_insecure_auth": True}
    await client.put("/config/global", json={**GLOBAL, "smtp": first}, headers=admin)
    safer = {"host": "SMTP.Firma.Example.", "username": "faktury", "connection": "STARTTLS"}
    answer = await client.put("/config/global", json={**GLOBAL, "smtp": safer}, headers=admin)
    assert answer.json()["smtp"]["password_set"] is True
    assert answer.json()["warnings"] == []


async def test_the_password_is_shown_only_to_the_owner_that_entered_it(client, as_role):
    given = {"smtp": SMTP, "sender": {"address": "anna@firma.example"}}
    await client.put("/config/users/anna", json=given, headers=as_role("anna"))
    url = "/config/users/anna/password"
    assert (await client.get(url, headers=as_role("anna"))).json() == {"password": "tajne"}
    assert (await client.get(url, headers=as_role("admin"))).status_code == 403
    assert (await client.get(url, headers=as_role("sender"))).status_code == 403
    assert (await client.get(url + "?user=anna", headers=as_role("piotr"))).status_code == 404
    trail = (await client.get("/audit", headers=as_role("admin"))).json()["data"]
    assert [each["action"] for each in trail].count("password.reveal") == 1
    assert "tajne" not in str(trail)


async def test_patch_merges_and_null_removes_also_secrets(client, as_role):
    admin = as_role("admin")
    await client.put(
        "/config/global", json={**PUBLISHED, "attachment_password": "klucz"}, headers=admin
    )
    change = {
        "smtp": {"password": None, "port": "465 CONN:SSL_TLS", "batch_limit": None},
        "bcc": None, "attachment_password": None, "macros": {"firma": None, "miasto": "Łódź"},
    }  # fmt: skip
    answer = await client.patch("/config/global", json=change, headers=admin)
    shown = answer.json()
    assert answer.status_code == 200, answer.text
    assert shown["smtp"]["port"] == 465 and shown["smtp"]["connection"] == "ssl_tls"
    assert shown["smtp"]["password_set"] is False and "batch_limit" not in shown["smtp"]
    assert "bcc" not in shown and shown["attachment_password_set"] is False
    assert shown["macros"] == {"miasto": "Łódź"}
    assert shown["sender"]["name"] == "Firma Sp. z o.o."


async def test_patch_of_what_does_not_exist_is_404(client, as_role):
    answer = await client.patch("/config/users/anna", json={}, headers=as_role("anna"))
    assert answer.status_code == 404


async def test_an_empty_attachment_password_means_explicitly_none(client, as_role):
    admin = as_role("admin")
    await client.put(
        "/config/global", json={**GLOBAL, "attachment_password": "klucz"}, headers=admin
    )
    await client.put("/config/users/anna", json={"attachment_password": ""}, headers=admin)
    shown = (await client.get("/config/users/anna", headers=admin)).json()
    assert shown["attachment_password"] == "" and shown["attachment_password_set"] is False
    seen = (await client.get("/config/effective?user=anna", headers=admin)).json()
    assert seen["attachment_password_set"] == {"value": False, "origin": "users/anna"}
    again = await client.put("/config/users/anna", json=shown, headers=admin)
    assert again.status_code == 200 and again.json()["attachment_password"] == ""


async def test_an_old_etag_is_refused_and_the_present_one_taken(client, as_role):
    admin = as_role("admin")
    first = await client.put("/config/global", json=GLOBAL, headers=admin)
    second = await client.put(
        "/config/global", json=GLOBAL, headers=admin | {"If-Match": first.headers["etag"]}
    )
    assert second.status_code == 200
    stale = admin | {"If-Match": first.headers["etag"]}
    for method, body in (("PUT", GLOBAL), ("PATCH", {}), ("DELETE", None)):
        answer = await client.request(method, "/config/global", json=body, headers=stale)
        assert answer.status_code == 412, method


@pytest.mark.parametrize("path", ["/config/global", "/config/global/templates/document"])
async def test_an_etag_of_anything_asks_for_something_that_is_stored(client, as_role, path):
    body = {"subject": "s", "body": "b"} if "templates" in path else GLOBAL
    anything = as_role("admin") | {"If-Match": "*"}
    answer = await client.put(path, json=body, headers=anything)
    assert (answer.status_code, answer.json()["code"]) == (412, "precondition_failed")
    assert (await client.get(path, headers=as_role("admin"))).status_code == 404
    await client.put(path, json=body, headers=as_role("admin"))
    assert (await client.put(path, json=body, headers=anything)).status_code == 200
    assert (await client.delete(path, headers=anything)).status_code == 204
    answer = await client.put(path, json=body, headers=anything)
    assert (answer.status_code, answer.json()["code"]) == (412, "precondition_failed")


async def test_a_port_that_an_admin_opened_stays_open_for_the_same_server_only(client, as_role):
    anna, path = as_role("anna"), "/config/users/anna"
    stored = {"smtp": {"host": "smtp.firma.example", "port": 10025}, "sender": GLOBAL["sender"]}
    closed = {"smtp": {"host": "smtp.firma.example", "port": 10026}, "sender": GLOBAL["sender"]}
    refused = await client.put(path, json=stored, headers=anna)
    assert list_faults(refused) == [("/smtp/port", "host_not_allowed")]
    await client.put(path, json=stored, headers=as_role("admin"))
    saved = await client.put(path, json=stored | {"language": "fr"}, headers=anna)
    assert (saved.status_code, saved.json()["language"]) == (200, "fr")
    saved = await client.patch(path, json={"smtp": {"timeout_ms": 5000}}, headers=anna)
    assert (saved.status_code, saved.json()["smtp"]["port"]) == (200, 10025)
    for other in (closed["smtp"], {"host": "10.0.0.7"}):
        refused = await client.patch(path, json={"smtp": other}, headers=anna)
        assert list_faults(refused) == [("/smtp/port", "host_not_allowed")]
    await client.delete(path, headers=anna)
    refused = await client.put(path, json=stored, headers=anna)
    assert list_faults(refused) == [("/smtp/port", "host_not_allowed")]


async def test_a_first_personal_configuration_becomes_active_and_later_saves_leave_that(
    client, as_role
):
    anna, admin = as_role("anna"), as_role("admin")
    await client.put("/config/global", json=GLOBAL, headers=admin)
    made = await client.put("/config/users/anna", json={"language": "fr"}, headers=anna)
    assert made.status_code == 201 and made.json()["active_scope"] == "personal"
    url = "/config/users/anna/active-scope"
    chosen = await client.put(url, json={"scope": "GLOBAL"}, headers=anna)
    assert chosen.json() == {"active_scope": "global"}
    saved = await client.put("/config/users/anna", json={"language": "en"}, headers=anna)
    assert saved.json()["active_scope"] == "global"
    saved = await client.put("/config/users/anna?activate=true", json={}, headers=anna)
    assert saved.json()["active_scope"] == "personal"


async def test_saving_for_everyone_sets_every_user_to_global_and_keeps_their_own(client, as_role):
    anna, admin = as_role("anna"), as_role("admin")
    await client.put("/config/global", json=GLOBAL, headers=admin)
    await client.put("/config/users/anna", json={"language": "fr"}, headers=anna)
    await client.put("/config/global?apply_to=everyone", json=GLOBAL, headers=admin)
    shown = (await client.get("/config/users/anna", headers=anna)).json()
    assert shown["active_scope"] == "global" and shown["language"] == "fr"


async def test_a_personal_scope_is_not_chosen_before_it_exists(client, as_role):
    answer = await client.put(
        "/config/users/anna/active-scope", json={"scope": "personal"}, headers=as_role("anna")
    )
    assert answer.status_code == 409 and answer.json()["code"] == "no_configuration"


async def test_after_delete_the_user_sends_by_the_global_scope_and_can_start_anew(client, as_role):
    anna, admin = as_role("anna"), as_role("admin")
    await client.put("/config/global", json=GLOBAL, headers=admin)
    own = {"smtp": SMTP, "sender": {"address": "anna@firma.example"}, "language": "fr"}
    first = await client.put("/config/users/anna", json=own, headers=anna)
    assert (await client.delete("/config/users/anna", headers=anna)).status_code == 204
    assert (await client.get("/config/users/anna", headers=anna)).status_code == 404
    assert (await client.delete("/config/users/anna", headers=anna)).status_code == 404
    seen = (await client.get("/config/effective", headers=anna)).json()
    assert seen["active_scope"] == "global"
    own["smtp"] = {name: value for name, value in SMTP.items() if name != "password"}
    again = await client.put("/config/users/anna", json=own, headers=anna)
    assert again.status_code == 201
    assert again.json()["smtp"]["password_set"] is False
    assert again.json()["version"] > first.json()["version"]


async def test_effective_names_the_origin_of_every_value(client, as_role):
    anna, admin = as_role("anna"), as_role("admin")
    await client.put("/config/global", json=PUBLISHED, headers=admin)
    await client.put(
        "/config/users/anna", json={"importance": "high", "cc": "a@b.example"}, headers=anna
    )
    seen = (await client.get("/config/effective?user=anna", headers=as_role("sender"))).json()
    assert seen["active_scope"] == "personal"
    assert seen["smtp"]["host"] == {"value": "smtp.firma.example", "origin": "global"}
    assert seen["smtp"]["password_set"] == {"value": True, "origin": "global"}
    assert seen["importance"] == {"value": "high", "origin": "users/anna"}
    assert seen["cc"] == {"value": [{"address": "a@b.example", "name": ""}], "origin": "users/anna"}
    assert seen["bcc"]["origin"] == "global"
    assert seen["attachment_password_set"] == {"value": False, "origin": "default"}
    assert seen["macros"]["firma"] == {"value": "Firma Sp. z o.o.", "origin": "global"}
    own = (await client.get("/config/effective", headers=anna)).json()
    assert "bcc" not in own and own["importance"] == seen["importance"]
    other = await client.get("/config/effective?user=piotr", headers=anna)
    assert other.status_code == 403


async def test_nothing_stored_at_all_is_a_conflict(client, as_role):
    answer = await client.get("/config/effective", headers=as_role("admin"))
    assert answer.status_code == 409 and answer.json()["code"] == "no_configuration"


@ONE_ENGINE
@pytest.mark.parametrize(
    ("role", "method", "path", "status"),
    [
        ("sender", "GET", "/config", 403),
        ("sender", "GET", "/config/global", 403),
        ("sender", "PUT", "/config/global", 403),
        ("sender", "GET", "/config/users/anna", 200),
        ("sender", "PUT", "/config/users/anna", 403),
        ("sender", "PATCH", "/config/users/anna", 403),
        ("sender", "DELETE", "/config/users/anna", 403),
        ("sender", "GET", "/config/effective?user=anna", 200),
        ("sender", "GET", "/config/users/anna/templates/document", 404),
        ("sender", "GET", "/config/global/templates/document", 403),
        ("anna", "GET", "/config", 403),
        ("anna", "GET", "/config/global", 403),
        ("anna", "PUT", "/config/global", 403),
        ("anna", "GET", "/config/users/anna", 200),
        ("anna", "PUT", "/config/users/anna", 200),
        ("anna", "POST", "/config/users/anna/pause", 403),
        ("piotr", "GET", "/config/users/anna", 404),
        ("piotr", "PUT", "/config/users/anna", 404),
        ("piotr", "DELETE", "/config/users/anna", 404),
        ("probe", "GET", "/config/global", 403),
        ("probe", "GET", "/config/users/anna", 403),
        ("probe", "GET", "/config/effective", 403),
        ("probe", "GET", "/macros", 403),
        ("probe", "GET", "/templates", 403),
        ("admin", "GET", "/config", 200),
        ("admin", "GET", "/config/users/anna", 200),
        ("admin", "PUT", "/config/users/anna", 200),
        (None, "GET", "/config/global", 401),
        (None, "PUT", "/config/global", 401),
    ],
)  # fmt: skip
async def test_who_may_do_what(client, as_role, role, method, path, status):
    admin = as_role("admin")
    await client.put("/config/global", json=GLOBAL, headers=admin)
    await client.put("/config/users/anna", json={"language": "fr"}, headers=admin)
    body = {"json": {}} if method in ("PUT", "PATCH") else {}
    if method == "PUT" and path == "/config/global":
        body = {"json": GLOBAL}
    headers = as_role(role) if role else {}
    answer = await client.request(method, path, headers=headers, **body)
    assert answer.status_code == status, answer.text


async def test_users_reach_only_the_usual_ports_admins_every_one(client, as_role):
    given = {"smtp": {"host": "10.0.0.5", "port": 6379}, "sender": {"address": "a@b.example"}}
    refused = await client.put("/config/users/anna", json=given, headers=as_role("anna"))
    assert show_faults(refused) == {("/smtp/port", "host_not_allowed")}
    taken = await client.put("/config/users/anna", json=given, headers=as_role("admin"))
    assert taken.status_code == 201


async def test_an_account_waits_for_its_password_until_it_is_entered(client, as_role):
    admin, anna = as_role("admin"), as_role("anna")
    given = {
        "smtp": {"host": "smtp.firma.example", "username": "anna", "password_mode": "awaiting"},
        "sender": {"address": "anna@firma.example"},
    }
    made = await client.put("/config/users/anna", json=given, headers=admin)
    assert made.json()["state"] == "awaiting_password"
    assert [each["code"] for each in made.json()["warnings"]] == ["password_missing"]
    wrong = await client.post("/config/users/anna/secret", json={"password": ""}, headers=anna)
    assert wrong.status_code == 422
    entered = await client.post(
        "/config/users/anna/secret", json={"password": "moje"}, headers=anna
    )
    assert entered.status_code == 200 and entered.json()["state"] == "active"
    assert entered.json()["smtp"]["password_mode"] == "stored"
    url = "/config/users/anna/password"
    assert (await client.get(url, headers=anna)).json() == {"password": "moje"}
    assert (await client.get(url, headers=admin)).status_code == 403


async def test_a_password_asked_at_sending_is_never_stored(client, as_role):
    admin = as_role("admin")
    await client.put("/config/global", json=GLOBAL, headers=admin)
    asks = {"smtp": {"password_mode": "ASK"}}
    shown = (await client.patch("/config/global", json=asks, headers=admin)).json()
    assert shown["smtp"]["password_mode"] == "ask" and shown["smtp"]["password_set"] is False
    assert shown["state"] == "active" and shown["warnings"] == []
    answer = await client.post("/config/global/secret", json={"password": "x"}, headers=admin)
    assert answer.status_code == 409 and answer.json()["code"] == "no_password_wanted"


async def test_pause_and_resume_show_in_the_state(client, as_role):
    admin = as_role("admin")
    await client.put("/config/global", json=GLOBAL, headers=admin)
    paused = await client.post("/config/global/pause", headers=admin)
    assert paused.json()["state"] == "paused" and paused.json()["paused_at"]
    resumed = await client.post("/config/global/resume", headers=admin)
    assert resumed.json()["state"] == "active" and resumed.json()["paused_at"] is None
    await client.put("/config/users/anna", json={}, headers=admin)
    inherits = await client.post("/config/users/anna/pause", headers=admin)
    assert inherits.status_code == 409 and inherits.json()["code"] == "inherits_server"


async def test_trouble_with_the_server_is_shown_and_a_saved_change_clears_it(
    client, as_role, office
):
    admin = as_role("admin")
    await client.put("/config/global", json=GLOBAL, headers=admin)

    def trouble(tx):
        note_trouble(
            tx, find_account(tx, "global").id, cause="credentials_refused",
            detail="535 5.7.8 bad password", at=office.clock(),
        )  # fmt: skip

    await office.db.write(trouble)
    shown = (await client.get("/config/global", headers=admin)).json()
    assert shown["state"] == "trouble"
    assert shown["trouble"]["cause"] == "credentials_refused" and shown["trouble"]["next_try_at"]
    saved = await client.put("/config/global", json=shown, headers=admin)
    assert saved.json()["state"] == "active" and saved.json()["trouble"] is None


async def test_an_account_that_its_server_asked_to_slow_down_says_so(client, as_role, office):
    admin = as_role("admin")
    made = (await client.put("/config/global", json=GLOBAL, headers=admin)).json()
    assert made["slowed"] is None
    assert made["limits"] == {"per_minute": None, "connections": None, "per_connection": None}

    def complain(tx):
        complaint = Complaint("rate", "450 4.7.1 too much mail")
        heed(
            tx, find_account(tx, "global").id, "w.1.1", complaint,
            host="mail.example", at=office.clock(),
        )  # fmt: skip

    await office.db.write(complain)
    shown = (await client.get("/config/global", headers=admin)).json()
    assert shown["state"] == "slowed" and shown["trouble"] is None
    slowed = shown["slowed"]
    assert (slowed["reason"], slowed["detail"]) == ("rate_limited", "450 4.7.1 too much mail")
    assert slowed["slowed_at"] < slowed["next_try_at"] < slowed["until"]
    assert shown["limits"] == {"per_minute": 6, "connections": 1, "per_connection": None}
    saved = (await client.put("/config/global", json=shown, headers=admin)).json()
    assert (saved["state"], saved["slowed"]) == ("active", None)


async def test_the_list_of_configurations_is_paged(client, as_role):
    admin = as_role("admin")
    await client.put("/config/global", json=GLOBAL, headers=admin)
    for user in ("anna", "piotr"):
        await client.put(f"/config/users/{user}", json={}, headers=admin)
    first = (await client.get("/config?limit=2", headers=admin)).json()
    rest = (await client.get(f"/config?after={first['next']}", headers=admin)).json()
    scopes = [each["scope"] for each in first["data"] + rest["data"]]
    assert scopes == ["global", "users/anna", "users/piotr"] and rest["next"] is None


async def test_draft_mode_keeps_smtp_settings_and_needs_none(client, as_role):
    admin = as_role("admin")
    given = {"mode": "draft", "sender": {"address": "Firma <biuro@firma.example>"}}
    made = await client.put("/config/global", json=given, headers=admin)
    assert made.status_code == 201, made.text
    assert made.json()["sender"] == {"address": "biuro@firma.example", "name": "Firma"}
    kept = await client.put("/config/global", json={**given, "smtp": {"port": 2525}}, headers=admin)
    assert kept.json()["smtp"]["port"] == 2525
    lacking = await client.patch("/config/global", json={"mode": "smtp"}, headers=admin)
    assert show_faults(lacking) == {("/smtp/host", "required")}


async def test_common_mail_answers_to_the_user_it_is_sent_for(client, as_role):
    admin = as_role("admin")
    await client.put("/config/global", json={**GLOBAL, "reply_to": ""}, headers=admin)
    await client.put(
        "/users/anna", json={"name": "Anna", "address": "anna@firma.example"}, headers=admin
    )
    seen = (await client.get("/config/effective?user=anna", headers=admin)).json()
    mailbox = {"address": "anna@firma.example", "name": "Anna"}
    assert seen["reply_to"] == {"value": [mailbox], "origin": "users/anna"}
    await client.put("/config/users/anna", json={"reply_to": ""}, headers=admin)
    seen = (await client.get("/config/effective?user=anna", headers=admin)).json()
    assert seen["reply_to"] == {"value": [], "origin": "users/anna"}


async def test_two_at_once_make_one_configuration(client, as_role):
    admin = as_role("admin")
    statuses = []

    async def put():
        answer = await client.put("/config/global", json=GLOBAL, headers=admin)
        statuses.append(answer.status_code)

    async with anyio.create_task_group() as group:
        for _ in range(4):
            group.start_soon(put)
    assert sorted(statuses) == [200, 200, 200, 201]
