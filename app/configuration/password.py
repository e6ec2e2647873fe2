"""The SMTP password of a configuration: what a save does to it, entering it, revealing it."""

from contextlib import suppress
from dataclasses import dataclass, field
from datetime import datetime

from sqlalchemy import update
from sqlalchemy.engine import Connection

from app.accounts import audit
from app.accounts.caller import Caller
from app.configuration.document import PASSWORD, Draft
from app.configuration.domain import Domain
from app.configuration.load import (
    can_use_password,
    lock_account,
    open_password,
    place_incoming_password,
    place_password,
)
from app.configuration.model import (
    PasswordState,
    SmtpSettings,
    StoredAccount,
    name_object,
    read_mailbox_server,
    read_server,
    takes_token,
)
from app.configuration.secrets import open_for_target, seal_for_target
from app.configuration.tables import account
from app.errors import Conflict, Denied, Fault, Missing, Notice, refuse
from app.vault import CannotOpen, Vault


@dataclass(frozen=True, slots=True)
class Kept:
    """What a save leaves stored. owner: the owner that entered the password."""

    state: PasswordState
    sealed: bytes | None = field(default=None, repr=False)
    owner: str | None = None
    notices: tuple[Notice, ...] = ()


def decide_password(
    vault: Vault,
    before: StoredAccount,
    draft: Draft,
    settings: SmtpSettings | None,
    owner_id: str,
) -> Kept:
    """Return what becomes of the password when ``draft`` replaces ``before``.

    One that is given is sealed for the new target. One that is not stays as it is, provided that it
    opens for the new target: for another or a weaker one its owner has to enter it again.
    """
    if settings is None or settings.password_mode == "ask":
        return Kept("none")
    if draft.password:
        sealed = seal_for_target(vault, draft.password, place_password(before.id), settings)
        return Kept("stored", sealed, owner_id)
    keeps = draft.password is None and not draft.wants_awaiting
    if keeps and can_use_password(vault, before, settings):
        return Kept("stored", before.password, before.password_owner)
    if not settings.wants_login:
        return Kept("none")
    if draft.password is None and before.consent and takes_token(settings):
        return Kept("awaiting")  # it logs in by tokens, and waits for a password without them
    code, detail = "password_missing", "No password is stored yet; mail waits until it is entered."
    if keeps and before.password is not None:
        code, detail = (
            "password_needed_again",
            "The stored password was entered for another server or a safer connection and is not "
            "used for this one; enter it again. Mail waits until then.",
        )
    return Kept("awaiting", notices=(Notice(code, detail, "/smtp/password"),))


def decide_incoming_password(
    vault: Vault, before: StoredAccount, draft: Draft, domain: Domain | None
) -> bytes | None:
    """Return the mailbox's sealed password when ``draft`` replaces ``before``.

    Given with the mail server's alone, that one opens the mailbox of the same user name too.
    """
    settings = read_mailbox_server(draft.document, domain)
    if settings is None:
        return None
    place = place_incoming_password(before.id)
    given = draft.incoming_password
    smtp = read_server(draft.document, domain, "none")
    if given is None and smtp is not None and smtp.username == settings.username:
        given = draft.password
    if given:
        return seal_for_target(vault, given, place, settings)
    if given is None and before.incoming_password is not None:
        with suppress(CannotOpen):
            open_for_target(vault, before.incoming_password, place, settings)
            return before.incoming_password
    return None


def enter_password(
    tx: Connection, vault: Vault, caller: Caller, scope: str, given: object, at: datetime
) -> StoredAccount:
    """Store the password that the scope's own server wants; return the account as it was.

    Raises ``Missing`` without a configuration, ``Conflict`` ``no_password_wanted``.
    """
    faults: list[Fault] = []
    password = PASSWORD.read(given, "/password", faults)
    if password == "":
        faults.append(Fault("/password", "required", "Give the password."))
    refuse(faults)
    stored = lock_account(tx, scope)
    settings = stored.settings
    if settings is None or not settings.wants_login or settings.password_mode == "ask":
        raise Conflict(
            "This configuration has no login of its own that a password is stored for.",
            code="no_password_wanted",
        )
    tx.execute(
        update(account)
        .where(account.c.id == stored.id)
        .values(
            password=seal_for_target(vault, password, place_password(stored.id), settings),
            password_state="stored",
            password_owner=caller.owner_id,
            incoming_password=decide_incoming_password(
                vault, stored, Draft(dict(stored.document), password), stored.domain
            ),
            version=stored.version + 1,
            updated_at=at,
        )
    )
    audit.record(
        tx, caller, "config.secret", name_object(scope),
        {"password_set": stored.password is not None}, {"password_set": True}, at,
    )  # fmt: skip
    return stored


def reveal_password(tx: Connection, vault: Vault, caller: Caller, scope: str, at: datetime) -> str:
    """Return the stored password to the owner that entered it, and to nobody else (S5)."""
    stored = lock_account(tx, scope)
    if stored.password is None:
        raise Missing("No password is stored here.", code="password_not_set")
    if stored.password_owner != caller.owner_id:
        raise Denied(
            "Only the key that entered this password may see it again.", code="not_your_password"
        )
    try:
        password = open_password(vault, stored)
    except CannotOpen:
        raise Conflict(
            "The stored password does not open for these settings; enter it again.",
            code="password_unreadable",
        ) from None
    if password is None:
        raise Missing("No password is stored here.", code="password_not_set")
    audit.record(tx, caller, "password.reveal", name_object(scope), None, None, at)
    return password
