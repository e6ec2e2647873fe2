"""The first admin key: made once, whoever starts; or given, and exchanged, by the environment."""

import asyncio
import stat
import sys
from collections.abc import AsyncIterator

import pytest
from sqlalchemy import select, update

from app.accounts.first_key import ensure_admin_key
from app.accounts.keys import create_key, revoke_key, rotate_key
from app.accounts.sign_in import SignIn
from app.accounts.tables import api_key, audit
from app.errors import Conflict, Unauthenticated
from app.outbox.office import Office, open_office
from app.settings import Settings

pytestmark = pytest.mark.anyio

ONE, TWO = "first-secret-of-the-operator", "second-secret-of-the-operator"


@pytest.fixture
async def office(database_url, tmp_path, anyio_backend) -> AsyncIterator[Office]:
    opened = open_office(Settings(data_dir=tmp_path / "data", database_url=database_url))
    yield opened
    await opened.close()


async def start(office, admin_key=None):
    """Do what a start does; return the key that is printed."""
    settings = Settings(
        data_dir=office.settings.data_dir, database_url=office.settings.database_url,
        admin_key=admin_key,
    )  # fmt: skip
    return await office.db.write(ensure_admin_key, settings, office.vault, office.clock())


async def sign_in(office, key):
    desk = SignIn(office.settings, office.db, office.vault, office.clock)
    try:
        return await desk.identify(key)
    finally:
        await desk.close()


async def works(office, key):
    try:
        return (await sign_in(office, key)).role == "admin"
    except Unauthenticated:
        return False


async def test_the_first_start_makes_a_key_prints_it_and_writes_it(office):
    key = await start(office)
    path = office.settings.data_dir / "admin.key"
    assert path.read_text() == f"{key}\n"
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert await works(office, key)


async def test_a_later_start_makes_none(office):
    key = await start(office)
    assert await start(office) is None
    assert (office.settings.data_dir / "admin.key").read_text() == f"{key}\n"


async def test_processes_that_start_together_agree_on_one_key(office):
    code = (
        "import sys; from datetime import datetime, UTC; from pathlib import Path\n"
        "from app.accounts.first_key import ensure_admin_key\n"
        "from app.outbox.office import open_office; from app.settings import Settings\n"
        "import asyncio\n"
        "async def main():\n"
        "    office = open_office(Settings(data_dir=Path(sys.argv[1]), database_url=sys.argv[2]))\n"
        "    settings, vault = office.settings, office.vault\n"
        "    key = await office.db.write(ensure_admin_key, settings, vault, datetime.now(UTC))\n"
        "    await office.close(); print(key)\n"
        "asyncio.run(main())"
    )
    url = office.db.url.render_as_string(hide_password=False)
    command = [sys.executable, "-c", code, str(office.settings.data_dir), url]
    started = [
        await asyncio.create_subprocess_exec(*command, stdout=asyncio.subprocess.PIPE)
        for _ in range(3)
    ]
    told = [(await process.communicate())[0].decode().strip() for process in started]
    made = [key for key in told if key != "None"]
    assert len(told) == 3
    assert len(made) == 1
    assert (office.settings.data_dir / "admin.key").read_text().strip() == made[0]
    assert await works(office, made[0])


async def test_a_key_nobody_could_be_told_is_not_made(office):
    office.settings.data_dir.mkdir(exist_ok=True)
    (office.settings.data_dir / "admin.key").mkdir()  # cannot be replaced by a file
    with pytest.raises(OSError):
        await start(office)
    assert await office.db.read(lambda tx: tx.execute(select(api_key)).all()) == []


async def test_when_no_admin_key_works_any_more_a_start_makes_one(office):
    first = await start(office)
    await office.db.write(lambda tx: tx.execute(update(api_key).values(expires_at=office.clock())))
    second = await start(office)
    assert [await works(office, key) for key in (first, second)] == [False, True]
    assert (office.settings.data_dir / "admin.key").read_text() == f"{second}\n"


async def test_the_environment_gives_the_key_and_nothing_is_written(office):
    assert await start(office, ONE) is None
    assert await works(office, ONE)
    assert not (office.settings.data_dir / "admin.key").exists()
    rows = await office.db.read(lambda tx: tx.execute(select(api_key)).all())
    assert [row.source for row in rows] == ["environment"]
    assert ONE not in str(rows)


async def test_changing_the_environment_revokes_the_old_key_and_keeps_the_owner(office):
    await start(office, ONE)
    before = await sign_in(office, ONE)
    await start(office, TWO)
    after = await sign_in(office, TWO)
    assert not await works(office, ONE)
    assert before.owner_id == after.owner_id
    assert before.key_id != after.key_id
    await start(office, ONE)  # and back
    assert [await works(office, key) for key in (ONE, TWO)] == [True, False]


async def test_the_same_environment_changes_nothing(office):
    await start(office, ONE)
    office.vault.rotate()
    assert await start(office, ONE) is None
    rows = await office.db.read(lambda tx: tx.execute(select(api_key)).all())
    assert len(rows) == 1


async def test_taking_the_key_out_of_the_environment_revokes_it(office):
    await start(office, ONE)
    key = await start(office)
    assert [await works(office, each) for each in (ONE, key)] == [False, True]


async def test_the_environment_may_name_a_key_that_was_made_here(office):
    made = await start(office)
    caller = await sign_in(office, made)
    await start(office, made)
    await office.db.write(revoke_key, caller, caller.key_id, office.clock())
    assert await works(office, made)  # by the environment now


async def test_a_key_of_the_environment_is_changed_there_only(office):
    await start(office, ONE)
    caller = await sign_in(office, ONE)
    at = office.clock()
    await office.db.write(
        create_key, office.vault, caller, role="admin", name="spare", user=None, expires_at=None,
        at=at,
    )  # fmt: skip
    with pytest.raises(Conflict) as refused:
        await office.db.write(revoke_key, caller, caller.key_id, at)
    assert refused.value.code == "key_from_environment"
    with pytest.raises(Conflict) as refused:
        await office.db.write(rotate_key, office.vault, caller, caller.key_id, overlap_s=0, at=at)
    assert refused.value.code == "key_from_environment"


async def test_every_step_is_in_the_audit_trail(office):
    for key in (None, ONE, TWO, None):
        await start(office, key)
    rows = await office.db.read(
        lambda tx: tx.execute(select(audit.c.action, audit.c.actor).order_by(audit.c.id)).all()
    )
    steps = sorted(tuple(row) for row in rows)
    created, revoked = ("key.create", "system"), ("key.revoke", "system")
    assert steps == [created, created, created, revoked, revoked]
