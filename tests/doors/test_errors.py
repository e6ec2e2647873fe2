"""Errors: one form for all of them, every fault at once, and never a 500 for what a caller sends."""

import json
import string

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from app.settings import Settings
from tests.effort import look

pytestmark = pytest.mark.anyio

MEMBERS = {
    "type", "title", "status", "detail", "instance", "code", "errors", "retryable", "request_id",
}  # fmt: skip
MOST_BYTES = 4096


@pytest.fixture(name="settings")
def small_settings(sqlite_url, tmp_path) -> Settings:
    """One engine is enough: no row is reached; small bounds keep the tests small."""
    return Settings(
        data_dir=tmp_path / "data", database_url=sqlite_url, max_request_bytes=MOST_BYTES
    )


def check_problem(answer, status, code=None):
    assert answer.status_code == status, answer.text
    assert answer.headers["content-type"] == "application/problem+json"
    problem = answer.json()
    assert set(problem) == MEMBERS
    assert problem["status"] == status
    assert problem["request_id"] == answer.headers["x-request-id"]
    assert code is None or problem["code"] == code
    return problem


async def post(client, headers, content, media_type="application/json"):
    if isinstance(content, str):
        content = content.encode()
    return await client.post(
        "/keys", content=content, headers=headers | {"Content-Type": media_type}
    )


@pytest.mark.parametrize(
    "body",
    [
        "{", "}", "[1,]", "{'role': 'admin'}", '{"role" "admin"}', "tru", "{}{}", "// {}",
        '{"name": "\\ud800"}', '{"\\udfff": 1}', '{"name": "\\x41"}', '{"name": "a\nb"}',
        '{"expires_at": NaN}', '{"expires_at": Infinity}', '{"expires_at": -Infinity}', "01", "+1",
        b"\xff\xfe{\x00}\x00", b'{"name": "\xff"}', b'{"name": "\xed\xa0\x80"}', b"\x00", " ",
        '{"a":' * 500 + "1" + "}" * 500, "[" * 4000,
    ],
)  # fmt: skip
async def test_what_is_no_json_is_malformed(client, as_role, body):
    check_problem(await post(client, as_role("admin"), body), 400, "malformed_json")


@pytest.mark.parametrize(
    ("body", "pointer", "code"),
    [
        ('{"name": "a\\u0000b"}', "/name", "invalid_character"),
        ('{"a\\u0000b": 1}', "/a\u0000b", "invalid_character"),
        ('{"expires_at": 1e999}', "/expires_at", "out_of_range"),
        ('{"deep": [{"list": [0, -1e999]}]}', "/deep/0/list/1", "out_of_range"),
        ('{"a/b~c": "\\u0000"}', "/a~1b~0c", "invalid_character"),
        ('"\\u0000"', "", "invalid_character"),
    ],
)
async def test_what_no_database_takes_is_refused_wherever_it_stands(
    client, as_role, body, pointer, code
):
    problem = check_problem(await post(client, as_role("admin"), body), 422, code)
    assert [(each["pointer"], each["code"]) for each in problem["errors"]] == [(pointer, code)]


@pytest.mark.parametrize(
    "body",
    [
        "",
        "null",
        "true",
        "0",
        '""',
        "[]",
        "[{}]",
        "{}",
        "1" + "0" * 4000,
        "9" * 4096,
        "1e5",
        "-0.0",
    ],
)
async def test_json_of_another_shape_is_refused(client, as_role, body):
    check_problem(await post(client, as_role("admin"), body), 422)


async def test_every_fault_is_told_with_its_pointer(client, as_role):
    body = '{"rolle": 1, "name": [], "user": {}, "a/b": {"c": 1}}'
    problem = check_problem(await post(client, as_role("admin"), body), 422)
    assert {(each["pointer"], each["code"]) for each in problem["errors"]} == {
        ("/role", "required"),
        ("/name", "wrong_type"),
        ("/user", "wrong_type"),
        ("/rolle", "unknown_field"),
        ("/a~1b", "unknown_field"),
    }
    assert problem["detail"] == "5 things are wrong."


async def test_null_is_the_same_as_absent(client, as_role):
    body = '{"role": "probe", "name": "x", "user": null, "expires_at": null, "more": null}'
    assert (await post(client, as_role("admin"), body)).status_code == 201
    problem = check_problem(await post(client, as_role("admin"), '{"role": null}'), 422)
    assert [each["code"] for each in problem["errors"]] == ["required", "required"]


