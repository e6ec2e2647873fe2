"""Encrypts one PDF with AES-256 (revision 6) and proves that it is encrypted.

Runs in a worker process only: pikepdf holds the GIL and reads hostile files. Content stays in
memory: documents are opened from and saved to ``BytesIO``, which pikepdf never spools.
Nothing but the encryption changes: streams are copied as they are, nothing is repaired (a repaired
document may have lost pages, so a damaged one is refused). A signed document is left alone, since
rewriting breaks its signature. A result is handed back only after it was verified.
"""

import hashlib
import re
import secrets
from io import BytesIO

import pikepdf
from cryptography.hazmat.primitives.ciphers import Cipher, algorithms, modes
from pikepdf import Array, Dictionary, Name, Object, PasswordError, Pdf
from pikepdf.models import EncryptionMethod

from app.mime.frames import Outcome

# Factur-X / ZUGFeRD 1 and 2, XRechnung, Order-X: the names their standards prescribe
INVOICE_FILES = {
    "factur-x.xml",
    "order-x.xml",
    "xrechnung.xml",
    "zugferd-invoice.xml",
}
# Warnings of qpdf after which the document is still whole
HARMLESS = re.compile(
    "expected endobj|stream keyword (?:not )?followed|extraneous whitespace seen before xref|"
    "reported number of objects|/Type entry to /Catalog|duplicated key|"
    "xref entry for the xref stream itself is missing"
)


class ProofFailed(Exception):
    """The library's result is not protected as asked; never caused by what a file says."""


def encrypt(content: bytes, password: str) -> Outcome:
    """Encrypt one document so that ``password`` (1-127 UTF-8 bytes, NFC) opens it.

    The owner password is random and forgotten. Raises MemoryError and ProofFailed; whatever else
    goes wrong lies in the file and is a verdict.
    """
    try:
        with _open(content) as pdf:
            if pdf.is_encrypted:  # an owner password alone: opens without one, but is encrypted
                return Outcome("pdf_encrypted")
            pages = len(pdf.pages)
            if not pages:
                return Outcome("pdf_damaged")
            if is_signed(pdf):
                return Outcome("pdf_signed")
            notices = ("pdf_einvoice",) if is_einvoice(pdf) else ()
            protected = _save(pdf, password)
            if not all(map(HARMLESS.search, pdf.get_warnings())):
                return Outcome("pdf_damaged")  # without repair qpdf drops what it cannot read
            if verify(protected, password) != pages:
                return Outcome("pdf_damaged")
            return Outcome("pdf_aes256", protected, notices)
    except PasswordError:
        return Outcome("pdf_encrypted")
    except (MemoryError, ProofFailed):
        raise
    except Exception as error:  # a hostile structure can raise anything; prove_worker() has passed
        # qpdf's words for a handler (certificates, rights management) or a revision it does not know
        foreign = re.search("unsupported (encryption|/R or /V)", str(error), re.IGNORECASE)
        return Outcome("pdf_encrypted" if foreign else "pdf_damaged")


def is_signed(pdf: Pdf) -> bool:
    """Tell whether rewriting the document would break a signature (ISO 32000-2 §12.8)."""
    if Name.Perms in pdf.Root:  # certified (DocMDP) or with usage rights (UR3)
        return True
    form = pdf.Root.get(Name.AcroForm)
    if not isinstance(form, Dictionary):
        return False
    flags = form.get(Name.SigFlags, 0)
    if isinstance(flags, int) and flags & 1:  # §12.7.3, table 225: SignaturesExist
        return True
    fields = form.get(Name.Fields)
    waiting: list[tuple[Object, Object | None]] = []
    if isinstance(fields, Array):
        waiting.extend((field, None) for field in fields)
    seen = set()
    while waiting:
        field, kind = waiting.pop()
        if not isinstance(field, Dictionary) or (field.is_indirect and field.objgen in seen):
            continue
        seen.add(field.objgen)
        kind = field.get(Name.FT, kind)  # inherited from the parent field, §12.7.4.1
        if kind == Name.Sig and Name.V in field:
            return True
        kids = field.get(Name.Kids)
        if isinstance(kids, Array):
            waiting.extend((kid, kind) for kid in kids)
    return False


