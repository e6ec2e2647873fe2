"""Templates and macros: scopes, languages, versions, dormant ones, rendering."""

import pytest

pytestmark = pytest.mark.anyio

GLOBAL = {
    "smtp": {"host": "smtp.firma.example"},
    "sender": {"address": "faktury@firma.example", "name": "Dział faktur"},
    "macros": {"firma": "Firma Sp. z o.o."},
}
TEXT = {
    "subject": "Dokument {numer}",
    "body": "Dzień dobry, {kontrahent}.\n{wysyłający}, {firma}\n",
}
# The vendor's own example, which ends wrongly and must work (seed 004).
SYMFONIA = """<html>
<head>
<meta charset="utf-8">
</head>
<body>
<H2>Szanowni Państwo</H2>
<p>W załączeniu przesyłamy dokument o następującym numerze: <b>{numer}</b>.</p>
<p></p>
<p>Z poważaniem</p>
<p></p>
<p>{wysyłający}</p>
<p>{firma}</p>
<img src="https://pomoc.symfonia.pl/assets/img/logo_symfonia_product.png">
</body>
</head>
"""


@pytest.fixture
async def configured(client, as_role):
    """A global configuration."""
    made = await client.put("/config/global", json=GLOBAL, headers=as_role("admin"))
    assert made.status_code == 201, made.text


async def put(client, headers, url, text=TEXT, **more):
    return await client.put(url, json={**text, **more}, headers=headers)


async def test_built_in_texts_hold_until_a_scope_saves_its_own(client, as_role, configured):
    admin = as_role("admin")
    before = (await client.get("/templates/document", headers=admin)).json()
    assert before["origin"] == "builtin" and before["language"] == "pl"
    made = await put(client, admin, "/config/global/templates/document")
    assert made.status_code == 201 and made.json()["version"] == 1
    assert made.headers["etag"] == '"1"'
    after = (await client.get("/templates/document", headers=admin)).json()
    assert after["origin"] == "global" and after["subject"] == TEXT["subject"]
    gone = await client.delete("/config/global/templates/document", headers=admin)
    assert gone.status_code == 204
    assert (await client.get("/templates/document", headers=admin)).json() == before
    missing = await client.get("/config/global/templates/document", headers=admin)
    assert missing.status_code == 404


async def test_every_version_is_kept_and_an_old_one_put_again_restores_it(
    client, as_role, configured
):
    admin, url = as_role("admin"), "/config/global/templates/umowy.2026"
    await put(client, admin, url, subject="pierwsza")
    await put(client, admin, url, subject="druga")
    assert (await put(client, admin, url, subject="druga")).json()["version"] == 2
    old = (await client.get(f"{url}/versions/1", headers=admin)).json()
    restored = await client.put(url, json=old, headers=admin)
    assert restored.json()["version"] == 3 and restored.json()["subject"] == "pierwsza"
    await client.delete(url, headers=admin)
    await put(client, admin, url, subject="czwarta")
    first = (await client.get(f"{url}/versions?limit=3", headers=admin)).json()
    rest = (await client.get(f"{url}/versions?after={first['next']}", headers=admin)).json()
    listed = first["data"] + rest["data"]
    assert [(each["version"], each["subject"]) for each in listed] == [
        (4, "czwarta"), (3, "pierwsza"), (2, "druga"), (1, "pierwsza"),
    ]  # fmt: skip
    assert set(listed[0]) == {"version", "subject", "saved_at", "saved_by"}
    assert listed[0]["saved_by"] == "admin" and rest["next"] is None
    assert (await client.get(f"{url}/versions/9", headers=admin)).status_code == 404


async def test_a_stale_etag_is_refused(client, as_role, configured):
    admin, url = as_role("admin"), "/config/global/templates/document"
    first = await put(client, admin, url)
    await put(client, admin, url, subject="nowy")
    stale = admin | {"If-Match": first.headers["etag"]}
    assert (await put(client, stale, url, subject="mój")).status_code == 412
    assert (await client.delete(url, headers=stale)).status_code == 412


