"""API keys over HTTP."""

import pytest

pytestmark = pytest.mark.anyio


async def test_a_new_key_is_shown_once_and_works(client, as_role):
    answer = await client.post(
        "/keys", json={"role": "sender", "name": "Accounting"}, headers=as_role("admin")
    )
    assert answer.status_code == 201, answer.text
    made = answer.json()
    assert made["key"].startswith("awizo_")
    listed = (await client.get("/keys", headers=as_role("admin"))).json()["data"]
    assert made["id"] in [key["id"] for key in listed]
    assert made["key"] not in str(listed)
