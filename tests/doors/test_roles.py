"""Who may call what: the role table of the contract, asked of the real endpoints.

One row per call; the numbers are the statuses that each role gets. ``anna`` has the role ``user``
and is bound to anna; nobody else's object may look different to her from one that does not exist.
Without a credential every row is 401. Nothing is configured: 409 says that the role was let in.
"""

from dataclasses import dataclass
from typing import Any

import pytest

pytestmark = pytest.mark.anyio


@dataclass(frozen=True)
class Row:
    method: str
    path: str
    admin: int
    sender: int
    anna: int
    probe: int
    body: Any = None


DRAFT = {"mode": "draft", "sender": {"address": "faktury@firma.example"}}
TEMPLATE = {"subject": "{numer}", "body": "x"}
LETTER = {"to": "a@x.example", "subject": "s", "body": "b"}
ROWS = [
    Row("GET", "/inbox", 200, 200, 200, 403),
    Row("GET", "/inbox/unknown", 404, 404, 404, 403),
    Row("GET", "/inbox/unknown/raw", 404, 404, 404, 403),
    Row("POST", "/inbox/unknown/handled", 404, 404, 404, 403, {"note": "called back"}),
    Row("POST", "/inbox/unknown/forward", 404, 404, 404, 403, {"to": "a@x.example"}),
    Row("POST", "/inbox/unknown/kind", 404, 404, 404, 403, {"kind": "human"}),
    Row("POST", "/inbox/unknown/message", 404, 404, 404, 403, {"message": None}),
    Row("POST", "/accounts/unknown/auto-reply/preview", 404, 404, 404, 403, {}),
    Row("GET", "/keys", 200, 403, 403, 403),
    Row("POST", "/keys", 201, 403, 403, 403, {"role": "probe", "name": "new"}),
    Row("DELETE", "/keys/unknown", 404, 403, 403, 403),
    Row("POST", "/keys/unknown/rotate", 403, 403, 403, 403, {}),
    Row("GET", "/audit", 200, 403, 403, 403),
    Row("GET", "/workers", 200, 403, 403, 403),
    Row("GET", "/users", 200, 200, 403, 403),
    Row("GET", "/users/anna", 200, 200, 200, 403),
    Row("GET", "/users/piotr", 200, 200, 404, 403),
    Row("GET", "/users/unknown", 404, 404, 404, 403),
    Row("PUT", "/users/anna", 200, 403, 200, 403, {"name": "Anna"}),
    Row("PUT", "/users/piotr", 200, 403, 404, 403, {"name": "Piotr"}),
    Row("GET", "/providers", 200, 200, 200, 403),
    Row("GET", "/providers/unknown", 404, 404, 404, 403),
    Row("GET", "/autoconfig?email=a@gmail.com", 200, 200, 200, 403),
    Row("GET", "/export", 200, 403, 403, 403),
    Row("POST", "/import", 200, 403, 403, 403, {"awizo_export": 1}),
    Row("GET", "/limits", 200, 200, 200, 200),
    Row("GET", "/config", 200, 403, 403, 403),
    Row("GET", "/config/effective", 409, 409, 409, 403),
    Row("GET", "/config/effective?user=anna", 409, 409, 409, 403),
    Row("GET", "/config/effective?user=piotr", 409, 409, 403, 403),
    Row("GET", "/config/global", 404, 403, 403, 403),
    Row("PUT", "/config/global", 201, 403, 403, 403, DRAFT),
    Row("PATCH", "/config/global", 404, 403, 403, 403, {"reply_to": ""}),
    Row("DELETE", "/config/global", 404, 403, 403, 403),
    Row("POST", "/config/global/pause", 404, 403, 403, 403),
    Row("POST", "/config/global/resume", 404, 403, 403, 403),
    Row("POST", "/config/global/secret", 404, 403, 403, 403, {"password": "x"}),
    Row("GET", "/config/users/anna", 404, 404, 404, 403),
    Row("GET", "/config/users/piotr", 404, 404, 404, 403),
    Row("PUT", "/config/users/anna", 200, 403, 201, 403, DRAFT),
    Row("PUT", "/config/users/piotr", 201, 403, 404, 403, DRAFT),
    Row("PATCH", "/config/users/piotr", 404, 403, 404, 403, {"reply_to": ""}),
    Row("DELETE", "/config/users/piotr", 404, 403, 404, 403),
    Row("POST", "/config/users/anna/pause", 404, 403, 403, 403),
    Row("POST", "/config/users/anna/resume", 404, 403, 403, 403),
    Row("PUT", "/config/users/piotr/active-scope", 200, 403, 404, 403, {"scope": "global"}),
    Row("GET", "/config/global/templates/document", 404, 403, 403, 403),
    Row("PUT", "/config/global/templates/document", 201, 403, 403, 403, TEMPLATE),
    Row("DELETE", "/config/global/templates/document", 404, 403, 403, 403),
    Row("GET", "/config/users/anna/templates/document", 404, 404, 404, 403),
    Row("GET", "/config/users/piotr/templates/document", 404, 404, 404, 403),
    Row("PUT", "/config/users/piotr/templates/document", 201, 403, 404, 403, TEMPLATE),
    Row("DELETE", "/config/users/piotr/templates/document", 404, 403, 404, 403),
    Row("GET", "/macros", 200, 200, 200, 403),
    Row("GET", "/templates", 200, 200, 200, 403),
    Row("GET", "/templates/document", 200, 200, 200, 403),
    Row("GET", "/templates/document?user=piotr", 200, 200, 403, 403),
    Row(
        "POST", "/templates/render", 200, 200, 200, 403, {"subject": "a", "body": "b", "macros": {}}
    ),
    Row("POST", "/send", 422, 422, 422, 403, {}),
    Row("POST", "/send", 409, 409, 409, 403, LETTER),
    Row("POST", "/send/batch", 422, 422, 422, 403, {}),
    Row("GET", "/batches/unknown", 404, 404, 404, 403),
    Row("GET", "/messages", 200, 200, 200, 403),
    Row("GET", "/messages?user=piotr", 200, 200, 403, 403),
    Row("GET", "/messages/unknown", 404, 404, 404, 403),
    Row("GET", "/messages/unknown/raw", 404, 404, 404, 403),
    Row("POST", "/messages/unknown/cancel", 404, 404, 404, 403),
    Row("POST", "/messages/cancel", 200, 200, 200, 403, {"reference": {"number": "x"}}),
    Row("GET", "/events", 200, 200, 200, 403),
    Row("GET", "/accounts", 200, 200, 200, 403),
    Row("POST", "/accounts", 422, 403, 422, 403, {}),
    Row("POST", "/accounts", 201, 403, 201, 403, DRAFT),
    Row("GET", "/accounts/unknown", 404, 404, 404, 403),
    Row("PUT", "/accounts/unknown", 404, 404, 404, 403, DRAFT),
    Row("PATCH", "/accounts/unknown", 404, 404, 404, 403, {"cc": ""}),
    Row("DELETE", "/accounts/unknown", 404, 404, 404, 403),
    Row("POST", "/accounts/unknown/default", 404, 404, 404, 403),
    Row("POST", "/accounts/unknown/pause", 404, 403, 403, 403),
    Row("POST", "/accounts/unknown/secret", 404, 404, 404, 403, {"password": "x"}),
    Row("GET", "/accounts/unknown/password", 404, 404, 404, 403),
    Row("POST", "/accounts/unknown/password-link", 404, 404, 404, 403, {}),
    Row("GET", "/accounts/unknown/consent", 404, 404, 404, 403),
    Row("POST", "/accounts/unknown/consent", 404, 404, 404, 403, {"provider": "google"}),
    Row("DELETE", "/accounts/unknown/consent", 404, 404, 404, 403),
    Row("GET", "/accounts/unknown/rights", 404, 404, 404, 403),
    Row("PUT", "/accounts/unknown/rights/anna", 404, 404, 404, 403, {"send": True}),
    Row("DELETE", "/accounts/unknown/rights/anna", 404, 404, 404, 403),
    Row("GET", "/domains", 200, 200, 200, 403),
    Row("GET", "/domains/x.example", 404, 404, 404, 403),
    Row("PUT", "/domains/x.example", 422, 403, 403, 403, {}),
    Row("DELETE", "/domains/x.example", 404, 403, 403, 403),
    Row("GET", "/webhooks", 200, 403, 403, 403),
    Row("POST", "/webhooks", 422, 403, 403, 403, {}),
    Row("GET", "/webhooks/unknown", 404, 403, 403, 403),
    Row("PUT", "/webhooks/unknown", 404, 403, 403, 403, {}),
    Row("PATCH", "/webhooks/unknown", 404, 403, 403, 403, {}),
    Row("DELETE", "/webhooks/unknown", 404, 403, 403, 403),
    Row("POST", "/webhooks/unknown/rotate-secret", 404, 403, 403, 403, {}),
    Row("POST", "/webhooks/unknown/resume", 404, 403, 403, 403, {}),
    Row("POST", "/webhooks/unknown/test", 404, 403, 403, 403),
    Row("GET", "/webhooks/unknown/deliveries", 404, 403, 403, 403),
    Row("POST", "/webhooks/unknown/redeliver", 404, 403, 403, 403),
    Row("POST", "/webhooks/unknown/deliveries/unknown/redeliver", 404, 403, 403, 403),
    Row("POST", "/test-smtp", 404, 403, 403, 404, {"scope": "global"}),
    Row("POST", "/test-smtp", 404, 403, 404, 403, {"scope": "users/anna"}),
    Row("POST", "/test-smtp", 404, 403, 404, 403, {"scope": "users/piotr"}),
    Row("POST", "/test-smtp", 422, 403, 422, 403, {"config": {}}),
    Row("GET", "/suppressions", 200, 200, 200, 403),
    Row("GET", "/suppressions?scope=users/piotr", 200, 200, 403, 403),
    Row("GET", "/suppressions/export", 200, 200, 200, 403),
    Row("GET", "/suppressions/unknown", 404, 404, 404, 403),
    Row("POST", "/suppressions", 201, 403, 201, 403, {"address": "a@x.example"}),
    Row("POST", "/suppressions/import", 200, 403, 200, 403, []),
    Row("DELETE", "/suppressions/unknown", 404, 403, 404, 403),
    Row("DELETE", "/recipients/a@x.example", 200, 403, 403, 403),
]
OPEN = ["/healthz", "/readyz", "/openapi.json", "/password-links/{token}"]