@pytest.mark.parametrize(
    "media_type",
    ["text/plain", "application/x-www-form-urlencoded", "multipart/form-data; boundary=x", "", "json",
     "application/xml", "application/jsonp", "text/json"],
)  # fmt: skip
async def test_a_body_that_does_not_say_it_is_json_is_not_read(client, as_role, media_type):
    answer = await post(client, as_role("admin"), '{"role": "probe", "name": "x"}', media_type)
    check_problem(answer, 415, "unsupported_media_type")


@pytest.mark.parametrize(
    "media_type",
    ["application/json", "Application/JSON; charset=utf-8", "application/merge-patch+json"],
)
async def test_json_by_any_of_its_names_is_read(client, as_role, media_type):
    answer = await post(client, as_role("admin"), '{"role": "probe", "name": "x"}', media_type)
    assert answer.status_code == 201


async def test_a_body_over_the_bound_is_refused_before_it_is_read(client, as_role):
    read = []

    async def body():
        read.append(1)
        yield b"x" * (MOST_BYTES + 1)

    headers = as_role("admin") | {"Content-Length": str(MOST_BYTES + 1)}
    answer = await client.post("/keys", content=body(), headers=headers)
    check_problem(answer, 413, "too_large")
    assert answer.headers["x-request-id"]
    assert read == []


async def test_a_chunked_body_is_cut_off_at_the_bound(client, as_role):
    read = []

    async def body():
        for _ in range(1000):
            read.append(1)
            yield b" " * 1024

    headers = as_role("admin") | {"Content-Type": "application/json"}
    check_problem(await client.post("/keys", content=body(), headers=headers), 413, "too_large")
    assert len(read) == MOST_BYTES / 1024 + 1


async def test_a_body_of_exactly_the_bound_is_read(client, as_role):
    body = '{"role": "probe", "name": "x"}'
    answer = await post(client, as_role("admin"), body + " " * (MOST_BYTES - len(body)))
    assert answer.status_code == 201


async def test_nobody_unknown_has_a_body_read(client):
    read = []

    async def body():
        read.append(1)
        yield b"{}"

    check_problem(await client.post("/keys", content=body()), 401, "unauthenticated")
    assert read == []


@pytest.mark.parametrize("length", ["-1", "x", "9" * 30, "1, 2", "１"])
async def test_a_length_that_is_none_does_no_harm(client, as_role, length):
    headers = as_role("admin") | {"Content-Length": length.encode()}
    answer = await client.post("/keys", content=b"{}", headers=headers)
    assert answer.status_code in (413, 415)


@pytest.mark.parametrize(
    ("method", "path", "allowed"),
    [
        ("PUT", "/keys", {"GET", "HEAD", "POST"}),
        ("GET", "/keys/01j", {"DELETE"}),
        ("POST", "/users/anna", {"GET", "HEAD", "PUT"}),
        ("DELETE", "/healthz", {"GET", "HEAD"}),
        ("OPTIONS", "/keys", {"GET", "HEAD", "POST"}),
        ("TRACE", "/keys", {"GET", "HEAD", "POST"}),
        ("HEAD", "/keys/01j", {"DELETE"}),
        ("PATCH", "/openapi.json", {"GET", "HEAD"}),
    ],
)
async def test_a_wrong_method_says_which_are_right(client, method, path, allowed):
    answer = await client.request(method, path)
    assert answer.status_code == 405
    assert set(answer.headers["allow"].split(", ")) == allowed
    if method != "HEAD":
        check_problem(answer, 405, "method_not_allowed")


@pytest.mark.parametrize(
    "path",
    ["/", "/nothing", "/keys/", "/KEYS", "//keys", "/keys/a/b", "/docs", "/%00", "/%ff", "/users/a%2Fb",
     "/keys/../x", "/.env", "/żółć", "/" + "a" * 10_000],
)  # fmt: skip
async def test_an_unknown_path_is_not_found(client, as_role, path):
    check_problem(await client.get(path, headers=as_role("admin")), 404, "not_found")


@pytest.mark.parametrize(
    "query",
    ["limit=0", "limit=501", "limit=-1", "limit=x", "limit=1.5", "limit=", "limit=" + "9" * 5000,
     "limit=%00", "after=%00", "after=x", "after=" + "x" * 2000, "after=%ff%fe", "after=bnVsbA",
     "include_revoked=maybe", "after=WyJhXHUwMDAwYiJd", "after=WyJcdWQ4MDAiXQ", "after=WzFd", "x=%00"],
)  # fmt: skip
async def test_a_query_that_makes_no_sense_is_refused(client, as_role, query):
    check_problem(await client.get(f"/keys?{query}", headers=as_role("admin")), 422)


