"""Answers as the mail programs of four languages write them; the quoted part is gone."""

import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.mime.quoted import find_answer, strip_quote

# (what it is, the text as it came): the answer is always "Zapłacimy jutro.\n\nJan" or as given.
PLAIN = {
    "Gmail, Polish": (
        "Zapłacimy jutro.\n\nJan\n\nczw., 12 lis 2026 o 10:00 Anna Nowak <anna@firma.example>\n"
        "napisał(a):\n\n> W załączeniu faktura.\n> Anna\n"
    ),
    "Gmail, English": (
        "Zapłacimy jutro.\n\nJan\n\nOn Thu, Nov 12, 2026 at 10:00 AM Anna Nowak <anna@firma.example>\n"
        "wrote:\n\n> Faktura.\n>\n"
    ),
    "Gmail, French": (
        "Zapłacimy jutro.\n\nJan\n\nLe jeu. 12 nov. 2026 à 10:00, Anna Nowak <anna@firma.example> a\n"
        "écrit :\n\n> Facture\n"
    ),
    "Gmail, German": (
        "Zapłacimy jutro.\n\nJan\n\nAm Do., 12. Nov. 2026 um 10:00 Uhr schrieb Anna Nowak <\n"
        "anna@firma.example>:\n\n> Rechnung\n"
    ),
    "Thunderbird, Polish": (
        "Zapłacimy jutro.\n\nJan\n\nW dniu 12.11.2026 o 10:00, Anna Nowak pisze:\n> Faktura\n> 12\n"
    ),
    "Thunderbird, old Polish": (
        "Zapłacimy jutro.\n\nJan\n\nW dniu 2026-11-12 10:00, użytkownik Anna Nowak napisał:\n> Faktura\n"
    ),
    "Thunderbird, German": (
        "Zapłacimy jutro.\n\nJan\n\nAm 12.11.26 um 10:00 schrieb Anna Nowak:\n> Rechnung\n"
    ),
    "Thunderbird, French": (
        "Zapłacimy jutro.\n\nJan\n\nLe 12/11/2026 à 10:00, Anna Nowak a écrit\u00a0:\n> Facture\n"
    ),
    "Apple Mail, Polish": (
        "Zapłacimy jutro.\n\nJan\n\nWiadomość napisana przez Anna Nowak <anna@firma.example> w dniu"
        " 12 lis 2026, o godz. 10:00:\n\n> Faktura\n"
    ),
    "Apple Mail, English, without >": (
        "Zapłacimy jutro.\n\nJan\n\nOn 12 Nov 2026, at 10:00, Anna Nowak <anna@firma.example> wrote:\n\n"
        "W załączeniu faktura.\nAnna\n"
    ),
    "Outlook, Polish": (
        "Zapłacimy jutro.\n\nJan\n\n________________________________\nOd: Anna Nowak <anna@firma.example>\n"
        "Wysłano: czwartek, 12 listopada 2026 10:00\nDo: Jan\nTemat: Faktura\n\nW załączeniu.\n"
    ),
    "Outlook, German": (
        "Zapłacimy jutro.\n\nJan\n\nVon: Anna Nowak <anna@firma.example>\n"
        "Gesendet: Donnerstag, 12. November 2026 10:00\nAn: Jan\nBetreff: Rechnung\n\nAnbei.\n"
    ),
    "Outlook, French": (
        "Zapłacimy jutro.\n\nJan\n\nDe : Anna Nowak <anna@firma.example>\n"
        "Envoyé : jeudi 12 novembre 2026 10:00\nÀ : Jan\nObjet : Facture\n\nCi-joint.\n"
    ),
    "Outlook, English, long To": (
        "Zapłacimy jutro.\n\nJan\n\n*From:* Anna Nowak <anna@firma.example>\n*Sent:* Thursday\n"
        "*To:* Jan <jan@x.example>;\nEwa <ewa@x.example>\n*Subject:* Invoice\n\nAttached.\n"
    ),
    "Outlook, old, Polish": (
        "Zapłacimy jutro.\n\nJan\n\n-----Wiadomość oryginalna-----\nFrom: Anna\nSent: x\n\nFaktura\n"
    ),
    "Outlook, old, German": (
        "Zapłacimy jutro.\n\nJan\n\n-----Ursprüngliche Nachricht-----\nVon: Anna\n\nRechnung\n"
    ),
    "Outlook, old, French": (
        "Zapłacimy jutro.\n\nJan\n\n-----Message d'origine-----\nDe : Anna\n\nFacture\n"
    ),
    "no blank line before it": (
        "Zapłacimy jutro.\n\nJan\nOn Thu, Nov 12, 2026 at 10:00 AM Anna Nowak\n"
        "<anna@firma.example> wrote:\n> Faktura\n"
    ),
    "Apple Mail, Polish, wrapped": (
        "Zapłacimy jutro.\n\nJan\n\nWiadomość napisana przez Anna Nowak <anna@firma.example>\n"
        "w dniu 12 lis 2026, o godz. 10:00:\n\n> Faktura\n"
    ),
    "Gmail, English, wrapped twice": (
        "Zapłacimy jutro.\n\nJan\n\nOn Thu, Nov 12, 2026\nat 10:00 AM Anna Nowak\n"
        "<anna@firma.example> wrote:\n\n> Faktura\n"
    ),
    "GMX": (
        "Zapłacimy jutro.\n\nJan\n\nGesendet: Donnerstag, 12. November 2026 um 10:00 Uhr\n"
        'Von: "Anna Nowak" <anna@firma.example>\nAn: jan@x.example\nBetreff: Rechnung\nAnbei.\n'
    ),
    "Interia": (
        'Zapłacimy jutro.\n\nJan\n\nOd: "Anna Nowak" <anna@firma.example>\nDo: jan@x.example;\n'
        "Wysłane: 10:00 Czwartek 2026-11-12\nTemat: Faktura\n\n> Faktura\n"
    ),
    "Zimbra, French": (
        "Zapłacimy jutro.\n\nJan\n\n----- Mail original -----\nDe: Anna\nÀ: Jan\n\nFacture\n"
    ),
    "a signature": "Zapłacimy jutro.\n\nJan\n-- \nJan Kłos\nKlient Sp. z o.o.\nOd: zawsze\n",
    "a telephone, Polish": "Zapłacimy jutro.\n\nJan\n\nWysłane z iPhone'a\n\n> Faktura\n",
    "a telephone, German": "Zapłacimy jutro.\n\nJan\n\nVon meinem iPhone gesendet\n",
    "a telephone, French": "Zapłacimy jutro.\r\n\r\nJan\r\n\r\nEnvoyé de mon iPhone\r\n",
    "below the quote": (
        "Dnia 12 listopada 2026 10:00 Anna Nowak <anna@firma.example> napisał(a):\n> Faktura\n\n"
        "Zapłacimy jutro.\n\nJan\n"
    ),
    "another language": (
        "Zapłacimy jutro.\n\nJan\n\nEl 12/11/2026 a las 10:00, Anna (anna@firma.example) escribió:\n"
        "\n> Factura\n"
    ),
}


