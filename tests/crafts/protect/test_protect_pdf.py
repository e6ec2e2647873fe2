"""One PDF: what is encrypted, what is refused, and that the result opens as it must."""

import hashlib
import shutil
import subprocess
from io import BytesIO

import pikepdf
import pytest
from pikepdf import Array, Dictionary, Name, PasswordError, Pdf, Stream, String

from app.mime.pdf import ProofFailed, derive_hash, encrypt, prove_worker, verify
from tests.crafts.protect.samples import PASSWORD, make_form, make_pdf, save

SIGNATURE = Dictionary(Type=Name.Sig, Filter=Name("/Adobe.PPKLite"), Contents=String("x" * 64))


def lock(content: bytes, **options: object) -> bytes:
    with Pdf.open(BytesIO(content)) as pdf:
        return save(pdf, encryption=pikepdf.Encryption(**options))


@pytest.mark.parametrize("object_streams", [False, True])
def test_an_encrypted_pdf_opens_with_its_password_and_says_what_it_said(object_streams):
    content = make_pdf(3, object_streams=object_streams, text="Faktura 12/2026")
    outcome = encrypt(content, PASSWORD)
    assert outcome.verdict == "pdf_aes256"
    assert b"Faktura" in content
    assert b"Faktura" not in outcome.content
    with Pdf.open(BytesIO(outcome.content), password=PASSWORD) as pdf:
        assert len(pdf.pages) == 3
        assert b"Faktura 12/2026 2" in pdf.pages[2].Contents.read_bytes()
        assert (pdf.encryption.R, pdf.encryption.V, pdf.encryption.bits) == (6, 5, 256)
        assert pdf.user_password_matched
        assert not pdf.owner_password_matched


@pytest.mark.parametrize("password", ["", "zazolc gesla", PASSWORD.upper(), PASSWORD + " "])
def test_an_encrypted_pdf_opens_with_no_other_password(password):
    content = encrypt(make_pdf(), PASSWORD).content
    with pytest.raises(PasswordError):
        Pdf.open(BytesIO(content), password=password)


@pytest.mark.parametrize("password", ["a", "ż" * 63, "x" * 127, "日本語のパスワード"])
def test_passwords_of_1_to_127_bytes_open_the_pdf(password):
    content = encrypt(make_pdf(), password).content
    with Pdf.open(BytesIO(content), password=password) as pdf:
        assert len(pdf.pages) == 2


def test_two_encryptions_share_neither_key_nor_owner_password():
    content = make_pdf()
    found = [Pdf.open(BytesIO(encrypt(content, "a").content), password="a") for _ in range(2)]
    keys = {pdf.encryption.encryption_key for pdf in found}
    owners = {bytes(pdf.trailer.Encrypt.O) for pdf in found}
    assert (len(keys), len(owners)) == (2, 2)


def test_encrypting_leaves_streams_as_they_were():
    with Pdf.open(BytesIO(make_pdf())) as pdf:
        packed = bytes([129, 65]) * 500 + b"\x80"
        pdf.Root.Packed = pdf.make_indirect(Stream(pdf, packed, Filter=Name.RunLengthDecode))
        content = save(pdf)
    protected = encrypt(content, "a").content
    with Pdf.open(BytesIO(protected), password="a") as pdf:
        assert pdf.Root.Packed.read_raw_bytes() == packed
        assert pdf.Root.Packed.Filter == Name.RunLengthDecode


@pytest.mark.parametrize(
    "field, below_parent",
    [
        (Dictionary(FT=Name.Sig, T=String("s"), V=SIGNATURE), False),
        (Dictionary(FT=Name.Sig, T=String("s"), V=SIGNATURE), True),
    ],
)
def test_a_pdf_with_a_signed_field_is_left_alone(field, below_parent):
    outcome = encrypt(make_form(field, below_parent=below_parent), "a")
    assert (outcome.verdict, outcome.content) == ("pdf_signed", b"")


@pytest.mark.parametrize("mark", ["certified", "flagged"])
def test_a_certified_or_flagged_pdf_counts_as_signed(mark):
    with Pdf.open(BytesIO(make_pdf())) as pdf:
        if mark == "certified":
            pdf.Root.Perms = Dictionary(DocMDP=pdf.make_indirect(SIGNATURE))
        else:
            pdf.Root.AcroForm = Dictionary(Fields=[], SigFlags=3)
        content = save(pdf)
    assert encrypt(content, "a").verdict == "pdf_signed"


@pytest.mark.parametrize(
    "form",
    [
        Dictionary(Fields=[Dictionary(FT=Name.Sig, T=String("sign here"))]),
        Dictionary(Fields=[Dictionary(FT=Name.Tx, T=String("name"), V=String("Anna"))]),
        Dictionary(Fields=[], SigFlags=2),
        Dictionary(Fields=7, SigFlags=String("3")),
        Array([1, 2]),
    ],
)
def test_an_unsigned_or_nonsensical_form_is_encrypted(form):
    with Pdf.open(BytesIO(make_pdf())) as pdf:
        pdf.Root.AcroForm = form
        content = save(pdf)
    assert encrypt(content, "a").verdict == "pdf_aes256"


def test_fields_that_are_their_own_descendants_end_the_search():
    with Pdf.open(BytesIO(make_pdf())) as pdf:
        field = pdf.make_indirect(Dictionary(FT=Name.Sig, T=String("s")))
        field.Kids = [field, field]
        pdf.Root.AcroForm = Dictionary(Fields=[field])
        content = save(pdf)
    assert encrypt(content, "a").verdict == "pdf_aes256"