@pytest.mark.parametrize("query", ["", "&", "limit=1&limit=2", "include_revoked=1"])
async def test_a_query_that_says_nothing_does_no_harm(client, as_role, query):
    assert (await client.get(f"/keys?{query}", headers=as_role("admin"))).status_code == 200


@pytest.mark.parametrize("query", ["=", "a=b", "%ff=%ff", "q=%ED%A0%80", "limt=1"])
async def test_a_parameter_that_does_not_exist_is_refused_and_not_overlooked(
    client, as_role, query
):
    answer = await client.get(f"/keys?{query}", headers=as_role("admin"))
    assert check_problem(answer, 422)["code"] == "unknown_parameter"


async def test_a_byte_order_mark_before_the_json_is_none_of_it(client, as_role):
    answer = await post(client, as_role("admin"), "\ufeff{}")
    assert {each["pointer"] for each in check_problem(answer, 422)["errors"]} == {"/role", "/name"}


@pytest.mark.parametrize("path", ["/keys/%00", "/keys/a%00b", "/users/%00"])
async def test_a_nul_in_a_path_is_refused(client, as_role, path):
    for method in ("DELETE", "PUT"):
        answer = await client.request(method, path, json={}, headers=as_role("admin"))
        assert answer.status_code in (405, 422)


@pytest.mark.parametrize("given", ["ticket-17", "a", "x" * 64, "01J:Z/9+=._-"])
async def test_a_request_id_of_the_caller_comes_back(client, given):
    answer = await client.get("/keys", headers={"X-Request-Id": given})
    assert check_problem(answer, 401)["request_id"] == given


@pytest.mark.parametrize(
    "given",
    [b"", b"x" * 65, b"a b", b"a\tb", b"<script>", "ż".encode(), b"\xff", b"a\r\nSet-Cookie: x"],
)
async def test_a_request_id_that_could_do_harm_is_replaced(client, given):
    answer = await client.get("/keys", headers={"X-Request-Id": given})
    made = check_problem(answer, 401)["request_id"]
    assert set(made) <= set(string.hexdigits)
    assert len(made) == 24
    assert "set-cookie" not in answer.headers


async def test_every_answer_has_an_id_of_its_own(client):
    ids = {(await client.get("/healthz")).headers["x-request-id"] for _ in range(20)}
    assert len(ids) == 20


async def test_a_stopping_process_answers_503_and_says_when_to_come_again(client, as_role, office):
    headers = as_role("admin")
    office.db.close()
    answer = await client.get("/keys", headers=headers)
    problem = check_problem(answer, 503, "stopping")
    assert problem["retryable"] is True
    assert int(answer.headers["retry-after"]) > 0


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inside: st.lists(inside, max_size=4) | st.dictionaries(st.text(), inside, max_size=4),
    max_leaves=12,
)
KEY_BODY = st.fixed_dictionaries(
    {},
    optional={
        "role": JSON | st.sampled_from(["admin", "USER", "probe"]),
        "name": JSON,
        "user": JSON,
        "expires_at": JSON | st.datetimes().map(lambda at: at.isoformat() + "+14:00"),
    },
)


@pytest.mark.parametrize(
    ("method", "path"), [("POST", "/keys"), ("PUT", "/users/anna"), ("POST", "/keys/x/rotate")]
)
@given(body=JSON | KEY_BODY)
@settings(
    max_examples=look(25),
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)
async def test_no_json_at_all_makes_a_500(client, as_role, method, path, body):
    content = json.dumps(body).encode("utf-8", "surrogatepass")
    answer = await client.request(
        method, path, content=content[:MOST_BYTES],
        headers=as_role("admin") | {"Content-Type": "application/json"},
    )  # fmt: skip
    assert answer.status_code in (200, 201, 400, 403, 422)


@given(raw=st.binary(max_size=60))
@settings(
    max_examples=look(25),
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)
async def test_no_path_and_no_query_makes_a_500(client, as_role, raw):
    escaped = "".join(f"%{byte:02X}" for byte in raw)
    for url in (
        f"/users/{escaped}",
        f"/keys?after={escaped}",
        f"/audit?object={escaped}&{escaped}",
    ):
        answer = await client.get(url, headers=as_role("admin"))
        assert answer.status_code in (200, 404, 422)
