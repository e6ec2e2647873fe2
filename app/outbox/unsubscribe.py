"""Unsubscribing: the line and header fields of a message, and the link that they carry.

A link is signed: ``<message id>.<number>.<signature>``; no other opens anything. number: the place of
the one recipient, from 0, or ``all`` where the request names several: the bytes are the same for
all of them, so the link cannot know who follows it and the page asks. One click (RFC 8058) is
offered only where the link says who it is. Following a link changes nothing, posting it suppresses
the address in the message's scope, as often as one likes.
Drafts carry none: a person sends them, to whom they like.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from html import escape
from typing import Any
from urllib.parse import quote

from sqlalchemy import Row, delete, select
from sqlalchemy.engine import Connection

from app.accounts import audit
from app.accounts.caller import Caller
from app.errors import Missing, Notice
from app.mime.address import Mailbox
from app.outbox.allowance import take
from app.outbox.check import REMINDER, Checked
from app.outbox.office import Office
from app.outbox.rows import ERASED
from app.outbox.suppressions import suppress
from app.outbox.tables import message, recipient, suppression
from app.templates_engine.insert import insert_html, insert_text
from app.templates_engine.render import Rendered
from app.vault import Vault

RECIPIENT = Caller(owner_id="recipient", role="user", name="recipient")
_PURPOSE = "unsubscribe"
_REASON = "unsubscribed"
_ALL = "all"
_POSTS_A_MINUTE = 30  # of one link; it is against noise, a link can only repeat itself
_LINES = {
    "pl": "Nie chcę więcej takich wiadomości",
    "fr": "Ne plus recevoir ces messages",
    "en": "Unsubscribe from these messages",
}
_HTML = '<p style="margin-top:2em;font-size:small"><a href="{url}">{line}</a></p>'


@dataclass(frozen=True, slots=True)
class Parting:
    """A message with the way out of it. urls: of List-Unsubscribe; fields: what belongs to it."""

    rendered: Rendered
    urls: tuple[str, ...] = ()
    fields: tuple[tuple[str, str], ...] = ()
    notices: tuple[Notice, ...] = ()


@dataclass(frozen=True, slots=True)
class Link:
    """What a link that is ours leads to. address: None where the page has to ask who it is."""

    message: Row[Any]
    address: Mailbox | None
    is_suppressed: bool


def add_parting(office: Office, checked: Checked, new: str) -> Parting:
    """Return what the message ``new`` says, with the line to unsubscribe where it is wanted."""
    order, resolved, rendered = checked.order, checked.ground.resolved, checked.rendered
    assert rendered is not None
    wish = resolved.unsubscribe
    is_reminder = order.template == REMINDER or order.reference.is_reminder
    if (
        not wish.get("enabled")
        or resolved.mode == "draft"
        or order.auto_submitted is not None
        or (is_reminder and not wish.get("reminders"))
    ):
        return Parting(rendered)
    number = _name_recipient(checked)
    token = make_token(office.vault, new, number)
    mailto = wish.get("mailto")
    urls = (f"mailto:{quote(mailto, safe='@')}?subject=unsubscribe%20{token}",) if mailto else ()
    public_url = office.settings.public_url
    if public_url is None:
        detail = "Set AWIZO_PUBLIC_URL: without it nobody can be given a link to unsubscribe."
        return Parting(rendered, urls, notices=(Notice("public_url_missing", detail),))
    url = f"{public_url}/unsubscribe/{token}"
    is_one_click = number != _ALL and url.startswith("https:")  # RFC 8058 §3.1
    post = ("List-Unsubscribe-Post", "List-Unsubscribe=One-Click")
    return Parting(
        _insert_line(rendered, _choose_line(wish.get("text", {}), checked.language), url),
        (url, *urls),
        (post,) if is_one_click else (),
    )


def make_token(vault: Vault, message_id: str, number: str) -> str:
    """Return the signed part of a link."""
    named = f"{message_id}.{number}"
    return f"{named}.{vault.sign(_PURPOSE, named)}"


def read_link(tx: Connection, vault: Vault, token: str) -> Link:
    """Return what a link leads to; raise ``Missing``, the same for all that lead nowhere."""
    row, recipients = _find(tx, vault, token)
    if not _says_who(token):
        return Link(row, None, is_suppressed=False)
    mailbox = Mailbox(recipients[0].address)
    for_good = suppression.c.expires_at.is_(None)
    found = tx.scalar(select(suppression.c.id).where(*_is_ours(row, mailbox), for_good))
    return Link(row, mailbox, is_suppressed=found is not None)


def unsubscribe(
    tx: Connection, vault: Vault, token: str, address: Mailbox | None, at: datetime
) -> None:
    """Suppress the address that a link is of; where it is of several, ``address`` among them.

    Raises ``Missing`` for no link of ours, ``Throttled``. Whether ``address`` was among them is
    not told.
    """
    row, recipients = _find(tx, vault, token)
    take(tx, f"{_PURPOSE}:{row.id}", most=_POSTS_A_MINUTE, at=at)
    for each in recipients:
        mailbox = Mailbox(each.address)
        if _says_who(token) or (address is not None and mailbox.key == address.key):
            suppress(tx, mailbox, row.scope, _REASON, caller=RECIPIENT, at=at, message_id=row.id)


def resubscribe(tx: Connection, vault: Vault, token: str, at: datetime) -> None:
    """Take an unsubscription back, where the link says whose it is; other suppressions stay."""
    row, recipients = _find(tx, vault, token)
    take(tx, f"{_PURPOSE}:{row.id}", most=_POSTS_A_MINUTE, at=at)
    if not _says_who(token):
        return
    mine = _is_ours(row, Mailbox(recipients[0].address))
    found = tx.execute(select(suppression).where(*mine)).first()
    if found is not None:
        tx.execute(delete(suppression).where(suppression.c.id == found.id))
        before = {"address": found.address, "scope": found.scope, "reason": found.reason}
        where = f"suppressions/{found.id}"
        audit.record(tx, RECIPIENT, "suppression.delete", where, before, None, at)


def _find(tx: Connection, vault: Vault, token: str) -> tuple[Row[Any], Sequence[Row[Any]]]:
    """Return the message of a link, and the recipients that it may be of."""
    named, _, signature = token.rpartition(".")
    message_id, _, number = named.partition(".")
    row = None
    if vault.verify(_PURPOSE, named, signature):
        row = tx.execute(select(message).where(message.c.id == message_id)).first()
    if row is not None:
        query = select(recipient).where(
            recipient.c.message_id == message_id,
            recipient.c.address != ERASED,
            # Only a mail that was on its way can be read by who it is for: whoever wrote it knows
            # the link before, and could unsubscribe others without ever writing to them.
            (recipient.c.attempts > 0) | recipient.c.claimed_by.is_not(None),
        )
        if number != _ALL:
            query = query.where(recipient.c.position == int(number))
        recipients = tx.execute(query.order_by(recipient.c.position)).all()
        if recipients:
            return row, recipients
    raise Missing("This link leads nowhere.")


def _is_ours(row: Row[Any], mailbox: Mailbox) -> tuple[Any, ...]:
    return (
        suppression.c.address_key == mailbox.key,
        suppression.c.scope == row.scope,
        suppression.c.reason == _REASON,
    )


def _name_recipient(checked: Checked) -> str:
    """Return the place of the one that the request names, or that there are several."""
    order = checked.order
    asked_for = {each.key for each in (*order.to, *order.cc, *order.bcc)}
    keys = [each.mailbox.key for each in checked.recipients]
    return str(keys.index(asked_for.pop())) if len(asked_for) == 1 else _ALL


def _says_who(token: str) -> bool:
    return f".{_ALL}." not in token


def _choose_line(lines: dict[str, str], language: str) -> str:
    base = language.partition("-")[0].lower()
    return lines.get(base) or _LINES.get(base) or lines.get("en") or _LINES["en"]


def _insert_line(rendered: Rendered, line: str, url: str) -> Rendered:
    text, html = rendered.text, rendered.html
    if html is None or text:
        text = insert_text(text, f"{line}: {url}\n")
    if html is not None:
        html = insert_html(html, _HTML.format(url=escape(url), line=escape(line)))
    return replace(rendered, text=text, html=html)
