"""What the demo sends: a configuration, a reminder in Polish, an invoice and a table."""

import io
from typing import Any

import pikepdf

PASSWORD = "Klient-0042-lato"
PDF_NAME, CSV_NAME = "FV 12-2026.pdf", "pozycje.csv"
PDF_TEXT = ("Faktura FV 12/2026", "Nabywca: Klient Sp. z o.o.", "Do zaplaty: 1230,00 PLN")
CSV = "pozycja;ilosc;wartosc\nUsluga serwisowa X-17;1;1000,00\nVAT 23%;;230,00\n"
CONFIGURATION: dict[str, Any] = {
    "mode": "smtp",
    "smtp": {"host": "127.0.0.1", "port": 25, "connection": "plaintext"},
    "sender": {"address": "faktury@firma.example", "name": "Firma Sp. z o.o."},
    "bcc": "archiwum@firma.example",
    "macros": {"firma": "Firma Sp. z o.o."},
}
REMINDER: dict[str, Any] = {
    "template": "overdue-reminder",
    "level": 2,
    "language": "pl",
    "to": "Klient <ksiegowosc@klient.example>",
    "macros": {"kontrahent": "Klient Sp. z o.o."},
    "documents": [
        {
            "numer": "FV 12/2026",
            "z_dnia": "2026-10-01",
            "termin": "2026-10-31",
            "kwota": "1230.00",
            "waluta": "PLN",
            "dni_po_terminie": 22,
        }
    ],
    "attachment_password": PASSWORD,
    "importance": "high",
    "reference": {"type": "reminder", "number": "FV 12/2026", "customer": "KONTR-0042"},
}
IDEMPOTENCY_KEY = "reminder-2/KONTR-0042/2026-11-22"


def make_invoice() -> bytes:
    """Return a PDF of one page with ``PDF_TEXT`` on it."""
    with pikepdf.new() as pdf:
        page = pdf.add_blank_page(page_size=(595, 842))
        font = pikepdf.Dictionary(
            Type=pikepdf.Name.Font, Subtype=pikepdf.Name.Type1, BaseFont=pikepdf.Name.Helvetica
        )
        page.Resources = pikepdf.Dictionary(Font=pikepdf.Dictionary(F1=font))
        shown = " T* ".join(f"({line}) Tj" for line in PDF_TEXT)
        page.Contents = pdf.make_stream(f"BT /F1 16 Tf 22 TL 72 760 Td {shown} ET".encode())
        made = io.BytesIO()
        pdf.save(made, compress_streams=False)
    return made.getvalue()
