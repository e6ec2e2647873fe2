"""Jinja of an automatic reply: what is wrong is said with its line, and nothing hostile runs long."""

import contextlib
import os
import resource
import time
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from jinja2.filters import FILTERS

from app.errors import Refused
from app.templates_engine.jinja import check_jinja, lint_jinja
from app.templates_engine.jinja_pool import JinjaPool

pytestmark = pytest.mark.anyio
MIB = 1 << 20


@pytest.fixture
async def pool(anyio_backend: str) -> AsyncIterator[JinjaPool]:
    opened = JinjaPool(deadline_s=0.6)
    yield opened
    await opened.close()


async def fail(pool: JinjaPool, source: str) -> str:
    with pytest.raises(Refused) as failure:
        await pool.render({"body": source}, {"subject": "Oferta"})
    assert [(each.pointer, each.code) for each in failure.value.faults] == [
        ("/body", "template_failed")
    ]
    return failure.value.detail


def list_processes() -> list[str]:
    """Find the living processes of ours that render."""
    pids = Path(f"/proc/self/task/{os.getpid()}/children").read_text().split()
    lines = {pid: Path(f"/proc/{pid}/cmdline").read_bytes() for pid in pids}
    return [pid for pid in pids if b"jinja_worker" in lines[pid]]


HOSTILE = {
    "a text times a billion": "{{ 'x' * 10**9 }}",
    "a long loop": "{% for i in range(10**9) %}x{% endfor %}",
    "a power without end": "{{ 10**(10**8) }}",
    "loops in loops": "{% for a in range(99999) %}{% for b in range(99999) %}{% for c in range(99999) %}"
    "{% endfor %}{% endfor %}{% endfor %}",
    "a wide format": "{{ '%1000000000d' % 1 }}",
    "a wide format of the filter": "{{ '%1000000000d'|format(1) }}",
    "a wide format by method": "{{ '{:1000000000d}'.format(1) }}",
    "a wide f of format_map": "{{ '{a:>1000000000}'.format_map({'a': 1}) }}",
    "a wide centre": "{{ 'x'|center(10**9) }}",
    "a wide method": "{{ 'x'.ljust(10**9) }}",
    "a deep indent": "{{ 'x\\nx'|indent(10**9) }}",
    "a macro that calls itself": "{% macro m() %}{{ m() }}{% endmacro %}{{ m() }}",
    "a macro that calls itself twice": "{% macro m(n) %}{% if n %}{{ m(n-1) }}{{ m(n-1) }}{% endif %}"
    "{% endmacro %}{{ m(60) }}",
    "a recursive loop": "{% for a in [1] recursive %}{{ loop([1]) }}{% endfor %}",
    "a text that doubles": "{% set n = namespace(t='xxxxxxxx') %}{% for i in range(60) %}"
    "{% set n.t = n.t ~ n.t %}{% endfor %}",
    "a list that doubles": "{% set n = namespace(t=[1]) %}{% for i in range(60) %}"
    "{% set n.t = n.t + n.t %}{% endfor %}",
    "output without end": "{% for a in range(99999) %}{% for b in range(99999) %}xxxxxxxx{% endfor %}"
    "{% endfor %}",
    "a huge factorial by shifts": "{% set n = namespace(t=3) %}{% for i in range(999) %}"
    "{% set n.t = n.t ** 3 %}{% endfor %}{{ n.t }}",
    "a batch of many": "{{ [1]|batch(10**9, 0)|list }}",
    "a slice of many": "{{ [1]|slice(10**9)|list|length }}",
    "a replace that grows": "{{ ('x'*30000)|replace('x', 'y'*30000) }}",
    "a join that grows": "{{ range(90000)|join('x'*90000) }}",
    "a number of many digits": "{{ " + "9" * 5000 + " }}",
    "brackets in brackets": "{{ " + "(" * 15_000 + "1" + ")" * 15_000 + " }}",
    "additions": "{{ " + "1+" * 15_000 + "1 }}",
    "nots": "{{ " + "not " * 8000 + "1 }}",
    "attributes of attributes": "{{ a" + ".b" * 15_000 + " }}",
    "filters of filters": "{{ a" + "|e" * 15_000 + " }}",
    "ifs in ifs": "{% if a %}" * 2500 + "{% endif %}" * 2500,
    "lists in lists": "{{ " + "[" * 15_000 + "]" * 15_000 + " }}",
    "the class of a text": "{{ ''.__class__.__mro__[1].__subclasses__() [0]() }}",
    "the globals of a function": "{{ range.__globals__['os'].system('id') }}",
    "the class by filter": "{{ (''|attr('__class__')).mro() }}",
    "a changed list": "{% set l = [] %}{{ l.append(1) }}",
    "another template": "{% include '/etc/passwd' %}",
    "an unknown filter": "{{ subject|shell }}",
    "division by nothing": "{{ 1 / 0 }}",
}  # fmt: skip


