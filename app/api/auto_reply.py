"""``/accounts/{account}/auto-reply/preview``: what an account answers by itself, tried before it does."""

from typing import Annotated, Any

from fastapi import APIRouter
from fastapi import Body as Given
from pydantic import BaseModel, Field, WithJsonSchema
from sqlalchemy.engine import Connection

from app.api.accounts import TheAccount
from app.api.body import Body, Route
from app.api.gate import TheOffice
from app.api.scope import Writer
from app.api.sign_in import TheSender
from app.api.templates import ShownNotice, show_notices
from app.configuration.account_rights import require_account
from app.configuration.auto_reply import AUTO_REPLY
from app.configuration.model import StoredAccount
from app.errors import Fault, Refused
from app.inbox.answerable import Reason
from app.inbox.reply_preview import Asked, Sample, preview_reply

router = APIRouter(route_class=Route, tags=["accounts"])

Settings = Annotated[dict[str, Any], WithJsonSchema(dict(AUTO_REPLY.schema))]
_LINE = r"^[^\r\n\x00]*$"
_MOST_CHARS = 998  # RFC 5322 §2.1.1
Line = Annotated[str, Field(max_length=_MOST_CHARS, pattern=_LINE)]
FieldName = Annotated[str, Field(max_length=100, pattern=r"^[!-9;-~]+$")]


class SampleMail(Body):
    """A mail to try it with. Fields of its header beside these go into `headers`."""

    from_: Line = Field("Jan Kowalski <jan@klient.example>", alias="from")
    to: Line | None = Field(None, description="Absent: the account's own address.")
    subject: Line = "Oferta"
    headers: dict[FieldName, Line] = Field(
        {}, max_length=50, examples=[{"Auto-Submitted": "auto-replied"}]
    )


class PreviewBody(Body):
    """What is tried with what: settings that are not saved yet, a mail made up or one that came."""

    auto_reply: Settings | None = Field(None, description="Absent: what the account has stored.")
    mail: SampleMail | None = Field(None, description="A mail made up.")
    incoming: str | None = Field(None, max_length=32, description="Or the id of one that came.")


class ShownPreview(BaseModel):
    """The answer, and whether it would be sent now."""

    would_reply: bool
    reason: Reason | None = Field(description="Why it would not be sent.")
    to: str | None = Field(description="The return path of the mail, without one its From.")
    subject: str | None
    text: str | None
    html: str | None
    warnings: list[ShownNotice]


@router.post("/accounts/{account}/auto-reply/preview", dependencies=[Writer])
async def preview_auto_reply(
    caller: TheSender,
    office: TheOffice,
    account: TheAccount,
    body: Annotated[PreviewBody | None, Given()] = None,
) -> ShownPreview:
    """Write the automatic reply by exactly the code that sends it, and say whether it would go out."""
    given = body or PreviewBody()
    if given.mail is not None and given.incoming is not None:
        detail = "Give a mail or the id of one that came in, not both."
        raise Refused(detail, faults=[Fault("/incoming", "conflict", detail)])

    def find(tx: Connection) -> StoredAccount:
        return require_account(tx, caller, account, "manage")

    stored = await office.db.read(find)
    mail = given.mail or SampleMail()
    sample = Sample(mail.from_, mail.to, mail.subject, mail.headers)
    preview = await preview_reply(office, stored, Asked(given.auto_reply, given.incoming or sample))
    prepared = preview.prepared
    rendered = prepared.rendered if prepared else None
    return ShownPreview(
        would_reply=preview.reason is None,
        reason=preview.reason,
        to=prepared.recipients[0].mailbox.address if prepared else None,
        subject=rendered.subject if rendered else None,
        text=rendered.text if rendered else None,
        html=rendered.html if rendered else None,
        warnings=show_notices(preview.notices),
    )
