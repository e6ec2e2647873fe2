"""Accounts beside the default ones: the table of rights, sending through one, links, domains."""

import re
from datetime import timedelta
from pathlib import Path

import pytest

from tests.doors.sending import CONFIG, LETTER, configure, list_faults, read_mail

pytestmark = pytest.mark.anyio

_PAGE = (Path(__file__).parents[2] / "docs" / "accounts.md").read_text("utf-8")
_DEEDS = ("list", "GET", "send", "PATCH", "grant", "default", "password link")
_GRANTS = {
    "with `read`": {"read": True},
    "with `send`": {"send": True},
    "with `send` until yesterday": {"send": True, "until": True},
    "with `manage`": {"manage": True},
}


def read_table():
    block = re.search("<!-- rights -->(.*)<!-- /rights -->", _PAGE, re.S)[1]
    for table in block.strip().split("\n\n"):
        head, _, *rows = [
            [cell.strip() for cell in line.strip("|").split("|")] for line in table.splitlines()
        ]
        for row in rows:
            yield head[0], row[0], tuple(row[1:])


async def make_account(client, headers, holder=None, **changes):
    login = {"username": "windykacja@firma.example", "password": "tajne"}
    given = {
        "name": "Windykacja",
        "holder": holder,
        "smtp": {"host": "smtp.firma.example", "port": 587} | login,
        "sender": {"address": "windykacja@firma.example", "name": "Firma"},
    } | changes
    answer = await client.post("/accounts", json=given, headers=headers)
    assert answer.status_code == 201, answer.text
    return answer.json()["id"]


@pytest.mark.parametrize(("account", "who", "expected"), list(read_table()))
async def test_the_table_of_rights_holds(client, as_role, office, clock, account, who, expected):
    admin = as_role("admin")
    await configure(client, admin)
    if account == "on the global account":
        configured = await client.get("/config/global", headers=admin)
        login = {"username": "faktury@firma.example", "password": "tajne"}
        smtp = configured.json()["smtp"] | login
        await client.patch("/config/global", json={"smtp": smtp}, headers=admin)
        account_id = configured.json()["id"]
    else:
        account_id = await make_account(client, admin, "piotr" if "piotr" in account else None)
    if (granted := _GRANTS.get(who)) is not None:
        soon = office.clock() + timedelta(minutes=1)
        body = granted | ({"until": soon.isoformat()} if "until" in granted else {})
        where = f"/accounts/{account_id}/rights/anna"
        assert (await client.put(where, json=body, headers=admin)).status_code == 200
        if "until" in granted:
            await end_grant(office, account_id)
    role = {"admin": "admin", "sender": "sender", "piotr": "piotr", "probe": "probe"}.get(
        who.partition(",")[0], "anna"
    )
    headers = as_role(role)
    letter = LETTER | {"account": account_id}
    if who == "sender, as piotr":
        letter |= {"as_user": "piotr"}
    found = []
    for deed in _DEEDS:
        found.append(await do(client, headers, deed, account_id, letter))
    assert dict(zip(_DEEDS, found, strict=True)) == dict(zip(_DEEDS, expected, strict=True))


async def end_grant(office, account_id):
    """Let a delegation be over: the database's clock decides, which no test moves."""
    from sqlalchemy import update

    from app.configuration.tables import account_right

    past = office.clock() - timedelta(days=1)
    statement = (
        update(account_right).where(account_right.c.account_id == account_id).values(until=past)
    )
    await office.db.write(lambda tx: tx.execute(statement) and None)