async def test_a_first_personal_template_makes_and_activates_a_configuration_that_inherits(
    client, as_role, configured
):
    anna = as_role("anna")
    made = await put(client, anna, "/config/users/anna/templates/document")
    assert made.status_code == 201 and made.json()["dormant"] is False
    own = (await client.get("/config/users/anna", headers=anna)).json()
    assert own["active_scope"] == "personal" and "smtp" not in own
    seen = (await client.get("/config/effective", headers=anna)).json()
    assert seen["sender"]["address"] == {"value": "faktury@firma.example", "origin": "global"}
    found = (await client.get("/templates/document", headers=anna)).json()
    assert found["origin"] == "users/anna"


async def test_personal_templates_are_dormant_while_the_global_scope_is_active(
    client, as_role, configured
):
    anna = as_role("anna")
    await put(client, anna, "/config/users/anna/templates/document")
    await put(client, anna, "/config/users/anna/templates/moje")
    url = "/config/users/anna/active-scope"
    await client.put(url, json={"scope": "global"}, headers=anna)
    found = (await client.get("/templates/document", headers=anna)).json()
    assert found["origin"] == "builtin"
    assert (await client.get("/templates/moje", headers=anna)).status_code == 404
    stored = (await client.get("/config/users/anna/templates/moje", headers=anna)).json()
    assert stored["dormant"] is True
    listed = {
        each["name"]: each for each in (await client.get("/templates", headers=anna)).json()["data"]
    }
    assert listed["moje"]["origin"] is None
    assert listed["moje"]["variants"] == [
        {"language": "pl", "origin": "users/anna", "dormant": True}
    ]
    assert listed["document"]["languages"] == ["en", "fr", "pl"]
    assert {"language": "pl", "origin": "builtin", "dormant": False} in listed["document"][
        "variants"
    ]
    again = await put(client, anna, "/config/users/anna/templates/moje", subject="inny")
    assert "template_dormant" in [each["code"] for each in again.json()["warnings"]]


async def test_the_list_tells_the_origin_of_what_a_send_would_use(client, as_role, configured):
    admin = as_role("admin")
    await put(client, admin, "/config/global/templates/contract?language=fr")
    await put(client, admin, "/config/users/anna/templates/contract")
    mine, common = [
        {each["name"]: each for each in (await client.get(url, headers=admin)).json()["data"]}
        for url in ("/templates?user=anna", "/templates")
    ]
    assert mine["contract"]["origin"] == "users/anna" and mine["contract"]["language"] == "pl"
    assert common["contract"]["origin"] == "builtin"
    assert [(each["language"], each["origin"]) for each in mine["contract"]["variants"]] == [
        ("en", "builtin"), ("fr", "global"), ("pl", "users/anna"),
    ]  # fmt: skip
    assert set(common) == {"document", "documents", "contract", "overdue-reminder", "test"}


@pytest.mark.parametrize(
    ("asked", "user_language", "config_language", "found"),
    [
        (None, None, None, ("builtin", "pl")),
        ("fr", None, None, ("builtin", "fr")),  # language before scope
        ("en", None, None, ("users/anna", "en")),
        ("en-GB", None, None, ("users/anna", "en")),
        ("EN_gb", None, None, ("users/anna", "en")),
        ("de", None, None, ("global", "de")),
        ("it", "fr", None, ("builtin", "fr")),
        ("it", "it", "de", ("global", "de")),
        (None, None, "en", ("users/anna", "en")),
        ("it", None, "cs", ("builtin", "pl")),
    ],
)
async def test_language_comes_before_scope(
    client, as_role, asked, user_language, config_language, found
):
    admin = as_role("admin")
    await client.put("/config/global", json={**GLOBAL, "language": config_language}, headers=admin)
    await client.put("/users/anna", json={"language": user_language}, headers=admin)
    await put(client, admin, "/config/users/anna/templates/document?language=en")
    await put(client, admin, "/config/global/templates/document?language=de")
    await put(client, admin, "/config/global/templates/document?language=en")
    query = "?user=anna" + (f"&language={asked}" if asked else "")
    answer = (await client.get(f"/templates/document{query}", headers=admin)).json()
    assert (answer["origin"], answer["language"]) == found


