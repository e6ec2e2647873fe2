"""Templates: the list, the editor, its preview, versions, and who may change what."""

import re

import pytest

from app.web.screens.templates_edit import NOTICES
from tests.doors.sending import configure

pytestmark = pytest.mark.anyio
LIST, EDIT = "/ui/templates", "/ui/templates/edit"
HTML = "<html><body><p>Dokument {numer} dla {kontrahent}</p></body></html>"
DOCUMENT = {"name": "document", "language": "pl"}


@pytest.fixture
async def admin(client, as_role, signed_in):
    """The browser of an administrator; a common configuration is stored."""
    await configure(client, as_role("admin"))
    return await signed_in("admin")


async def save(browser, subject="Dokument {numer}", body=HTML, **fields):
    """Save a template, as from a page opened before anything was saved unless told otherwise."""
    fields = {**DOCUMENT, "version": "", "subject": subject, "body": body, **fields}
    return await browser.submit(EDIT + "?name=document", f"{LIST}/save", **fields)


async def test_the_list_says_where_each_language_comes_from(admin):
    await save(admin)
    page = (await admin.get(LIST)).text
    assert "pl · common" in page and "fr · built-in" in page
    assert "overdue-reminder" in page


async def test_the_list_says_when_a_template_was_used_last(admin, client, as_role):
    body = {"to": "a@klient.example", "template": "document", "macros": {"numer": "1"}}
    await client.post("/send", json=body, headers=as_role("sender"))
    row = (await admin.get(LIST)).text.partition(">document</a>")[2].partition("</tr>")[0]
    assert "<time datetime=" in row


async def test_a_text_is_saved_as_the_next_version_and_used(admin, client, as_role):
    answer = await save(admin)
    assert answer.headers["location"] == f"{EDIT}?name=document&language=pl"
    page = (await admin.get(answer.headers["location"])).text
    assert "Saved as version 1." in page and "common, version 1" in page
    used = await client.get("/templates/document?language=pl", headers=as_role("sender"))
    assert used.json()["body"] == HTML


async def test_what_is_refused_stays_in_the_form(admin):
    answer = await save(admin, body="<html>" + "ą" * 20_000)
    assert answer.status_code == 422
    assert 'aria-invalid="true"' in answer.text and "40,022 of 32,768 bytes" in answer.text
    assert "ąąąą" in answer.text and 'value="Dokument {numer}"' in answer.text


async def test_somebody_elses_newer_version_is_not_overwritten(admin):
    await save(admin)
    answer = await save(admin, body="<html>two</html>", version="0")
    assert answer.status_code == 412 and "Somebody saved it since" in answer.text
    assert "<html>two" not in answer.text and "&lt;html&gt;two" in answer.text


async def test_a_language_without_a_text_begins_with_another(admin):
    page = (await admin.get(EDIT, params={"name": "document", "language": "de"})).text
    assert "There is no text in de yet. This is the one in pl" in page


@pytest.mark.parametrize(
    ("body", "said"),
    [
        ("<html>\n{numre}</html>", ["Line 2", "{numre} is not in the catalogue; the nearest is {numer}"]),
        ("<html><img src='https://x.example/a.png'></html>", ["remote image", "without alt"]),
        ("<html>{numer}", ["no &lt;/html&gt;"]),
        ("<html>{numer}</html>", ["Nothing is doubtful."]),
    ],
)  # fmt: skip
async def test_the_check_names_lines_and_what_is_doubtful(admin, body, said):
    admin.headers["HX-Request"] = "true"
    answer = await admin.submit(
        EDIT + "?name=document", f"{LIST}/check", **DOCUMENT, subject="A", body=body
    )
    assert "<html" not in answer.text.replace("&lt;", "")
    text = answer.text.replace("&#39;", "'")
    assert all(each in text for each in said), text


async def test_the_check_speaks_the_visitors_language(admin):
    admin.headers["HX-Request"] = "true"
    await admin.get(f"{LIST}?lang=pl")
    answer = await admin.submit(
        EDIT + "?name=document",
        f"{LIST}/check",
        **DOCUMENT,
        subject="",
        body="<html>{numre}</html>",
    )
    assert "Wiersz 1" in answer.text and "{numre}" in answer.text and "catalogue" not in answer.text


async def test_without_scripts_the_check_is_a_page_with_the_form(admin):
    answer = await admin.submit(
        EDIT + "?name=document", f"{LIST}/check", **DOCUMENT, subject="A", body="<html>{numre}"
    )
    assert "&lt;html&gt;{numre}" in answer.text and "Line 1" in answer.text


async def test_the_preview_is_filled_with_samples_in_a_frame_that_can_do_nothing(admin):
    fields = DOCUMENT | {"subject": "A", "body": HTML}
    shown = await admin.submit(EDIT + "?name=document", f"{LIST}/preview", **fields)
    assert "Dokument FV 12/2026 dla Klient Sp. z o.o." in shown.text
    assert shown.headers["content-security-policy"].startswith("sandbox;")
    text = await admin.submit(EDIT + "?name=document", f"{LIST}/preview", **fields, view="text")
    assert "<pre>Dokument FV 12/2026" in text.text
    fields |= {"body": "<html>{cokolwiek}</html>", "strict": "on"}
    refused = await admin.submit(EDIT + "?name=document", f"{LIST}/preview", **fields)
    assert refused.status_code == 422 and "{cokolwiek}" in refused.text
    assert refused.headers["content-security-policy"].startswith("sandbox;")


