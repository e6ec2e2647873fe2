"""What somebody with some right on an account tries beyond it, and what a default leaves behind."""

from datetime import timedelta

import pytest

from app.api.config_answer import require_unmoved
from app.api.scope import Scope
from app.errors import Stale
from tests.doors.sending import CONFIG, LETTER, configure, list_faults
from tests.doors.test_accounts import make_account

pytestmark = pytest.mark.anyio


async def test_a_delegate_grants_nothing_beyond_the_end_of_their_own_right(client, as_role, office):
    admin, anna = as_role("admin"), as_role("anna")
    await configure(client, admin)
    where = f"/accounts/{await make_account(client, admin)}/rights"
    end = office.clock() + timedelta(days=9)
    until = {"until": end.isoformat()}
    await client.put(f"{where}/anna", json={"manage": True} | until, headers=admin)
    for user in ("anna", "piotr"):
        for late in ({}, {"until": (end + timedelta(seconds=1)).isoformat()}):
            answer = await client.put(f"{where}/{user}", json={"manage": True} | late, headers=anna)
            assert list_faults(answer) == [("/until", "until_beyond_own")]
    granted = await client.put(f"{where}/piotr", json={"send": True} | until, headers=anna)
    assert granted.status_code == 200


async def test_only_an_account_that_can_send_becomes_everybodys(client, as_role):
    admin = as_role("admin")
    await configure(client, admin)
    given = {"sender": {"address": "biuro@firma.example"}}
    made = await client.post("/accounts", json=given, headers=admin)
    answer = await client.post(f"/accounts/{made.json()['id']}/default", headers=admin)
    assert (answer.status_code, answer.json()["code"]) == (409, "server_missing")
    assert (await client.post("/send", json=LETTER, headers=admin)).status_code == 202


async def test_the_instances_footer_stays_when_another_account_becomes_everybodys(client, as_role):
    admin = as_role("admin")
    footer = {"instance_footer": {"text": "KRS 0000000001"}, "product_footer": True}
    await configure(client, admin, **footer)
    former = (await client.get("/config/global", headers=admin)).json()["id"]
    account = await make_account(client, admin)
    await client.post(f"/accounts/{account}/default", headers=admin)
    shown = (await client.get("/config/global", headers=admin)).json()
    assert (shown["id"], shown["instance_footer"]["text"]) == (account, "KRS 0000000001")
    assert shown["product_footer"] is True
    changed = await client.patch(f"/accounts/{former}", json={"importance": "high"}, headers=admin)
    assert changed.status_code == 200, changed.text


async def test_who_unsubscribed_from_an_account_stays_so_when_it_becomes_a_default(client, as_role):
    admin = as_role("admin")
    await configure(client, admin)
    account = await make_account(client, admin)
    entry = {"address": "ksiegowosc@klient.example", "scope": f"accounts/{account}"}
    assert (await client.post("/suppressions", json=entry, headers=admin)).status_code == 201
    await client.post(f"/accounts/{account}/default", headers=admin)
    sent = await client.post("/send", json=LETTER | {"account": account}, headers=admin)
    assert sent.json()["recipients"][0]["state"] == "suppressed"


async def test_a_message_is_not_resent_without_the_right_to_send(client, as_role):
    admin, anna = as_role("admin"), as_role("anna")
    await configure(client, admin)
    account = await make_account(client, admin)
    right = f"/accounts/{account}/rights/anna"
    await client.put(right, json={"send": True}, headers=admin)
    sent = await client.post("/send", json=LETTER | {"account": account}, headers=anna)
    again = f"/messages/{sent.json()['id']}/resend"
    assert (await client.post(again, headers=anna)).status_code == 202
    await client.patch(f"/accounts/{account}", json={"outgoing": False}, headers=admin)
    off = await client.post(again, headers=anna)
    assert (off.status_code, off.json()["code"]) == (409, "outgoing_off")
    await client.delete(right, headers=admin)
    refused = await client.post(again, headers=anna)
    assert (refused.status_code, refused.json()["code"]) == (403, "account_not_allowed")


async def test_a_removed_configuration_takes_its_grants_and_links_with_it(client, as_role):
    admin, anna, piotr = map(as_role, ("admin", "anna", "piotr"))
    await configure(client, admin)
    login = CONFIG["smtp"] | {"username": "piotr", "password": "tajne"}
    await configure(client, piotr, "users/piotr", smtp=login)
    account = (await client.get("/config/users/piotr", headers=piotr)).json()["id"]
    where = f"/accounts/{account}"
    await client.put(f"{where}/rights/anna", json={"manage": True}, headers=piotr)
    link = (await client.post(f"{where}/password-link", headers=piotr)).json()["token"]
    assert (await client.delete("/config/users/piotr", headers=piotr)).status_code == 204
    await configure(client, piotr, "users/piotr", smtp=login)
    assert (await client.get(where, headers=anna)).status_code == 404
    assert (await client.get(f"/password-links/{link}")).status_code == 404


