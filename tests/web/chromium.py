"""The system's Chromium, driven by Playwright, and a running service to show it.

All run in the test's own event loop: Playwright's synchronous form would keep that loop from
every other test of the process.
"""

import asyncio
import shutil
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import uvicorn
from fastapi import FastAPI

ASSETS = Path(__file__).parent / "assets"
CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser")
FLAGS = (
    "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-sync",
    "--disable-background-networking", "--disable-component-update",
)  # fmt: skip
_START_S = 20


@asynccontextmanager
async def serve(app: FastAPI) -> AsyncIterator[str]:
    """Run ``app`` on a port of its own; give its address."""
    server = uvicorn.Server(
        uvicorn.Config(app, host="127.0.0.1", port=0, log_config=None, access_log=False)
    )
    running = asyncio.create_task(server._serve())  # leaves the signals to the tests
    try:
        async with asyncio.timeout(_START_S):
            while not server.started:
                assert not running.done(), "the service did not start"
                await asyncio.sleep(0.01)
        yield f"http://127.0.0.1:{server.servers[0].sockets[0].getsockname()[1]}"
    finally:
        server.should_exit = True
        await running


async def find_serious(page: Any) -> list[str]:
    """Return what axe-core finds serious or critical on a page, as `rule: where`."""
    # Run through the debugger's protocol: the page's own policy lets no script in.
    if not await page.evaluate("typeof axe === 'object'"):
        await page.evaluate((ASSETS / "axe-4.14.1.min.js").read_text())
    found = await page.evaluate("axe.run(document, {resultTypes: ['violations']})")
    return [
        f"{rule['id']}: {[node['html'][:200] for node in rule['nodes']]}"
        for rule in found["violations"]
        if rule["impact"] in ("serious", "critical")
    ]
