"""``/test-smtp`` over HTTP, against a real mail server with TLS and logins."""

import ssl
from dataclasses import replace
from email import message_from_bytes, policy

import pytest

from app.configuration.load import find_account
from app.outbox.health import note_success, note_trouble, read_health
from app.wire.causes import CAUSES
from tests.crafts.wire.certificates import make_authority
from tests.crafts.wire.dialogue import play
from tests.crafts.wire.real_server import PASSWORD, USER, serve
from tests.effort import ONE_ENGINE
from tests.rooms.outbox.probing import script

pytestmark = pytest.mark.anyio


@pytest.fixture(scope="module")
def authority(tmp_path_factory):
    return make_authority(tmp_path_factory.mktemp("authority"))


@pytest.fixture
async def server(authority):
    """A mail server that wants a login under STARTTLS."""
    async with serve(authority.make_server_context()) as mailbox:
        yield mailbox


@pytest.fixture
def config(server, authority):
    """A configuration that works with it."""
    return {
        "smtp": {
            "host": "127.0.0.1", "port": server.port, "ca_pem": authority.pem,
            "username": USER, "password": PASSWORD,
        },
        "sender": {"address": USER, "name": "Anna Kowalska"},
        "cc": "ksiegowosc@firma.example", "bcc": "archiwum@firma.example",
        "notifications": ["OnFailure"],
    }  # fmt: skip


@pytest.fixture
def change_settings(service, office):
    """Let the running service work with other settings."""

    def change(**settings):
        changed = office.settings.model_copy(update=settings)
        service.state.office = replace(office, settings=changed)

    return change


@pytest.fixture
def call(client, as_role):
    async def call(body, role="admin"):
        return await client.post("/test-smtp", json=body, headers=as_role(role))

    return call


@pytest.fixture
def put(client, as_role):
    async def put(config, scope="global"):
        answer = await client.put(f"/config/{scope}", json=config, headers=as_role("admin"))
        assert answer.status_code in (200, 201), answer.text

    return put


def show_faults(answer):
    return {(each["pointer"], each["code"]) for each in answer.json()["errors"]}


def name_steps(answer):
    return " ".join(step["step"] for step in answer.json()["steps"])


def without(config, *names):
    smtp = {name: value for name, value in config["smtp"].items() if name not in names}
    return {**config, "smtp": smtp}


async def test_a_stored_configuration_is_tried_with_a_real_message(call, put, config, server):
    await put(config)
    answer = await call({"scope": "global"})
    assert answer.status_code == 200, answer.text
    report = answer.json()
    assert report["ok"] is True
    assert report["mode"] == "send"
    assert (report["host"], report["port"]) == ("127.0.0.1", server.port)
    assert (report["connection"], report["auth"]) == ("starttls", "plain")
    assert report["recipients"] == [USER, "ksiegowosc@firma.example", "archiwum@firma.example"]
    assert name_steps(answer) == (
        "resolve connect greeting ehlo starttls ehlo auth mail rcpt rcpt rcpt data quit"
    )
    assert all(step["ok"] for step in report["steps"])
    assert report["failed_at"] is report["cause"] is report["advice"] is report["fix"] is None
    steps = {step["step"]: step for step in report["steps"]}
    assert steps["resolve"] == {
        "step": "resolve", "ok": True, "ms": steps["resolve"]["ms"], "detail": "127.0.0.1",
    }  # fmt: skip
    assert steps["greeting"]["code"] == 220
    assert steps["ehlo"]["capabilities"] == {
        "size": 33554432, "dsn": False, "starttls": False, "pipelining": False, "smtputf8": False,
        "auth": steps["ehlo"]["capabilities"]["auth"], "8bitmime": True, "chunking": False,
    }  # fmt: skip
    assert steps["starttls"]["tls"]["version"] == ssl.TLSVersion.TLSv1_3.name.replace("_", ".")
    assert steps["starttls"]["tls"]["subject"] == "CN=mail server"
    assert [each["code"] for each in report["warnings"]] == ["dsn_not_offered"]
    [received] = server.received
    assert received.mail_from == USER
    assert received.rcpt_tos == report["recipients"]
    message = message_from_bytes(received.content, policy=policy.default)
    assert message["To"] == f"Anna Kowalska <{USER}>"
    assert message["Cc"] == "ksiegowosc@firma.example"
    assert message["Bcc"] is None
    assert message["Subject"] == "Wiadomość testowa"
    assert PASSWORD not in answer.text


