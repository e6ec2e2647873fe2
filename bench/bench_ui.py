"""The admin page with 100 000 messages stored: how long each screen's first answer takes.

Run: python -m bench.bench_ui [messages] [--keep FOLDER]. A real server process on SQLite without a worker;
every message has two recipients, a try, three events, a body and a mail that came back, over 60 days and 200
users. Shown for each screen: status, p50 and p95 in milliseconds, its size as sent (gzip where the server
does it).
"""

import os
import random
import re
import socket
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import httpx
from sqlalchemy import create_engine, event, insert, select

from app.db import new_id
from app.inbox.tables import incoming
from app.outbox.tables import attempt, message, message_body, recipient
from app.outbox.tables import event as happening

KEY = "bench-of-the-admin-page-0123456789"
REPETITIONS = 20
USERS = 200
_SLICE = 2000
_DAYS = 60
_CSRF = re.compile(r'name="csrf" value="([^"]+)"')
# What a company's outbox looks like: message's and recipient's status, how many of a thousand.
STATUSES = (
    ("sent", "sent", 830), ("delivered", "delivered", 100), ("failed", "failed", 30),
    ("cancelled", "cancelled", 10), ("deferred", "deferred", 10), ("queued", "queued", 10),
    ("held", "held", 10),
)  # fmt: skip
ENDED = {"sent", "delivered", "failed", "cancelled"}
CONFIGURATION = {
    "smtp": {"host": "127.0.0.1", "port": 2525, "connection": "plaintext"},
    "sender": {"address": "faktury@firma.example", "name": "Firma Sp. z o.o."},
    "bcc": "archiwum@firma.example",
    "macros": {"firma": "Firma Sp. z o.o."},
}


def list_screens(found: dict[str, str]) -> Iterator[tuple[str, str]]:
    """Yield each screen's name and address; found: ids and values that are there."""
    query = "/ui/messages?"
    yield from (
        ("overview", "/ui/"),
        ("messages", "/ui/messages"),
        ("messages, deep page", f"{query}after={found['deep']}"),
        ("messages, attention", f"{query}status=attention"),
        ("messages, on their way", f"{query}status=waiting"),
        ("messages, done", f"{query}status=done"),
        ("messages, none such", f"{query}status=expired"),
        ("messages, to:", f"{query}q=to:klient77@klient.example"),
        ("messages, to: everybody's", f"{query}q=to:archiwum@firma.example"),
        ("messages, to: and status:", f"{query}q=to:archiwum@firma.example+status:failed"),
        ("messages, ref:", f"{query}q=ref:FV+777"),
        ("messages, user", f"{query}user=user7"),
        ("messages, user and status", f"{query}user=user7&status=attention"),
        ("messages, old days", f"{query}since={found['old']}&until={found['old']}"),
        ("messages, old days, failed", f"{query}until={found['old']}&status=failed"),
        ("messages, text, many", f"{query}q=wezwanie"),
        ("messages, text, none", f"{query}q=nowhere"),
        ("messages, text and status", f"{query}q=nowhere&status=attention"),
        ("one message", f"/ui/messages/{found['one']}"),
        ("its content", f"/ui/messages/{found['one']}/content/html"),
        ("inbox", "/ui/inbox"),
        ("inbox, answers", "/ui/inbox?kind=human&state=open&about=matched"),
        ("inbox, reports", "/ui/inbox?kind=report&state=open&about=unmatched"),
        ("inbox, rare kind", "/ui/inbox?kind=arf"),
        ("inbox, words", "/ui/inbox?q=nowhere"),
        ("inbox, deep", f"/ui/inbox?after={found['deep']}"),
        ("one mail", f"/ui/inbox/{found['mail']}"),
        ("compose", "/ui/compose?template=document"),
        ("templates", "/ui/templates"),
        ("template", "/ui/templates/edit?scope=global&name=document&language=pl"),
        ("template, languages", "/ui/templates/languages?scope=global&name=document"),
        ("scopes", "/ui/config"),
        ("configuration", "/ui/config/global"),
        ("configuration, user", "/ui/config/users/user7"),
        ("why this sender", "/ui/config/effective?user=user7"),
        ("compare", "/ui/config/compare?left=global&right=users/user7"),
        ("keys", "/ui/keys"),
        ("audit", "/ui/audit"),
        ("audit, object", "/ui/audit?object=config/users/user7"),
        ("system", "/ui/system"),
        ("first run", "/ui/start"),
    )


