"""Secrets of a configuration: bound to their server, kept, rotated, never shown."""

import json
from dataclasses import replace

import pytest
from sqlalchemy import select, update

from app.configuration.load import find_account, load_account, open_password
from app.configuration.model import SmtpSettings
from app.configuration.reseal import reseal
from app.configuration.resolve import open_attachment_password, resolve
from app.configuration.secrets import open_for_target, seal_for_target
from app.configuration.tables import account
from app.vault import CannotOpen

GIVEN = {
    "smtp": {"host": "smtp.firma.example", "username": "faktury", "password": "tajne hasło"},
    "sender": {"address": "faktury@firma.example"},
}
ENTERED_FOR = SmtpSettings(
    host="smtp.firma.example", port=587, connection="starttls", username="faktury", ca_pem="CA 1"
)
PLACE = "account:1:password"


@pytest.mark.parametrize(
    "change",
    [
        {},
        {"host": "SMTP.Firma.Example."},
        {"connection": "ssl_tls"},
        {"timeout_ms": 1, "batch_limit": 3, "auth": "login"},
    ],
)
def test_a_secret_opens_for_the_same_or_a_safer_server(vault, change):
    sealed = seal_for_target(vault, "tajne", PLACE, ENTERED_FOR)
    assert open_for_target(vault, sealed, PLACE, replace(ENTERED_FOR, **change)) == "tajne"


@pytest.mark.parametrize(
    "change",
    [
        {"host": "smtp.obcy.example"},
        {"port": 588},
        {"username": "inny"},
        {"ca_pem": "CA 2"},
        {"ca_pem": None},
        {"connection": "auto"},
        {"connection": "plaintext"},
        {"tls_verify": False},
        {"allow_insecure_auth": True},
    ],
)
def test_a_secret_does_not_open_for_another_or_weaker_server(vault, change):
    sealed = seal_for_target(vault, "tajne", PLACE, ENTERED_FOR)
    with pytest.raises(CannotOpen):
        open_for_target(vault, sealed, PLACE, replace(ENTERED_FOR, **change))


def test_a_secret_whose_target_was_rewritten_does_not_open(vault):
    sealed = seal_for_target(vault, "tajne", PLACE, ENTERED_FOR)
    target, _, box = sealed.partition(b"\n")
    forged = json.dumps({**json.loads(target), "host": "smtp.obcy.example"}, sort_keys=True)
    elsewhere = replace(ENTERED_FOR, host="smtp.obcy.example")
    for attempt in (forged.encode() + b"\n" + box, box, b"", b"{}\n" + box, target):
        with pytest.raises(CannotOpen):
            open_for_target(vault, attempt, PLACE, elsewhere)
    with pytest.raises(CannotOpen):
        open_for_target(vault, sealed, "account:2:password", ENTERED_FOR)


def test_editing_the_row_in_the_database_does_not_send_the_password_elsewhere(save, run, vault):
    saved = save(None, GIVEN)
    assert run(lambda tx: open_password(vault, find_account(tx, "global"))) == "tajne hasło"

    def rewrite(tx):
        document = {**saved.stored.document, "smtp": {**saved.stored.document["smtp"]}}
        document["smtp"]["host"] = "smtp.obcy.example"
        tx.execute(update(account).values(settings=document))

    run(rewrite)
    with pytest.raises(CannotOpen):
        run(lambda tx: open_password(vault, load_account(tx, saved.stored.id)))


def test_secrets_are_on_no_row_in_clear_and_in_no_repr(save, run):
    saved = save(None, {**GIVEN, "attachment_password": "klucz do PDF"})
    row = run(lambda tx: tx.execute(select(account)).one())
    held = b"".join(value if isinstance(value, bytes) else str(value).encode() for value in row)
    resolved = run(resolve, None)
    for secret in ("tajne", "klucz"):
        assert secret.encode() not in held
        assert secret not in repr(saved) + repr(resolved)
    assert repr(bytes(row.password))[2:10] not in repr(saved) + repr(resolved)


def test_rotation_seals_every_secret_anew_and_all_still_open(save, run, vault):
    save(None, {**GIVEN, "attachment_password": "klucz"})
    save("anna", {**GIVEN, "attachment_password": ""})
    assert run(reseal, vault) == 0
    vault.rotate()
    assert run(reseal, vault) == 3
    assert run(reseal, vault) == 0
    assert run(lambda tx: open_password(vault, find_account(tx, "users/anna"))) == "tajne hasło"
    assert open_attachment_password(vault, run(resolve, None)) == "klucz"


def test_an_explicit_none_beats_an_inherited_attachment_password(save, run, vault):
    save(None, {**GIVEN, "attachment_password": "klucz"})
    save("anna", {})
    assert open_attachment_password(vault, run(resolve, "anna")) == "klucz"
    save("anna", {"attachment_password": ""})
    assert open_attachment_password(vault, run(resolve, "anna")) is None


@pytest.mark.parametrize(
    ("smtp", "state"),
    [
        ({"host": "a.example"}, "none"),
        ({"host": "a.example", "username": "u"}, "awaiting"),
        ({"host": "a.example", "username": "u", "auth": "none"}, "none"),
        ({"host": "a.example", "username": "u", "password_mode": "ask"}, "none"),
        ({"host": "a.example", "username": "u", "password": "p", "password_mode": "awaiting"}, "stored"),
        ({"host": "a.example", "username": "u", "password": "p"}, "stored"),
        ({"host": "a.example", "username": "u", "password": ""}, "awaiting"),
    ],
)  # fmt: skip
def test_the_state_of_the_password_follows_what_is_saved(save, smtp, state):
    saved = save(None, {**GIVEN, "smtp": smtp})
    assert saved.stored.password_state == state


@pytest.mark.parametrize(
    ("smtp", "state"),
    [
        ({}, "stored"),
        ({"auth": "none"}, "stored"),
        ({"password": ""}, "awaiting"),
        ({"password_mode": "awaiting"}, "awaiting"),
        ({"password_mode": "stored"}, "stored"),
        ({"password_mode": "ask"}, "none"),
        ({"username": None}, "none"),
    ],
)
def test_a_stored_password_stays_or_goes_by_what_is_saved_next(save, smtp, state):
    save(None, GIVEN)
    second = {name: value for name, value in GIVEN["smtp"].items() if name != "password"}
    saved = save(None, {**GIVEN, "smtp": {**second, **smtp}})
    assert saved.stored.password_state == state
