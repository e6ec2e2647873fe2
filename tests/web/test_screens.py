"""Overview, first run, keys, audit, system."""

import re
from datetime import UTC, datetime, timedelta
from html import escape

import pytest
from sqlalchemy import select, update

from app.accounts.tables import api_key
from app.configuration.load import find_account
from app.db import now
from app.outbox.beat import beat
from app.outbox.complaint import Complaint
from app.outbox.manners import heed
from app.outbox.tables import worker
from app.settings import read_version

pytestmark = pytest.mark.anyio
ADMINS_ONLY = ["/ui/keys", "/ui/webhooks", "/ui/audit", "/ui/system", "/ui/start", "/ui/start/done"]
SERVER = {
    "smtp.host": "smtp.firma.example", "smtp.connection": "ssl_tls", "smtp.port": "465",
    "smtp.tls_verify": "on",
    "smtp.username": "faktury@firma.example", "smtp.password": "tajne hasło",
    "sender.address": "faktury@firma.example", "sender.name": "Firma",
}  # fmt: skip


@pytest.mark.parametrize("path", ADMINS_ONLY)
@pytest.mark.parametrize("role", ["sender", "anna"])
async def test_only_admins_open_what_is_theirs(signed_in, role, path):
    browser = await signed_in(role)
    assert (await browser.get(path)).status_code == 403
    assert f'href="{path}"' not in (await browser.get("/ui/")).text


@pytest.mark.parametrize(
    "action", ["/ui/keys", "/ui/keys/x/revoke", "/ui/start", "/ui/start/save", "/ui/start/test"]
)
async def test_only_admins_change_what_is_theirs(signed_in, action):
    answer = await (await signed_in("anna")).submit(
        "/ui/", action, **SERVER, name="x", role="admin"
    )
    assert answer.status_code == 403


async def test_an_empty_installation_says_what_to_do(signed_in):
    html = (await (await signed_in("admin")).get("/ui/")).text
    assert 'href="/ui/start"' in html and "No worker is running" in html and "No mail yet" in html
    html = (await (await signed_in("anna")).get("/ui/")).text
    assert 'href="/ui/start"' not in html and "Ask your administrator" in html


async def test_an_account_that_waits_for_its_password_needs_attention(signed_in, client, as_role):
    given = {
        "smtp": {"host": "smtp.firma.example", "username": "u"},
        "sender": {"address": "a@firma.example"},
    }
    await client.put("/config/global", json=given, headers=as_role("admin"))
    html = (await (await signed_in("admin")).get("/ui/")).text
    assert "waits for its password" in html and 'href="/ui/config/global"' in html


async def test_an_account_that_its_server_slowed_down_says_why_and_until_when(
    signed_in, client, as_role, office
):
    given = {"smtp": {"host": "smtp.firma.example"}, "sender": {"address": "a@firma.example"}}
    await client.put("/config/global", json=given, headers=as_role("admin"))
    words = "450 4.7.1 too much <mail>"

    def complain(tx):
        account = find_account(tx, "global")
        complaint = Complaint("rate", words)
        heed(tx, account.id, "w.1.1", complaint, host="smtp.firma.example", at=now(tx))

    await office.db.write(complain)
    admin = await signed_in("admin")
    html = (await admin.get("/ui/")).text
    assert "asks for less at a time" in html and "All is well" not in html
    html = (await admin.get("/ui/config/global")).text
    assert "slowed down" in html and escape(words) in html


@pytest.mark.parametrize(
    ("address", "provider", "host", "port", "said"),
    [("Firma <jan@gmail.com>", "", "smtp.gmail.com", "465", "app password"),
     ("jan@WP.pl", "", "smtp.wp.pl", "465", "switched on"),
     ("jan@firma.example", "", "smtp.firma.example", "587", ""),
     ("jan@firma.example", "ovh", "ssl0.ovh.net", "465", "OVH"),
     ("jan@firma.example", "home", "", "465", "customer panel")],
)  # fmt: skip
async def test_the_first_run_finds_the_server(signed_in, address, provider, host, port, said):
    browser = await signed_in("admin")
    answer = await browser.submit(
        "/ui/start", "/ui/start", address=address, name="", provider=provider
    )
    fields = dict(re.findall(r'<input[^>]*name="([\w.]+)"[^>]* value="([^"]*)"', answer.text))
    assert (fields["smtp.host"], fields["smtp.port"]) == (host, port)
    assert said in answer.text
    assert fields["sender.name"] == ("Firma" if "Firma <" in address else "")


@pytest.mark.parametrize(
    ("records", "stored", "host", "username", "said"),
    [
        ([("_submissions._tcp.firma.example", "SRV", ["0 1 465 poczta.firma.example."])], None,
         "poczta.firma.example", "jan@firma.example", "names its mail server itself"),
        ([("_submissions._tcp.firma.example", "SRV", ["0 1 465 poczta.obca.example."])], None,
         "poczta.obca.example", "jan@firma.example", "make sure that it is yours"),
        ([("firma.example", "MX", ["0 mx1.mail.ovh.net."])], None,
         "ssl0.ovh.net", "jan@firma.example", "Found: OVH"),
        ([], {"smtp": {"host": "mail.firma.example"}, "username": "local_part"},
         "mail.firma.example", "jan", "stored for this e-mail domain"),
        ([], None, "smtp.firma.example", "jan@firma.example", "this is the usual name"),
    ],
)  # fmt: skip
async def test_the_first_run_asks_whoever_the_api_would_ask(
    signed_in, client, as_role, names, records, stored, host, username, said
):
    names[0].records = records
    if stored:
        await client.put("/domains/firma.example", json=stored, headers=as_role("admin"))
    browser = await signed_in("admin")
    answer = await browser.submit("/ui/start", "/ui/start", address="jan@firma.example")
    fields = dict(re.findall(r'<input[^>]*name="([\w.]+)"[^>]* value="([^"]*)"', answer.text))
    assert (fields["smtp.host"], fields["smtp.username"]) == (host, username)
    assert said in answer.text


