"""What every test may ask for: databases of its own, on both engines.

``database_url``     empty, with every table; the test runs twice, on SQLite and on PostgreSQL
``sqlite_url``, ``postgres_url``     the same for a test about one engine
``blank_database_url``     without any table, for tests of the migrations
``postgres_server_url``     the server itself, for a test that makes databases of its own

A test's database is a copy of a template that was migrated once per run: nobody else sees it.
``AWIZO_*`` variables of the machine do not reach the tests, except ``AWIZO_TEST_*``.
"""

import fcntl
import itertools
import os
import shutil
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from sqlalchemy import make_url

import app.inbox.tables
import app.outbox.tables  # noqa: F401 - importing them fills the metadata
from app.db import metadata
from migrations.run import upgrade
from tests.pg import empty_database, execute, lock_file, make_folder, name_database, share_postgres

ENGINES = ("sqlite", "postgres")
_RUN = "AWIZO_TEST_RUN"  # the folder that all processes of one test run share
_numbers = itertools.count(1)


def pytest_configure(config: pytest.Config) -> None:
    """Shield the tests from the machine's settings; hold the run's lock while tests run."""
    if hasattr(config, "workerinput"):
        return
    for name in [name for name in os.environ if name.startswith("AWIZO_")]:
        if name == _RUN or not name.startswith("AWIZO_TEST_"):
            del os.environ[name]
    run = make_folder("awizo-run-")
    os.environ[_RUN] = str(run)
    alive = (run / "alive").open("w")
    fcntl.flock(alive, fcntl.LOCK_EX)
    config.add_cleanup(lambda: _end_run(run, release=alive.close))


def _end_run(run: Path, release: Callable[[], None]) -> None:
    if "AWIZO_TEST_POSTGRES_URL" in os.environ and (run / "template").exists():
        execute(share_postgres(run), f"drop database {(run / 'template').read_text()}")
    guarded = (run / "url").exists()
    release()
    if not guarded:
        shutil.rmtree(run)
    deadline = time.monotonic() + 30
    while run.exists() and time.monotonic() < deadline:  # the guardian stops its server
        time.sleep(0.01)


@pytest.fixture(scope="session")
def anyio_backend() -> str:
    """Run async tests on asyncio alone, as Awizo runs."""
    return "asyncio"


@pytest.fixture(scope="session")
def test_run() -> Path:
    """The folder that all processes of this test run share."""
    return Path(os.environ[_RUN])


@pytest.fixture(scope="session")
def postgres_server_url(test_run: Path) -> str:
    """A PostgreSQL server where databases may be created; one for the whole run."""
    return share_postgres(test_run)


@pytest.fixture(scope="session")
def postgres_template(postgres_server_url: str, test_run: Path) -> str:
    """The name of a migrated database that nobody is connected to."""
    name = f"{test_run.name.replace('-', '_')}_template"
    with lock_file(test_run / "migrating-postgres"):
        if not (test_run / "template").exists():
            execute(postgres_server_url, f"create database {name}")
            upgrade(name_database(postgres_server_url, name))
            (test_run / "template").write_text(name)
    return name


@pytest.fixture(scope="session")
def sqlite_template(test_run: Path) -> Path:
    """A migrated SQLite file that nobody has open."""
    path = test_run / "template.db"
    with lock_file(test_run / "migrating-sqlite"):
        if not path.exists():
            upgrade(f"sqlite:///{path}.new")
            Path(f"{path}.new").rename(path)
    return path


@pytest.fixture(scope="session")
def postgres_spares(postgres_server_url: str, postgres_template: str) -> Iterator[list[str]]:
    """Databases that earlier tests of this process left: emptying one is quicker than copying."""
    spares: list[str] = []
    yield spares
    for url in spares:
        execute(postgres_server_url, f"drop database {make_url(url).database} with (force)")


@pytest.fixture
def postgres_url(
    postgres_server_url: str, postgres_template: str, postgres_spares: list[str]
) -> Iterator[str]:
    """A PostgreSQL database of this test alone, empty, with every table."""
    if not postgres_spares:
        name = _name_next(postgres_template)
        execute(postgres_server_url, f"create database {name} template {postgres_template}")
        postgres_spares.append(name_database(postgres_server_url, name))
    url = postgres_spares.pop()
    yield url
    empty_database(url, metadata.tables)
    postgres_spares.append(url)


@pytest.fixture
def sqlite_url(sqlite_template: Path, tmp_path: Path) -> str:
    """A SQLite database of this test alone, empty, with every table."""
    shutil.copyfile(sqlite_template, tmp_path / "awizo.db")
    return f"sqlite:///{tmp_path / 'awizo.db'}"


@pytest.fixture(params=ENGINES)
def database_url(request: pytest.FixtureRequest) -> str:
    """A database of this test alone, empty, with every table; one test run per engine."""
    url: str = request.getfixturevalue(f"{request.param}_url")
    return url


@pytest.fixture(params=ENGINES)
def blank_database_url(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[str]:
    """A database of this test alone without any table; one test run per engine."""
    if request.param == "sqlite":
        yield f"sqlite:///{tmp_path / 'blank.db'}"
        return
    server_url = request.getfixturevalue("postgres_server_url")
    with _create_database(server_url, "template0") as url:
        yield url


@contextmanager
def _create_database(server_url: str, template: str) -> Iterator[str]:
    name = _name_next(template)
    execute(server_url, f"create database {name} template {template}")
    try:
        yield name_database(server_url, name)
    finally:
        execute(server_url, f"drop database {name} with (force)")


def _name_next(template: str) -> str:
    return f"{template.removesuffix('_template')}_{os.getpid()}_{next(_numbers)}"
