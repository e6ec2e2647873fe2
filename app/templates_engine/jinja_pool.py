"""Renders Jinja templates in a process under limits, which starts when the first one is needed."""

import json
from collections.abc import Mapping
from functools import partial
from typing import Any, BinaryIO

from app.errors import Fault, Refused, Unavailable
from app.sandbox import NoSandbox, Overran, SandboxPool
from app.sandbox_worker import read_block, write_block

MEMORY_BYTES = 192 << 20  # address space: Python and Jinja take 26 MiB of it
DEADLINE_S = 2.0  # of CPU time; a reply takes a millisecond, and the start of the process 0.1 s
MOST_CHARS = 32_768
NO_RENDERER = "no_renderer"


class JinjaPool:
    """Renders templates, one after the other."""

    def __init__(self, memory_bytes: int = MEMORY_BYTES, deadline_s: float = DEADLINE_S) -> None:
        self._pool = SandboxPool("app.templates_engine.jinja_worker", 1, memory_bytes, deadline_s)

    async def close(self) -> None:
        """End the process."""
        await self._pool.close()

    async def render(self, sources: Mapping[str, str], values: Mapping[str, Any]) -> dict[str, str]:
        """Return the text of each source, at most 32 768 characters.

        Raises ``Refused`` ``template_failed`` with the pointer ``/<source>``, ``Unavailable`` where
        there is no process to be had.
        """
        self._pool.start()
        return {name: await self._render(name, each, values) for name, each in sources.items()}

    async def _render(self, name: str, source: str, values: Mapping[str, Any]) -> str:
        asked = {"source": source, "values": dict(values), "most_chars": MOST_CHARS}
        block = json.dumps(asked).encode()
        try:
            told = await self._pool.ask(partial(write_block, block=block), _read)
        except Overran:
            told = {"fault": "The template takes too much time or memory."}
        except NoSandbox as error:
            raise Unavailable("Templates cannot be rendered now.", code=NO_RENDERER) from error
        if "fault" in told:
            fault = Fault(f"/{name}", "template_failed", told["fault"])
            raise Refused(fault.detail, faults=[fault])
        return told["text"]


def _read(stream: BinaryIO) -> dict[str, str]:
    block = read_block(stream)
    if block is None:
        raise EOFError
    told: dict[str, str] = json.loads(block)
    # A template may write what no database takes and no mail can be made of.
    return {name: _clean(text) for name, text in told.items()}


def _clean(text: str) -> str:
    return text.replace("\0", "").encode("utf-8", "replace").decode()
