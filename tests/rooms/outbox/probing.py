"""What the tests of probes share: scripted servers, certificates, and a probe in one call.

``office``   the tools of one process on a migrated SQLite database; delivery as it is asked for
``run``      one probe: ``await run(port, script_members, mode="login")``
"""

from typing import Any

from app.accounts.caller import Caller
from app.outbox.probe import probe
from app.outbox.probe_ground import Wanted
from app.outbox.probe_report import Report
from tests.crafts.wire.dialogue import Dialogue

ADMIN = Caller(owner_id="owner-1", role="admin", name="Administrator")
ANNA = Caller(owner_id="owner-2", role="user", name="Anna", user="anna")
SENDER = {"address": "faktury@firma.example", "name": "Firma"}
LOGIN = {"username": "faktury", "password": "tajne-hasło"}
HELLO = """
S: 220 mx.example ESMTP
C: EHLO *
"""


def script(text: str) -> Dialogue:
    """Return an inline dialogue; see ``tests/crafts/wire/dialogue.py`` for its directives."""
    pairs = [line.partition(" ")[::2] for line in text.splitlines() if line.strip()]
    return Dialogue({}, tuple((directive.rstrip(":"), words) for directive, words in pairs))


async def try_unsaved(
    office: Any, port: int, mode: str = "send", *, caller: Caller = ADMIN, **more: Any
) -> Report:
    """Probe unsaved values on loopback: ``more`` holds members of ``smtp`` and of ``Wanted``."""
    wanted = {
        name: more.pop(name) for name in ("to", "timeout_ms", "smtp_password") if name in more
    }
    config = more.pop("config", {})
    smtp = {"host": "127.0.0.1", "port": port, **more}
    config = {"smtp": smtp, "sender": SENDER, **config}
    return await probe(office, caller, Wanted(mode=mode, config=config, **wanted))
