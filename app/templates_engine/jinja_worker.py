"""The process that renders Jinja templates (``sandbox_worker`` has its rules); it can open no file or socket.

A request is a JSON object ``source``, ``values``, ``most_chars``; a reply is one with ``text`` or
``fault``.
"""

import json
import resource
import sys

from app.sandbox_worker import Handler, read_block, serve, write_block


def learn() -> Handler:
    """Load Jinja (what it loads late, too), and prove that it works."""
    from app.templates_engine.jinja import JinjaFailed, render_jinja

    def answer(request: bytes) -> bytes:
        asked = json.loads(request)
        try:
            text = render_jinja(asked["source"], asked["values"], asked["most_chars"])
        except JinjaFailed as error:
            return json.dumps({"fault": str(error)}).encode()
        return json.dumps({"text": text}).encode()

    for line in (
        "{{ a|upper }}",
        "{% macro m(b) %}{{ b }}{% endmacro %}{{ m('é') }}",
        "{{ 1/a|length }}",
        "{{ 'a'|pprint }}{{ '&amp;'|striptags }}",
    ):
        answer(json.dumps({"source": line, "values": {}, "most_chars": 9}).encode())
    return Handler(read_block, answer, write_block, _seal)


def _seal() -> None:
    """The sandbox is the first wall, this is the second: nothing to read, to reach or to start.

    No file at all: where the standard streams might be, closing one would make room for another.
    """
    for limit in (resource.RLIMIT_NOFILE, resource.RLIMIT_FSIZE, resource.RLIMIT_NPROC):
        resource.setrlimit(limit, (0, 0))


if __name__ == "__main__":
    serve(float(sys.argv[1]), int(sys.argv[2]), learn)
