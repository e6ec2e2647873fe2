"""Foreign mail that stands in the test: reports and answers about a message of ours, as servers write
them, thrown into an account's mailbox."""

from datetime import UTC, datetime
from itertools import count
from typing import Any

from sqlalchemy import Row, select
from sqlalchemy.engine import Connection

from app.configuration.load import load_account
from app.inbox.tables import incoming
from app.inbox.take_in import take_in
from app.mime.incoming import read_incoming
from app.outbox.identity import make_envid
from app.outbox.tables import event
from app.vault import Vault
from tests.rooms.outbox.desk import Desk

_NUMBERS = count(1)


def write_dsn(
    *groups: str, envid: str = "", returned: str = "", message_id: str = "report-1"
) -> bytes:
    """A delivery status notification (RFC 3464); groups: the fields of each recipient."""
    whole = f"Reporting-MTA: dns; mx.klient.example\n{envid and f'Original-Envelope-Id: {envid}'}"
    blocks = "\n\n".join((whole.rstrip(), *groups))
    return f"""\
Return-Path: <>
From: Mail Delivery System <MAILER-DAEMON@mx.klient.example>
To: faktury@firma.example
Subject: Delivery Status Notification
Message-ID: <{message_id}@mx.klient.example>
MIME-Version: 1.0
Content-Type: multipart/report; report-type=delivery-status; boundary="b1"

--b1
Content-Type: text/plain

This is about your message.

--b1
Content-Type: message/delivery-status

{blocks}

--b1
Content-Type: text/rfc822-headers

{returned or "Subject: Faktura"}

--b1--
""".encode()


def tell(action: str, address: str = "", status: str = "", original: str = "") -> str:
    """The fields of one recipient."""
    fields = {
        "Original-Recipient": original and f"rfc822;{original}",
        "Final-Recipient": f"rfc822; {address}",
        "Action": action,
        "Status": status,
        "Diagnostic-Code": f"smtp; 550 {status} said the server" if action == "failed" else "",
    }
    return "\n".join(f"{name}: {value}" for name, value in fields.items() if value)


def write_mail(
    *fields: str, sender: str = "Anna <anna@klient.example>", text: str = "Dziękuję."
) -> bytes:
    """A mail that a person writes; fields: further ones of its header."""
    head = [f"From: {sender}", "To: faktury@firma.example", "MIME-Version: 1.0", *fields]
    if not any(each.startswith("Subject:") for each in fields):
        head.append("Subject: Re: Faktura")
    if not any(each.startswith("Message-ID:") for each in fields):
        head.append(f"Message-ID: <mail-{next(_NUMBERS)}@klient.example>")
    return (
        "\n".join([*head, "Content-Type: text/plain; charset=utf-8"]) + f"\n\n{text}\n"
    ).encode()


class LetterBox:
    """Throws mail into the mailbox of an account (at first the common one) of a desk."""

    def __init__(self, desk: Desk) -> None:
        self.desk = desk
        self.vault: Vault = desk.office.vault
        self.account = ""

    def open(self, **members: Any) -> str:
        """Configure the common account; return its id."""
        self.account = self.desk.configure(**members)
        return self.account

    def send(self, *to: str, **order: Any) -> str:
        """Have a message accepted, and sent to all its recipients."""
        message_id = self.desk.send(*to, **order)
        self.desk.settle(self.desk.claim(self.account), "sent")
        return message_id

    def throw(
        self, raw: bytes, *, uid: str = "", account: str = "", at: datetime | None = None
    ) -> str | None:
        """Take in a mail; return its id."""

        def run(tx: Connection) -> str | None:
            stored = load_account(tx, account or self.account)
            assert stored
            name = uid or f"1:{next(_NUMBERS)}"
            moment = at or datetime.now(UTC)
            return take_in(tx, self.vault, stored, name, raw, read_incoming(raw), moment)

        taken: str | None = self.desk.do(run)
        return taken

    def envid(self, message_id: str) -> str:
        """Our signed envelope id of a message."""
        return make_envid(self.vault, message_id)

    def look(self, incoming_id: str | None) -> Row[Any]:
        """A mail as it is stored."""
        query = select(incoming).where(incoming.c.id == incoming_id)
        row: Row[Any] = self.desk.do(lambda tx: tx.execute(query).one())
        return row

    def events(self, prefix: str = "recipient.") -> list[tuple[str, dict[str, Any]]]:
        """Types and data of what was noted, in order."""
        query = select(event.c.type, event.c.data).where(event.c.type.startswith(prefix))
        rows = self.desk.do(lambda tx: tx.execute(query.order_by(event.c.number)).all())
        return [(row.type, row.data) for row in rows]
