"""Secrets at rest, and signatures.

A secret travels as *sealed* bytes and is opened only at the moment of use (guarantee G10). Sealing
is AES-256-GCM with additional data: the place (``table:row:column``) and the target it may be used
for. Moved to another row, or used for another target, it does not open.

The key ring is a 0600 file of several keys: the first is used for new work, the others still open
and verify what they made. ``rotate`` puts a new key first; the ring file is read again when an
unknown key id turns up, so running processes follow a rotation.
"""

import base64
import hmac
import json
import os
import secrets
import threading
from pathlib import Path

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

_KEY_ID_LENGTH = 4
_NONCE_LENGTH = 12  # NIST SP 800-38D §8.2: 96 bits
_SIGNATURE_BYTES = 10  # 80 bits, 16 base32 characters: a guess is checked online only


class CannotOpen(Exception):
    """The sealed bytes were made for another place or target, with another ring, or damaged."""


class Vault:
    """Seals, opens, signs and verifies with the key ring of one installation."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._lock = threading.Lock()
        self._keys = _read_ring(path)
        self._derived: dict[tuple[str, str], bytes] = {}

    @classmethod
    def open_or_create(cls, path: Path) -> "Vault":
        """Open the ring file; make it with one fresh key where there is none."""
        if not path.exists():
            path.parent.mkdir(parents=True, exist_ok=True)
            _write_ring(path, {_new_key_id(): secrets.token_bytes(32)}, exclusive=True)
        return cls(path)

    @property
    def active_key_id(self) -> str:
        """The id of the key that new work uses."""
        return next(iter(self._keys))

    @property
    def key_ids(self) -> tuple[str, ...]:
        """The ids of all keys, the active one first."""
        return tuple(self._keys)

    def seal(self, secret: str, place: str, target: str = "") -> bytes:
        """Seal ``secret`` for one place (``table:row:column``) and one target."""
        key_id = self.active_key_id
        nonce = secrets.token_bytes(_NONCE_LENGTH)
        box = AESGCM(self._derive(key_id, "seal")).encrypt(
            nonce, secret.encode(), _aad(place, target)
        )
        return key_id.encode() + nonce + box

    def open(self, sealed: bytes, place: str, target: str = "") -> str:
        """Return the secret, or raise ``CannotOpen``."""
        key_id = bytes(sealed[:_KEY_ID_LENGTH]).decode("ascii", "replace")
        body = sealed[_KEY_ID_LENGTH:]
        try:
            cipher = AESGCM(self._derive(key_id, "seal"))
            plain = cipher.decrypt(body[:_NONCE_LENGTH], body[_NONCE_LENGTH:], _aad(place, target))
        except (InvalidTag, KeyError, ValueError):
            raise CannotOpen(
                "sealed for another place or target, or with another key ring"
            ) from None
        return plain.decode()

    def is_current(self, sealed: bytes) -> bool:
        """Whether ``sealed`` was made with the active key."""
        return bytes(sealed[:_KEY_ID_LENGTH]) == self.active_key_id.encode()

    def sign(self, purpose: str, text: str) -> str:
        """Return a short signature (20 lower-case characters) of ``text`` for one purpose."""
        key_id = self.active_key_id
        return key_id + self._short_mac(key_id, purpose, text)

    def verify(self, purpose: str, text: str, signature: str) -> bool:
        """Whether ``signature`` is ours, by any key of the ring."""
        key_id, mac = signature[:_KEY_ID_LENGTH], signature[_KEY_ID_LENGTH:]
        try:
            expected = self._short_mac(key_id, purpose, text)
        except KeyError:
            return False
        return hmac.compare_digest(expected.encode(), mac.encode())

    def digest(self, purpose: str, data: bytes, key_id: str | None = None) -> str:
        """Return ``key id + ":" + HMAC-SHA256`` in hex; for keys at rest and request bodies."""
        key_id = key_id or self.active_key_id
        return f"{key_id}:{_mac(self._derive(key_id, purpose), data).hex()}"

    def matches(self, purpose: str, data: bytes, digest: str) -> bool:
        """Whether ``digest`` was made of ``data`` by any key of the ring."""
        try:
            expected = self.digest(purpose, data, digest.partition(":")[0])
        except KeyError:
            return False
        return hmac.compare_digest(expected.encode(), digest.encode())

    def rotate(self) -> str:
        """Put a fresh key first and write the ring; return its id. Reseal all rows afterwards."""
        with self._lock:
            key_id = _new_key_id()
            self._keys = {key_id: secrets.token_bytes(32)} | _read_ring(self._path)
            self._derived = {}
            _write_ring(self._path, self._keys)
        return key_id

    def _derive(self, key_id: str, purpose: str) -> bytes:
        derived = self._derived.get((key_id, purpose))
        if derived is None:
            key = _mac(self._find_key(key_id), b"awizo/" + purpose.encode())
            derived = self._derived[key_id, purpose] = key
        return derived

    def _find_key(self, key_id: str) -> bytes:
        key = self._keys.get(key_id)
        if key is None:
            with self._lock:
                self._keys, self._derived = _read_ring(self._path), {}
            key = self._keys[key_id]
        return key

    def _short_mac(self, key_id: str, purpose: str, text: str) -> str:
        mac = _mac(self._derive(key_id, f"sign/{purpose}"), text.encode())
        return base64.b32encode(mac[:_SIGNATURE_BYTES]).decode().lower()


def _mac(key: bytes, data: bytes) -> bytes:
    """HMAC-SHA256. Not ``hmac.digest``: that lets another thread run, and waits for its turn."""
    return hmac.new(key, data, "sha256").digest()


def _aad(place: str, target: str) -> bytes:
    return place.encode() + b"\0" + target.encode()


def _new_key_id() -> str:
    # Letters and digits only: it stands inside Message-IDs.
    return base64.b32encode(secrets.token_bytes(5)).decode().lower()[:_KEY_ID_LENGTH]


def _read_ring(path: Path) -> dict[str, bytes]:
    ring = json.loads(path.read_text())
    return {entry["id"]: base64.b64decode(entry["key"]) for entry in ring["keys"]}


def _write_ring(path: Path, keys: dict[str, bytes], *, exclusive: bool = False) -> None:
    """Write the ring; ``exclusive`` leaves a ring that another process just made."""
    body = {
        "keys": [
            {"id": key_id, "key": base64.b64encode(key).decode()} for key_id, key in keys.items()
        ]
    }
    write_private(path, json.dumps(body, indent=1), exclusive=exclusive)


def write_private(path: Path, text: str, *, exclusive: bool = False) -> None:
    """Write a 0600 file durably and at one stroke; ``exclusive`` leaves one that is there."""
    draft = path.with_name(f"{path.name}.{os.getpid()}.{secrets.token_hex(4)}")
    descriptor = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(descriptor, "w") as file:
        file.write(text)
        file.flush()
        os.fsync(file.fileno())
    try:
        if exclusive:
            try:
                os.link(draft, path)
            except FileExistsError:
                return
        else:
            draft.replace(path)
    finally:
        draft.unlink(missing_ok=True)
    directory = os.open(path.parent, os.O_RDONLY)
    try:
        os.fsync(directory)
    finally:
        os.close(directory)