async def test_any_language_is_better_than_none(client, as_role, configured):
    admin = as_role("admin")
    await put(client, admin, "/config/global/templates/zamówienie?language=de")
    answer = (await client.get("/templates/zamówienie?language=fr", headers=admin)).json()
    assert answer["language"] == "de" and answer["origin"] == "global"


async def test_without_a_language_the_scope_s_own_is_meant(client, as_role):
    admin = as_role("admin")
    await client.put("/config/global", json={**GLOBAL, "language": "fr"}, headers=admin)
    made = await put(client, admin, "/config/global/templates/document")
    assert made.json()["language"] == "fr"
    await client.put("/users/anna", json={"language": "en"}, headers=admin)
    made = await put(client, admin, "/config/users/anna/templates/document")
    assert made.json()["language"] == "en"


async def test_the_vendor_s_example_is_saved_with_a_warning_and_renders(
    client, as_role, configured
):
    admin = as_role("admin")
    made = await put(client, admin, "/config/global/templates/document", body=SYMFONIA)
    assert made.status_code == 201
    assert "html_end_missing" in [each["code"] for each in made.json()["warnings"]]
    answer = await client.post(
        "/templates/render",
        json={"name": "document", "macros": {"numer": "FV <1>/2026"}},
        headers=admin,
    )
    shown = answer.json()
    assert answer.status_code == 200, answer.text
    assert shown["subject"] == "Dokument FV <1>/2026"
    assert "<b>FV &lt;1&gt;/2026</b>" in shown["html"] and "FV <1>/2026" in shown["text"]
    assert "<p>Dział faktur</p>" in shown["html"] and "Firma Sp. z o.o." in shown["html"]


@pytest.mark.parametrize(
    ("given", "faults"),
    [
        ({"body": "x"}, {("/subject", "required")}),
        ({"subject": "ż" * 10_000, "body": "x" * 12_769}, {("/body", "template_too_large")}),
        ({**TEXT, "requires": ["{"], "strict_macros": "yes"}, {("/strict_macros", "wrong_type")}),
        ({**TEXT, "requires": ["numer", "{"]}, {("/requires/1", "invalid_macro_name")}),
        ({**TEXT, "colour": 1}, {("/colour", "unknown_field")}),
    ],
)
async def test_a_wrong_template_is_refused(client, as_role, configured, given, faults):
    answer = await client.put(
        "/config/global/templates/document", json=given, headers=as_role("admin")
    )
    assert answer.status_code == 422
    assert faults <= {(each["pointer"], each["code"]) for each in answer.json()["errors"]}


@pytest.mark.parametrize("name", ["-x", "a b", "a%20b", ".hidden", "x" * 129, "a%0Ab"])
async def test_a_template_s_name_is_a_plain_word(client, as_role, configured, name):
    answer = await put(client, as_role("admin"), f"/config/global/templates/{name}")
    assert answer.status_code == 422 and answer.json()["code"] == "invalid_name"
    shown = await client.get(f"/templates/{name}", headers=as_role("admin"))
    assert shown.status_code in (404, 422)


async def test_a_wrong_language_is_refused_everywhere(client, as_role, configured):
    admin, query = as_role("admin"), "?language=po%20polsku"
    for url in ("/templates/document", "/config/global/templates/document"):
        answer = await client.get(url + query, headers=admin)
        assert answer.status_code == 422 and answer.json()["code"] == "invalid_language"
    answer = await client.post(
        "/templates/render", json={"name": "test", "language": "po polsku"}, headers=admin
    )
    assert answer.json()["errors"][0]["pointer"] == "/language"


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        (
            {"subject": "{numer}", "body": "x", "macros": {"number": 7}},
            {"subject": "7", "html": None},
        ),
        ({"name": "document", "subject": "inny"}, {"subject": "inny", "origin": "builtin"}),
        ({"name": "overdue-reminder", "language": "fr", "level": 3}, {"language": "fr"}),
        ({"body": "{wysyłający}|{firma}"}, {"text": "Dział faktur|Firma Sp. z o.o."}),
        ({"body": "{wysyłający}", "user": "anna"}, {"text": "Anna Kowalska"}),
        ({"body": "{wystawiający}."}, {"text": "."}),
        (
            {
                "body": "{suma} {numery}",
                "documents": [{"numer": "A", "kwota": "2.50", "waluta": "pln"}],
            },
            {"text": "2,50\u00a0zł A"},
        ),
    ],
)
async def test_rendering_uses_scope_user_and_documents(
    client, as_role, configured, given, expected
):
    admin = as_role("admin")
    await client.put("/users/anna", json={"name": "Anna Kowalska"}, headers=admin)
    answer = await client.post("/templates/render", json=given, headers=admin)
    assert answer.status_code == 200, answer.text
    assert expected.items() <= answer.json().items()