@pytest.mark.parametrize("text", PLAIN.values(), ids=PLAIN)
def test_the_quoted_part_goes_whatever_program_wrote_it(text: str) -> None:
    assert find_answer(text, "") == "Zapłacimy jutro.\n\nJan"


@pytest.mark.parametrize(
    ("text", "answer"),
    [
        (
            "On 12.11.2026 Anna wrote:\n> Kiedy?\nJutro.\n\n> Ile?\nWszystko.\n",
            "Jutro.\n\nWszystko.",
        ),
        (
            "Zapłacimy 12.11.2026 o 10:00\nW dniu 2026-11-12 10:00, Anna pisze:\n> Kiedy?\n",
            "Zapłacimy 12.11.2026 o 10:00",
        ),
        (
            "Zapłacono 100 zł 12.11.2026.\nJan <jan@x.example> napisał(a):\n> Kiedy?\n",
            "Zapłacono 100 zł 12.11.2026.",
        ),
        ("Od: jutra płacimy.\nDo: końca roku.\n", "Od: jutra płacimy.\nDo: końca roku."),
        ("Proszę o fakturę na:\nKlient, ul. Długa 5:\n", "Proszę o fakturę na:\nKlient, ul. Długa 5:"),
        ("Data: 12.11.2026\nDo: kasy\nKwota: 5", "Data: 12.11.2026\nDo: kasy\nKwota: 5"),
        ("Godzina 10:00:\nspotkanie", "Godzina 10:00:\nspotkanie"),
        ("Le montant de 100 EUR est:\nfaux", "Le montant de 100 EUR est:\nfaux"),
        ("> tylko cytat\n> i nic\n", "> tylko cytat\n> i nic"),
        ("---- Forwarded message ----\nFrom: A\n\nB", "---- Forwarded message ----\nFrom: A\n\nB"),
        ("", ""),
        ("a\n\n\n\n\nb\n", "a\n\nb"),
    ],
)  # fmt: skip
def test_what_is_no_quote_stays(text: str, answer: str) -> None:
    assert strip_quote(text) == answer


