"""The command line: ``awizo serve``, ``worker``, ``migrate``, ``openapi``, ``secrets`` …

Says in plain words what happens; settings come from the environment (``AWIZO_…``), see
``docs/operating.md``.
"""

import gc

gc.disable()  # while all is loaded, which is no garbage: a tenth of the start; see app.memory

import asyncio
import json
import os
import signal
import socket
import sys
from collections.abc import Callable
from typing import Annotated

import typer
import uvicorn
from pydantic import ValidationError

from app.accounts.first_key import ensure_admin_key
from app.accounts.key_ring import check_key_ring
from app.errors import AwizoError
from app.logs import set_up_logs
from app.memory import rest_memory
from app.outbox.hold import hold_queue
from app.outbox.office import Office, open_office
from app.settings import Settings, show_settings
from app.worker import Worker
from migrations.run import upgrade

app = typer.Typer(
    no_args_is_help=True, add_completion=False, pretty_exceptions_enable=False, help=__doc__
)
secrets = typer.Typer(no_args_is_help=True, help="The key ring that seals stored passwords.")
app.add_typer(secrets, name="secrets")


def _read_settings() -> Settings:
    try:
        settings = Settings()
    except ValidationError as error:
        for fault in error.errors(include_url=False, include_input=False):
            name = "_".join(str(part) for part in fault["loc"]).upper()
            typer.echo(f"AWIZO_{name}: {fault['msg']}".replace("AWIZO_:", "Settings:"), err=True)
        raise typer.Exit(2) from None
    set_up_logs(settings)
    return settings


def _prepare(settings: Settings) -> None:
    """Bring the schema up to date; safe when several processes start at once."""
    os.umask(0o077)  # mail addresses and bodies are nobody else's on this machine
    settings.data_dir.mkdir(parents=True, exist_ok=True)
    upgrade(settings.url)


@app.command()
def serve(
    worker: Annotated[bool, typer.Option(help="Deliver mail in this process, too.")] = True,
    hold_queue: Annotated[
        bool,
        typer.Option(
            "--hold-queue", help="Hold all waiting mail first: after a restore from a backup."
        ),
    ] = False,
) -> None:
    """Run the REST service (and, unless --no-worker, a worker)."""
    settings = _read_settings()
    _prepare(settings)
    asyncio.run(_announce(settings, hold=hold_queue))
    from app.main import create_app  # the other commands do without the whole API

    application = create_app(settings, work=worker)
    rest_memory()
    config = uvicorn.Config(
        application,
        host=settings.host,
        port=settings.port,
        log_config=None,
        access_log=False,
        proxy_headers=True,
        forwarded_allow_ips=settings.trusted_proxies,
        server_header=False,
        timeout_graceful_shutdown=max(1, round(settings.stop_grace_s)),
    )
    where = f"http://{settings.host}:{settings.port}"
    mode = "with a worker" if worker else "without a worker"
    _Server(
        config,
        f"Awizo answers at {where} ({mode}; delivery: {settings.delivery}).\n"
        f"Try: curl {where}/readyz      Stop: Ctrl-C",
    ).run()


class _Server(uvicorn.Server):
    """Says that it answers once it does, and not before the port is its own."""

    def __init__(self, config: uvicorn.Config, greeting: str) -> None:
        super().__init__(config)
        self._greeting = greeting

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        """Start, then greet."""
        await super().startup(sockets)
        if self.started:
            typer.echo(self._greeting)


async def _announce(settings: Settings, *, hold: bool) -> None:
    """Do what a start does once: check the key ring, make the admin key, hold the queue."""
    office = open_office(settings)
    try:
        await office.db.write(check_key_ring, office.vault, office.clock())
        key = await office.db.write(ensure_admin_key, settings, office.vault, office.clock())
        if key is not None:
            typer.echo("First start. Your admin key, shown this once:")
            typer.echo(f"  {key}")
            typer.echo(f"It stands in {settings.data_dir / 'admin.key'} too, readable by you only.")
        if hold:
            held = await _hold_all(office)
            typer.echo(f"{held} waiting messages are held; release what has not gone out yet.")
    finally:
        await office.close()


async def _hold_all(office: Office) -> int:
    held = 0
    while count := await office.db.write(hold_queue):
        held += count
    return held


@app.command()
def worker() -> None:
    """Run a worker without the REST service; any number share one database."""
    settings = _read_settings()
    _prepare(settings)
    typer.echo(f"A worker delivers mail (delivery: {settings.delivery}). Stop: Ctrl-C")
    with asyncio.Runner(loop_factory=find_loop()) as runner:
        runner.run(_work(settings))


def find_loop() -> Callable[[], asyncio.AbstractEventLoop] | None:
    """Return what makes the faster event loop, which ``serve`` has as well, where there is one."""
    try:
        import uvloop
    except ImportError:
        return None
    return uvloop.new_event_loop


async def _work(settings: Settings) -> None:
    office = open_office(settings)
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop.set)
    try:
        await office.db.write(check_key_ring, office.vault, office.clock())
        async with Worker(office).running():
            rest_memory()
            await stop.wait()
            typer.echo("Stopping: what is under way is finished first.")
    finally:
        await office.close()


@app.command()
def migrate() -> None:
    """Bring the database to the newest schema (serve and worker do it by themselves)."""
    _prepare(_read_settings())
    typer.echo("The database has the newest schema.")


@app.command()
def demo(
    catch: Annotated[
        int | None,
        typer.Option(
            metavar="PORT", min=1, max=65535, help="Only run the mail server that receives."
        ),
    ] = None,
    stay: Annotated[bool, typer.Option("--stay", help="Stay up at the end, to try it.")] = False,
) -> None:
    """Send a payment reminder to a mail server of the demo's own, and look at everything."""
    from app.demo import story

    rest_memory()
    try:
        code = asyncio.run(story.tell(stay=stay) if catch is None else story.receive(catch))
    except (KeyboardInterrupt, asyncio.CancelledError):
        typer.echo("\nStopped; everything is deleted.")
        code = 130  # the shell's number for Ctrl-C
    raise typer.Exit(code)


@app.command("settings")
def print_settings() -> None:
    """Print every setting: the table in docs/operating.md."""
    typer.echo(show_settings())


@app.command()
def openapi() -> None:
    """Print openapi.json."""
    from app.main import create_app

    document = create_app(Settings(), work=False).openapi()
    sys.stdout.write(json.dumps(document, indent=2, ensure_ascii=False) + "\n")


@secrets.command("rotate")
def rotate_secrets() -> None:
    """Make a new key, and seal every stored password with it. Running processes follow."""
    settings = _read_settings()
    _prepare(settings)
    rest_memory()
    count = asyncio.run(_rotate(settings))
    typer.echo(f"A new key is in use; {count} stored secrets were sealed with it.")
    typer.echo("The old keys stay in the ring: they still verify what they signed.")


async def _rotate(settings: Settings) -> int:
    from app.outbox.reseal import reseal_all
    from app.webhooks.reseal import reseal_webhooks

    office = open_office(settings)
    try:
        await office.db.write(check_key_ring, office.vault, office.clock())
        office.vault.rotate()
        count = await office.db.write(reseal_all, office.vault)
        return count + await office.db.write(reseal_webhooks, office.vault)
    finally:
        await office.close()


def main() -> None:
    """Run the command line; what a person can mend is said in one sentence."""
    try:
        app()
    except AwizoError as error:
        typer.echo(error.detail, err=True)
        sys.exit(1)


if __name__ == "__main__":
    main()
