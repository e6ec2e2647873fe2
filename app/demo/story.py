"""``awizo demo``: one payment reminder, from the ERP's call to the customer's mailbox, in a minute.

A real Awizo in a process of its own, a real mail server that only receives, real files. Nothing
leaves this computer, and all of it is deleted at the end. Every step is one HTTP call, shown as the
curl line that does the same; every promise is checked, and one that is not kept makes the exit code 1.
The demo knows Awizo by its command line and its HTTP interface only, as a stranger does.
"""

import asyncio
import base64
import io
import json
import os
import secrets
import signal
import socket
import sys
import tempfile
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from typing import Any

import httpx
import typer

from app.demo.catcher import Caught, catch_mail
from app.demo.samples import (
    CONFIGURATION,
    CSV,
    CSV_NAME,
    IDEMPOTENCY_KEY,
    PASSWORD,
    PDF_NAME,
    PDF_TEXT,
    REMINDER,
    make_invoice,
)
from app.demo.teller import Teller, describe
from app.demo.unlock import unlock_pdf, unlock_zip


class StoryError(Exception):
    """The demo cannot go on; says why."""


async def tell(*, stay: bool) -> int:
    """Run the demo; return the exit code: 0 only when every promise was kept.

    stay: go on until Ctrl-C, so that the curl lines can be tried.
    """
    _set_up()
    teller = Teller()
    typer.echo("Awizo's demo. Nothing leaves this computer; all is deleted at the end.")
    with tempfile.TemporaryDirectory(prefix="awizo-demo-", ignore_cleanup_errors=True) as name:
        folder = Path(name)
        caught: list[Caught] = []
        try:
            async with (
                catch_mail(0, caught.append) as smtp_port,
                _run_awizo(folder) as client,
            ):
                _introduce(teller, folder, client, smtp_port)
                await _configure(teller, client, smtp_port)
                accepted = await _send(teller, client, folder)
                await _read_mail(teller, client, accepted, caught)
                await _read_time_line(teller, client, accepted)
                _search_disk(teller, folder)
                if stay:
                    typer.echo("\nAwizo stays up: try the lines above elsewhere. Stop: Ctrl-C")
                    await _wait_for_ctrl_c()
        except (StoryError, httpx.HTTPError) as error:
            teller.check(f"The demo ran to its end. {error}", False)
    if teller.broken:
        typer.echo(f"\nPromises not kept: {teller.broken}.", err=True)
        return 1
    typer.echo("\nEverything was as promised. Next: README.md, the ten-minute tour.")
    return 0


async def receive(port: int) -> int:
    """Only receive mail at ``port`` and show each message, until Ctrl-C; return the exit code."""
    _set_up()
    try:
        async with catch_mail(port, _show_arrival):
            typer.echo(
                f"A mail server receives at 127.0.0.1:{port} and passes nothing on. Stop: Ctrl-C"
            )
            await _wait_for_ctrl_c()
    except OSError as error:
        typer.echo(f"No mail server at port {port}: {os.strerror(error.errno or 0)}.", err=True)
        return 1
    return 0


async def _wait_for_ctrl_c() -> None:
    with suppress(asyncio.CancelledError):  # the way to end this, so it ends well
        await asyncio.Event().wait()


def _show_arrival(caught: Caught) -> None:
    teller = Teller()
    typer.echo(f"\nArrived, {len(caught.raw)} bytes:")
    teller.show(describe(caught))


def _set_up() -> None:
    """Take SIGTERM as Ctrl-C, and show what a terminal without Polish letters can."""
    if isinstance(sys.stdout, io.TextIOWrapper):
        sys.stdout.reconfigure(errors="replace")
    task = asyncio.current_task()
    if task is not None:
        asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, task.cancel)


