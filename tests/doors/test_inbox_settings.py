"""What an account says of the mail that comes back: stored, calculated, shown, and used by ``/send``."""

import pytest

from app.outbox.document_tag import read_tag
from tests.doors.sending import LETTER, configure, read_mail

pytestmark = pytest.mark.anyio


async def test_what_comes_back_is_configured_and_shown_with_the_minutes_it_comes_to(
    client, as_role
) -> None:
    alert = {"after_min": "60*24*2", "to": "Szef <szef@firma.example>", "hours": {"days": [5, 1]}}
    given = {"append_to": "complaint", "document_address": True, "answer_alert": alert}
    await configure(client, as_role("admin"), **given)
    shown = (await client.get("/config/global", headers=as_role("admin"))).json()
    assert (shown["append_to"], shown["document_address"]) == ("complaint", True)
    assert shown["answer_alert"] == {
        "after_min": 2880,
        "to": [{"address": "szef@firma.example", "name": "Szef"}],
        "hours": {"from": "08:00", "to": "16:00", "days": [1, 5], "timezone": "UTC"},
    }
    again = await client.put("/config/global", json=shown, headers=as_role("admin"))
    assert again.status_code == 200, again.text


async def test_a_message_with_a_document_asks_for_answers_at_its_own_address(
    client, as_role, office
) -> None:
    await configure(client, as_role("admin"), document_address=True)
    body = LETTER | {"reference": {"number": "FV 12/2026"}, "answer_within_min": "24*60"}
    sent = await client.post("/send", json=body, headers=as_role("sender"))
    assert sent.status_code == 202, sent.text
    mail = await read_mail(client, as_role("sender"), sent.json()["id"])
    address = mail["Reply-To"].addresses[0]
    assert address.display_name == "Firma Sp. z o.o."
    assert read_tag(office.vault, address.addr_spec) == sent.json()["id"]
