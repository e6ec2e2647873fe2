"""Filling 32 KB of HTML: compiled segments against one compiled ``re.sub`` with escaping (P8).

Run: python -m bench.bench_macros. Both fill the same macros with the same values and must give the
same bytes; repetitions are interleaved, the figure is the median, the ratio is what counts.
"""

import html
import re
import statistics
import time
from collections.abc import Callable

from app.templates_engine.parse import CompiledTemplate, compile_template
from app.templates_engine.render import _Filler, render
from app.templates_engine.values import TextValue

REPETITIONS = 15
CALLS = 200
VALUES = {
    "numer": "FV 12/2026",
    "kontrahent": "Klient & Syn Sp. z o.o.",
    "z dnia": "31.10.2026",
    "firma": "Firma Sp. z o.o.",
    "wysyłający": "Anna <Kowalska>",
}
PATTERN = re.compile(r"\{([^{}<>]{1,256})\}")


def make_body(size_bytes: int) -> str:
    """Return HTML of about size_bytes with 40 macros spread over it."""
    names = list(VALUES) * 8
    filling = '<p style="margin:0 0 16px 0">Szanowni Państwo, w załączeniu dokument.</p>\n'
    between = (size_bytes - 200) // len(names) // len(filling.encode())
    parts = [f"{filling * between}<p>{{{name}}}</p>\n" for name in names]
    return f"<html><body>{''.join(parts)}</body></html>"


def substitute(body: str) -> str:
    """Fill with one ``re.sub``: the anchor."""
    return PATTERN.sub(lambda match: html.escape(VALUES[match[1]]), body)


def measure(call: Callable[[], object]) -> float:
    """Return microseconds of CPU a call takes."""
    start = time.process_time_ns()
    for _ in range(CALLS):
        call()
    return (time.process_time_ns() - start) / CALLS / 1000


def main() -> None:
    body = make_body(32_000)
    template = compile_template("", body)
    macros = {name: TextValue(value) for name, value in VALUES.items()}

    def fill(compiled: CompiledTemplate = template) -> str:
        return _Filler(macros, (), "pl", 262_144).fill(compiled.body, [])

    def fill_whole() -> object:
        return render(template, macros=macros, documents=(), language="pl")

    assert substitute(body).replace("&#x27;", "&#39;") == fill()
    rows: list[tuple[str, Callable[[], object]]] = [
        ("re.sub + html.escape (anchor)", lambda: substitute(body)),
        ("compiled: the same HTML", fill),
        ("compiled: subject, HTML and text, all checks", fill_whole),
    ]
    samples: dict[str, list[float]] = {name: [] for name, _ in rows}
    for _ in range(REPETITIONS):
        for name, call in rows:
            samples[name].append(measure(call))
    anchor = statistics.median(samples[rows[0][0]])
    print(f"{len(body.encode())} bytes, {len(template.body.holes)} macros")
    print(f"{'what':<44}{'µs CPU':>10}{'× anchor':>10}")
    for name, _ in rows:
        median = statistics.median(samples[name])
        print(f"{name:<44}{median:>10.1f}{anchor / median:>10.2f}")


if __name__ == "__main__":
    main()