@asynccontextmanager
async def _run_awizo(folder: Path) -> AsyncIterator[httpx.AsyncClient]:
    """Run ``awizo serve`` on a free port with data of its own; yield a client of it."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    key = secrets.token_urlsafe(24)
    ours = {
        "AWIZO_DATA_DIR": str(folder / "data"),
        "AWIZO_PORT": str(port),
        "AWIZO_ADMIN_KEY": key,
    }
    others = {name: value for name, value in os.environ.items() if not name.startswith("AWIZO_")}
    with (folder / "awizo.log").open("wb") as log:
        process = await asyncio.create_subprocess_exec(
            sys.executable, "-m", "app", "serve",
            env={**others, **ours}, stdin=asyncio.subprocess.DEVNULL, stdout=log, stderr=log,
            start_new_session=True,  # Ctrl-C reaches the demo alone, which then stops Awizo
        )  # fmt: skip
    try:
        async with httpx.AsyncClient(
            base_url=f"http://127.0.0.1:{port}",
            headers={"Authorization": f"Bearer {key}"},
            timeout=60,
            trust_env=False,
        ) as client:
            await _wait_until_ready(client, process, folder / "awizo.log")
            yield client
    finally:
        with suppress(ProcessLookupError):
            process.terminate()
        await process.wait()


async def _wait_until_ready(
    client: httpx.AsyncClient, process: asyncio.subprocess.Process, log: Path
) -> None:
    with suppress(TimeoutError):
        async with asyncio.timeout(60):
            while process.returncode is None:
                with suppress(httpx.TransportError):
                    if (await client.get("/readyz")).status_code == 200:
                        return
                await asyncio.sleep(0.1)
    said = await asyncio.to_thread(log.read_text, errors="replace")
    raise StoryError(f"Awizo did not start:\n{said[-2000:]}")


def _introduce(teller: Teller, folder: Path, client: httpx.AsyncClient, smtp_port: int) -> None:
    teller.chapter(
        f"Awizo runs, with SQLite in {folder}/data; a mail server that only receives\n"
        f"   listens at 127.0.0.1:{smtp_port}. For the lines below:"
    )
    teller.show(
        f"cd {folder}\n"
        f"AWIZO={str(client.base_url).rstrip('/')}\n"
        f"AUTH='Authorization: {client.headers['Authorization']}'\n"
        "JSON='Content-Type: application/json'"
    )


async def _configure(teller: Teller, client: httpx.AsyncClient, smtp_port: int) -> None:
    teller.chapter("The administrator stores the mail configuration for everybody.")
    wanted = {**CONFIGURATION, "smtp": {**CONFIGURATION["smtp"], "port": smtp_port}}
    shown = json.dumps(wanted, indent=1, ensure_ascii=False)
    teller.show(f"""curl -X PUT $AWIZO/config/global -H "$AUTH" -H "$JSON" -d '{shown}'""")
    answer = await client.put("/config/global", json=wanted)
    teller.check(f"It is stored (the answer was {answer.status_code}).", answer.status_code == 201)


async def _send(teller: Teller, client: httpx.AsyncClient, folder: Path) -> dict[str, Any]:
    """Send the reminder, and send it once more; return the message as it is shown then."""
    pdf = make_invoice()
    (folder / PDF_NAME).write_bytes(pdf)
    (folder / CSV_NAME).write_text(CSV)
    (folder / "reminder.json").write_text(json.dumps(REMINDER, indent=1, ensure_ascii=False))
    teller.chapter("The accounting module sends the second reminder with an invoice and a table.")
    teller.show("cat reminder.json\n" + (folder / "reminder.json").read_text())
    line = (
        'curl "$AWIZO/send{query}" -H "$AUTH" \\\n'
        f"     -H 'Idempotency-Key: {IDEMPOTENCY_KEY}' \\\n"
        "     -F 'message=<reminder.json;type=application/json' \\\n"
        f"     -F 'file=@{PDF_NAME}' -F 'file=@{CSV_NAME}'"
    )
    teller.show(line.format(query=""))
    form = [
        ("message", (None, (folder / "reminder.json").read_bytes(), "application/json")),
        ("file", (PDF_NAME, pdf, "application/pdf")),
        ("file", (CSV_NAME, CSV.encode(), "text/csv")),
    ]
    headers = {"Idempotency-Key": IDEMPOTENCY_KEY}
    answer = await client.post("/send", files=form, headers=headers)
    if answer.status_code != 202:
        raise StoryError(f"POST /send answered {answer.status_code}: {answer.text}")
    first = answer.json()
    teller.check("202: checked, protected and stored durably.", answer.status_code == 202)
    protection = {each["protection"]: each["filename"] for each in first["attachments"]}
    teller.check(
        f"The PDF is encrypted, the table is in an encrypted ZIP ({' and '.join(protection.values())}).",
        set(protection) == {"pdf_aes256", "zip_aes256"},
    )
    teller.chapter(
        "The module is not sure and sends it again, waiting for the mail server's answer."
    )
    teller.show(line.format(query="?wait=30"))
    answer = await client.post("/send", files=form, headers=headers, params={"wait": 30})
    second: dict[str, Any] = answer.json()
    teller.check(
        "It is the same message, not a second one.",
        answer.headers.get("Idempotent-Replayed") == "true" and second["id"] == first["id"],
    )
    teller.check(f"Its status is {second['status']!r}.", second["status"] == "sent")
    return second


async def _read_mail(
    teller: Teller, client: httpx.AsyncClient, accepted: dict[str, Any], caught: list[Caught]
) -> None:
    teller.chapter("What the mail server was given:")
    if len(caught) != 1:
        raise StoryError(f"{len(caught)} messages arrived instead of one.")
    arrived = caught[0]
    teller.show(describe(arrived))
    raw = (await client.get(f"/messages/{accepted['id']}/raw")).content
    teller.check("One message arrived, byte for byte the one Awizo shows.", raw == arrived.raw)
    teller.check(
        "The archive gets its blind copy, and no header tells of it.",
        any("archiwum@" in each for each in arrived.rcpt) and b"archiwum@" not in arrived.raw,
    )
    teller.chapter(f"The customer opens the attachments. The password is {PASSWORD}.")
    files = {
        each.get_filename() or "": each.get_content() for each in arrived.message.iter_attachments()
    }
    for name, content in files.items():
        unlock = unlock_pdf if name.endswith(".pdf") else unlock_zip
        teller.check(f"{name} does not open without a password.", unlock(content, "") is None)
        teller.check(f"{name} does not open with another.", unlock(content, "klient") is None)
        expected = "\n".join(PDF_TEXT) if unlock is unlock_pdf else f"{CSV_NAME}:\n{CSV}".rstrip()
        read = unlock(content, PASSWORD)
        teller.check(f"{name} opens with it:", read == expected)
        teller.show(read or "")


async def _read_time_line(
    teller: Teller, client: httpx.AsyncClient, accepted: dict[str, Any]
) -> None:
    teller.chapter("The time line of the message:")
    where = f"/messages/{accepted['id']}/events"
    teller.show(f'curl $AWIZO{where} -H "$AUTH"')
    events = (await client.get(where)).json()["data"]
    for each in events:
        who = each.get("recipient") or ""
        words = each["data"].get("reply") or each["data"].get("status") or ""
        teller.show(f"{each['at'][11:23]}  {each['type']:<17} {who:<27} {words}".rstrip())
    types = [each["type"] for each in events]
    teller.check(
        "Accepted once, sent to the customer and to the archive.",
        types[:1] == ["message.accepted"] and types.count("recipient.sent") == 2,
    )


def _search_disk(teller: Teller, folder: Path) -> None:
    """Look for what must not be on a disk, and for an address that must, to see that it finds."""
    teller.chapter("What Awizo has on its disk:")
    stored = b"".join(
        path.read_bytes() for path in sorted((folder / "data").rglob("*")) if path.is_file()
    )

    def is_there(text: str) -> bool:
        return any(each in stored for each in _spell(text.encode()))

    teller.check("The address of the customer is there.", is_there("ksiegowosc@klient.example"))
    teller.check("The password is not.", not is_there(PASSWORD))
    words = ("Usluga serwisowa X-17", PDF_TEXT[1])
    teller.check("The words of the attachments are not.", not any(map(is_there, words)))


def _spell(text: bytes) -> list[bytes]:
    """Return a text as it is and as it can stand inside base64."""
    inside = [base64.b64encode(b"\0" * shift + text)[4:-4] for shift in range(3)]
    return [text, *inside]