async def test_a_password_link_ends_where_the_password_would_go_to_another_server(client, as_role):
    admin = as_role("admin")
    await configure(client, admin)
    login = {"host": "smtp.firma.example", "username": "windykacja"}
    account = await make_account(client, admin, smtp=login)
    where = f"/accounts/{account}"
    for change in (
        {"incoming": {"host": "imap.obcy.example", "username": "windykacja"}},
        {"smtp": {"host": "smtp.obcy.example"}},
    ):
        link = (await client.post(f"{where}/password-link", headers=admin)).json()["token"]
        await client.patch(where, json={"importance": "high"}, headers=admin)
        assert (await client.get(f"/password-links/{link}")).status_code == 200
        await client.patch(where, json=change, headers=admin)
        used = await client.post(f"/password-links/{link}", json={"password": "tajne"})
        assert (used.status_code, used.json()["code"]) == (404, "link_not_found")
    link = (await client.post(f"{where}/password-link", headers=admin)).json()["token"]
    asked = (await client.get(f"/password-links/{link}")).json()
    assert asked["server"] == "smtp.obcy.example:587"
    assert asked["mailbox_server"] == "imap.obcy.example:993"


async def test_nobody_adds_a_name_to_the_common_mailbox_by_a_configuration_of_their_own(
    client, as_role
):
    admin, anna = as_role("admin"), as_role("anna")
    await configure(client, admin)
    own = {"senders": ["szef@firma.example"]}
    assert (await client.put("/config/users/anna", json=own, headers=anna)).status_code == 201
    letter = LETTER | {"from": "szef@firma.example"}
    answer = await client.post("/send", json=letter, headers=anna)
    assert (answer.status_code, answer.json()["code"]) == (403, "sender_not_allowed")


async def test_who_manages_an_account_keeps_the_mailbox_port_that_an_admin_opened(client, as_role):
    admin, anna = as_role("admin"), as_role("anna")
    await configure(client, admin)
    incoming = {"host": "imap.firma.example", "port": 9993}
    where = f"/accounts/{await make_account(client, admin, incoming=incoming)}"
    await client.put(f"{where}/rights/anna", json={"manage": True}, headers=admin)
    kept = await client.patch(where, json={"importance": "high"}, headers=anna)
    assert kept.status_code == 200, kept.text
    other = await client.patch(where, json={"incoming": {"port": 9994}}, headers=anna)
    assert list_faults(other) == [("/incoming/port", "host_not_allowed")]


async def test_a_change_is_not_written_to_the_account_that_took_the_place(client, as_role, office):
    admin = as_role("admin")
    await configure(client, admin)
    account = await make_account(client, admin)
    before = Scope(f"accounts/{account}", None, account)
    await office.db.read(require_unmoved, before)
    await client.post(f"/accounts/{account}/default", headers=admin)
    with pytest.raises(Stale):
        await office.db.read(require_unmoved, before)


@pytest.mark.parametrize("method", ["PUT", "PATCH", "DELETE"])
async def test_an_account_whose_id_holds_a_nul_is_not_found(client, as_role, method):
    answer = await client.request(method, "/accounts/a%00b", json={}, headers=as_role("admin"))
    assert answer.status_code == 404


async def test_a_user_writes_only_as_a_listed_sender_where_the_admin_wants_a_list(client, as_role):
    admin, anna = as_role("admin"), as_role("anna")
    await configure(client, admin, user_senders="listed", senders="anna@firma.example")
    for address, status in (("szef@firma.example", 403), ("Anna@firma.example", 202)):
        own = {"sender": {"address": address}}
        await client.put("/config/users/anna", json=own, headers=anna)
        answer = await client.post("/send", json=LETTER, headers=anna)
        assert answer.status_code == status, answer.text
    assert answer.json()["sender"]["address"] == "Anna@firma.example"
    own = {"sender": {"address": "szef@x.example"}, "smtp": {"host": "smtp.x.example"}}
    await client.put("/config/users/anna", json=own, headers=anna)
    assert (await client.post("/send", json=LETTER, headers=anna)).status_code == 202
    own["user_senders"] = "any"
    refused = await client.put("/config/users/anna", json=own, headers=anna)
    assert list_faults(refused) == [("/user_senders", "global_only")]
