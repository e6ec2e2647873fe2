"""Jinja templates in an immutable sandbox: checked anywhere, rendered in a process of its own alone.

``check_jinja`` and ``lint_jinja`` only parse: compiling already computes what is constant, so that
``{{ 10**(10**8) }}`` never ends. Compiling and rendering is ``render_jinja``, which the processes of
``jinja_pool`` run under limits of time and memory. Output is plain text, nothing of it is escaped.
There is one template: no include, import or extends. A name without a value is empty.
"""

import traceback
from collections.abc import Iterable, Iterator, Mapping

from jinja2 import ChainableUndefined, TemplateError, TemplateSyntaxError, nodes
from jinja2.sandbox import ImmutableSandboxedEnvironment

from app.errors import Fault, Notice

_OTHER_TEMPLATES = (nodes.Extends, nodes.Include, nodes.Import, nodes.FromImport)
_MOST_NOTICES = 20
_MOST_DETAIL_CHARS = 300
_ENVIRONMENT = ImmutableSandboxedEnvironment(
    autoescape=False, undefined=ChainableUndefined, cache_size=0, optimized=False
)
del _ENVIRONMENT.globals["lipsum"]


class JinjaFailed(Exception):
    """A template that could not be rendered; the words name the line."""


def check_jinja(source: str, pointer: str) -> list[Fault]:
    """Return what keeps a template from being one, with its line: ``invalid_template``."""
    try:
        _check(_parse(source))
    except JinjaFailed as error:
        return [Fault(pointer, "invalid_template", str(error))]
    return []


def lint_jinja(source: str, known: Iterable[str], pointer: str) -> tuple[Notice, ...]:
    """Return advice on a template that ``check_jinja`` found right: names that have no value."""
    tree = _parse(source)
    names = {*known, *_ENVIRONMENT.globals, "caller", "loop", "varargs", "kwargs"}
    names |= {each.name for each in tree.find_all(nodes.Name) if each.ctx != "load"}
    names |= {each.name for each in tree.find_all(nodes.Macro)}
    used = {
        each.name: each.lineno
        for each in reversed(list(tree.find_all(nodes.Name)))
        if each.ctx == "load" and each.name not in names
    }
    listed = ", ".join(known)
    detail = "Line {}: {{{{ {} }}}} has no value; there are {}."
    return tuple(
        Notice("unknown_name", detail.format(line, name, listed), pointer)
        for name, line in sorted(used.items(), key=lambda each: each[1])[:_MOST_NOTICES]
    )


def render_jinja(source: str, values: Mapping[str, object], most_chars: int) -> str:
    """Return what a template makes of the values. Only where time and memory are limited.

    Raises ``JinjaFailed``, also for more than ``most_chars``; what takes too much memory or time
    does not come back.
    """
    tree = _parse(source)
    _check(tree)
    try:
        return "".join(_bound(_ENVIRONMENT.from_string(tree).generate(values), most_chars))
    except (JinjaFailed, MemoryError):
        raise
    except TemplateSyntaxError as error:
        raise JinjaFailed(f"Line {error.lineno}: {error.message}") from None
    except Exception as error:  # whatever a template's own arithmetic runs into
        raise JinjaFailed(_describe(error)) from None


def _parse(source: str) -> nodes.Template:
    try:
        return _ENVIRONMENT.parse(source)
    except TemplateSyntaxError as error:
        raise JinjaFailed(f"Line {error.lineno}: {error.message}") from None
    except RecursionError:
        raise JinjaFailed("Line 1: This is nested too deeply.") from None
    except ValueError as error:  # a number of thousands of digits
        raise JinjaFailed(f"Line 1: {str(error)[:_MOST_DETAIL_CHARS]}") from None


def _check(tree: nodes.Template) -> None:
    """Refuse what parses and cannot be rendered."""
    try:
        for each in tree.find_all((nodes.Filter, nodes.Test, *_OTHER_TEMPLATES)):
            if isinstance(each, _OTHER_TEMPLATES):
                raise JinjaFailed(f"Line {each.lineno}: There is no other template to be read.")
            assert isinstance(each, nodes.Filter | nodes.Test)
            is_filter = isinstance(each, nodes.Filter)
            there = _ENVIRONMENT.filters if is_filter else _ENVIRONMENT.tests
            if each.name not in there:
                what = "filter" if is_filter else "test"
                raise JinjaFailed(f"Line {each.lineno}: There is no {what} named {each.name!r}.")
    except RecursionError:
        raise JinjaFailed("Line 1: This is nested too deeply.") from None


def _bound(pieces: Iterator[str], most_chars: int) -> Iterator[str]:
    left = most_chars
    for piece in pieces:
        left -= len(piece)
        if left < 0:
            raise JinjaFailed(f"It writes more than {most_chars} characters.")
        yield piece


def _describe(error: Exception) -> str:
    lines = [
        line
        for frame, line in traceback.walk_tb(error.__traceback__)
        if frame.f_code.co_filename == "<template>"
    ]
    where = f"Line {lines[-1]}: " if lines else ""
    known = isinstance(error, TemplateError) and error.message
    words = str(known or error) or type(error).__name__
    return f"{where}{words}"[:_MOST_DETAIL_CHARS]
