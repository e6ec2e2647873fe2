"""The OpenAPI document: one form of error everywhere, names that stay, nothing left unsaid."""

import re

import pytest

from app.main import create_app
from app.settings import Settings

METHODS = {"get", "put", "post", "delete", "patch"}


@pytest.fixture(scope="module")
def document(tmp_path_factory):
    return create_app(Settings(data_dir=tmp_path_factory.mktemp("data"))).openapi()


def list_operations(document):
    return [
        (f"{method} {path}", operation)
        for path, operations in document["paths"].items()
        for method, operation in operations.items()
        if method in METHODS
    ]


def test_every_operation_has_a_readable_name_of_its_own(document):
    names = [operation["operationId"] for _, operation in list_operations(document)]
    assert len(names) == len(set(names)) > 20
    assert [name for name in names if not re.fullmatch(r"[a-z]+(_[a-z]+)*", name)] == []


def test_every_operation_says_what_it_does_and_where_it_belongs(document):
    tags = {tag["name"] for tag in document["tags"]}
    for name, operation in list_operations(document):
        assert operation.get("description"), name
        assert set(operation["tags"]) <= tags, name


def test_every_operation_may_answer_with_a_problem(document):
    for name, operation in list_operations(document):
        content = operation["responses"]["default"]["content"]
        assert content == {
            "application/problem+json": {"schema": {"$ref": "#/components/schemas/Problem"}}
        }, name
        assert "422" not in operation["responses"], name


def test_the_problem_has_an_example_that_fits_it(document):
    problem = document["components"]["schemas"]["Problem"]
    [example] = problem["examples"]
    assert set(example) == set(problem["required"]) == set(problem["properties"])


def test_every_reference_leads_somewhere(document):
    named = set(re.findall(r"'#/components/schemas/([^']+)'", str(document)))
    assert named <= set(document["components"]["schemas"])


def test_every_member_of_a_configuration_says_what_it_means(document):
    put = document["paths"]["/config/global"]["put"]
    body, shown = put["requestBody"], put["responses"]["200"]
    for each, name in ((body, "ConfigurationBody"), (shown, "Configuration")):
        schema = each["content"]["application/json"]["schema"]
        assert schema == {"$ref": f"#/components/schemas/{name}"}
    members = document["components"]["schemas"]["ConfigurationBody"]["properties"]
    for block in ("smtp", "sender", "incoming", "answer_alert"):
        members = members | {f"{block}.{name}": of for name, of in
                             members[block]["properties"].items()}  # fmt: skip
    silent = {name for name, of in members.items() if not of.keys() & {"description", "properties"}}
    assert silent == set()


def test_the_guide_names_every_role_and_the_way_in(document):
    guide = document["info"]["description"]
    for word in ("Authorization: Bearer", "Idempotency-Key", "`admin`", "`probe`", "request_id"):
        assert word in guide
    assert document["components"]["securitySchemes"]["bearer"]["scheme"] == "bearer"
