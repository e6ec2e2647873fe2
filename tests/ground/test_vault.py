"""Secrets at rest: bound to place and target, following a rotation, never in the open."""

import json
import os
import stat
import subprocess
import sys

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.vault import CannotOpen, Vault, write_private


@pytest.fixture
def vault(tmp_path):
    return Vault.open_or_create(tmp_path / "keyring.json")


def test_a_secret_opens_at_its_place_for_its_target(vault):
    sealed = vault.seal("zażółć 😀", "account:1:password", "smtp.firma.example:587")
    assert vault.open(sealed, "account:1:password", "smtp.firma.example:587") == "zażółć 😀"
    assert "zażółć".encode() not in sealed


@pytest.mark.parametrize(
    ("place", "target"),
    [
        ("account:2:password", "host:587"),
        ("account:1:password", "host:25"),
        ("account:1:password", ""),
        ("account:1:password\0host:587", ""),
        ("", "account:1:password\0host:587"),
    ],
)
def test_a_secret_does_not_open_elsewhere(vault, place, target):
    sealed = vault.seal("secret", "account:1:password", "host:587")
    with pytest.raises(CannotOpen):
        vault.open(sealed, place, target)


def test_damaged_or_foreign_bytes_do_not_open(vault, tmp_path):
    sealed = vault.seal("secret", "place")
    other = Vault.open_or_create(tmp_path / "other.json").seal("secret", "place")
    flipped = bytes([*sealed[:-1], sealed[-1] ^ 1])
    for wrong in (b"", b"\xff\xff\xff\xff", sealed[:10], sealed[:-1], flipped, other, b"x" * 100):
        with pytest.raises(CannotOpen):
            vault.open(wrong, "place")


def test_the_same_secret_never_looks_the_same(vault):
    assert len({vault.seal("secret", "place") for _ in range(100)}) == 100


def test_after_a_rotation_old_secrets_open_and_new_ones_use_the_new_key(vault):
    sealed, signature = vault.seal("secret", "place"), vault.sign("envid", "01j")
    digest = vault.digest("api-key", b"key")
    assert vault.is_current(sealed)
    new = vault.rotate()
    assert vault.key_ids[0] == vault.active_key_id == new
    assert len(vault.key_ids) == 2
    assert not vault.is_current(sealed)
    assert vault.open(sealed, "place") == "secret"
    assert vault.verify("envid", "01j", signature)
    assert vault.matches("api-key", b"key", digest)
    assert vault.is_current(vault.seal("secret", "place"))


def test_a_running_process_follows_a_rotation_made_elsewhere(tmp_path):
    here, elsewhere = (Vault.open_or_create(tmp_path / "keyring.json") for _ in range(2))
    elsewhere.rotate()
    assert here.open(elsewhere.seal("secret", "place"), "place") == "secret"
    assert here.matches("api-key", b"key", elsewhere.digest("api-key", b"key"))
    assert here.verify("envid", "01j", elsewhere.sign("envid", "01j"))


def test_a_ring_is_for_its_owner_alone(tmp_path):
    old_mask = os.umask(0)
    try:
        vault = Vault.open_or_create(tmp_path / "new" / "keyring.json")
        vault.rotate()
    finally:
        os.umask(old_mask)
    assert stat.S_IMODE((tmp_path / "new" / "keyring.json").stat().st_mode) == 0o600
    assert [path.name for path in (tmp_path / "new").iterdir()] == ["keyring.json"]


def test_processes_that_start_together_make_one_ring(tmp_path):
    path = tmp_path / "keyring.json"
    code = (
        "import sys; from pathlib import Path; from app.vault import Vault;"
        "print(Vault.open_or_create(Path(sys.argv[1])).active_key_id)"
    )
    started = [
        subprocess.Popen([sys.executable, "-c", code, path], stdout=subprocess.PIPE, text=True)
        for _ in range(4)
    ]
    told = {process.communicate(timeout=60)[0].strip() for process in started}
    assert told == {json.loads(path.read_text())["keys"][0]["id"]}


def test_a_signature_is_short_lower_case_and_for_one_purpose(vault):
    signature = vault.sign("message-id", "01j")
    assert len(signature) == 20
    assert signature.isalnum() and signature == signature.lower()
    assert vault.verify("message-id", "01j", signature)
    assert not vault.verify("envid", "01j", signature)
    assert not vault.verify("message-id", "01k", signature)


@given(text=st.text(max_size=40))
def test_what_was_not_signed_is_not_verified(tmp_path_factory, text):
    vault = Vault.open_or_create(tmp_path_factory.getbasetemp() / "keyring.json")
    assert not vault.verify("envid", "01j", text)
    assert not vault.matches("api-key", b"key", text)


def test_a_digest_fits_only_what_it_was_made_of(vault):
    digest = vault.digest("api-key", b"key")
    assert vault.matches("api-key", b"key", digest)
    assert not vault.matches("api-key", b"kez", digest)
    assert not vault.matches("idempotency", b"key", digest)


def test_no_repr_shows_a_key(vault, tmp_path):
    ring = json.loads((tmp_path / "keyring.json").read_text())
    assert ring["keys"][0]["key"] not in repr(vault)


def test_a_private_file_is_replaced_at_one_stroke_or_left(tmp_path):
    path = tmp_path / "admin.key"
    write_private(path, "one")
    write_private(path, "two")
    write_private(path, "three", exclusive=True)
    assert path.read_text() == "two"
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert list(tmp_path.iterdir()) == [path]
