"""Protection at the door: whose password, what is encrypted how, and that it fails closed."""

import io

import pikepdf
import pytest
import pyzipper

from tests.doors.sending import (
    LETTER,
    attach,
    configure,
    list_faults,
    list_files,
    make_pdf,
    read_mail,
)
from tests.effort import ONE_ENGINE

pytestmark = pytest.mark.anyio

PASSWORD = {"attachment_password": "zażółć-12"}


@pytest.fixture
async def sender(client, as_role):
    """The header of an ERP's key; a global configuration is stored."""
    await configure(client, as_role("admin"))
    return as_role("sender")


async def send(client, headers, *attachments, **members):
    body = LETTER | {"attachments": list(attachments)} | members
    return await client.post("/send", json=body, headers=headers)


async def read_files(client, headers, answer):
    assert answer.status_code in (201, 202), answer.text
    return list_files(await read_mail(client, headers, answer.json()["id"]))


def list_protection(answer):
    return [(each["filename"], each["protection"]) for each in answer.json()["attachments"]]


def unzip(content, password):
    with pyzipper.AESZipFile(io.BytesIO(content)) as archive:
        archive.setpassword(password.encode())
        return {name: archive.read(name) for name in archive.namelist()}


def make_signed_pdf():
    pdf = pikepdf.new()
    pdf.add_blank_page()
    signature = pdf.make_indirect(pikepdf.Dictionary(FT=pikepdf.Name.Sig, V=pikepdf.Dictionary()))
    pdf.Root.AcroForm = pikepdf.Dictionary(Fields=[signature], SigFlags=3)
    written = io.BytesIO()
    pdf.save(written)
    return written.getvalue()


async def test_pdfs_are_encrypted_and_all_else_goes_into_one_zip(client, sender):
    answer = await send(
        client, sender, attach("FV 12.pdf", make_pdf()), attach("dane.csv", b"a;b"),
        attach("udaje.txt", make_pdf("treść")), attach("x.bin", b"\0"), **PASSWORD,
    )  # fmt: skip
    assert list_protection(answer) == [
        ("FV 12.pdf", "pdf_aes256"), ("udaje.txt", "pdf_aes256"), ("zalaczniki.zip", "zip_aes256"),
    ]  # fmt: skip
    files = await read_files(client, sender, answer)
    with pikepdf.open(io.BytesIO(files["FV 12.pdf"]), password="zażółć-12") as opened:
        assert opened.encryption.R == 6
    assert unzip(files["zalaczniki.zip"], "zażółć-12") == {"dane.csv": b"a;b", "x.bin": b"\0"}


@pytest.mark.parametrize(
    ("language", "name"),
    [("pl", "zalaczniki.zip"), ("fr", "pieces-jointes.zip"), ("fr-CH", "pieces-jointes.zip"),
     ("en", "attachments.zip"), ("de", "attachments.zip")],
)  # fmt: skip
async def test_the_zip_is_named_in_the_messages_language(client, sender, language, name):
    answer = await send(client, sender, attach("a.csv", b"a"), language=language, **PASSWORD)
    assert list_protection(answer) == [(name, "zip_aes256")]


async def test_the_configurations_password_applies_unless_the_request_has_one(
    client, as_role, sender
):
    await configure(client, as_role("admin"), attachment_password="z konfiguracji")
    files = await read_files(client, sender, await send(client, sender, attach("a.csv", b"a")))
    assert unzip(files["zalaczniki.zip"], "z konfiguracji") == {"a.csv": b"a"}
    answer = await send(client, sender, attach("a.csv", b"a"), attachment_password="inne")
    files = await read_files(client, sender, answer)
    assert unzip(files["zalaczniki.zip"], "inne") == {"a.csv": b"a"}


