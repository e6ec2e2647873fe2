"""The page behind a password link names every server that gets the password, and no other."""

import pytest
from selectolax.lexbor import LexborHTMLParser

pytestmark = pytest.mark.anyio
ACCOUNT = {
    "smtp": {"host": "smtp.firma.example", "port": 465, "connection": "ssl_tls", "username": "faktury"},
    "sender": {"address": "faktury@firma.example"},
}  # fmt: skip
MAILBOX = {"host": "imap.firma.example", "port": 993, "connection": "ssl_tls"}


@pytest.mark.parametrize(
    ("incoming", "said", "kept_quiet"),
    [
        (None, "shown to this server alone", "imap"),
        (
            MAILBOX,
            "these two servers alone: smtp.firma.example:465 and imap.firma.example:993",
            "–",
        ),
        (MAILBOX | {"username": "other", "password": "own"}, "shown to this server alone", "imap"),
    ],
)
async def test_the_page_of_a_password_link_names_the_servers_that_get_it(
    signed_in, browser, client, as_role, incoming, said, kept_quiet
):
    given = ACCOUNT | ({"incoming": incoming} if incoming else {})
    made = await client.post("/accounts", json=given, headers=as_role("admin"))
    path = f"/accounts/{made.json()['id']}/password-link"
    token = (await client.post(path, headers=as_role("admin"))).json()["token"]
    html = (await browser.get(f"/ui/password/{token}")).text
    shown = " ".join(LexborHTMLParser(html).css_first("main").text().split())
    assert "smtp.firma.example:465" in shown
    assert said in shown and kept_quiet not in shown
    assert ("its mailbox be read" in shown) == ("two servers" in said)
