"""Compose 32 KB of HTML with a 100 KB PDF: our composer against the standard library's EmailMessage.

Both write the finished wire form. Repetitions are interleaved, so that both meet the same machine,
and last about equally long; the figure is the median CPU time of one message.
Run: python -m bench.bench_mime
"""

import random
import statistics
import time
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime
from email.message import EmailMessage
from email.policy import SMTP
from email.utils import format_datetime

from app.memory import keep_freed_memory
from app.mime.address import Mailbox
from app.mime.compose import Attachment, Outgoing, compose, encode_base64

REPETITIONS = 9
REPETITION_S = 0.15

ROW = '<tr style="border-top: 1px solid #ccc"><td>FV {}/2026</td><td>zaległość 1 230,00 zł</td></tr>\r\n'
HTML = "<html><body><table>\r\n" + "".join(map(ROW.format, range(1000)))
HTML = HTML.encode()[:32_700].decode(errors="ignore") + "\r\n</table></body></html>\r\n"
TEXT = "Dzień dobry,\r\nprosimy o zapłatę zaległych faktur.\r\n"
PDF = random.Random(1).randbytes(100 * 1024)
FILENAME = "Wezwanie do zapłaty.pdf"
DATE = datetime(2026, 11, 22, 9, 30, tzinfo=UTC)

OUTGOING = Outgoing(
    sender=Mailbox("faktury@firma.example", "Firma Sp. z o.o."),
    to=(Mailbox("ksiegowosc@klient.example", "Księgowość"),),
    subject="Wezwanie do zapłaty FV 12/2026",
    text=TEXT,
    html=HTML,
    date=DATE,
    message_id="<1@firma.example>",
    attachments=(Attachment(FILENAME, "application/pdf", PDF),),
)
READY = replace(
    OUTGOING,
    attachments=(Attachment(FILENAME, "application/pdf", PDF, encoded=encode_base64(PDF)),),
)
SHORT = replace(OUTGOING, html=None, attachments=())


def compose_with_stdlib() -> bytes:
    message = EmailMessage(policy=SMTP)
    message["Date"] = format_datetime(DATE)
    message["From"] = "Firma Sp. z o.o. <faktury@firma.example>"
    message["To"] = "Księgowość <ksiegowosc@klient.example>"
    message["Subject"] = OUTGOING.subject
    message["Message-ID"] = "<1@firma.example>"
    message.set_content(TEXT)
    message.add_alternative(HTML, subtype="html")
    message.add_attachment(PDF, maintype="application", subtype="pdf", filename=FILENAME)
    return message.as_bytes()


CANDIDATES: dict[str, Callable[[], object]] = {
    "EmailMessage": compose_with_stdlib,
    "ours": lambda: compose(OUTGOING, boundary_seed="b0"),
    "ours, base64 ready": lambda: compose(READY, boundary_seed="b0"),
    "ours, short text only": lambda: compose(SHORT, boundary_seed="b0"),
}


def measure_ms(candidate: Callable[[], object]) -> float:
    messages = 0
    start = now = time.process_time()
    while now < start + REPETITION_S:
        candidate()
        messages += 1
        now = time.process_time()
    return (now - start) * 1000 / messages


def main() -> None:
    keep_freed_memory()  # as the service does
    taken_ms: dict[str, list[float]] = {name: [] for name in CANDIDATES}
    for candidate in CANDIDATES.values():
        candidate()
    for _ in range(REPETITIONS):
        for name, candidate in CANDIDATES.items():
            taken_ms[name].append(measure_ms(candidate))
    medians = {name: statistics.median(values) for name, values in taken_ms.items()}
    print(f"HTML {len(HTML.encode())} octets, PDF {len(PDF)} octets, median of {REPETITIONS}")
    print(f"{'composer':<24}{'ms/message':>12}{'times faster':>14}")
    for name, median in medians.items():
        print(f"{name:<24}{median:>12.3f}{medians['EmailMessage'] / median:>14.1f}")


if __name__ == "__main__":
    main()