async def do(client, headers, deed, account_id, letter):
    where = f"/accounts/{account_id}"
    if deed == "list":
        answer = await client.get("/accounts", headers=headers)
        if answer.status_code == 200:
            return "yes" if account_id in [each["id"] for each in answer.json()["data"]] else "no"
        return str(answer.status_code)
    if deed == "GET":
        answer = await client.get(where, headers=headers)
        if answer.status_code != 200:
            return str(answer.status_code)
        return "whole" if "smtp" in answer.json() else "short"
    method, path, body = {
        "send": ("POST", "/send", letter | {"dry_run": True}),
        "PATCH": ("PATCH", where, {"importance": "high"}),
        "grant": ("PUT", f"{where}/rights/ola", {"read": True}),
        "default": ("POST", f"{where}/default", None),
        "password link": ("POST", f"{where}/password-link", {}),
    }[deed]
    answer = await client.request(method, path, json=body, headers=headers)
    return "yes" if answer.is_success else str(answer.status_code)


async def test_mail_goes_out_through_the_account_that_is_named(client, as_role):
    admin = as_role("admin")
    await configure(client, admin)
    account_id = await make_account(client, admin, senders="naleznosci@firma.example")
    sent = await client.post("/send", json=LETTER | {"account": account_id}, headers=admin)
    assert sent.status_code == 202
    assert sent.json()["resolved"]["scope"] == f"accounts/{account_id}"
    mail = await read_mail(client, admin, sent.json()["id"])
    assert mail["From"] == "Firma <windykacja@firma.example>"
    other = LETTER | {"account": account_id, "from": "Ola <naleznosci@firma.example>"}
    sent = await client.post("/send", json=other, headers=admin)
    mail = await read_mail(client, admin, sent.json()["id"])
    assert mail["From"] == "Ola <naleznosci@firma.example>"
    assert mail["Message-ID"].endswith("@firma.example>")


async def test_a_sender_that_is_not_the_accounts_is_refused(client, as_role):
    admin = as_role("admin")
    await configure(client, admin)
    letter = LETTER | {"from": "szef@firma.example"}
    answer = await client.post("/send", json=letter, headers=admin)
    assert (answer.status_code, answer.json()["code"]) == (403, "sender_not_allowed")
    batch = {"messages": [LETTER, letter], "mode": "partial"}
    answer = await client.post("/send/batch", json=batch, headers=admin)
    assert answer.json()["data"][0]["status"] == "queued"
    assert answer.json()["data"][1]["problem"]["code"] == "sender_not_allowed"


async def test_an_account_may_insist_on_its_own_address_and_name(client, as_role):
    admin = as_role("admin")
    await configure(client, admin, always_use_address=True, always_use_name=True)
    letter = LETTER | {"from": "Szef <szef@firma.example>"}
    sent = await client.post("/send", json=letter, headers=admin)
    assert sent.status_code == 202
    assert [each["code"] for each in sent.json()["warnings"]] == ["sender_replaced"]
    mail = await read_mail(client, admin, sent.json()["id"])
    assert mail["From"] == '"Firma Sp. z o.o." <faktury@firma.example>'


async def test_an_account_nobody_knows_and_one_switched_off_say_so(client, as_role):
    admin = as_role("admin")
    await configure(client, admin)
    answer = await client.post("/send", json=LETTER | {"account": "unknown"}, headers=admin)
    assert answer.status_code == 422
    assert list_faults(answer) == [("/account", "account_not_found")]
    account_id = await make_account(client, admin, outgoing=False)
    answer = await client.post("/send", json=LETTER | {"account": account_id}, headers=admin)
    assert (answer.status_code, answer.json()["code"]) == (409, "outgoing_off")


async def test_answers_reach_the_common_mailbox_where_the_account_has_none(client, as_role):
    admin = as_role("admin")
    await configure(client, admin, incoming={"host": "imap.firma.example", "password": "x"})
    deaf = await make_account(client, admin)
    hears = await make_account(client, admin, incoming={"host": "imap.firma.example"})
    for account_id, expected in (
        (deaf, '"Firma Sp. z o.o." <faktury@firma.example>'),
        (hears, None),
    ):
        sent = await client.post("/send", json=LETTER | {"account": account_id}, headers=admin)
        assert (await read_mail(client, admin, sent.json()["id"]))["Reply-To"] == expected


