"""Where the sender's own copy of a message goes: an account's ``sent_copy``; nothing is inherited."""

from typing import Literal

from app.configuration.model import SmtpSettings, StoredAccount
from app.configuration.providers import keeps_sent

SentCopy = Literal["off", "folder", "cc", "bcc"]


def choose_sent_copy(own: StoredAccount, smtp: SmtpSettings | None) -> SentCopy:
    """Return what ``sent_copy`` comes to for mail of the account ``own`` that goes out by ``smtp``.

    A folder needs an IMAP mailbox, and a provider that does not file what it sends itself.
    """
    wanted: str = own.document.get("sent_copy", "off")
    if wanted == "cc":
        return "cc"
    if wanted == "bcc":
        return "bcc"
    if wanted == "off" or smtp is None or own.incoming is None or own.incoming.protocol != "imap":
        return "off"
    return "off" if keeps_sent(smtp.host) else "folder"