@pytest.mark.parametrize(
    ("given", "faults"),
    [
        ({}, {("/name", "required")}),
        ({"name": "document", "level": 4}, {("/level", "out_of_range")}),
        (
            {"subject": "{numer} {umowa}", "body": "x", "requires": ["moje"]},
            {("/macros/numer", "macro_missing"), ("/macros/umowa", "macro_missing"),
             ("/macros/moje", "macro_missing")},
        ),
        ({"body": "{cokolwiek}", "strict_macros": True}, {("/macros/cokolwiek", "unknown_macro")}),
        (
            {"body": "x", "macros": {"a": []}, "documents": [{}]},
            {("/macros/a", "invalid_macro_value"), ("/documents/0/number", "missing_field")},
        ),
    ],
)  # fmt: skip
async def test_what_cannot_be_rendered_is_refused_with_every_reason(
    client, as_role, configured, given, faults
):
    answer = await client.post("/templates/render", json=given, headers=as_role("admin"))
    assert answer.status_code == 422
    assert {(each["pointer"], each["code"]) for each in answer.json()["errors"]} == faults


async def test_an_unknown_name_is_404_and_rendering_needs_no_configuration(client, as_role):
    admin = as_role("admin")
    missing = await client.post("/templates/render", json={"name": "nie ma"}, headers=admin)
    assert missing.status_code == 404 and missing.json()["code"] == "template_not_found"
    answer = await client.post("/templates/render", json={"name": "test"}, headers=admin)
    assert answer.status_code == 200, answer.text


async def test_what_macros_add_is_bounded(client, as_role, configured):
    given = {"body": "{a}" * 1000, "macros": {"a": "x" * 1000}}
    answer = await client.post("/templates/render", json=given, headers=as_role("admin"))
    assert answer.status_code == 422 and answer.json()["code"] == "rendered_too_large"


async def test_a_user_s_templates_are_their_own(client, as_role, configured):
    await put(client, as_role("anna"), "/config/users/anna/templates/document")
    url = "/config/users/anna/templates/document"
    assert (await client.get(url, headers=as_role("piotr"))).status_code == 404
    assert (await client.get(url, headers=as_role("sender"))).status_code == 200
    assert (await put(client, as_role("sender"), url)).status_code == 403
    assert (await put(client, as_role("anna"), "/config/global/templates/x")).status_code == 403
    other = await client.get("/templates?user=anna", headers=as_role("piotr"))
    assert other.status_code == 403
    render = {"name": "document", "user": "anna", "macros": {"numer": "1", "kontrahent": "x"}}
    assert (
        await client.post("/templates/render", json=render, headers=as_role("piotr"))
    ).status_code == 403


async def test_the_catalogue_of_macros_speaks_three_languages(client, as_role):
    data = (await client.get("/macros", headers=as_role("anna"))).json()["data"]
    names = [each["name"] for each in data]
    for name in ("numer", "numery", "umowa", "z dnia", "kontrahent", "firma", "wysyłający",
                 "data od", "data do", "wystawiający"):  # fmt: skip
        assert name in names
    for each in data:
        assert set(each["meaning"]) == {"pl", "fr", "en"} and each["example"] and each["type"]


async def test_template_changes_are_in_the_audit_trail(client, as_role, configured):
    admin, url = as_role("admin"), "/config/global/templates/document"
    await put(client, admin, url)
    await client.delete(url, headers=admin)
    trail = (await client.get("/audit", headers=admin)).json()["data"]
    actions = [each["action"] for each in trail if "templates" in each["object"]]
    assert actions == ["template.delete", "template.put"]
