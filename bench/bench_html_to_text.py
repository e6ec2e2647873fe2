"""The text alternative of 32 KB of HTML: once per template, against once per message (P8).

Run: python -m bench.bench_html_to_text. The anchor parses with selectolax (lexbor) and joins the
text of all nodes, which is the least any tree-based converter does. Repetitions are interleaved,
the figure is the median. The last rows show why a tree is not built at all: hostile HTML of 32 KB
(nested formatting elements, HTML standard §13.2.4.3) grows with the square of its size in a tree;
the anchor gets an eighth of it.
"""

import statistics
import time
from collections.abc import Callable

from selectolax.lexbor import LexborHTMLParser

from app.templates_engine.parse import compile_template
from app.templates_engine.render import render
from app.templates_engine.scan_html import scan_html
from app.templates_engine.text import derive_text
from app.templates_engine.values import TextValue
from bench.bench_macros import VALUES, make_body

REPETITIONS = 9
CALLS = 10


def make_hostile(size_bytes: int) -> str:
    """Return HTML whose tree has (size / 18)² / 4 nodes or so."""
    count = size_bytes // 18
    fonts = "".join(f"<b a={number:05}>" for number in range(count))
    return f"<html><p>{fonts}{'<p>x' * count}</html>"


def parse_tree(body: str) -> str:
    """Parse into a tree and join its text: the anchor."""
    tree = LexborHTMLParser(body)
    return tree.root.text(separator="\n") if tree.root is not None else ""


def measure(call: Callable[[], object], calls: int) -> float:
    """Return microseconds of CPU a call takes."""
    start = time.process_time_ns()
    for _ in range(calls):
        call()
    return (time.process_time_ns() - start) / calls / 1000


def main() -> None:
    body = make_body(32_000)
    events = scan_html(body)
    template = compile_template("", body)
    macros = {name: TextValue(value) for name, value in VALUES.items()}
    large, small = make_hostile(32_000), make_hostile(4_000)
    rows: list[tuple[str, int, Callable[[], object]]] = [
        ("lexbor tree and its text (anchor)", CALLS, lambda: parse_tree(body)),
        ("text from the scanned template", CALLS, lambda: derive_text(events)),
        ("scan and text, once per template", CALLS, lambda: derive_text(scan_html(body))),
        (
            "per message: subject, HTML and text filled",
            CALLS * 10,
            lambda: render(template, macros=macros, documents=(), language="pl"),
        ),
        ("hostile 4 KB, lexbor tree", 1, lambda: parse_tree(small)),
        ("hostile 4 KB, scan and text", 1, lambda: derive_text(scan_html(small))),
        ("hostile 32 KB, scan and text", 1, lambda: derive_text(scan_html(large))),
    ]
    samples: dict[str, list[float]] = {name: [] for name, _, _ in rows}
    for _ in range(REPETITIONS):
        for name, calls, call in rows:
            samples[name].append(measure(call, calls))
    anchor = statistics.median(samples[rows[0][0]])
    print(f"{len(body.encode())} bytes, {len(template.body.holes)} macros")
    print(f"{'what':<46}{'µs CPU':>10}{'anchor / it':>13}")
    for name, _, _ in rows:
        median = statistics.median(samples[name])
        print(f"{name:<46}{median:>10.1f}{anchor / median:>13.2f}")


if __name__ == "__main__":
    main()
