"""What a carrier says to the wire and what it hears from it, as values; pure."""

from collections.abc import Sequence

from app.configuration.model import SmtpSettings
from app.outbox.identity import make_envid
from app.outbox.office import Office
from app.outbox.queue import Claimed, Lot
from app.outbox.settle import Outcome
from app.wire.envelope import Envelope, Recipient, Transaction, Verdict
from app.wire.steps import SessionFailed
from app.wire.target import Secret, Target

# Said of the login or the session rather than of this message, wherever the server says it.
TROUBLE = frozenset(
    ("auth_required", "auth_disabled", "credentials_refused", "auth_temporary", "insecure_auth")
)


def make_target(settings: SmtpSettings, password: Secret | None, *, starttls_seen: bool) -> Target:
    """Return where and how to connect."""
    return Target(
        host=settings.host,
        port=settings.port,
        connection=settings.connection,
        auth=settings.auth,
        username=settings.username,
        password=password,
        timeout_ms=settings.timeout_ms,
        tls_verify=settings.tls_verify,
        ca_pem=settings.ca_pem,
        allow_insecure_auth=settings.allow_insecure_auth,
        starttls_seen=starttls_seen,
    )


def make_envelope(office: Office, claimed: Claimed, redirect: str | None) -> Envelope:
    """Return the envelope of a claimed message; all of it to one address when redirected."""
    row = claimed.message
    notify = tuple(row.notify) if row.notify else None
    addresses = [redirect] if redirect else [each.address for each in claimed.recipients]
    return Envelope(
        sender=row.reverse_path,
        recipients=tuple(Recipient(address, notify) for address in addresses),
        envid=make_envid(office.vault, row.id),
        ret=row.return_content,
        smtputf8=row.needs_smtputf8,
    )


def spread(transaction: Transaction, count: int, redirect: str | None) -> tuple[Verdict, ...]:
    """Return one verdict per recipient, also where all went to one address."""
    return transaction.verdicts * count if redirect else transaction.verdicts


def judge(recipient_id: str, verdict: Verdict) -> Outcome:
    """Return the outcome that a verdict is for one recipient."""
    kind = verdict.kind
    if kind == "not_tried":
        return Outcome(recipient_id, None)
    if kind == "accepted":
        raise AssertionError("only a probe leaves a recipient accepted")
    reply = verdict.reply
    return Outcome(
        recipient_id,
        "trouble" if verdict.cause in TROUBLE else kind,
        phase=verdict.phase,
        cause=verdict.cause,
        code=reply.code if reply else None,
        enhanced=reply.enhanced if reply else None,
        reply=reply.text if reply else None,
        local=reply.local if reply else True,
    )


def reached_mail(transaction: Transaction) -> bool:
    """Tell whether MAIL went out: not where we refused everything ourselves, nor where a kept
    connection was found closed."""
    return any(
        (verdict.kind, verdict.phase) != ("not_tried", "mail")
        and not (verdict.reply and verdict.reply.local)
        for verdict in transaction.verdicts
    )


def find_trouble(verdicts: Sequence[Verdict]) -> tuple[str, str] | None:
    """Return cause and words of what pauses the account, if a verdict says so."""
    for verdict in verdicts:
        if verdict.cause in TROUBLE:
            return verdict.cause, str(verdict.reply or "")
    return None


def describe_failed(failed: SessionFailed) -> tuple[str, str]:
    """Return cause and words of a session that did not come about."""
    return failed.cause, str(failed.reply) if failed.reply else failed.detail


def judge_failed(
    recipient_id: str, failed: SessionFailed, settings: SmtpSettings | None
) -> Outcome:
    """Return the outcome of a session that did not come about, for one recipient.

    A refused password that belongs to the message alone (``ask``) holds the message, a consent that
    was taken back all of the account's.
    """
    own_password = settings is not None and settings.password_mode == "ask"
    hold = None
    if failed.cause == "consent_needed":
        hold = "consent_needed"
    elif own_password and failed.cause in ("credentials_refused", "auth_disabled"):
        hold = "password_refused"
    reply = failed.reply
    return Outcome(
        recipient_id,
        "trouble",
        phase=failed.step,
        cause=failed.cause,
        code=reply.code if reply else None,
        enhanced=reply.enhanced if reply else None,
        reply=reply.text if reply else failed.detail,
        local=reply is None,
        hold=hold,
    )


def return_all(recipient_ids: Sequence[str]) -> list[Outcome]:
    """Return outcomes that hand every recipient back untried."""
    return [Outcome(each, None) for each in recipient_ids]


def hold_all(recipient_ids: Sequence[str], reason: str) -> list[Outcome]:
    """Return outcomes that hold every recipient for a reason."""
    return [
        Outcome(each, "trouble", phase="login", cause=reason, local=True, hold=reason)
        for each in recipient_ids
    ]


def refuse_erased(recipient_id: str) -> Outcome:
    """Return the outcome for a message whose content is gone."""
    return Outcome(
        recipient_id,
        "refused",
        phase="body",
        cause="body_erased",
        reply="The content was erased before it could be sent.",
        local=True,
    )


def read_lot(settings: SmtpSettings | None) -> Lot | None:
    """Return the account's lots, or None where it sends without."""
    if settings is None or not settings.batch_limit:
        return None
    return Lot(settings.batch_limit, settings.batch_wait_s or 0)
