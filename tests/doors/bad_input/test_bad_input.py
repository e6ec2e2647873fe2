"""What is wrong with a request is said exactly: status, code, and a pointer to every fault.

The rows stand in the ``.json`` files beside this one: ``lesson`` is what a row teaches; ``method``,
``path``, ``role``, ``body`` (or ``raw``, as it is sent) make the request; ``status`` and ``code`` are
the answer's, ``faults`` all its pointers and codes, in any order. What a row leaves out is taken from
the file's ``defaults``. All rows meet one service, because what is refused changes nothing.
"""

import json
import shutil
from pathlib import Path
from typing import Any

import httpx
import pytest

from app.accounts.audit import SYSTEM
from app.accounts.keys import create_key
from app.main import create_app
from app.outbox.office import open_office
from app.settings import Settings
from tests.doors.conftest import ROLES
from tests.doors.sending import CONFIG, LETTER, configure, list_faults

pytestmark = pytest.mark.anyio

FOLDER = Path(__file__).parent
TEMPLATE = {"subject": "{numer}", "body": "Dzień dobry"}


def read_rows() -> list[Any]:
    rows = []
    for file in sorted(FOLDER.glob("*.json")):
        table = json.loads(file.read_text())
        for row in table["rows"]:
            name = f"{file.stem}: {row['lesson']}"
            rows.append(pytest.param(table["defaults"] | row, id=name))
    return rows


@pytest.fixture(scope="module")
async def office(sqlite_template, tmp_path_factory, anyio_backend):
    """The tools of one process; one engine is enough, because what is refused reaches no table."""
    folder = tmp_path_factory.mktemp("bad-input")
    shutil.copyfile(sqlite_template, folder / "awizo.db")
    settings = Settings(data_dir=folder / "data", database_url=f"sqlite:///{folder / 'awizo.db'}")
    opened = open_office(settings)
    yield opened
    await opened.close()


@pytest.fixture(scope="module")
async def client(office):
    """A client of the running application."""
    app = create_app(office.settings, work=False, office=office)
    async with app.router.lifespan_context(app):
        transport = httpx.ASGITransport(app)
        async with httpx.AsyncClient(transport=transport, base_url="http://a.example") as client:
            yield client


@pytest.fixture(scope="module")
async def keys(office):
    """Id and key of each role."""
    made = {}
    for name, (role, user) in ROLES.items():
        row, key = await office.db.write(
            create_key, office.vault, SYSTEM, role=role, name=name, user=user, expires_at=None,
            at=office.clock(),
        )  # fmt: skip
        made[name] = row.id, {"Authorization": f"Bearer {key}"}
    return made


@pytest.fixture(scope="module")
async def stored(client, keys):
    """What rows may name: a queued message, a draft, keys. Ola's configuration inherits all.

    There are a global configuration, anna's in draft mode, one global template; piotr has nothing.
    """
    _, admin = keys["admin"]
    await configure(client, admin)
    queued = await client.post("/send", json=LETTER, headers=admin)
    await configure(client, admin, "users/anna", mode="draft")
    draft = await client.post("/send", json=LETTER | {"as_user": "anna"}, headers=admin)
    template = "/config/global/templates/greeting?language=pl"
    assert (await client.put(template, json=TEMPLATE, headers=admin)).status_code == 201
    inherits = await client.put("/config/users/ola", json={"language": "fr"}, headers=admin)
    assert inherits.status_code == 201
    return {
        "{queued}": queued.json()["id"],
        "{draft}": draft.json()["id"],
        "{own key}": keys["sender"][0],
        "{admin key}": keys["admin"][0],
    }


@pytest.mark.parametrize("row", read_rows())
async def test_what_is_wrong_is_said(client, keys, stored, row):
    path = row["path"]
    for name, value in stored.items():
        path = path.replace(name, value)
    headers = keys[row["role"]][1] | row.get("headers", {})
    content = row["raw"].encode() if "raw" in row else json.dumps(row["body"]).encode()
    if "raw" in row or row["body"] is not None:
        headers = {"Content-Type": "application/json"} | headers
    else:
        content = b""
    answer = await client.request(row["method"], path, content=content, headers=headers)
    said = answer.json()
    assert (answer.status_code, said.get("code")) == (row["status"], row["code"]), answer.text
    assert sorted(list_faults(answer)) == sorted(map(tuple, row["faults"])), answer.text
    assert answer.headers["content-type"] == "application/problem+json"


async def test_all_that_was_refused_has_changed_nothing(client, keys, stored):
    _, admin = keys["admin"]
    trail = (await client.get("/audit?limit=500", headers=admin)).json()["data"]
    assert [each["action"] for each in trail if each["actor"] != "admin"] == ["key.create"] * 5
    actions = [each["action"] for each in trail if each["actor"] == "admin"]
    assert sorted(actions) == ["config.put"] * 3 + ["template.put"]
    shown = (await client.get("/config/global", headers=admin)).json()
    assert (shown["version"], shown["smtp"]["host"]) == (1, CONFIG["smtp"]["host"])
    messages = (await client.get("/messages", headers=admin)).json()["data"]
    assert {each["id"] for each in messages} == {stored["{queued}"], stored["{draft}"]}
