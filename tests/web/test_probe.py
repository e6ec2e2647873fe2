"""Trying a mail server beside the form, on unsaved values, against real servers."""

import re
from html import unescape

import pytest

from app.web.screens.probe import END_OF_PANEL
from tests.crafts.wire.certificates import make_authority
from tests.crafts.wire.real_server import PASSWORD, USER, serve
from tests.web.test_config import GLOBAL, find_value, read

pytestmark = pytest.mark.anyio
TEST = f"{GLOBAL}/test"


def fill(port, **more):
    return {
        "smtp.host": "127.0.0.1", "smtp.port": str(port), "smtp.connection": "plaintext",
        "smtp.username": USER,
        "smtp.password": PASSWORD, "smtp.allow_insecure_auth": "on", "smtp.tls_verify": "on",
        "sender.address": USER, "bcc": "archiwum@firma.example", "probe.mode": "send",
    } | {name.replace("__", "."): value for name, value in more.items()}  # fmt: skip


async def test_a_test_message_goes_out_on_values_that_are_not_saved(signed_in, client, as_role):
    browser = await signed_in("admin")
    async with serve(None, clear_auth=True) as mailbox:
        answer = await browser.submit(GLOBAL, TEST, **fill(mailbox.port))
    assert "the server took the test message" in answer.text
    assert sorted(mailbox.received[0].rcpt_tos) == [USER, "archiwum@firma.example"]
    assert "<code>archiwum@firma.example</code>" in answer.text
    assert await read(client, as_role) is None


async def test_a_refused_password_shows_the_servers_words_the_cause_and_advice_in_ones_language(
    signed_in,
):
    browser = await signed_in("admin")
    async with serve(None, clear_auth=True) as mailbox:
        answer = await browser.submit(
            f"{GLOBAL}?lang=pl", TEST, **fill(mailbox.port, smtp__password="falsch!")
        )
    assert "credentials_refused" in answer.text and "535" in answer.text
    assert '<html lang="pl">' in answer.text and "hasł" in answer.text
    panel = answer.text.partition('id="report"')[2]
    assert "falsch!" not in panel and mailbox.received == []


async def test_what_would_help_is_put_into_the_form(signed_in, client, as_role, tmp_path):
    browser = await signed_in("admin")
    authority = make_authority(tmp_path)
    async with serve(authority.make_server_context()) as mailbox:
        given = fill(mailbox.port, smtp__connection="ssl_tls", smtp__ca_pem=authority.pem)
        answer = await browser.submit(GLOBAL, TEST, **given)
        assert "tls_failed" in answer.text
        fix = unescape(re.search(r'name="fix" value="([^"]+)"', answer.text)[1])
        answer = await browser.submit(GLOBAL, f"{GLOBAL}/mend", **given, fix=fix)
        shown = re.search(r'name="smtp.connection".*?</select>', answer.text, re.DOTALL)[0]
        assert 'value="starttls" selected' in shown
        answer = await browser.submit(GLOBAL, TEST, **given | {"smtp.connection": "starttls"})
        assert "the server took the test message" in answer.text and "TLSv1.3" in answer.text
    assert await read(client, as_role) is None


async def test_a_fix_that_was_made_up_puts_nothing_else_in(signed_in):
    browser = await signed_in("admin")
    made_up = '{"csrf": "x", "smtp.port": 7, "version": "9", "smtp.host": "mended.example"}'
    for fix in ("{", "[]", made_up):
        answer = await browser.submit(GLOBAL, f"{GLOBAL}/mend", **fill(25), fix=fix)
        assert answer.status_code == 200
    assert find_value(answer.text, "smtp.host") == "mended.example"
    assert find_value(answer.text, "smtp.port") == "25"
    assert find_value(answer.text, "version") == ""


async def test_steps_arrive_one_after_the_other_and_at_last_the_report(signed_in):
    browser = await signed_in("admin")
    async with serve(None, clear_auth=True) as mailbox:
        answer = await browser.submit(GLOBAL, TEST, **fill(mailbox.port), live="1")
    *panels, rest = answer.text.split(END_OF_PANEL)
    assert rest == ""
    counts = [panel.count("<li class=") for panel in panels]
    assert counts == sorted(counts) and counts[0] == 0 and len(panels) > 6
    assert "aria-busy" in panels[0] and "the server took the test message" in panels[-1]
    assert PASSWORD not in answer.text


async def test_a_user_sees_no_step_before_the_end(signed_in):
    browser = await signed_in("anna")
    path = "/ui/config/users/anna"
    given = fill(2, **{"own.smtp": "on", "own.sender": "on"})
    given["smtp.port"] = "25"
    answer = await browser.submit(path, f"{path}/test", **given, live="1")
    assert answer.text.count(END_OF_PANEL) == 2


async def test_a_form_that_cannot_be_tried_names_its_faults(signed_in):
    browser = await signed_in("admin")
    given = fill(25, smtp__host="", probe__to="nobody")
    answer = await browser.submit(GLOBAL, TEST, **given)
    assert answer.status_code == 422
    assert 'id="e-smtp.host"' in answer.text and "nobody" in answer.text
    answer = await browser.submit(GLOBAL, TEST, **given, live="1")
    assert "The test did not run." in answer.text and "Mail server" in answer.text


async def test_only_an_admin_sends_tests_elsewhere(signed_in):
    browser = await signed_in("anna")
    path = "/ui/config/users/anna"
    answer = await browser.submit(path, f"{path}/test", **fill(25), **{"probe.to": "x@y.example"})
    assert answer.status_code == 403