async def test_a_new_default_takes_the_place_of_the_former(client, as_role):
    anna = as_role("anna")
    await configure(client, as_role("admin"))
    await configure(client, anna, "users/anna", sender={"address": "anna@firma.example"})
    former = (await client.get("/config/users/anna", headers=anna)).json()["id"]
    account_id = await make_account(client, anna)
    answer = await client.post(f"/accounts/{account_id}/default", headers=anna)
    assert answer.json()["path"] == "/config/users/anna"
    now = (await client.get("/config/users/anna", headers=anna)).json()
    assert (now["id"], now["name"]) == (account_id, "Windykacja")
    beside = (await client.get(f"/accounts/{former}", headers=anna)).json()
    assert (beside["is_default"], beside["scope"]) == (False, f"accounts/{former}")
    sent = await client.post("/send", json=LETTER, headers=anna)
    assert sent.json()["resolved"]["scope"] == "users/anna"
    assert (await read_mail(client, anna, sent.json()["id"]))["From"].endswith(
        "<windykacja@firma.example>"
    )


async def test_the_owner_enters_a_password_by_a_link_once(client, as_role):
    admin = as_role("admin")
    await configure(client, admin)
    smtp = {
        "host": "smtp.firma.example",
        "username": "w@firma.example",
        "password_mode": "awaiting",
    }
    account_id = await make_account(client, admin, smtp=smtp)
    letter = LETTER | {"account": account_id}
    message_id = (await client.post("/send", json=letter, headers=admin)).json()["id"]
    made = await client.post(f"/accounts/{account_id}/password-link", headers=admin)
    link = f"/password-links/{made.json()['token']}"
    asked = (await client.get(link)).json()
    assert asked == {
        "address": "windykacja@firma.example",
        "server": "smtp.firma.example:587",
        "mailbox_server": None,
        "username": "w@firma.example",
    }
    assert (await client.post(link, json={"password": ""})).status_code == 422
    assert (await client.post(link, json={"password": "tajne"})).status_code == 204
    assert (await client.post(link, json={"password": "inne"})).status_code == 404
    assert (await client.get(link)).json()["code"] == "link_not_found"
    shown = await client.get(f"/messages/{message_id}", headers=admin)
    assert shown.json()["status"] == "queued"
    revealed = await client.get(f"/accounts/{account_id}/password", headers=admin)
    assert revealed.status_code == 403


async def test_a_link_ends_with_time_with_a_newer_one_and_is_not_guessed(client, as_role, clock):
    admin = as_role("admin")
    await configure(client, admin)
    account_id = await make_account(client, admin)
    where = f"/accounts/{account_id}/password-link"
    first = (await client.post(where, json={"lasts_h": 1}, headers=admin)).json()["token"]
    second = (await client.post(where, json={"lasts_h": 1}, headers=admin)).json()["token"]
    assert (await client.get(f"/password-links/{first}")).status_code == 404
    assert (await client.get(f"/password-links/{second[:-1]}x")).status_code == 404
    assert (await client.get(f"/password-links/{second}")).status_code == 200
    clock.advance(hours=2)
    assert (await client.get(f"/password-links/{second}")).status_code == 404


