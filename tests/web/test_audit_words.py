"""Every action of the audit trail has words, and the list shows them."""

import ast
import re
from pathlib import Path

import pytest

import app
from app.accounts.audit import SYSTEM, record
from app.db import metadata
from app.outbox.event_types import EVENT_TYPES
from app.web.screens.audit_words import ACTIONS
from tests.web.test_accounts import list_texts, read_page

ROOT = Path(app.__file__).parent
AREAS = {each.partition(".")[0] for each in ACTIONS}
NAME = re.compile(rf"({'|'.join(AREAS)})\.[a-z_]+")


def parse_program():
    """Every module beside the page itself, by its path, without what is said about it."""
    for path in ROOT.rglob("*.py"):
        name = str(path.relative_to(ROOT))
        if not name.startswith("web/") and name != "outbox/event_types.py":
            yield name, ast.parse(path.read_text())


def list_constants():
    return {
        each.value
        for _, tree in parse_program()
        for each in ast.walk(tree)
        if isinstance(each, ast.Constant) and isinstance(each.value, str)
    }


def list_put_together():
    """The names that are put together of an area and a word, such as f"webhook.{action}"."""
    found, words = set(), {}
    for name, tree in parse_program():
        for each in ast.walk(tree):
            if isinstance(each, ast.JoinedStr) and isinstance(each.values[0], ast.Constant):
                area = each.values[0].value.removesuffix(".")
                if area in AREAS and each.values[0].value.endswith("."):
                    found.add((name, area))
            if isinstance(each, ast.Call) and ast.unparse(each.func) == "_record":
                words.setdefault(name, set()).add(ast.literal_eval(each.args[2]))
    return found, words


def test_every_action_of_the_code_has_words_and_every_event_is_in_the_registry():
    columns = {str(column) for table in metadata.tables.values() for column in table.columns}
    events = {each for types in EVENT_TYPES.values() for each in types}
    named = {each for each in list_constants() if NAME.fullmatch(each)} - events
    named -= columns - set(ACTIONS)
    assert len(named) > 30
    assert set(EVENT_TYPES) <= AREAS
    assert named - set(ACTIONS) == set(), "an action without words, or an event not in the registry"
    put_together = {f"webhook.{each}" for each in list_put_together()[1]["webhooks/edit.py"]}
    put_together |= {"suppression.create", "suppression.change"}
    assert set(ACTIONS) - named == put_together - named, "words for what is no more"


def test_names_are_put_together_only_where_this_test_looks():
    events = {("outbox/accept.py", "recipient"), ("outbox/resend.py", "recipient")}
    events |= {("outbox/rows.py", "recipient"), ("inbox/reports.py", "recipient")}
    assert list_put_together()[0] == events | {
        ("webhooks/edit.py", "webhook"),
        ("outbox/suppressions.py", "suppression"),
    }


@pytest.mark.anyio
async def test_the_list_says_what_was_done_and_filters_by_it(signed_in, office):
    for action in ("key.rotate", "later.than_this_page"):
        await office.db.write(record, SYSTEM, action, "keys/x", None, None, office.clock())
    browser = await signed_in("admin")
    page = read_page(await browser.get("/ui/audit?action=key.rotate"))
    assert list_texts(page, "tbody td[data-label=Action]") == ["A key was replaced"]
    assert page.css_first("tbody td[data-label=Action] [title='key.rotate']")
    assert page.css_first("select[name=action] option[selected]").text() == "A key was replaced"
    page = read_page(await browser.get("/ui/audit?action=later.than_this_page"))
    assert list_texts(page, "tbody td[data-label=Action]") == ["later.than_this_page"]
    assert page.css_first("option[value='later.than_this_page'][selected]")
