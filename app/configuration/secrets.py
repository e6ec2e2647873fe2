"""A password sealed together with the server it may be shown to (contract §2).

The sealed form is ``<target as JSON>\\n<vault's bytes>``; the target is the additional data of the
sealing, so neither part can be changed. It opens for settings with the same host, port, user name
and CA that are no weaker: somebody who edits the settings, in the database even, does not get the
password sent to a server of theirs, nor in clear text.
Weaker is: ``ssl_tls``/``starttls`` to ``auto`` to ``plaintext``, ``tls_verify`` off,
``allow_insecure_auth`` on. The same form serves passwords that travel with a message.
"""

import hashlib
import json
from collections.abc import Sequence
from typing import Any

from app.configuration.model import IncomingSettings, SmtpSettings
from app.vault import CannotOpen, Vault
from app.wire.target import bare_host

Target = SmtpSettings | IncomingSettings
_TLS_LEVELS = {"plaintext": 0, "auto": 1, "starttls": 2, "ssl_tls": 2}


def seal_for_target(vault: Vault, secret: str, place: str, settings: Target) -> bytes:
    """Seal ``secret`` for one place (``table:row:column``) and the server of ``settings``."""
    target = json.dumps(_read_target(settings), sort_keys=True)
    return target.encode() + b"\n" + vault.seal(secret, place, target)


def open_for_target(vault: Vault, sealed: bytes, place: str, settings: Target) -> str:
    """Return the secret; raise ``CannotOpen`` for another or a weaker server, or another place."""
    target, _, box = bytes(sealed).partition(b"\n")
    secret = vault.open(box, place, target.decode("utf-8", "replace"))
    # Only now is the target known to be what was sealed.
    if not _is_within(json.loads(target), _read_target(settings)):
        raise CannotOpen("entered for another server, or for a safer connection")
    return secret


def seal_for_servers(vault: Vault, secret: str, place: str, servers: Sequence[Target]) -> bytes:
    """Seal ``secret`` for one place and several servers: a token opens SMTP and IMAP."""
    several = json.dumps([_read_target(each) for each in servers], sort_keys=True)
    return several.encode() + b"\n" + vault.seal(secret, place, several)


def open_for_servers(vault: Vault, sealed: bytes, place: str, settings: Target | None) -> str:
    """Return the secret, for one of its servers (None: for no server, but its own place).

    Raises ``CannotOpen`` for another or a weaker server, or another place.
    """
    several, _, box = bytes(sealed).partition(b"\n")
    secret = vault.open(box, place, several.decode("utf-8", "replace"))
    if settings is not None:
        wanted = _read_target(settings)
        if not any(_is_within(each, wanted) for each in json.loads(several)):
            raise CannotOpen("given for other servers, or for a safer connection")
    return secret


def move_to_place(vault: Vault, secret: str, place: str, servers_of: bytes) -> bytes:
    """Seal ``secret`` for another place and the servers that ``servers_of`` is sealed for."""
    several = bytes(servers_of).partition(b"\n")[0].decode("utf-8", "replace")
    return several.encode() + b"\n" + vault.seal(secret, place, several)


def reseal_for_target(vault: Vault, sealed: bytes, place: str) -> bytes | None:
    """Return the same secret under the active key; None where it already is."""
    target, _, box = bytes(sealed).partition(b"\n")
    if vault.is_current(box):
        return None
    text = target.decode("utf-8", "replace")
    return target + b"\n" + vault.seal(vault.open(box, place, text), place, text)


def describe_targets(*several: Target | None) -> list[str]:
    """Return what secrets of these servers are sealed with, as text."""
    return [json.dumps(_read_target(each), sort_keys=True) if each else "" for each in several]


def _read_target(settings: Target) -> dict[str, Any]:
    ca_pem = settings.ca_pem
    return {
        "host": bare_host(settings.host).casefold(),
        "port": settings.port,
        "username": settings.username or "",
        "ca": hashlib.sha256(ca_pem.strip().encode()).hexdigest() if ca_pem else "",
        "tls": _TLS_LEVELS[settings.connection],
        "verify": settings.tls_verify,
        "insecure": settings.allow_insecure_auth,
    }


def _is_within(sealed: dict[str, Any], wanted: dict[str, Any]) -> bool:
    return (
        all(sealed[name] == wanted[name] for name in ("host", "port", "username", "ca"))
        and wanted["tls"] >= sealed["tls"]
        and wanted["verify"] >= sealed["verify"]
        and wanted["insecure"] <= sealed["insecure"]
    )
