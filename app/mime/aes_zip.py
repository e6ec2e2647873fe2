"""Writes a ZIP encrypted with WinZip AES-256 (AE-2), in memory, in one pass.

Layout after PKWARE's APPNOTE.TXT and WinZip's "AES Encryption Information". Our own writer because
the container is small and pyzipper (the oracle in the tests) allows no faster compressor: ISA-L
deflates at several times zlib's speed. Compression, cipher and MAC release the GIL: run it in a
thread. Contents that do not shrink (JPEG, DOCX, PDF, ZIP ...) are stored.
AE-2 keeps no CRC, which would tell what a small file says. No Zip64: below 4 GiB.
"""

import hashlib
import hmac
import itertools
import os
import re
import struct
import unicodedata
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime

from isal import igzip_lib

LOCAL = struct.Struct("<4s5H3L2H")
CENTRAL = struct.Struct("<4s6H3L5H2L")
END = struct.Struct("<4s4H2LH")
AES_FIELD = struct.Struct("<3H2sBH")

VERSION = 51  # 5.1: AES, APPNOTE 4.4.3.2
UNIX = 3 << 8  # "made by": gives the external attributes their meaning
FLAGS = 1 << 0 | 1 << 11  # encrypted; the name is UTF-8
AES_METHOD, STORED, DEFLATED = 99, 0, 8
MODE = 0o100600 << 16  # a regular file, its owner's
WORTH = 0.95  # below this ratio deflating pays for the receiver's inflating

NAME_BYTES = 200  # file systems end at 255; leaves room for " (2)" and a folder's habits
RESERVED = re.compile(
    r"(?:con|prn|aux|nul|conin\$|conout\$|(?:com|lpt)[0-9¹²³])(?= *(?:\.|$))", re.IGNORECASE
)  # device names of Windows, with any extension


@dataclass(frozen=True, slots=True)
class Member:
    """One file of the archive."""

    name: str
    content: bytes


def write_zip(
    members: Iterable[Member],
    password: str,
    *,
    modified: datetime | None = None,
    random_bytes: Callable[[int], bytes] = os.urandom,
) -> bytes:
    """Pack the members, whose names are taken as they are (see ``clean_names``).

    modified: written to every member, 1980-2107, without zone; 1980-01-01 where None.
    password: not empty, encoded as UTF-8. Raises struct.error from 4 GiB or 65 536 members on.
    """
    date, time = _to_dos(modified or datetime(1980, 1, 1))
    pieces: list[bytes] = []
    directory: list[bytes] = []
    offset = 0
    for member in members:
        name = member.name.encode()
        method, packed = _deflate(member.content)
        sealed = _seal(packed, password.encode(), random_bytes(16))
        field = AES_FIELD.pack(0x9901, 7, 2, b"AE", 3, method)  # AE-2, 256 bits, real method
        shared = (VERSION, FLAGS, AES_METHOD, time, date, 0, len(sealed), len(member.content))
        lengths = (len(name), len(field))
        local = LOCAL.pack(b"PK\3\4", *shared, *lengths) + name + field
        pieces += (local, sealed)
        directory.append(
            CENTRAL.pack(b"PK\1\2", UNIX | VERSION, *shared, *lengths, 0, 0, 0, MODE, offset)
            + name
            + field
        )
        offset += len(local) + len(sealed)
    listing = b"".join(directory)
    count = len(directory)
    end = END.pack(b"PK\5\6", 0, 0, count, count, len(listing), offset, 0)
    return b"".join((*pieces, listing, end))


def clean_names(names: Sequence[str]) -> list[str]:
    """Make names that every system can unpack beside each other, in order.

    Folders, drive letters and what Windows forbids go; equal names (case-insensitive) become
    ``a.csv``, ``a (2).csv``.
    """
    taken: set[str] = set()
    cleaned = []
    for name in map(_clean_name, names):
        stem, dot, extension = name.rpartition(".")
        if not stem:
            stem, dot, extension = name, "", ""
        unique = name
        for number in itertools.count(2):
            if unique.casefold() not in taken:
                break
            unique = f"{stem} ({number}){dot}{extension}"
        taken.add(unique.casefold())
        cleaned.append(unique)
    return cleaned


def _clean_name(name: str) -> str:
    name = unicodedata.normalize("NFC", re.split(r"[/\\]", name)[-1])
    name = re.sub(r"^[A-Za-z]:", "", name)
    # Cc and Cf: controls and what turns the reading direction; Cs cannot be encoded; Z?: line ends
    hidden = {"Cc", "Cf", "Cs", "Zl", "Zp"}
    name = "".join(sign for sign in name if unicodedata.category(sign) not in hidden)
    name = re.sub(r'[<>:"|?*]', "_", name).strip(" ").rstrip(". ")
    if RESERVED.match(name):
        name = f"_{name}"
    return _shorten(name) or "attachment"


def _shorten(name: str) -> str:
    if len(name.encode()) <= NAME_BYTES:
        return name
    stem, dot, extension = name.rpartition(".")
    tail = (dot + extension).encode() if stem and len(extension) <= 10 else b""
    head = (stem if tail else name).encode()[: NAME_BYTES - len(tail)]
    return (head.decode(errors="ignore") + tail.decode()).rstrip(". ")


def _deflate(content: bytes) -> tuple[int, bytes]:
    packed = igzip_lib.compress(content, level=2, flag=igzip_lib.COMP_DEFLATE)
    return (DEFLATED, packed) if len(packed) < WORTH * len(content) else (STORED, content)


def _seal(packed: bytes, secret: bytes, salt: bytes) -> bytes:
    """Encrypt: salt, two bytes that tell a wrong password, ciphertext, ten bytes of HMAC-SHA1."""
    keys = hashlib.pbkdf2_hmac("sha1", secret, salt, 1000, 66)
    # A fifth of a second to load, for those who have something to encrypt.
    from Cryptodome.Cipher import AES
    from Cryptodome.Util import Counter

    counter = Counter.new(128, initial_value=1, little_endian=True)  # WinZip's, not SP 800-38A's
    data = AES.new(keys[:32], AES.MODE_CTR, counter=counter).encrypt(packed)
    return b"".join((salt, keys[64:], data, hmac.digest(keys[32:64], data, "sha1")[:10]))


def _to_dos(moment: datetime) -> tuple[int, int]:
    year = min(max(moment.year, 1980), 2107) - 1980
    return (
        year << 9 | moment.month << 5 | moment.day,
        moment.hour << 11 | moment.minute << 5 | moment.second // 2,
    )