@pytest.mark.parametrize(
    ("mode", "steps"),
    [
        ("connect", "resolve connect greeting ehlo starttls ehlo quit"),
        ("LOGIN", "resolve connect greeting ehlo starttls ehlo auth quit"),
        ("envelope", "resolve connect greeting ehlo starttls ehlo auth mail rcpt rcpt rcpt quit"),
    ],
)
async def test_each_mode_goes_as_far_as_it_says(call, config, server, mode, steps):
    answer = await call({"config": config, "mode": mode})
    assert answer.json()["ok"], answer.text
    assert name_steps(answer) == steps
    assert server.received == []
    assert (answer.json()["recipients"] == []) is (mode != "envelope")


async def test_implicit_tls_has_its_own_step_before_the_greeting(call, config, authority):
    async with serve(authority.make_server_context(), implicit_tls=True) as mailbox:
        config["smtp"] |= {"port": mailbox.port, "connection": "ssl_tls"}
        answer = await call({"config": config})
    assert answer.json()["connection"] == "ssl_tls"
    assert (
        name_steps(answer) == "resolve connect tls greeting ehlo auth mail rcpt rcpt rcpt data quit"
    )
    assert len(mailbox.received) == 1


async def test_failing_is_an_answer_with_cause_advice_and_step(call, config, server):
    config["smtp"]["password"] = "wrong-password"
    answer = await call({"config": config})
    assert answer.status_code == 200
    report = answer.json()
    assert report["ok"] is False
    assert (report["failed_at"], report["cause"]) == ("auth", "credentials_refused")
    assert report["steps"][-1]["step"] == "auth"
    assert report["steps"][-1]["code"] == 535
    assert set(report["advice"]) == {"pl", "fr", "en"}
    assert "wrong-password" not in answer.text
    assert server.received == []


async def test_what_the_server_can_do_is_remembered_and_later_sends_warn(
    call, put, config, client, as_role
):
    await put(config)
    send = {"to": "a@klient.example", "subject": "s", "body": "b", "dry_run": True}
    before = await client.post("/send", json=send, headers=as_role("admin"))
    assert [each["code"] for each in before.json()["warnings"]] == []
    await call({"scope": "global", "mode": "connect"})
    after = await client.post("/send", json=send, headers=as_role("admin"))
    assert [each["code"] for each in after.json()["warnings"]] == ["dsn_not_offered"]


@pytest.mark.parametrize(
    ("body", "closes"),
    [
        ({"scope": "global", "mode": "login"}, True),
        ({"scope": "global", "mode": "send"}, True),
        ({"scope": "global", "mode": "connect"}, False),
        ({"scope": "global", "mode": "login", "config": {}}, False),
    ],
)
async def test_only_a_login_with_what_is_stored_ends_the_account_s_trouble(
    call, put, config, office, body, closes
):
    await put(config)
    account = await office.db.read(find_account, "global")
    await office.db.write(
        note_trouble, account.id, cause="credentials_refused", detail="", at=office.clock()
    )
    if "config" in body:
        body = {**body, "config": config}
    answer = await call(body)
    assert answer.json()["ok"], answer.text
    health = await office.db.read(read_health, account.id)
    assert (health.cause is None) is closes
    assert (health.paused_until is None) is closes
    assert health.capabilities["dsn"] is False
    assert health.starttls_seen == f"127.0.0.1:{config['smtp']['port']}"


async def test_a_probe_of_another_server_is_not_taken_for_the_stored_one(
    call, put, config, office, authority
):
    await put(config)
    async with serve(authority.make_server_context()) as other:
        config["smtp"]["port"] = other.port
        answer = await call({"scope": "global", "config": config, "mode": "login"})
    assert answer.json()["ok"], answer.text
    account = await office.db.read(find_account, "global")
    assert (await office.db.read(read_health, account.id)).capabilities is None


