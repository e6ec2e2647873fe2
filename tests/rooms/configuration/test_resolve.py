"""What a send uses, by the truth tables of ``docs/configuration.md``."""

from itertools import product
from pathlib import Path

import pytest
from sqlalchemy import delete, insert, update

from app.accounts.people import ensure_person
from app.accounts.tables import person
from app.configuration.resolve import look_up, resolve
from app.configuration.tables import account
from app.db import new_id
from app.errors import Conflict
from tests.rooms.configuration.conftest import AT

PAGE = Path(__file__).parents[3] / "docs" / "configuration.md"
SCOPES = {"global": None, "personal": "anna"}


def show_table(name):
    text = PAGE.read_text().split(f"<!-- {name} -->")[1].split(f"<!-- /{name} -->")[0]
    rows = [
        tuple(cell.strip() for cell in line.strip("| ").split("|")) for line in text.split("\n")
    ]
    return [row for row in rows if len(row) > 1][2:]


def store(tx, active, documents):
    """Store the documents exactly, whatever a PUT would say of them."""
    tx.execute(delete(account))
    for scope, document in documents.items():
        user = SCOPES[scope]
        tx.execute(
            insert(account).values(
                id=new_id(), scope=f"users/{user}" if user else "global", user_id=user,
                is_default=True, version=1, settings=document, password_state="none",
                created_at=AT, updated_at=AT,
            )
        )  # fmt: skip
    ensure_person(tx, "anna", AT)
    tx.execute(update(person).values(active_scope=active))


def fill_out(member, values, personal, common):
    """Return the documents of the two scopes, with ``member`` absent, empty or given."""
    documents = {}
    for scope, kind in (("personal", personal), ("global", common)):
        documents[scope] = {member: values[scope, kind]} if (scope, kind) in values else {}
    return documents


def test_fields_are_found_as_the_table_says(run):
    boxes = {
        "personal": [{"address": "anna@firma.example", "name": ""}],
        "global": [{"address": "biuro@firma.example", "name": ""}],
    }
    values = {(scope, "given"): boxes[scope] for scope in SCOPES}
    values |= {(scope, "empty"): [] for scope in SCOPES}
    table = []
    for active, *kinds in product(SCOPES, *[("absent", "empty", "given")] * 2):
        run(store, active, fill_out("cc", values, *kinds))
        resolved = run(look_up, "anna")
        origin = {"users/anna": "personal"}.get(resolved.origins["cc"], resolved.origins["cc"])
        used = "none" if origin != "default" else "default"
        for scope, (box,) in boxes.items():
            if [each.address for each in resolved.cc] == [box["address"]]:
                used = scope
        table.append((active, *kinds, used, origin))
    assert show_table("fields") == table


def test_blocks_are_inherited_whole_as_the_table_says(run):
    values = {
        ("personal", "given"): {"host": "smtp.anna.example", "port": 2525},
        ("global", "given"): {"host": "smtp.firma.example", "timeout_ms": 5000},
    }
    table = []
    for active, *kinds in product(SCOPES, *[("absent", "given")] * 2):
        run(store, active, fill_out("smtp", values, *kinds))
        smtp = run(look_up, "anna").smtp
        used = {
            None: "nothing",
            ("smtp.anna.example", 2525, 30_000): "personal",  # no time-out of the global one
            ("smtp.firma.example", 587, 5000): "global",
        }[smtp and (smtp.host, smtp.port, smtp.timeout_ms)]
        table.append((active, *kinds, used))
    assert show_table("blocks") == table


def test_the_sender_follows_the_same_table(run):
    values = {(scope, "given"): {"address": f"{scope}@firma.example"} for scope in SCOPES}
    table = []
    for active, *kinds in product(SCOPES, *[("absent", "given")] * 2):
        run(store, active, fill_out("sender", values, *kinds))
        sender = run(look_up, "anna").sender
        table.append((active, *kinds, sender.address.partition("@")[0] if sender else "nothing"))
    assert show_table("blocks") == table


def test_macros_are_inherited_name_by_name_as_the_table_says(run):
    values = {
        ("personal", "given"): {"company": "personal"},
        ("personal", "empty"): {"Firma": ""},
        ("global", "given"): {"firma": "global"},
        ("global", "empty"): {"firma": ""},
    }
    table = []
    for active, *kinds in product(SCOPES, *[("absent", "empty", "given")] * 2):
        documents = fill_out("macros", values, *kinds)
        documents["global"].setdefault("macros", {})["miasto"] = "Łódź"
        run(store, active, documents)
        macros = run(look_up, "anna").macros
        assert macros["miasto"] == "Łódź"
        table.append((active, *kinds, macros.get("firma", "nothing") or "empty"))
    assert show_table("macros") == table


def test_each_other_field_is_inherited_by_itself(save, run):
    given = {
        "mode": "draft", "reply_to": "a@firma.example", "bcc": "b@firma.example",
        "notifications": ["Never"], "return_content": "full", "read_receipt": True,
        "importance": "low", "language": "fr", "on_uncertain": "hold", "give_up_after_h": 5,
    }  # fmt: skip
    save(None, {**given, "sender": {"address": "biuro@firma.example"}})
    save("anna", {"importance": "high"})
    resolved = run(resolve, "anna")
    assert resolved.importance == "high" and resolved.origins["importance"] == "users/anna"
    assert {resolved.origins[name] for name in given if name != "importance"} == {"global"}
    assert resolved.notifications == ("Never",) and resolved.read_receipt is True
    assert resolved.mode == "draft" and resolved.smtp is None
    assert resolved.give_up_after_h == 5 and resolved.language == "fr"


def test_the_account_is_that_of_the_server_the_scope_the_active_one(save, run):
    common = save(None, {"smtp": {"host": "a.example"}, "sender": {"address": "a@a.example"}})
    own = save("anna", {"sender": {"address": "anna@a.example"}})
    resolved = run(resolve, "anna")
    assert resolved.account_id == common.stored.id
    assert resolved.scope_account_id == own.stored.id and resolved.scope == "users/anna"
    assert resolved.sender.address == "anna@a.example"
    assert run(resolve, None).scope == "global"
    assert run(resolve, "nobody yet").scope == "global"


@pytest.mark.parametrize("active", ["global", "personal"])
def test_without_a_server_or_a_sender_there_is_nothing_to_send_with(run, active):
    run(store, active, {"personal": {}})
    with pytest.raises(Conflict) as refused:
        run(resolve, "anna")
    assert refused.value.code == "no_configuration"


def test_empty_notifications_and_none_leave_it_to_the_server(save, run):
    base = {"smtp": {"host": "a.example"}, "sender": {"address": "a@a.example"}}
    for given in ([], ["None"], "none", [None][:0]):
        save(None, {**base, "notifications": given})
        assert run(resolve, None).notifications is None
    save(None, {**base, "notifications": "delay; on_failure"})
    assert run(resolve, None).notifications == ("OnFailure", "Delay")