def is_einvoice(pdf: Pdf) -> bool:
    """Tell whether the document carries an invoice for machines, which encryption hides from them."""
    return any(spec.filename.lower() in INVOICE_FILES for spec in pdf.attachments.values())


def verify(protected: bytes, password: str) -> int:
    """Prove that the password opens the document and that no password does not; count its pages.

    Works the key out independently of pikepdf (half the time that its own two openings take), then
    opens with that key. Salted hashes: a document that ``password`` opens as user does not open
    with the empty one as user too; as owner it is tried. Raises ProofFailed.
    """
    lock = _read_lock(protected)
    user, user_key, owner = bytes(lock.U), bytes(lock.UE), bytes(lock.O)
    secret = password.encode()
    if not secret or derive_hash(secret, user[32:40]) != user[:32]:
        raise ProofFailed("the password does not open it")
    if derive_hash(b"", owner[32:40], user) == owner[:32]:
        raise ProofFailed("it opens without a password")
    key_key = derive_hash(secret, user[40:48])
    unlock = Cipher(algorithms.AES256(key_key), modes.CBC(bytes(16))).decryptor()
    key = unlock.update(user_key) + unlock.finalize()
    with _open(protected, key.hex()) as pdf:
        found = pdf.encryption
        methods = {found.stream_method, found.string_method, found.file_method}
        if (found.R, methods) != (6, {EncryptionMethod.aesv3}):
            raise ProofFailed("not AES-256")
        return len(pdf.pages)


def derive_hash(secret: bytes, salt: bytes, user: bytes = b"") -> bytes:
    """Compute algorithm 2.B of ISO 32000-2 §7.6.4.3.4; ``user`` is /U for the owner's hashes."""
    key = hashlib.sha256(secret + salt + user).digest()
    done = last = 0
    while done < 64 or last > done - 32:
        encryptor = Cipher(algorithms.AES128(key[:16]), modes.CBC(key[16:32])).encryptor()
        data = encryptor.update((secret + key + user) * 64)
        # 256 = 1 (mod 3): the remainder of the number is that of the sum of its bytes
        choice = int.from_bytes(data[:16], "big") % 3
        key = (hashlib.sha256, hashlib.sha384, hashlib.sha512)[choice](data).digest()
        last = data[-1]
        done += 1
    return key[:32]


def prove_worker() -> None:
    """Protect a blank page and open it with pikepdf itself: with, without and with a wrong password.

    Run once when a worker starts, so that what later goes wrong may be laid to the file.
    Raises ProofFailed.
    """
    blank = BytesIO()
    with Pdf.new() as pdf:
        pdf.add_blank_page()
        pdf.save(blank)
    protected = encrypt(blank.getvalue(), "zażółć").content
    for password, opens in (("zażółć", True), ("", False), ("zazolc", False)):
        try:
            with Pdf.open(BytesIO(protected), password=password) as pdf:
                opened = len(pdf.pages) == 1
        except PasswordError:
            opened = False
        if opened != opens:
            raise ProofFailed("pikepdf does not encrypt as it did")


def _read_lock(protected: bytes) -> Object:
    """Read the encryption dictionary that pikepdf wrote; opening would need the key it leads to."""
    named = re.match(rb"/Encrypt (\d+) 0 R", protected[protected.rfind(b"/Encrypt ") :])
    if named is None:
        raise ProofFailed("no encryption dictionary")
    head = b"\n%s 0 obj\n" % named[1]
    start = protected.rindex(head) + len(head)
    return Object.parse(protected[start : protected.index(b"endobj", start)])


def _open(content: bytes, key: str | None = None) -> Pdf:
    return Pdf.open(
        BytesIO(content),
        password=key or "",
        hex_password=key is not None,
        attempt_recovery=False,
        inherit_page_attributes=False,  # would rewrite the page tree
    )


def _save(pdf: Pdf, password: str) -> bytes:
    protected = BytesIO()
    pdf.save(
        protected,
        encryption=pikepdf.Encryption(user=password, owner=secrets.token_urlsafe(16), R=6),
        compress_streams=False,
        fix_metadata_version=False,
    )
    return protected.getvalue()
