"""What is wrong with a request is said exactly: status, code, and a pointer to every fault.

The rows stand in the ``.json`` files beside this one, a file per endpoint: ``lesson`` is what a row
teaches; ``method``, ``path``, ``role``, ``body`` (or ``raw``, as it is sent) make the request;
``status`` and ``code`` are the answer's, ``faults`` all its pointers and codes, in any order.
What a row leaves out is taken from the file's ``defaults``.
"""

import json
from pathlib import Path
from typing import Any

import pytest

from tests.doors.sending import LETTER, configure, list_faults

pytestmark = pytest.mark.anyio

FOLDER = Path(__file__).parent


@pytest.fixture
def database_url(sqlite_url) -> str:
    """One engine is enough: what is refused reaches no table."""
    return sqlite_url


def read_rows() -> list[Any]:
    rows = []
    for file in sorted(FOLDER.glob("*.json")):
        table = json.loads(file.read_text())
        for row in table["rows"]:
            name = f"{file.stem}: {row['lesson']}"
            rows.append(pytest.param(table["defaults"] | row, id=name))
    return rows


@pytest.fixture
async def stored(client, as_role):
    """A global configuration, ids of a queued message and of a draft."""
    admin = as_role("admin")
    await configure(client, admin)
    queued = await client.post("/send", json=LETTER, headers=admin)
    await configure(client, admin, "users/anna", mode="draft")
    draft = await client.post("/send", json=LETTER | {"as_user": "anna"}, headers=admin)
    return {"{queued}": queued.json()["id"], "{draft}": draft.json()["id"]}


@pytest.mark.parametrize("row", read_rows())
async def test_what_is_wrong_is_said(client, as_role, stored, row):
    path = row["path"]
    for name, value in stored.items():
        path = path.replace(name, value)
    headers = as_role(row["role"]) | row.get("headers", {})
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
