"""What came in to the invented company of the pictures: answers, reports, a mailbox that is read."""

from datetime import UTC, datetime, timedelta
from typing import Any

from sqlalchemy import update

from app.configuration.load import find_account
from app.configuration.model import GLOBAL
from app.inbox.mailboxes import enroll
from app.inbox.tables import mailbox
from app.outbox.identity import make_envid
from app.outbox.office import Office
from tests.rooms.inbox.letters import write_dsn, write_mail
from tests.web.test_inbox import take

CUSTOMER = "ksiegowosc@klient.example"
ANSWER = """Dzień dobry,

dziękujemy, zapłacimy do piątku. Proszę jeszcze o duplikat faktury na adres biura.

Pozdrawiam
Jan Kowalski
"""


def _tell(action: str, status: str, said: str, address: str = CUSTOMER) -> str:
    return (
        f"Final-Recipient: rfc822; {address}\nAction: {action}\nStatus: {status}\n"
        f"Diagnostic-Code: smtp; {said}"
    )


async def let_come_in(office: Office, sent: str) -> dict[str, str]:
    """Let mail about the message ``sent`` and about none come in; return two of its ids."""
    envid = make_envid(office.vault, sent)
    account = await office.db.read(lambda tx: find_account(tx, GLOBAL))
    assert account
    gone = _tell("failed", "5.1.1", "550 5.1.1 user unknown", "biuro@dawny.example")
    mails = await take(
        office,
        account.id,
        write_dsn(_tell("delayed", "4.4.1", "451 4.4.1 no answer from mx"), envid=envid),
        write_dsn(_tell("delivered", "2.0.0", "250 2.0.0 ok"), envid=envid, message_id="report-2"),
        write_dsn(gone, message_id="report-3"),
        write_mail(
            "Subject: Automatische Antwort: FV 12/2026",
            "Auto-Submitted: auto-replied",
            sender=f"Klient Sp. z o.o. <{CUSTOMER}>",
            text="Do 30 listopada jestem poza biurem.",
        ),
        write_mail(
            "Subject: Re: Faktura FV 12/2026",
            f"In-Reply-To: <{envid}@firma.example>",
            sender=f"Jan Kowalski <{CUSTOMER}>",
            text=ANSWER,
        ),
    )
    await office.db.write(_let_be_read, account.id)
    return {"answer": mails[4], "report": mails[2]}


def _let_be_read(tx: Any, account_id: str) -> None:
    """Let the mailbox look as if a worker had just read it; its server is invented, too."""
    enroll(tx)
    at = datetime.now(UTC)
    values = {
        "synced_at": at,
        "next_at": at + timedelta(days=1),
        "failed_at": None,
        "failures": 0,
        "cause": None,
        "detail": None,
        "claimed_by": None,
        "lease_until": None,
    }
    tx.execute(update(mailbox).where(mailbox.c.account_id == account_id).values(values))
