"""Damages the corpus of foreign mail at random and reads what is left: ``… mutate_reports 10000``.

No exception, no hang, no memory: each reading is timed (of the processor, so that a busy machine is
no fault), and the process may take so much memory and no more. A fault is printed with its seed, by
which it can be made again.
"""

import argparse
import random
import resource
import statistics
import sys
import time
import traceback
from collections.abc import Callable
from dataclasses import dataclass, field

from app.mime.incoming import Incoming, read_incoming
from app.mime.quoted import find_answer
from app.mime.tags import find_tags
from tests.crafts.mime.corpus import load_corpus

MAX_S = 2.0
MAX_GROWTH_MIB = 256
GREATEST_OCTETS = 4 * 1024 * 1024  # of a damaged message

# What parsers have tripped over: boundaries, encoded words, charsets, numbers, brackets, quotes.
_POISON = [
    b"\x00", b"\r", b"\n\n", b"\r\n\r\n", b"\xff\xfe", b"\xc3\x28", b"=?utf-8?B?", b"=?x?q?=FF?=",
    b"=?utf-7?q?+2AA-?=", b"?=", b'"', b"<", b">", b"(", b";", b":", b"%", b"''", b"*0*=", b"--", b"--cut",
    b"Content-Type: message/rfc822\r\n\r\n", b"Content-Type: multipart/mixed; boundary=a\r\n\r\n--a\r\n",
    b"Content-Transfer-Encoding: base64\r\n", b"Content-Transfer-Encoding: quoted-printable\r\n",
    b"charset=punycode", b"charset=idna", b"charset=unicode_escape", b"charset=\x00", b"charset=zip",
    b"&#99999999999999999999;", b"<!--", b"<div class=gmail_quote>", b"<a href='", b"Date: 99999999999\r\n",
    b"Date: Mon, 31 Feb 99999 25:61:61 +9999\r\n", b"Will-Retry-Until: 1e999\r\n", b"Action: \xff\r\n",
    b"Final-Recipient: utf-8; \\x{110000}\\x{D800}@x\r\n", b"Return-Path: <>\r\n", b"From: @,;:<<>>\r\n",
    b"X-Failed-Recipients: (((((\r\n", b"Status: 5.\r\n", b"> ", b"On 1 a@b wrote:\n", b"\n-- \n",
    b"From: x\nTo: y\n",
]  # fmt: skip


@dataclass
class Figures:
    """What a run measured; faults: (seed, name, what happened)."""

    seconds: list[float] = field(default_factory=list)
    faults: list[tuple[int, str, str]] = field(default_factory=list)
    growth_mib: float = 0.0
    kinds: dict[str, int] = field(default_factory=dict)


def read_all(raw: bytes) -> Incoming:
    """Do everything that the service does with a foreign message."""
    incoming = read_incoming(raw)
    find_tags(incoming)
    find_answer(incoming.text, incoming.html)
    if incoming.text.strip():
        find_answer("", incoming.html)
    return incoming


def damage(chance: random.Random, messages: list[bytes]) -> bytes:
    """Return one message damaged one to eight times."""
    raw = chance.choice(messages)
    for _ in range(chance.randint(1, 8)):
        raw = chance.choice(_DAMAGES)(chance, raw, messages)[:GREATEST_OCTETS]
    return raw


def run(count: int, first_seed: int = 0) -> Figures:
    """Read that many damaged messages; seeds count up from the first."""
    corpus = load_corpus()
    names = {raw: name for name, raw in corpus.items()}
    messages = list(names)
    read_all(b"From: MAILER-DAEMON\n\nfirst")  # loads what is loaded when first used
    figures = Figures()
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    for seed in range(first_seed, first_seed + count):
        raw = damage(random.Random(seed), messages)
        start = time.process_time()
        try:
            kind = read_all(raw).kind
            figures.kinds[kind] = figures.kinds.get(kind, 0) + 1
        except Exception:
            figures.faults.append((seed, "raised", traceback.format_exc(limit=-4)))
        figures.seconds.append(time.process_time() - start)
        if figures.seconds[-1] > MAX_S:
            figures.faults.append((seed, "slow", f"{figures.seconds[-1]:.2f} s, {len(raw)} octets"))
    after = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    figures.growth_mib = (after - before) / 1024
    return figures