HTML = {
    "Gmail": (
        '<div dir="ltr">Zapłacimy&nbsp;jutro.<div><br></div><div>Jan</div></div><br>'
        '<div class="gmail_quote gmail_quote_container"><div dir="ltr" class="gmail_attr">czw., 12 lis 2026'
        ' o 10:00 Anna napisał(a):<br></div><blockquote class="gmail_quote" style="margin:0">Faktura'
        "<div><div>12</div></div></blockquote></div>"
    ),
    "Apple Mail": (
        "<html><head><meta charset='utf-8'><style>p{color:red}</style></head><body>Zapłacimy jutro."
        '<div><br></div><div>Jan</div><div><br><blockquote type="cite"><div>On 12 Nov 2026, at 10:00, Anna'
        " &lt;a@firma.example&gt; wrote:</div><br><div>Faktura</div></blockquote></div></body></html>"
    ),
    "Thunderbird": (
        '<p>Zapłacimy jutro.</p><p>Jan</p><div class="moz-cite-prefix">W dniu 12.11.2026 o 10:00, Anna'
        ' pisze:<br></div><blockquote type="cite" cite="mid:x@y"><p>Faktura</p></blockquote>'
    ),
    "Outlook": (
        '<body lang=PL><div class=WordSection1><p class=MsoNormal>Zapłacimy jutro.<o:p></o:p></p>'
        "<p class=MsoNormal>Jan</p><div><div style='border:none;border-top:solid #E1E1E1 1.0pt;padding:"
        "3.0pt 0cm 0cm 0cm'><p class=MsoNormal><b>From:</b> Anna<br><b>Sent:</b> x</p></div></div>"
        "<p>Faktura</p></div></body>"
    ),
    "Outlook on the web": (
        '<div class="elementToProof">Zapłacimy jutro.</div><div><br></div><div>Jan</div>'
        '<div id="appendonsend"></div><hr style="display:inline-block;width:98%"><div id="divRplyFwdMsg"'
        ' dir="ltr"><b>Od:</b> Anna<br></div><div>Faktura</div>'
    ),
    "Outlook, header block as text alone": (
        "<p>Zapłacimy jutro.</p><p>Jan</p><p><b>Von:</b> Anna<br><b>Gesendet:</b> Donnerstag<br><b>An:</b>"
        " Jan<br><b>Betreff:</b> Rechnung</p><p>Anbei</p>"
    ),
    "Zimbra": (
        '<div><div>Zapłacimy jutro.</div><div><br></div><div>Jan</div><hr id="zwchr" data-marker="x">'
        "<div><b>From: </b>Anna<br></div><div>Faktura</div></div>"
    ),
    "Yahoo": (
        '<div>Zapłacimy jutro.</div><div><br></div><div>Jan</div><div id="yahoo_quoted_42"'
        ' class="yahoo_quoted"><div>Faktura</div></div>'
    ),
    "below the quote, comments, scripts": (
        '<!-- <b>x --><script>alert("<p>")</script><blockquote type="cite">Faktura</blockquote>'
        "<p>Zapłacimy jutro.</p><p>Jan</p>"
    ),
}  # fmt: skip


@pytest.mark.parametrize("html", HTML.values(), ids=HTML)
def test_html_answers_lose_what_their_program_marks(html: str) -> None:
    assert find_answer("", html) == "Zapłacimy jutro.\n\nJan"


def test_an_html_answer_that_is_all_quote_is_shown_whole() -> None:
    html = '<div class="gmail_quote"><div>Przekazuję</div><div>Faktura</div></div>'
    assert find_answer("", html) == "Przekazuję\nFaktura"


@pytest.mark.parametrize(
    "piece",
    ["<!--", "<a href='", '<a "', "<div>", "</div>", "&#99999999999;", "<", "&amp", "<blockquote type=cite>"],
)  # fmt: skip
def test_hostile_html_takes_linear_time(piece: str) -> None:
    start = time.process_time()
    find_answer("", piece * (1_000_000 // len(piece)))
    assert time.process_time() - start < 4  # 0.1 to 0.6 s on a quiet machine


@pytest.mark.parametrize(
    "line",
    ["On 1 a@b wrote", "> ", "Od: x", "(((((((((@", "Am 1 schrieb " * 30, "wrote:" * 80, "-- ", "_" * 500,
     "\u00a0", "9:99:" * 90],
)  # fmt: skip
def test_hostile_text_takes_linear_time(line: str) -> None:
    start = time.process_time()
    strip_quote(f"{line}\n" * (1_000_000 // len(line)))
    strip_quote(line * (1_000_000 // len(line)))
    assert time.process_time() - start < 4


LINES = [line for text in PLAIN.values() for line in text.splitlines()]


@given(st.lists(st.sampled_from(LINES) | st.text(max_size=8), max_size=30))
def test_an_answer_invents_nothing_and_keeps_no_quoted_line(lines: list[str]) -> None:
    text = "\n".join(lines)
    answer = strip_quote(text).split("\n")
    written = text.replace("\r\n", "\n").replace("\u00a0", " ").split("\n")
    assert set(answer) <= {line.rstrip() for line in written} | {""}
    if any(line.startswith("Zapłacimy") for line in written[:1]):
        assert not any(line.startswith(">") for line in answer)


@given(st.lists(st.sampled_from(list(HTML.values())) | st.text(max_size=5), max_size=4))
def test_pieces_of_real_html_never_raise(pieces: list[str]) -> None:
    assert isinstance(find_answer("", "".join(pieces)), str)