async def test_a_server_that_offered_starttls_once_is_not_believed_without_it(
    call, put, config, office, authority
):
    await put(without(config, "username", "password"))
    assert (await call({"scope": "global", "mode": "connect"})).json()["ok"]
    account = await office.db.read(find_account, "global")
    bare = script("S: 220 mx.example\nC: EHLO *\nS: 250 mx.example")
    async with play(bare) as stripped:
        config["smtp"]["port"] = stripped.port
        await put(without(config, "username", "password"))
        seen = f"127.0.0.1:{stripped.port}"
        await office.db.write(
            note_success, account.id, at=office.clock(), capabilities={}, starttls_seen=seen,
            dsn_refused=None, pipelining_broken=None,
        )  # fmt: skip
        report = (await call({"scope": "global", "probe_timeout_ms": 3000})).json()
    assert (report["failed_at"], report["cause"]) == ("starttls", "starttls_not_offered")


async def test_an_inherited_server_is_not_mended_in_the_personal_configuration(
    call, put, config, authority
):
    async with serve(authority.make_server_context(), implicit_tls=True) as mailbox:
        config["smtp"] |= {"port": mailbox.port, "connection": "starttls"}
        await put(config)
        await put({"sender": {"address": USER}}, "users/anna")
        fixes = [
            (await call({"scope": scope, "mode": "connect", "probe_timeout_ms": 2000})).json()[
                "fix"
            ]
            for scope in ("global", "users/anna")
        ]
    assert fixes == [{"smtp": {"connection": "ssl_tls"}}, None]


async def test_unsaved_values_of_a_scope_use_its_password_for_its_own_server_only(
    call, put, config, authority
):
    await put(config)
    kept = without(config, "password")
    answer = await call({"scope": "global", "config": kept, "mode": "login"})
    assert answer.json()["ok"], answer.text
    async with serve(authority.make_server_context()) as other:
        kept["smtp"]["port"] = other.port
        answer = await call({"scope": "global", "config": kept, "mode": "login"})
    report = answer.json()
    assert (report["failed_at"], report["cause"]) == ("auth", "credentials_refused")
    assert [each["code"] for each in report["warnings"]] == ["password_missing"]
    assert other.mechanisms == []


async def test_a_password_that_is_asked_for_is_given_with_the_probe(call, put, config):
    config = without(config, "password")
    config["smtp"]["password_mode"] = "ask"
    await put(config)
    answer = await call({"scope": "global", "mode": "login"})
    assert answer.status_code == 422
    assert show_faults(answer) == {("/smtp_password", "smtp_password_required")}
    answer = await call({"scope": "global", "smtp_password": PASSWORD})
    assert answer.json()["ok"], answer.text
    assert PASSWORD not in answer.text
    assert (await call({"scope": "global", "mode": "connect"})).json()["ok"]


async def test_delivery_off_tries_the_envelope_only(call, config, server, change_settings):
    change_settings(delivery="off")
    report = (await call({"config": config})).json()
    assert (report["ok"], report["mode"]) == (True, "envelope")
    assert "delivery_off" in [each["code"] for each in report["warnings"]]
    assert server.received == []


async def test_redirected_delivery_redirects_the_test_message(
    call, config, server, change_settings
):
    change_settings(delivery="redirect:test@firma.example")
    report = (await call({"config": config, "to": "klient@klient.example"})).json()
    assert report["ok"]
    assert report["recipients"] == ["test@firma.example"]
    assert "redirected" in [each["code"] for each in report["warnings"]]
    assert [each.rcpt_tos for each in server.received] == [["test@firma.example"]]


async def test_a_trial_elsewhere_is_for_admins_goes_there_alone_and_is_audited(
    call, config, server, client, as_role
):
    body = {"config": config, "to": "Ktoś <ktos@klient.example>"}
    for role in ("anna", "probe"):
        assert (await call(body, role)).status_code == 403
    report = (await call(body)).json()
    assert report["recipients"] == ["ktos@klient.example"]
    assert [each.rcpt_tos for each in server.received] == [["ktos@klient.example"]]
    audit = await client.get("/audit?action=probe.send", headers=as_role("admin"))
    [line] = audit.json()["data"]
    assert line["after"] == {"to": ["ktos@klient.example"], "host": "127.0.0.1"}


async def test_users_try_their_own_scope_and_are_not_shown_the_common_bcc(
    call, put, config, server, change_settings
):
    change_settings(smtp_ports=None)
    await put(config)
    await put({"sender": {"address": "anna@firma.example"}}, "users/anna")
    answer = await call({"scope": "users/anna"}, "anna")
    report = answer.json()
    assert report["ok"], answer.text
    assert report["recipients"] == ["anna@firma.example", "ksiegowosc@firma.example"]
    assert "archiwum" not in answer.text
    assert "[hidden]" in answer.text
    assert "archiwum@firma.example" in server.received[0].rcpt_tos
    assert "archiwum" not in (await call({"scope": "global"}, "probe")).text