def _flip(chance: random.Random, raw: bytes, _: list[bytes]) -> bytes:
    octets = bytearray(raw)
    for _ in range(chance.randint(1, 20)):
        if octets:
            octets[chance.randrange(len(octets))] = chance.randrange(256)
    return bytes(octets)


def _cut(chance: random.Random, raw: bytes, _: list[bytes]) -> bytes:
    start, end = sorted(chance.randint(0, len(raw)) for _ in range(2))
    return chance.choice((raw[:end], raw[start:], raw[:start] + raw[end:]))


def _poison(chance: random.Random, raw: bytes, _: list[bytes]) -> bytes:
    at = chance.randint(0, len(raw))
    return raw[:at] + chance.choice(_POISON) * chance.choice((1, 1, 2, 50, 3000)) + raw[at:]


def _poison_line(chance: random.Random, raw: bytes, _: list[bytes]) -> bytes:
    lines = raw.split(b"\n")
    lines.insert(chance.randint(0, len(lines)), chance.choice(_POISON).rstrip(b"\r\n"))
    return b"\n".join(lines)


def _shuffle_lines(chance: random.Random, raw: bytes, _: list[bytes]) -> bytes:
    lines = raw.split(b"\n")
    for _ in range(chance.randint(1, 10)):
        first, second = chance.randrange(len(lines)), chance.randrange(len(lines))
        lines[first], lines[second] = lines[second], lines[first]
    return b"\n".join(lines)


def _repeat(chance: random.Random, raw: bytes, _: list[bytes]) -> bytes:
    start, end = sorted(chance.randint(0, len(raw)) for _ in range(2))
    end = min(end, start + 400)
    return raw[:start] + raw[start:end] * chance.choice((2, 10, 1000)) + raw[end:]


def _splice(chance: random.Random, raw: bytes, messages: list[bytes]) -> bytes:
    other = chance.choice(messages)
    return raw[: chance.randint(0, len(raw))] + other[chance.randint(0, len(other)) :]


def _change_line_ends(chance: random.Random, raw: bytes, _: list[bytes]) -> bytes:
    return raw.replace(b"\n", chance.choice((b"\r\n", b"\r", b"\n\r", b"\n ", b"\r\n\r\n")))


def _wrap(chance: random.Random, raw: bytes, _: list[bytes]) -> bytes:
    """Put the message into multiparts of multiparts."""
    for level in range(chance.choice((1, 3, 40))):
        mark = b"%d" % (level % 7)
        raw = b"Content-Type: multipart/mixed; boundary=%b\n\n--%b\n%b\n--%b--\n" % (
            mark,
            mark,
            raw,
            mark,
        )
    return raw


_DAMAGES: list[Callable[[random.Random, bytes, list[bytes]], bytes]] = [
    _flip, _cut, _poison, _poison_line, _shuffle_lines, _repeat, _splice, _change_line_ends, _wrap,
]  # fmt: skip


def main() -> int:
    """Read the damaged corpus, print figures and faults; answer 1 where there is a fault."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("count", type=int, nargs="?", default=10_000)
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    used = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
    limit = used + (MAX_GROWTH_MIB + 64) * 1024 * 1024
    # The heap, not the address space: shared libraries and arenas are mapped far ahead.
    resource.setrlimit(resource.RLIMIT_DATA, (limit, limit))
    figures = run(options.count, options.seed)
    milliseconds = sorted(second * 1000 for second in figures.seconds)
    print(
        f"{options.count} messages: {len(figures.faults)} faults; median "
        f"{statistics.median(milliseconds):.2f} ms, 99 % {milliseconds[-1 - options.count // 100]:.1f} ms, "
        f"longest {milliseconds[-1]:.0f} ms; memory grew by {figures.growth_mib:.0f} MiB; {figures.kinds}"
    )
    for seed, name, happened in figures.faults[:20]:
        print(f"--seed {seed}: {name}: {happened}", file=sys.stderr)
    return 1 if figures.faults else 0


if __name__ == "__main__":
    sys.exit(main())