async def test_a_stored_text_is_shown_in_every_language_side_by_side(admin):
    page = (await admin.get(f"{LIST}/languages", params={"name": "document"})).text
    frames = re.findall(r'sandbox src="([^"]+)"', page)
    assert len(frames) == 3
    shown = [(await admin.get(each.replace("&amp;", "&"))).text for each in frames]
    assert all("FV 12/2026" in each for each in shown) and len(set(shown)) == 3
    gone = await admin.get(f"{LIST}/shown", params={"name": "document", "language": "de"})
    assert gone.status_code == 404


async def test_only_the_editor_may_write_a_style_sheet_and_only_by_its_word(admin):
    one, two = await admin.get(EDIT + "?name=document"), await admin.get(EDIT + "?name=document")
    policies = [each.headers["content-security-policy"] for each in (one, two)]
    assert "'nonce-" in policies[0] and policies[0] != policies[1]
    assert "unsafe" not in policies[0] and "script-src 'self';" in policies[0]
    assert "nonce" not in (await admin.get(LIST)).headers["content-security-policy"]


async def test_versions_are_compared_and_restored(admin, client, as_role):
    await save(admin, body="<html>\none\ncommon\n</html>")
    await save(admin, body="<html>\ntwo\ncommon\n</html>")
    page = await admin.get(f"{LIST}/version", params=DOCUMENT | {"version": 1})
    assert 'class="gone"><b>−</b> one' in page.text and 'class="new"><b>+</b> two' in page.text
    answer = await admin.submit(EDIT + "?name=document", f"{LIST}/restore", **DOCUMENT, version="1")
    assert answer.status_code == 303
    used = await client.get("/templates/document?language=pl", headers=as_role("sender"))
    assert "one" in used.json()["body"]
    assert "Restored as version 3." in (await admin.get(LIST)).text


async def test_it_goes_back_to_the_built_in_text_and_versions_stay(admin):
    await save(admin)
    answer = await admin.submit(EDIT + "?name=document", f"{LIST}/remove", **DOCUMENT)
    page = (await admin.get(answer.headers["location"])).text
    assert "built-in" in page and "Compare and restore" in page and f"{LIST}/remove" not in page


async def test_a_test_goes_to_one_address_and_the_form_stays(admin, client, as_role):
    fields = DOCUMENT | {
        "subject": "Próba {numer}",
        "body": "<html>nie zapisane</html>",
        "once": "x",
    }
    page = EDIT + "?name=document"
    answer = await admin.submit(page, f"{LIST}/test", **fields, to="ja@firma.example")
    assert "The test is on its way." in answer.text and "nie zapisane" in answer.text
    sent = (await client.get("/messages", headers=as_role("admin"))).json()["data"]
    assert [(each["subject"], each["recipients"][0]["address"]) for each in sent] == [
        ("Próba FV 12/2026", "ja@firma.example")
    ]
    again = await admin.submit(page, f"{LIST}/test", **fields, to="ja@firma.example")
    assert sent[0]["id"] in again.text
    another = fields | {"once": "y"}
    wrong = await admin.submit(page, f"{LIST}/test", **another, to="nikt")
    assert wrong.status_code == 422 and 'id="e-to"' in wrong.text
    assert len((await client.get("/messages", headers=as_role("admin"))).json()["data"]) == 1


async def test_a_user_writes_own_texts_only(admin, signed_in, client, as_role):
    anna = await signed_in("anna")
    answer = await save(anna)
    assert answer.status_code == 303 and "user=anna" in answer.headers["location"]
    used = await client.get("/templates/document?language=pl", headers=as_role("anna"))
    assert used.json()["origin"] == "users/anna"
    assert (await save(anna, user="piotr")).status_code == 403
    own = (await admin.get(LIST, params={"user": "anna"})).text
    assert "pl · personal" in own
    assert "pl · built-in" in (await admin.get(LIST)).text


async def test_a_sender_looks_but_does_not_change(admin, signed_in):
    sender = await signed_in("sender")
    page = (await sender.get(EDIT + "?name=document")).text
    assert "You may look at this text, but not change it." in page and ">Save<" not in page
    assert (await save(sender)).status_code == 403
    removed = await sender.submit(LIST, f"{LIST}/remove", **DOCUMENT)
    assert removed.status_code == 403


@pytest.mark.parametrize("action", ["save", "remove", "restore", "test", "preview", "check"])
async def test_nothing_is_done_without_the_pages_token(admin, action):
    answer = await admin.post(f"{LIST}/{action}", data=DOCUMENT | {"csrf": "x", "version": "1"})
    assert answer.status_code == 403


def test_every_notice_of_the_lint_has_words_in_every_language():
    from app.templates_engine.lint import lint
    from app.templates_engine.parse import compile_template

    body = "<html>{numre} {?umowa}<style>{numer}</style><img src='//x'><form></form>"
    found = {each.code for each in lint(compile_template("", body + "x" * 30_000))}
    found |= {each.code for each in lint(compile_template("a", "<html></html> behind"))}
    assert len(found) >= 8
    assert found - set(NOTICES) == set()