@contextmanager
def run_server(folder: Path) -> Iterator[httpx.Client]:
    """Run the service; give a client of it, with the admin's key."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    settings = {"DATA_DIR": str(folder), "PORT": str(port), "ADMIN_KEY": KEY, "LOG_LEVEL": "error"}
    process = subprocess.Popen(
        [sys.executable, "-m", "app", "serve", "--no-worker"],
        env=os.environ | {f"AWIZO_{name}": value for name, value in settings.items()},
        stdout=subprocess.DEVNULL,
    )
    try:
        with httpx.Client(base_url=f"http://127.0.0.1:{port}", timeout=60) as client:
            for _ in range(300):
                try:
                    client.get("/healthz")
                    break
                except httpx.TransportError:
                    time.sleep(0.1)
            client.headers["Authorization"] = f"Bearer {KEY}"
            yield client
    finally:
        process.terminate()
        process.wait(30)


def send_patterns(client: httpx.Client) -> None:
    """Configure the company and its users, and send the few messages that all others repeat."""
    client.put("/config/global", json=CONFIGURATION).raise_for_status()
    for number in range(USERS):
        own = {"sender": {"address": f"user{number}@firma.example", "name": f"User {number}"}}
        client.put(f"/config/users/user{number}", json=own).raise_for_status()
    for number in range(3):
        given = {
            "to": "Klient <klient@klient.example>",
            "subject": "Wezwanie do zapłaty",
            "body": f"<html><body><p>Prosimy o zapłatę {number}.</p></body></html>",
            "reference": {"type": "invoice", "number": "FV 1", "customer": "K-1"},
        }
        client.post("/send", json=given).raise_for_status()


def fill(folder: Path, count: int) -> dict[str, str]:
    """Store ``count`` messages; return ids and days of some."""
    engine = create_engine(f"sqlite:///{folder / 'awizo.db'}")
    event.listen(engine, "connect", lambda raw, _: raw.execute("pragma foreign_keys = on"))
    rng, now, ids = random.Random(7), datetime.now(UTC), []
    with engine.begin() as tx:
        patterns = [
            (row, tx.execute(select(recipient).where(recipient.c.message_id == row["id"])).mappings().all(),
             tx.scalar(select(message_body.c.raw).where(message_body.c.message_id == row["id"])))
            for row in tx.execute(select(message)).mappings().all()
        ]  # fmt: skip
    kinds = [each[:2] for each in STATUSES for _ in range(each[2])]
    for begin in range(0, count, _SLICE):
        with engine.begin() as tx:
            rows: dict[Any, list[dict[str, Any]]] = {
                table: []
                for table in (message, message_body, recipient, attempt, happening, incoming)
            }
            for number in range(begin, min(begin + _SLICE, count)):
                at = now - timedelta(days=_DAYS) * (1 - number / count) - timedelta(minutes=1)
                ids.append(_add(rows, rng.choice(patterns), rng.choice(kinds), number, at, rng))
                rows[incoming].append(_answer(rows[message][-1], number, rng))
            for table, values in rows.items():
                if values:
                    tx.execute(insert(table), values)
    with engine.connect() as tx:
        tx = tx.execution_options(isolation_level="AUTOCOMMIT")
        tx.exec_driver_sql("pragma wal_checkpoint(truncate)")
    engine.dispose()
    old = (now - timedelta(days=_DAYS - 3)).date().isoformat()
    return {"deep": ids[count // 3], "one": ids[-7], "old": old, "mail": rows[incoming][-7]["id"]}


def _answer(about: dict[str, Any], number: int, rng: random.Random) -> dict[str, Any]:
    """What came back for a message: one in ten about none, one in fifty still to be handled."""
    at, is_matched = about["created_at"], rng.random() < 0.9
    kind = rng.choices(("human", "auto_reply", "dsn", "mdn", "arf"), (300, 150, 500, 49, 1))[0]
    return {
        "id": new_id(at), "account_id": about["account_id"], "uid": f"1:{number}", "kind": kind,
        "sender_address": f"klient{number % 3000}@klient.example", "sender_name": "Klient",
        "sender_key": f"klient{number % 3000}@klient.example", "to": [], "attachments": [],
        "subject": f"Re: {about['subject']}", "text": "Dzień dobry. " * rng.randint(5, 120),
        "report": {} if kind in ("dsn", "mdn", "arf") else None, "received_at": at,
        "size_bytes": 3000, "about_id": about["id"] if is_matched else None,
        "is_verified": is_matched, "reference_number": about["reference_number"],
        "handled_at": None if rng.random() < 0.02 else at,
    }  # fmt: skip


def _add(
    rows: dict[Any, list[dict[str, Any]]],
    pattern: Any,
    kind: Any,
    number: int,
    at: datetime,
    rng: Any,
) -> str:
    row, recipients, raw = pattern
    status, state = kind
    waits, id = state in ("queued", "deferred"), new_id(at)
    user = f"user{number % USERS}" if number % 3 else None
    rows[message].append(
        dict(row) | {
            "id": id, "status": status, "user_id": user, "scope": "global", "created_at": at,
            "message_id": f"<{id}@awizo.example>", "subject": f"{row['subject']} FV {number}",
            "reference_number": f"FV {number}", "reference_customer": f"K-{number % 3000}",
            "due_at": at if waits else None, "ended_at": at if status in ENDED else None,
        }
    )  # fmt: skip
    rows[message_body].append({"message_id": id, "raw": raw})
    for each in recipients:
        own = new_id(at)
        address = each["address_key"]
        if each["kind"] == "to":
            address = f"klient{number % 3000}@klient.example"
        rows[recipient].append(
            dict(each) | {
                "id": own, "message_id": id, "address": address, "address_key": address,
                "state": state, "due_at": at if waits else None, "updated_at": at, "attempts": 1,
                "reason": "uncertain" if state == "held" else None,
            }
        )  # fmt: skip
        rows[attempt].append(
            {
                "id": new_id(at), "message_id": id, "recipient_id": own, "number": 1,
                "started_at": at, "ended_at": at, "verdict": "sent", "phase": "dot", "code": 250,
                "reply": "2.0.0 Ok: queued", "local": False, "worker": "w",
            }
        )  # fmt: skip
    for type in ("message.accepted", "recipient.sent", "message.ended"):
        rows[happening].append(
            {
                "txid": 0, "at": at, "type": type, "message_id": id, "owner_id": row["owner_id"],
                "user_id": user, "data": {},
            }
        )  # fmt: skip
    return id


def measure(
    client: httpx.Client, found: dict[str, str]
) -> list[tuple[str, int, float, float, int]]:
    """Return for each screen: name, status, p50 and p95 (ms), bytes as sent."""
    token = _CSRF.search(client.get("/ui/sign-in").text)
    assert token
    client.post("/ui/sign-in", data={"csrf": token[1], "key": KEY})
    del client.headers["Authorization"]
    figures = []
    for name, path in list_screens(found):
        waits = []
        for _ in range(REPETITIONS):
            begin = time.perf_counter()
            answer = client.get(path)
            waits.append((time.perf_counter() - begin) * 1000)
        size = int(answer.headers.get("content-length", len(answer.content)))
        p95 = sorted(waits)[round(0.95 * (len(waits) - 1))]
        figures.append((name, answer.status_code, statistics.median(waits), p95, size))
    return figures


def main() -> None:
    """Fill, measure, print."""
    arguments = sys.argv[1:]
    kept = Path(arguments.pop(arguments.index("--keep") + 1)) if "--keep" in arguments else None
    count = int(next((each for each in arguments if each.isdigit()), "100000"))
    with tempfile.TemporaryDirectory() as temporary:
        folder = kept or Path(temporary)
        folder.mkdir(exist_ok=True)
        with run_server(folder) as client:
            begin = time.perf_counter()
            send_patterns(client)
            found = fill(folder, count)
            print(f"{count} messages stored in {time.perf_counter() - begin:.0f} s\n")
            print(f"{'screen':<28} {'':>4} {'p50 ms':>8} {'p95 ms':>8} {'KB':>6}")
            for name, status, p50, p95, size in measure(client, found):
                print(f"{name:<28} {status:>4} {p50:>8.1f} {p95:>8.1f} {size / 1000:>6.1f}")


if __name__ == "__main__":
    main()
