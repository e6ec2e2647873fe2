"""Probes of what is stored and of what is not saved yet."""

import pytest

from app.configuration.unsaved import read_trial
from app.errors import Missing, Refused
from app.wire.address_policy import AddressPolicy

SENDER = {"address": "faktury@firma.example"}
SERVER = {"host": "smtp.firma.example", "username": "faktury", "connection": "starttls"}
STORED = {"smtp": {**SERVER, "password": "tajne"}, "sender": SENDER}
ANY = AddressPolicy()


@pytest.mark.parametrize(
    ("smtp", "password"),
    [
        (SERVER, "tajne"),
        ({**SERVER, "timeout_ms": 5}, "tajne"),
        ({**SERVER, "host": "smtp.obcy.example"}, None),
        ({**SERVER, "connection": "auto"}, None),
        ({**SERVER, "host": "smtp.obcy.example", "password": "inne"}, "inne"),
        ({**SERVER, "auth": "none"}, None),
        ({**SERVER, "password": ""}, None),
    ],
)
def test_unsaved_values_get_the_stored_password_only_for_its_own_server(
    save, run, vault, smtp, password
):
    saved = save(None, STORED)
    trial = run(read_trial, vault, ANY, stored=True, raw={"smtp": smtp, "sender": SENDER})
    assert trial.password == password and trial.account_id == saved.stored.id
    assert trial.resolved.smtp.host == smtp["host"]
    assert "tajne" not in repr(trial)


def test_values_that_name_no_scope_get_no_stored_password(save, run, vault):
    save(None, STORED)
    trial = run(read_trial, vault, ANY, stored=False, raw={"smtp": SERVER, "sender": SENDER})
    assert trial.password is None and trial.account_id is None


def test_unsaved_personal_values_inherit_the_global_server_with_its_password(save, run, vault):
    saved = save(None, {**STORED, "bcc": "archiwum@firma.example"})
    trial = run(read_trial, vault, ANY, stored=True, user="anna", raw={"cc": "a@b.example"})
    assert trial.password == "tajne" and trial.account_id == saved.stored.id
    assert trial.resolved.sender.address == SENDER["address"]
    assert [each.address for each in trial.resolved.cc] == ["a@b.example"]
    assert [each.address for each in trial.resolved.bcc] == ["archiwum@firma.example"]


def test_a_stored_scope_is_tried_whichever_is_active(save, run, vault):
    save(None, STORED)
    save("anna", {"smtp": {"host": "smtp.anna.example"}})
    save(None, STORED, apply_to_everyone=True)
    trial = run(read_trial, vault, ANY, stored=True, user="anna")
    assert trial.resolved.smtp.host == "smtp.anna.example" and trial.password is None


def test_a_scope_without_a_configuration_is_missing(run, vault):
    with pytest.raises(Missing):
        run(read_trial, vault, ANY, stored=True, user="anna")


def test_faults_of_unsaved_values_point_into_the_request(run, vault):
    raw = {"smtp": {"host": "169.254.169.254"}, "sender": SENDER, "cc": "zły"}
    with pytest.raises(Refused) as refused:
        run(read_trial, vault, ANY, stored=False, raw=raw)
    assert {(each.pointer, each.code) for each in refused.value.faults} == {
        ("/config/cc", "invalid_address"),
        ("/config/smtp/host", "host_not_allowed"),
    }