async def test_a_domain_serves_the_accounts_that_name_no_server(client, as_role):
    admin = as_role("admin")
    await configure(client, admin)
    smtp = {"host": "poczta.firma.example", "connection": "ssl_tls"}
    dry = await client.put("/domains/Firma.example?dry_run=1", json={"smtp": smtp}, headers=admin)
    assert (dry.status_code, dry.json()["accounts"]) == (200, [])
    assert (await client.get("/domains/firma.example", headers=admin)).status_code == 404
    made = await client.put("/domains/firma.example", json={"smtp": smtp}, headers=admin)
    assert made.status_code == 201
    account_id = await make_account(client, admin, smtp={"password": "tajne"})
    whole = (await client.get(f"/accounts/{account_id}", headers=admin)).json()
    assert whole["smtp"]["password_set"] is True
    sent = await client.post("/send", json=LETTER | {"account": account_id}, headers=admin)
    assert sent.json()["resolved"]["server"] == "poczta.firma.example:465"
    moved = {"smtp": smtp | {"host": "nowa.firma.example"}}
    dry = await client.put("/domains/firma.example?dry_run=1", json=moved, headers=admin)
    assert dry.json()["accounts"] == [
        {
            "id": account_id,
            "scope": f"accounts/{account_id}",
            "address": "windykacja@firma.example",
            "server_before": "poczta.firma.example:465",
            "server_after": "nowa.firma.example:465",
            "password": "needed",
        }
    ]
    await client.put("/domains/firma.example", json=moved, headers=admin)
    shown = (await client.get(f"/accounts/{account_id}", headers=admin)).json()
    assert (shown["state"], shown["smtp"]["password_set"]) == ("awaiting_password", False)
    gone = await client.delete("/domains/firma.example", headers=admin)
    assert gone.json()[0]["server_after"] is None


async def test_a_personal_sender_of_a_domain_uses_its_server_and_says_so(client, as_role):
    admin, anna = as_role("admin"), as_role("anna")
    await configure(client, admin)
    await client.put(
        "/config/users/anna", json={"sender": {"address": "anna@x.example"}}, headers=anna
    )
    domain = {"smtp": {"host": "mail.x.example", "auth": "none"}}
    changed = await client.put("/domains/x.example", json=domain, headers=admin)
    assert [each["scope"] for each in changed.json()["accounts"]] == ["users/anna"]
    effective = (await client.get("/config/effective", headers=anna)).json()
    assert effective["smtp"]["host"] == {"value": "mail.x.example", "origin": "domain"}
    assert effective["smtp"]["timeout_ms"]["origin"] == "default"
    assert effective["sender"]["address"]["origin"] == "users/anna"


async def test_a_domain_bounds_the_attachments(client, as_role):
    admin = as_role("admin")
    domain = {"smtp": {"host": "mail.firma.example", "auth": "none"}, "max_attachment_bytes": 10}
    await client.put("/domains/firma.example", json=domain, headers=admin)
    await client.put("/config/global", json={"sender": CONFIG["sender"]}, headers=admin)
    part = {"filename": "a.txt", "content": "MDEyMzQ1Njc4OTA="}
    answer = await client.post("/send", json=LETTER | {"attachments": [part]}, headers=admin)
    assert (answer.status_code, list_faults(answer)) == (
        413,
        [("/attachments", "attachments_too_large")],
    )


async def test_every_deed_is_in_the_audit(client, as_role):
    admin = as_role("admin")
    await configure(client, admin)
    account_id = await make_account(client, admin)
    where = f"/accounts/{account_id}"
    await client.put(f"{where}/rights/anna", json={"send": True}, headers=admin)
    await client.delete(f"{where}/rights/anna", headers=admin)
    await client.post(f"{where}/password-link", headers=admin)
    await client.post(f"{where}/default", headers=admin)
    lines = (await client.get("/audit", headers=admin)).json()["data"]
    assert [each["action"] for each in lines][:5] == [
        "account.default",
        "account.password_link",
        "account.revoke",
        "account.grant",
        "config.put",
    ]
    assert "tajne" not in str(lines)


async def test_accounts_are_found_by_name_address_and_server_and_nothing_else(client, as_role):
    admin = as_role("admin")
    await configure(client, admin)
    account_id = await make_account(client, admin, name="Księgowość 100%")
    for query, found in (
        ("księgowość", [account_id]),
        ("0%", [account_id]),
        ("WINDYKACJA@firma", [account_id]),
        ("nobody", []),
        ("password", []),  # the name of a member
    ):
        answer = await client.get("/accounts", params={"q": query}, headers=admin)
        assert [each["id"] for each in answer.json()["data"]] == found, query
    answer = await client.get("/accounts", params={"q": "smtp.FIRMA"}, headers=admin)
    assert len(answer.json()["data"]) == 2