async def test_users_reach_the_permitted_ports_only(call, put, config):
    answer = await call({"config": config}, "anna")
    assert answer.status_code == 422
    assert show_faults(answer) == {("/config/smtp/port", "host_not_allowed")}
    await put(config)
    answer = await call({"scope": "global"}, "probe")
    assert answer.status_code == 422
    assert show_faults(answer) == {("/scope", "host_not_allowed")}


@pytest.mark.parametrize(
    ("role", "body", "status"),
    [
        ("anna", {"scope": "global"}, 403),
        ("anna", {"scope": "users/piotr"}, 404),
        ("anna", {"scope": "users/anna"}, 404),
        ("probe", {"scope": "users/anna"}, 403),
        ("probe", {"config": {}}, 403),
        ("probe", {"scope": "global", "config": {}}, 403),
        ("sender", {"scope": "users/anna"}, 403),
        ("sender", {"config": {}}, 403),
        ("admin", {"scope": "users/piotr"}, 404),
        ("probe", {"scope": "global"}, 404),
    ],
)
@ONE_ENGINE
async def test_who_may_try_what(call, role, body, status):
    assert (await call(body, role)).status_code == status


async def test_every_fault_is_told_at_once(call):
    answer = await call(
        {
            "scope": "piotr", "mode": "fly", "to": "nobody", "probe_timeout_ms": 999, "more": 1,
            "config": {"smtp": {"host": "169.254.169.254", "port": "x"}, "cc": "zły"},
        }
    )  # fmt: skip
    assert answer.status_code == 422
    assert show_faults(answer) == {
        ("/scope", "invalid_scope"),
        ("/mode", "unknown_value"),
        ("/to", "invalid_address"),
        ("/probe_timeout_ms", "out_of_range"),
        ("/more", "unknown_field"),
        ("/config/smtp/host", "host_not_allowed"),
        ("/config/smtp/port", "invalid_option"),
        ("/config/cc", "invalid_address"),
        ("/config/sender/address", "required"),
    }


@pytest.mark.parametrize(
    ("body", "fault"),
    [
        ({}, ("/scope", "required")),
        ({"scope": "users/"}, ("/scope", "invalid_scope")),
        ({"scope": "users/a/b"}, ("/scope", "invalid_scope")),
        ({"scope": 5}, ("/scope", "wrong_type")),
        ({"config": []}, ("/config", "wrong_type")),
        ({"scope": "global", "probe_timeout_ms": 120_001}, ("/probe_timeout_ms", "out_of_range")),
        ({"scope": "global", "probe_timeout_ms": "5000"}, ("/probe_timeout_ms", "wrong_type")),
        ({"scope": "global", "smtp_password": "a\nb"}, ("/smtp_password", "invalid_character")),
    ],
)
async def test_a_bad_body_is_refused(call, body, fault):
    answer = await call(body)
    assert answer.status_code == 422
    assert show_faults(answer) == {fault}


async def test_a_template_of_ones_own_that_lacks_a_value_is_refused_before_anything_is_tried(
    call, put, config, client, as_role, server
):
    await put(config)
    template = {"subject": "Test {numer}", "body": "Test", "requires": ["numer"]}
    await client.put(
        "/config/global/templates/test?language=pl", json=template, headers=as_role("admin")
    )
    answer = await call({"scope": "global"})
    assert answer.status_code == 422
    assert show_faults(answer) == {("/macros/numer", "macro_missing")}
    assert (await call({"scope": "global", "mode": "envelope"})).status_code == 422
    assert (await call({"scope": "global", "mode": "login"})).json()["ok"]


async def test_openapi_names_every_cause_and_the_unsaved_body(client):
    document = (await client.get("/openapi.json")).json()
    operation = document["paths"]["/test-smtp"]["post"]
    body = operation["requestBody"]["content"]["application/json"]["schema"]
    assert "host" in body["properties"]["config"]["properties"]["smtp"]["properties"]
    answer = document["components"]["schemas"]["ProbeAnswer"]
    assert set(answer["properties"]["cause"]["anyOf"][0]["enum"]) == set(CAUSES)