@pytest.mark.parametrize("name", HOSTILE)
async def test_what_is_hostile_ends_soon_and_the_next_reply_is_rendered(
    pool: JinjaPool, name: str
) -> None:
    await pool.render({"body": "warm"}, {})
    began = time.monotonic()
    detail = await fail(pool, HOSTILE[name])
    assert time.monotonic() - began < 10, "three times the limit, and a slow machine"
    assert 0 < len(detail) <= 300
    assert await pool.render({"body": "{{ subject }}"}, {"subject": "b"}) == {"body": "b"}


async def test_no_process_is_started_before_a_template_is_rendered_nor_left_after(
    anyio_backend: str,
) -> None:
    pool = JinjaPool()
    assert check_jinja("{{ a }}", "/body") == []
    assert list_processes() == []
    texts = await pool.render({"subject": "Re: {{ subject }}", "body": "Cześć {{ name }}!"}, {
        "subject": "<b>", "name": "Żółć",
    })  # fmt: skip
    assert texts == {"subject": "Re: <b>", "body": "Cześć Żółć!"}
    await pool.close()
    assert list_processes() == []


async def test_what_has_no_value_is_empty_and_so_is_what_it_has(pool: JinjaPool) -> None:
    texts = await pool.render({"body": "[{{ nobody }}{{ nobody.a.b }}]"}, {})
    assert texts == {"body": "[]"}


async def test_a_value_is_never_a_template(pool: JinjaPool) -> None:
    given = "{{ 7*7 }}{% for i in range(9) %}"
    assert await pool.render({"body": "{{ subject }}"}, {"subject": given}) == {"body": given}


async def test_a_failure_names_the_line(pool: JinjaPool) -> None:
    assert (await fail(pool, "a\n\n{{ 1 / subject|length * 0 + [1][0] / 0 }}")).startswith("Line 3")


async def test_the_longest_output_still_passes(pool: JinjaPool) -> None:
    texts = await pool.render({"body": "{% for i in range(32768) %}ż{% endfor %}"}, {})
    assert texts["body"] == "ż" * 32_768
    assert "32768" in await fail(pool, "{% for i in range(32769) %}ż{% endfor %}")


@pytest.mark.parametrize(
    ("source", "line"),
    [
        ("a\n{{ b", "Line 2"),
        ("\n{% if a %}\n\n", "Line 2"),
        ("a\n{% bogus %}", "Line 2"),
        ("\n{{ a|shell }}", "Line 2"),
        ("\n\n{{ a is odder }}", "Line 3"),
        ("\n{% include 'a' %}", "Line 2"),
        ("{% extends 'a' %}", "Line 1"),
        ("{% import 'a' as b %}", "Line 1"),
        ("{% from 'a' import b %}", "Line 1"),
    ],
)
def test_what_is_no_template_is_refused_with_its_line(source: str, line: str) -> None:
    (fault,) = check_jinja(source, "/auto_reply/body")
    assert fault.pointer == "/auto_reply/body"
    assert fault.code == "invalid_template"
    assert fault.detail.startswith(line)


@pytest.mark.parametrize("name", HOSTILE)
def test_checking_and_advising_compute_nothing(name: str) -> None:
    began = time.process_time()
    if not check_jinja(HOSTILE[name], "/body"):
        lint_jinja(HOSTILE[name], (), "/body")
    assert time.process_time() - began < 1


def test_advice_names_what_has_no_value_and_where() -> None:
    source = (
        "{{ subject }}\n{{ subjcet }}{% set a = 1 %}{{ a }}{% for b in range(2) %}{{ loop.index }}{{ b }}"
        "{% endfor %}\n{% macro m(c) %}{{ c }}{{ missing }}{% endmacro %}{{ m(1) }}"
    )
    notices = lint_jinja(source, ("subject",), "/body")
    assert [(each.code, each.detail.partition(" has")[0]) for each in notices] == [
        ("unknown_name", "Line 2: {{ subjcet }}"),
        ("unknown_name", "Line 3: {{ missing }}"),
    ]


async def test_its_process_can_open_no_file_even_where_one_was_closed(pool: JinjaPool) -> None:
    await pool.render({"body": "A"}, {})
    (pid,) = list_processes()
    assert resource.prlimit(int(pid), resource.RLIMIT_NOFILE) == (0, 0)


async def test_no_filter_needs_what_cannot_be_loaded_any_more(pool: JinjaPool) -> None:
    for name in FILTERS:
        with contextlib.suppress(Refused):
            await pool.render({"body": f"{{{{ 'a'|{name} }}}}"}, {})
        try:
            await pool.render({"body": f"{{{{ '<b>&amp;'|{name} }}}}"}, {})
        except Refused as failure:
            assert "open files" not in failure.detail, name


@pytest.mark.parametrize("text", ["\\ud800", "\\x00"])
async def test_it_writes_what_can_be_stored(pool: JinjaPool, text: str) -> None:
    told = await pool.render({"body": f"a{{{{ '{text}' }}}}"}, {})
    assert told["body"].replace("?", "") == "a"