@pytest.mark.parametrize(
    "options", [{"user": "u", "owner": "o"}, {"user": "", "owner": "o"}, {"owner": "o", "R": 4}]
)
def test_a_pdf_that_is_already_encrypted_is_told_even_if_it_opens_without_a_password(options):
    assert encrypt(lock(make_pdf(), **options), "a").verdict == "pdf_encrypted"


@pytest.mark.parametrize(
    "known, unknown", [(b"/Filter /Standard", b"/Filter /Adobe.P1"), (b"/R 6", b"/R 9")]
)
def test_encryption_that_qpdf_does_not_know_counts_as_encrypted(known, unknown):
    content = lock(make_pdf(), user="u", owner="o", R=6)
    assert content.count(known) == 1
    assert encrypt(content.replace(known, unknown), "a").verdict == "pdf_encrypted"


@pytest.mark.parametrize("object_streams", [False, True])
def test_a_truncated_pdf_is_damaged_wherever_it_ends(object_streams):
    content = make_pdf(object_streams=object_streams)
    ends = range(5, len(content) - 20, len(content) // 15)
    verdicts = {encrypt(content[:end], "a").verdict for end in ends}
    assert verdicts == {"pdf_damaged"}


@pytest.mark.parametrize(
    "whole, broken",
    [
        (b"\nendstream", b"\nendstrexx"),
        (b"/Type /Pages", b"/Type (((("),
        (b"startxref", b"startxxxx"),
        (b"/Root", b"/Riot"),
        (b"/Length ", b"/Length 1"),
        (b"\n", b"\r\n"),
    ],
)
def test_a_pdf_that_could_only_be_repaired_or_emptied_is_damaged(whole, broken):
    content = make_pdf()
    assert whole in content
    assert encrypt(content.replace(whole, broken), "a").verdict == "pdf_damaged"


def test_a_pdf_with_harmless_slips_is_encrypted_whole():
    content = make_pdf().replace(b"endobj", b"endobx")
    protected = encrypt(b"a line before the header\n" + content, "a").content
    with Pdf.open(BytesIO(protected), password="a") as pdf:
        assert b"Faktura 1" in pdf.pages[1].Contents.read_bytes()


def test_a_pdf_without_pages_is_damaged():
    with Pdf.new() as pdf:
        assert encrypt(save(pdf), "a").verdict == "pdf_damaged"


def test_an_electronic_invoice_inside_is_noticed():
    with Pdf.open(BytesIO(make_pdf())) as pdf:
        pdf.attachments["notes.txt"] = b"nothing"
        plain = save(pdf)
        pdf.attachments["Factur-X.xml"] = b"<invoice/>"
        invoice = save(pdf)
    assert encrypt(plain, "a").notices == ()
    assert encrypt(invoice, "a").notices == ("pdf_einvoice",)


def test_verifying_finds_a_document_that_opens_otherwise_than_asked():
    content = make_pdf()
    assert verify(lock(content, user="right", owner="o", R=6), "right") == 2
    for locked in (
        content,
        lock(content, user="wrong", owner="o", R=6),
        lock(content, user="", owner="o", R=6),
        lock(content, user="right", owner="", R=6),
    ):
        with pytest.raises(ProofFailed):
            verify(locked, "right")


def test_the_hash_agrees_with_the_one_qpdf_wrote():
    with Pdf.open(BytesIO(lock(make_pdf(), user="u", owner="own", R=6)), password="u") as pdf:
        user, owner = bytes(pdf.trailer.Encrypt.U), bytes(pdf.trailer.Encrypt.O)
    assert derive_hash(b"u", user[32:40]) == user[:32]
    assert derive_hash(b"own", owner[32:40], user) == owner[:32]
    assert derive_hash(b"u", user[32:40]) != hashlib.sha256(b"u" + user[32:40]).digest()


def test_a_sound_worker_proves_itself():
    prove_worker()


@pytest.mark.peer
@pytest.mark.skipif(not shutil.which("qpdf"), reason="qpdf is not on this machine (apt: qpdf)")
def test_qpdf_finds_the_document_sound_with_the_password_and_closed_without(tmp_path):
    file = tmp_path / "a.pdf"
    file.write_bytes(encrypt(make_pdf(object_streams=True), PASSWORD).content)
    sound = subprocess.run(["qpdf", f"--password={PASSWORD}", "--check", file], capture_output=True)
    assert sound.returncode == 0, sound.stderr
    assert b"file encryption method: AESv3" in sound.stdout
    closed = subprocess.run(["qpdf", "--check", file], capture_output=True)
    assert closed.returncode == 2
    assert b"invalid password" in closed.stderr


@pytest.mark.peer
@pytest.mark.skipif(
    not shutil.which("pdftotext"), reason="pdftotext is not on this machine (apt: poppler-utils)"
)
def test_poppler_reads_the_text_with_the_password_and_nothing_without(tmp_path):
    file = tmp_path / "a.pdf"
    file.write_bytes(encrypt(make_pdf(text="Do zaplaty"), PASSWORD).content)
    read = subprocess.run(["pdftotext", "-upw", PASSWORD, file, "-"], capture_output=True)
    assert b"Do zaplaty 1" in read.stdout
    closed = subprocess.run(["pdftotext", file, "-"], capture_output=True)
    assert closed.returncode != 0
    assert b"zaplaty" not in closed.stdout