async def test_a_user_may_have_a_password_of_their_own_or_explicitly_none(client, as_role, sender):
    admin = as_role("admin")
    await configure(client, admin, attachment_password="wspólne")
    await client.put("/config/users/anna", json={"attachment_password": "anny"}, headers=admin)
    await client.put("/config/users/piotr", json={"attachment_password": ""}, headers=admin)
    answer = await send(client, sender, attach("a.csv", b"a"), as_user="anna")
    files = await read_files(client, sender, answer)
    assert unzip(files["zalaczniki.zip"], "anny") == {"a.csv": b"a"}
    answer = await send(client, sender, attach("a.csv", b"a"), as_user="piotr")
    assert list_protection(answer) == [("a.csv", "none")]


@pytest.mark.parametrize(
    ("password", "code"),
    [("", "password_empty"), ("x" * 128, "password_too_long"), ("ą" * 64, "password_too_long"),
     ("a\tb", "password_controls")],
)  # fmt: skip
@pytest.mark.parametrize("attachments", [[], [attach("a.csv", b"a")]])
@ONE_ENGINE
async def test_a_password_that_is_none_is_refused(client, sender, password, code, attachments):
    answer = await send(client, sender, *attachments, attachment_password=password)
    assert (answer.status_code, list_faults(answer)) == (422, [("/attachment_password", code)])


@pytest.mark.parametrize(
    ("password", "codes"),
    [("x" * 32, []), ("x" * 33, ["password_long"]), ("x" * 127, ["password_long"])],
)
async def test_a_password_that_some_readers_refuse_is_warned_of(client, sender, password, codes):
    answer = await send(client, sender, attach("a.pdf", make_pdf()), attachment_password=password)
    assert [each["code"] for each in answer.json()["warnings"]] == codes


async def test_a_password_means_the_same_in_every_normal_form(client, sender):
    answer = await send(client, sender, attach("a.csv", b"a"), attachment_password="o\u0301")
    files = await read_files(client, sender, answer)
    assert unzip(files["zalaczniki.zip"], "ó") == {"a.csv": b"a"}


async def test_only_protect_none_switches_it_off_and_that_is_audited(client, as_role, sender):
    answer = await send(
        client, sender, attach("a.pdf", make_pdf(), protect="none"), attach("b.csv", b"b"),
        attach("c.pdf", make_pdf(), protect="zip"), **PASSWORD,
    )  # fmt: skip
    assert list_protection(answer) == [("a.pdf", "none"), ("zalaczniki.zip", "zip_aes256")]
    files = await read_files(client, sender, answer)
    assert set(unzip(files["zalaczniki.zip"], "zażółć-12")) == {"b.csv", "c.pdf"}
    lines = (await client.get("/audit", headers=as_role("admin"))).json()["data"]
    (line,) = [each for each in lines if each["action"] == "message.unprotected"]
    assert line["object"] == f"messages/{answer.json()['id']}"
    assert line["after"] == {"files": ["a.pdf"]}
    await send(client, sender, attach("a.pdf", make_pdf(), protect="none"))  # no password applies
    again = (await client.get("/audit", headers=as_role("admin"))).json()["data"]
    assert again == lines


async def test_a_signed_pdf_travels_in_the_zip_with_its_signature_whole(client, sender):
    signed = make_signed_pdf()
    answer = await send(client, sender, attach("umowa.pdf", signed), **PASSWORD)
    assert list_protection(answer) == [("zalaczniki.zip", "zip_aes256")]
    assert ("pdf_signed", "/attachments/0") in [
        (each["code"], each.get("pointer")) for each in answer.json()["warnings"]
    ]
    files = await read_files(client, sender, answer)
    assert unzip(files["zalaczniki.zip"], "zażółć-12") == {"umowa.pdf": signed}


ENCRYPTED = make_pdf(encryption=pikepdf.Encryption(owner="o", user="u"))
OWNER_ONLY = make_pdf(encryption=pikepdf.Encryption(owner="o", user=""))
DAMAGED = b"%PDF-1.7\nthis is no document"