async def test_the_first_run_asks_again_for_an_address_that_is_none(signed_in):
    answer = await (await signed_in("admin")).submit("/ui/start", "/ui/start", address="nobody")
    assert (
        answer.status_code == 422
        and 'id="e-address"' in answer.text
        and 'value="nobody"' in answer.text
    )


async def test_the_first_run_stores_server_and_sender_and_nothing_else_changes(
    signed_in, client, as_role
):
    browser = await signed_in("admin")
    answer = await browser.submit("/ui/start", "/ui/start/save", **SERVER)
    assert answer.headers["location"] == "/ui/start/done"
    await client.patch("/config/global", json={"bcc": "b@firma.example"}, headers=as_role("admin"))
    await browser.submit(
        "/ui/start", "/ui/start/save", **(SERVER | {"smtp.host": "new.firma.example"})
    )
    shown = (await client.get("/config/global", headers=as_role("admin"))).json()
    assert shown["smtp"]["host"] == "new.firma.example" and shown["smtp"]["password_set"] is True
    assert shown["bcc"][0]["address"] == "b@firma.example"


async def test_a_key_is_shown_once_and_works(signed_in, client, office):
    browser = await signed_in("admin")
    answer = await browser.submit(
        "/ui/keys", "/ui/keys", name="Moduł", role="user", user="anna", expires_at="2099-12-31"
    )
    key = re.search(r'<pre id="fresh"[^>]*>(awizo_\w+)</pre>', answer.text)[1]
    assert (
        await client.get("/limits", headers={"Authorization": f"Bearer {key}"})
    ).status_code == 200
    assert key not in (await browser.get("/ui/keys")).text
    row = await office.db.read(
        lambda tx: tx.execute(select(api_key).where(api_key.c.name == "Moduł")).one()
    )
    assert row.expires_at.isoformat() == "2099-12-31T23:59:59+00:00"
    await browser.submit("/ui/keys", f"/ui/keys/{row.id}/revoke")
    assert (
        await client.get("/limits", headers={"Authorization": f"Bearer {key}"})
    ).status_code == 401


async def test_a_refused_key_names_its_faults(signed_in):
    browser = await signed_in("admin")
    answer = await browser.submit(
        "/ui/keys", "/ui/keys", name=" ", role="root", user="", expires_at="soon"
    )
    assert answer.status_code == 422
    assert set(re.findall(r'id="e-(\w+)"', answer.text)) == {"name", "role", "expires_at"}
    answer = await browser.submit("/ui/keys", "/ui/keys", name="x", role="user", user="")
    assert set(re.findall(r'id="e-(\w+)"', answer.text)) == {"user"}


async def test_the_audit_shows_what_changed_and_no_secret(signed_in):
    browser = await signed_in("admin")
    await browser.submit("/ui/start", "/ui/start/save", **SERVER)
    await browser.submit(
        "/ui/start", "/ui/start/save", **(SERVER | {"smtp.host": "new.firma.example"})
    )
    html = (await browser.get("/ui/audit", params={"object": "config/global"})).text
    assert "<del>smtp.firma.example</del>" in html and "<ins>new.firma.example</ins>" in html
    assert "tajne" not in html and 'title="key.create"' not in html
    assert (
        "Nothing like this" in (await browser.get("/ui/audit", params={"actor": "<nobody>"})).text
    )


async def test_the_system_shows_limits_in_force(signed_in):
    html = (await (await signed_in("admin")).get("/ui/system")).text
    assert "SQLite" in html and "25\u00a0MiB" in html and "1m, 5m*2" in html


async def test_the_system_lists_every_worker_and_which_is_silent(signed_in, office):
    for worker_id in ("alive", "died"):
        await office.db.write(beat, worker_id)
    long_ago = datetime.now(UTC) - timedelta(minutes=1)
    died = update(worker).where(worker.c.id == "died").values(seen_at=long_ago)
    await office.db.write(lambda tx: tx.execute(died))
    html = (await (await signed_in("admin")).get("/ui/system")).text
    assert html.count(f'<td data-label="Version">{read_version()}</td>') == 2
    assert html.count(">silent</span>") == 1


@pytest.mark.parametrize(
    ("delivery", "said"),
    [
        ("off", "Delivery is off"),
        ("redirect:test@firma.example", "all mail goes to test@firma.example"),
    ],
)
async def test_every_page_says_that_mail_does_not_leave(signed_in, service, office, delivery, said):
    object.__setattr__(
        office, "settings", office.settings.model_copy(update={"delivery": delivery})
    )
    browser = await signed_in("admin")
    for path in ("/ui/", "/ui/keys", "/ui/sign-in?x", "/ui/nothing-here"):
        answer = await browser.get(path)
        assert said in answer.text or answer.status_code == 303