@pytest.fixture
def database_url(sqlite_url: str) -> str:
    """One engine is enough here: roles are decided before the database is asked."""
    return sqlite_url


@pytest.mark.parametrize("row", ROWS, ids=lambda row: f"{row.method} {row.path}")
async def test_each_role_gets_what_the_table_says(client, as_role, row):
    got = {}
    for role in ("probe", "anna", "sender", "admin"):
        answer = await client.request(row.method, row.path, json=row.body, headers=as_role(role))
        got[role] = answer.status_code
    assert got == {role: getattr(row, role) for role in got}


async def test_a_role_is_refused_before_anything_else_of_a_request_is_looked_at(client, as_role):
    # A rotation is refused for its key, a probe sometimes for what it asks for: not for the role.
    rows = [row for row in ROWS if row.body is not None and not row.path.endswith("/rotate")]
    said = {}
    for row in rows:
        roles = ("sender",) if row.path == "/test-smtp" else ("probe", "anna", "sender")
        for role in (role for role in roles if getattr(row, role) == 403):
            headers = as_role(role) | {"Content-Type": "application/json"}
            for path, content in ((row.path, "[]"), (row.path, "{"), (f"{row.path}?no=1", "{")):
                answer = await client.request(row.method, path, content=content, headers=headers)
                said[role, row.method, path, content] = answer.status_code
    assert len(said) > 60
    assert {key: status for key, status in said.items() if status != 403} == {}


async def test_nobody_gets_in_without_a_credential(client):
    for row in ROWS:
        answer = await client.request(row.method, row.path, json=row.body)
        assert (answer.status_code, row) == (401, row)
        assert answer.headers["www-authenticate"] == 'Bearer realm="awizo"'


async def test_every_operation_but_the_open_ones_has_a_row_or_asks_who_calls(client):
    document = (await client.get("/openapi.json")).json()
    unguarded = [
        f"{method} {path}"
        for path, operations in document["paths"].items()
        for method, operation in operations.items()
        if path not in (*OPEN, "/metrics") and operation.get("security") != [{"bearer": []}]
    ]
    assert unguarded == []


async def test_every_operation_that_needs_a_credential_refuses_before_it_reads(client):
    document = (await client.get("/openapi.json")).json()
    for path, operations in document["paths"].items():
        for method in operations:
            if path in (*OPEN, "/metrics"):
                continue
            answer = await client.request(method, path, content=b"\xff not JSON")
            assert (method, path, answer.status_code) == (method, path, 401)


async def test_the_open_ones_need_none(client):
    for path in OPEN:
        assert (await client.get(path)).status_code in (200, 404, 503)