async def test_every_pdf_that_cannot_be_protected_is_told_beside_all_else(client, sender):
    answer = await send(
        client, sender, attach("a.pdf", ENCRYPTED), attach("ok.pdf", make_pdf()),
        attach("b.pdf", OWNER_ONLY), attach("c.pdf", DAMAGED), to="nobody", **PASSWORD,
    )  # fmt: skip
    assert answer.status_code == 422
    assert set(list_faults(answer)) == {
        ("/to", "invalid_address"),
        ("/attachments/0/content", "pdf_encrypted"),
        ("/attachments/2/content", "pdf_encrypted"),
        ("/attachments/3/content", "pdf_damaged"),
    }


@pytest.mark.parametrize("content", [ENCRYPTED, OWNER_ONLY, DAMAGED])
async def test_in_the_zip_any_pdf_may_go(client, sender, content):
    answer = await send(client, sender, attach("a.pdf", content, protect="zip"), **PASSWORD)
    files = await read_files(client, sender, answer)
    assert unzip(files["zalaczniki.zip"], "zażółć-12") == {"a.pdf": content}


@pytest.mark.parametrize("content", [ENCRYPTED, DAMAGED])
async def test_without_a_password_pdfs_go_as_they_are(client, sender, content):
    answer = await send(client, sender, attach("a.pdf", content))
    assert await read_files(client, sender, answer) == {"a.pdf": content}


async def test_an_inline_image_is_never_protected(client, sender):
    body = '<html><body><img src="cid:logo"></body></html>'
    image = attach("logo.png", b"\x89PNG", content_id="logo")
    answer = await send(client, sender, image, attach("a.csv", b"a"), body=body, **PASSWORD)
    assert list_protection(answer) == [("logo.png", "none"), ("zalaczniki.zip", "zip_aes256")]
    mail = await read_mail(client, sender, answer.json()["id"])
    (inline,) = [part for part in mail.walk() if part["Content-ID"]]
    assert inline["Content-ID"] == "<logo>"
    assert inline.get_content() == b"\x89PNG"


@pytest.mark.parametrize(
    "content_id", ["", "<logo>", "a b", "ż", "a\r\nBcc: x@y", "x" * 201],
)  # fmt: skip
async def test_a_content_id_that_is_none_is_refused(client, sender, content_id):
    answer = await send(client, sender, attach("a.png", b"x", content_id=content_id))
    assert list_faults(answer) == [("/attachments/0/content_id", "invalid_format")]


@pytest.mark.parametrize(
    ("filename", "media_type"),
    [("spotkanie.ics", "text/calendar; method=REQUEST"), ("jan.vcf", "text/vcard")],
)
async def test_calendars_and_cards_that_stay_open_keep_their_types(
    client, sender, filename, media_type
):
    part = attach(filename, b"BEGIN:V\r\n", content_type=media_type, protect="none")
    answer = await send(client, sender, part, **PASSWORD)
    assert list_protection(answer) == [(filename, "none")]
    mail = await read_mail(client, sender, answer.json()["id"])
    plain = media_type.partition(";")[0]
    (found,) = [each for each in mail.walk() if each.get_content_type() == plain]
    assert ("method" in media_type) == (found.get_param("method") == "REQUEST")


async def test_what_cannot_be_protected_now_is_not_sent(client, office, sender):
    await office.pool.close()
    answer = await send(client, sender, attach("a.pdf", make_pdf()), **PASSWORD)
    assert (answer.status_code, answer.json()["code"]) == (503, "protection_failed")
    assert answer.json()["retryable"] is True
    assert answer.headers["retry-after"]
    assert (await client.get("/messages", headers=sender)).json()["data"] == []


async def test_no_password_is_in_any_row(client, office, as_role, sender, tmp_path):
    await configure(client, as_role("admin"), attachment_password="tajne-skoroszyt-1")
    await send(client, sender, attach("a.csv", b"a"))
    await send(client, sender, attach("a.csv", b"a"), attachment_password="tajne-skoroszyt-2")
    rows = await office.db.read(_read_everything)
    assert "FV 12/2026" in rows
    assert "tajne-skoroszyt" not in rows


def _read_everything(tx):
    from app.db import metadata

    return repr([tx.execute(table.select()).all() for table in metadata.sorted_tables])
