"""What the messages of a batch have in common: how it is joined, blamed, and protected once."""

import io

import pikepdf
import pytest

from app.mime.pool import ProtectPool
from app.outbox import sharing
from tests.doors.sending import (
    LETTER,
    attach,
    configure,
    list_faults,
    list_files,
    make_pdf,
    read_mail,
)

pytestmark = pytest.mark.anyio


@pytest.fixture
async def sender(client, as_role):
    """The header of an ERP's key; a global configuration is stored."""
    await configure(client, as_role("admin"))
    return as_role("sender")


async def send(client, headers, defaults, *messages, **members):
    body = {"defaults": defaults, "messages": list(messages)} | members
    return await client.post("/send/batch", json=body, headers=headers)


async def read_all(client, headers, answer):
    assert answer.status_code == 202, answer.text
    return [
        (await client.get(f"/messages/{each['id']}", headers=headers)).json()
        for each in answer.json()["data"]
    ]


async def test_a_message_wins_over_the_defaults_member_by_member(client, sender):
    defaults = LETTER | {"importance": "high", "cc": "a@x.example", "as_user": "anna"}
    answer = await send(
        client, sender, defaults,
        {}, {"to": "b@x.example", "subject": "Inny"}, {"cc": []}, {"cc": None, "as_user": "piotr"},
    )  # fmt: skip
    first, second, third, fourth = await read_all(client, sender, answer)
    assert [each["address"] for each in first["recipients"]] == [
        "ksiegowosc@klient.example", "a@x.example",
    ]  # fmt: skip
    assert [each["address"] for each in second["recipients"]] == ["b@x.example", "a@x.example"]
    assert (first["subject"], second["subject"]) == ("FV 12/2026", "Inny")
    assert len(third["recipients"]) == 1  # an empty list is explicitly none
    assert len(fourth["recipients"]) == 2  # null is absent
    assert (first["user"], fourth["user"]) == ("anna", "piotr")


async def test_macros_metadata_and_reference_are_joined_name_by_name(client, sender):
    defaults = LETTER | {
        "subject": "{a} {z dnia} {firma}",
        "macros": {"a": "1", "z dnia": "wczoraj", "firma": "My"},
        "metadata": {"run": 7, "kind": "x"},
        "reference": {"type": "reminder", "customer": "K1"},
    }
    answer = await send(
        client, sender, defaults,
        {"macros": {"Z_DNIA": "dziś", "a": None}, "metadata": {"kind": "y"}, "reference": {"number": "FV 1"}},
    )  # fmt: skip
    (shown,) = await read_all(client, sender, answer)
    assert shown["subject"] == "1 dziś My"
    assert shown["metadata"] == {"run": 7, "kind": "y"}
    assert shown["reference"] == {"type": "reminder", "number": "FV 1", "customer": "K1"}


async def test_a_text_of_its_own_takes_the_place_of_the_template_and_the_reverse(client, sender):
    to = {"to": "a@x.example"}
    answer = await send(
        client, sender, {"template": "test"} | to, {"subject": "a", "body": "b"}, {}
    )
    first, second = await read_all(client, sender, answer)
    assert (first["subject"], first["resolved"]["template"]) == ("a", None)
    assert second["resolved"]["template"]["name"] == "test"
    answer = await send(client, sender, {"subject": "a", "body": "b"} | to, {"template": "test"})
    (shown,) = await read_all(client, sender, answer)
    assert shown["resolved"]["template"]["name"] == "test"


async def test_attachments_of_the_defaults_come_first_unless_a_message_wants_none(client, sender):
    defaults = LETTER | {"attachments": [attach("owu.txt", b"owu")]}
    answer = await send(
        client, sender, defaults,
        {}, {"attachments": [attach("fv.txt", b"fv")]}, {"attachments": []}, {"attachments": None},
    )  # fmt: skip
    names = [
        list(list_files(await read_mail(client, sender, each["id"])))
        for each in answer.json()["data"]
    ]
    assert names == [["owu.txt"], ["owu.txt", "fv.txt"], [], ["owu.txt"]]


