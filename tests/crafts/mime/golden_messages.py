"""The messages whose bytes stand in ``golden/``; run this module to write them anew, then read the diff."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta, timezone
from pathlib import Path

from app.mime.address import Mailbox
from app.mime.compose import Attachment, Outgoing, compose

FOLDER = Path(__file__).parent / "golden"

PLAIN = Outgoing(
    sender=Mailbox("faktury@firma.example", "Firma Sp. z o.o."),
    to=(Mailbox("ksiegowosc@klient.example", "Księgowość Klienta"),),
    subject="Wezwanie do zapłaty FV 12/2026",
    text="Dzień dobry,\n\nprosimy o zapłatę faktury FV 12/2026 na kwotę 1 230,00 zł do 30 listopada 2026.\n"
    ".Kropka na początku wiersza i From na początku następnego:\nFrom here on \n\nZ poważaniem\nAnna\n",
    date=datetime(2026, 11, 22, 9, 30, tzinfo=timezone(timedelta(hours=1))),
    message_id="<01j-a.b@firma.example>",
)

TABLE = replace(
    PLAIN,
    subject="=?utf-8?q?x=0D=0ABcc:_e@x?=",
    cc=(Mailbox("szef@firma.example", 'Nowak, Jan "Szef"'), Mailbox("archiwum@firma.example")),
    bcc=(Mailbox("ukryty@firma.example"),),
    reply_to=(Mailbox("anna@firma.example", "Anna Żak"),),
    html='<html><head><style>\n.kwota { text-align: right }\n</style></head><body>\n<table border="1">\n'
    '<tr><td>FV 12/2026</td><td class="kwota">1&nbsp;230,00 zł</td></tr>\n</table>\n</body></html>\n',
    importance="very_high",
    read_receipt_to=Mailbox("faktury@firma.example", "Firma Sp. z o.o."),
    language="pl",
    auto_submitted="auto-generated",
    in_reply_to="<1@klient.example>",
    references=("<0@klient.example>", "<1@klient.example>"),
    list_unsubscribe=(
        f"https://firma.example/wypisz?token={'a' * 80}",
        "mailto:wypisz@firma.example",
    ),
    extra_headers=(("List-Unsubscribe-Post", "List-Unsubscribe=One-Click"),),
)

FILENAMES = (
    "FV 12-2026.pdf",
    "Wezwanie do zapłaty – żółć.pdf",
    "Pièces jointes d'été.pdf",
    "发票 2026.pdf",
    'cytat "w" nazwie\\ścieżka/x.pdf',
    "a" * 300 + ".pdf",
    "漢" * 200 + ".pdf",
    "=?utf-8?q?evil?=.pdf",
)
FILES = replace(
    PLAIN,
    attachments=tuple(Attachment(name, "application/pdf", b"%PDF-1.7\n" * 9) for name in FILENAMES),
)

IMAGE = replace(
    PLAIN,
    html='<html><body><img src="cid:logo@firma"></body></html>',
    attachments=(
        Attachment("logo.png", "image/png", b"\x89PNG\r\n\x1a\n", content_id="logo@firma"),
        Attachment("umowa.pdf", "application/pdf", b"%PDF-1.7"),
    ),
)

EVENT = (
    b"BEGIN:VCALENDAR\r\nMETHOD:REQUEST\r\nSUMMARY:Spotkanie w \xc5\x81odzi\r\nEND:VCALENDAR\r\n"
)
CALENDAR = replace(
    PLAIN,
    html="<html><body>Zapraszam</body></html>",
    attachments=(Attachment("spotkanie.ics", "text/calendar; method=REQUEST", EVENT),),
)

CARDS = replace(
    PLAIN,
    text="Wizytówka, zadanie i list.",
    attachments=(
        Attachment("Żak.vcf", "text/vcard", "BEGIN:VCARD\r\nFN:Anna Żak\r\nEND:VCARD\r\n".encode()),
        Attachment("zadanie.ics", "text/calendar; charset=utf-8", EVENT),
        Attachment("stare.csv", 'text/csv; header=present; name="x"', b"za\xbf\xf3\xb3\xe6;1\r\n"),
        Attachment("list.eml", "message/rfc822", b"Subject: x\r\n\r\n.\r\n"),
    ),
)

DRAFT = replace(PLAIN, to=(), bcc=(Mailbox("ukryty@firma.example", "Ukryty"),), unsent=True)
HIDDEN = replace(PLAIN, to=(), bcc=(Mailbox("ukryty@firma.example"),), importance="low")
FOREIGN = replace(
    PLAIN,
    to=(Mailbox("żółw@xn--w-uga1v8h.pl", "Żółw"),),
    date=datetime(2026, 11, 22, 8, 30, tzinfo=UTC),
)
CHINESE = replace(
    PLAIN, subject="发票" * 40, text="您好，请查收附件中的发票。\n" * 20, importance="high"
)

MESSAGES = {
    "plain": PLAIN,
    "table": TABLE,
    "files": FILES,
    "image": IMAGE,
    "calendar": CALENDAR,
    "cards": CARDS,
    "draft": DRAFT,
    "hidden": HIDDEN,
    "foreign": FOREIGN,
    "chinese": CHINESE,
}


def main() -> None:
    """Write every message into ``golden/``."""
    for name, outgoing in MESSAGES.items():
        (FOLDER / f"{name}.eml").write_bytes(compose(outgoing, boundary_seed="b0").raw)


if __name__ == "__main__":
    main()
