"""Kill -9 at random moments and count: ``python -m bench.crash -n 5000 --kills 40``.

Prints one line per engine: what was accepted, lost, doubled, and explained by uncertain attempts.
PostgreSQL runs with fsync, on a server of its own.
"""

import argparse
import asyncio
import tempfile
from pathlib import Path

from tests.flows.crash import crash
from tests.flows.house import build
from tests.flows.peer import serve
from tests.pg import run_postgres


async def run(url: str, folder: Path, arguments: argparse.Namespace) -> None:
    """Run one engine and print its line."""
    with build(folder, url) as house:
        async with serve() as peer:
            tally = await crash(
                house,
                peer,
                messages=arguments.messages,
                worker_kills=arguments.kills,
                api_kills=arguments.kills // 5,
                seed=arguments.seed,
            )
            print(f"{house.engine.name:10} {tally}", flush=True)


def main() -> None:
    """Read the command line and run the engines one after another."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("-n", "--messages", type=int, default=2000)
    parser.add_argument(
        "--kills", type=int, default=15, help="of workers; a fifth of it of the API"
    )
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--engine", choices=["sqlite", "postgres", "both"], default="both")
    arguments = parser.parse_args()
    if arguments.engine != "postgres":
        with tempfile.TemporaryDirectory() as folder:
            asyncio.run(run(f"sqlite:///{folder}/awizo.db", Path(folder), arguments))
    if arguments.engine != "sqlite":
        with run_postgres(durable=True) as url, tempfile.TemporaryDirectory() as folder:
            asyncio.run(run(url, Path(folder), arguments))


if __name__ == "__main__":
    main()