async def test_faults_are_put_where_the_wrong_value_stands_and_told_once(client, sender):
    defaults = {
        "to": "a@x.example",
        "template": "nothing",
        "cc": "nobody",
        "wrong": 1,
        "macros": {"a": ["list"], "ok": "1"},
        "attachments": [attach("a.txt", b"x"), {"filename": "b.txt", "content": "?"}],
    }
    answer = await send(
        client, sender, defaults,
        {"macros": {"b": {}}, "attachments": [attach("c.txt", b"x") | {"protect": "maybe"}]},
        {"to": "somebody"},
        {"cc": [], "template": "none", "macros": {"a": "good"}},
    )  # fmt: skip
    assert answer.status_code == 422
    assert set(list_faults(answer)) == {
        ("/defaults/wrong", "unknown_field"),
        ("/defaults/cc", "invalid_address"),
        ("/defaults/macros/a", "invalid_macro_value"),
        ("/defaults/attachments/1/content", "invalid_base64"),
        ("/defaults/template", "template_not_found"),
        ("/messages/0/macros/b/type", "invalid_macro_value"),
        ("/messages/0/attachments/0/protect", "unknown_value"),
        ("/messages/1/to", "invalid_address"),
        ("/messages/2/template", "template_not_found"),
    }
    assert len(list_faults(answer)) == 9


async def test_wrong_defaults_are_refused_whole_in_partial_mode_too(client, sender):
    answer = await send(
        client, sender, {"cc": "nobody"}, LETTER, LETTER | {"cc": []}, mode="partial"
    )
    assert answer.status_code == 422
    assert list_faults(answer) == [("/defaults/cc", "invalid_address")]


async def test_a_password_that_is_asked_for_may_come_with_the_defaults(client, as_role, sender):
    smtp = {"host": "smtp.firma.example", "username": "u", "password_mode": "ask"}
    await configure(client, as_role("admin"), smtp=smtp)
    answer = await send(client, sender, {}, LETTER, LETTER)
    assert list_faults(answer) == [
        ("/messages/0/smtp_password", "smtp_password_required"),
        ("/messages/1/smtp_password", "smtp_password_required"),
    ]
    answer = await send(client, sender, {"smtp_password": "sekret-987"}, LETTER, LETTER)
    assert answer.status_code == 202


async def test_a_key_cannot_be_shared(client, sender):
    answer = await send(client, sender, {"idempotency_key": "k"}, LETTER)
    assert list_faults(answer) == [("/defaults/idempotency_key", "unknown_field")]


def count_calls(monkeypatch, owner, name):
    """Record what a function of ours is called with; it does its work as ever."""
    calls, real = [], getattr(owner, name)

    def counted(*args, **kwargs):
        calls.append(args)
        return real(*args, **kwargs)

    monkeypatch.setattr(owner, name, counted)
    return calls


async def test_shared_attachments_are_protected_and_encoded_once_per_password(
    client, sender, monkeypatch
):
    encrypted = count_calls(monkeypatch, ProtectPool, "encrypt")
    encoded = count_calls(monkeypatch, sharing, "encode_base64")
    pdf = make_pdf("owu")
    defaults = LETTER | {
        "attachments": [attach("owu.pdf", pdf), attach("cennik.csv", b"a;b")],
        "attachment_password": "wspólne",
    }
    messages = [{} for _ in range(20)]
    messages[3] = {"attachment_password": "własne"}
    messages[5] = {"attachments": [attach("fv.pdf", make_pdf("fv")), attach("x.csv", b"x")]}
    answer = await send(client, sender, defaults, *messages)
    assert answer.status_code == 202, answer.text
    assert len(encrypted) == 3  # owu.pdf with two passwords, fv.pdf
    assert len(encoded) == 4  # owu.pdf and the ZIP with two passwords each
    for index, password, names in (
        (0, "wspólne", ["owu.pdf", "zalaczniki.zip"]),
        (3, "własne", ["owu.pdf", "zalaczniki.zip"]),
        (5, "wspólne", ["owu.pdf", "fv.pdf", "zalaczniki.zip"]),
    ):
        files = list_files(await read_mail(client, sender, answer.json()["data"][index]["id"]))
        assert list(files) == names
        for name in names[:-1]:
            with pikepdf.open(io.BytesIO(files[name]), password=password) as opened:
                assert opened.is_encrypted


async def test_a_shared_attachment_that_cannot_be_protected_is_told_once(client, sender):
    defaults = LETTER | {
        "attachments": [attach("a.pdf", b"%PDF-damaged")],
        "attachment_password": "tajne",
    }
    answer = await send(client, sender, defaults, {}, {}, {})
    assert list_faults(answer) == [("/defaults/attachments/0/content", "pdf_damaged")]
