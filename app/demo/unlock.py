"""Opens attachments as a customer's programs would.

The reader of AES-256 ZIPs is written from WinZip's "AES Encryption Information", apart from the code
that makes the archives, so that the demo does not take Awizo's word for it.
"""

import hashlib
import hmac
import zlib
from io import BytesIO
from zipfile import BadZipFile, ZipFile

import pikepdf
from Cryptodome.Cipher import AES
from Cryptodome.Util import Counter

_AES_FIELD = b"\x01\x99\x07\x00"  # header id 0x9901, seven bytes
_LOCAL_HEADER_BYTES = 30
_KEY_BYTES = 32
_DEFLATED = 8
_ENCRYPTED = 1  # bit of the general purpose flags, APPNOTE 4.4.4


class WrongPasswordError(Exception):
    """The archive does not open with this password."""


def open_zip(archive: bytes, password: str) -> dict[str, bytes]:
    """Return the files of an archive; raise ``WrongPasswordError``, or BadZipFile for another kind.

    What was never locked opens with any password, as it does everywhere.
    """
    with ZipFile(BytesIO(archive)) as listing:
        return {
            each.filename: (
                _open_member(archive, each.header_offset, each.compress_size, password)
                if each.flag_bits & _ENCRYPTED
                else listing.read(each)
            )
            for each in listing.infolist()
        }


def _open_member(archive: bytes, offset: int, size: int, password: str) -> bytes:
    name_length = int.from_bytes(archive[offset + 26 : offset + 28], "little")
    extra_length = int.from_bytes(archive[offset + 28 : offset + 30], "little")
    start = offset + _LOCAL_HEADER_BYTES + name_length
    extra = archive[start : start + extra_length]
    at = extra.find(_AES_FIELD)
    if at < 0 or extra[at + 8] != 3:
        raise BadZipFile("not encrypted with AES-256")
    sealed = archive[start + extra_length : start + extra_length + size]
    salt, check, data, seal = sealed[:16], sealed[16:18], sealed[18:-10], sealed[-10:]
    keys = hashlib.pbkdf2_hmac("sha1", password.encode(), salt, 1000, 2 * _KEY_BYTES + 2)
    if keys[-2:] != check:
        raise WrongPasswordError
    mac = hmac.digest(keys[_KEY_BYTES : 2 * _KEY_BYTES], data, "sha1")
    if not hmac.compare_digest(mac[:10], seal):
        raise WrongPasswordError  # two bytes fit one password in 65 536 by chance
    counter = Counter.new(128, initial_value=1, little_endian=True)
    packed = AES.new(keys[:_KEY_BYTES], AES.MODE_CTR, counter=counter).decrypt(data)
    method = int.from_bytes(extra[at + 9 : at + 11], "little")
    return zlib.decompress(packed, -zlib.MAX_WBITS) if method == _DEFLATED else packed


def unlock_pdf(content: bytes, password: str) -> str | None:
    """Return the text of a PDF's first page, or None where the password does not open it."""
    try:
        with pikepdf.open(BytesIO(content), password=password) as pdf:
            shown = pikepdf.parse_content_stream(pdf.pages[0])
            return "\n".join(str(each.operands[0]) for each in shown if str(each.operator) == "Tj")
    except pikepdf.PasswordError:
        return None


def unlock_zip(content: bytes, password: str) -> str | None:
    """Return the archive's files as text, or None where the password does not open it."""
    try:
        files = open_zip(content, password)
    except WrongPasswordError:
        return None
    return "\n".join(f"{name}:\n{text.decode()}" for name, text in files.items()).rstrip()
