"""Signatures and footers over HTTP: who has which, what is shown, what goes out."""

import base64

import pytest

from tests.doors.sending import CONFIG, LETTER, configure, list_faults, parse_mail, read_mail
from tests.effort import ONE_ENGINE

pytestmark = pytest.mark.anyio

SIGNATURE = {"html": "<p>{wysyłający}</p>"}
COMMON = {
    "signature": {"text": "Dział faktur, {firma}"},
    "footer": {"text": "KRS 0000012345"},
    "instance_footer": {"text": "Grupa Firma"},
    "product_footer": True,
}
PAGE = LETTER | {"body": "<html><body><p>Dzień dobry</p></body></html>", "as_user": "anna"}


@pytest.fixture
async def admin(client, as_role):
    """An admin's header; everything that can stand below a mail is configured, for anna too."""
    headers = as_role("admin")
    await configure(client, headers, **COMMON)
    await save_user(client, headers)
    return headers


async def save_user(client, headers, **members):
    body = {"name": "Anna Kowalska", "signature": SIGNATURE} | members
    answer = await client.put("/users/anna", json=body, headers=headers)
    assert answer.status_code == 200, answer.text
    return answer.json()


async def render(client, headers, **members):
    body = {"subject": "s", "body": "b", "user": "anna"} | members
    answer = await client.post("/templates/render", json=body, headers=headers)
    assert answer.status_code == 200, answer.text
    return answer.json()


def list_parts(shown):
    return [(each["part"], each["origin"]) for each in shown["parts"]]


ALL = [
    ("user_signature", "users/anna"), ("account_signature", "global"), ("account_footer", "global"),
    ("instance_footer", "global"), ("product_footer", "global"),
]  # fmt: skip


async def test_the_preview_shows_what_goes_out_and_where_it_comes_from(client, admin):
    shown = await render(client, admin, body=PAGE["body"], subject=PAGE["subject"])
    assert list_parts(shown) == ALL
    dry = (await client.post("/send", json=PAGE | {"dry_run": True}, headers=admin)).json()
    assert (dry["html"], dry["text"]) == (shown["html"], shown["text"])
    assert dry["parts"] == shown["parts"]
    sent = (await client.post("/send", json=PAGE, headers=admin)).json()
    for mail in (parse_mail_of(dry), await read_mail(client, admin, sent["id"])):
        assert read_body(mail, "html") == shown["html"]
        assert read_body(mail, "plain") == shown["text"]
    assert shown["text"] == (
        "Dzień dobry\n\n-- \nAnna Kowalska\n\nDział faktur, Firma Sp. z o.o.\n\nKRS 0000012345\n\n"
        "Grupa Firma\n\nWysłano przez Awizo"
    )


def parse_mail_of(dry):
    return parse_mail(base64.b64decode(dry["raw"]))


def read_body(mail, kind):
    return mail.get_body((kind,)).get_content().replace("\r\n", "\n").removesuffix("\n")


async def test_a_plain_text_mail_has_no_html(client, admin):
    sent = (await client.post("/send", json=PAGE | {"body": "Hi"}, headers=admin)).json()
    mail = await read_mail(client, admin, sent["id"])
    assert mail.get_content_type() == "text/plain"
    assert read_body(mail, "plain").startswith("Hi\n\n-- \nAnna Kowalska\n\nDział")


async def test_a_draft_and_the_test_mail_have_them_too(client, admin, as_role):
    await configure(client, admin, mode="draft", **COMMON)
    made = await client.post("/send", json=PAGE, headers=as_role("sender"))
    assert made.json()["status"] == "draft"
    mail = await read_mail(client, admin, made.json()["id"])
    assert "Anna Kowalska" in read_body(mail, "html")
    assert list_parts(await render(client, admin, name="test", subject=None, body=None)) == ALL


@pytest.mark.parametrize(
    ("closing", "parts"),
    [
        (None, ALL[2:]), (False, []), (True, ALL), ({"footer": False}, ALL[3:]),
        ({"signature": True, "product_footer": False}, ALL[1:4]),
    ],
)  # fmt: skip
async def test_account_and_message_switch_them(client, admin, closing, parts):
    switches = {"user_signature": False, "signature": False}
    await configure(client, admin, closing=switches, **COMMON)
    assert list_parts(await render(client, admin, closing=closing)) == parts
    body = PAGE | {"dry_run": True, "closing": closing}
    dry = (await client.post("/send", json=body, headers=admin)).json()
    assert list_parts(dry) == parts


OWN = {"text": "Moja"}


@pytest.mark.parametrize(
    ("personal", "parts"),
    [
        # A personal configuration without a sender writes as the common mailbox.
        ({}, ALL),
        ({"signature": OWN}, [ALL[0], ("account_signature", "users/anna"), *ALL[2:]]),
        ({"signature": ""}, [ALL[0], *ALL[2:]]),
        ({"closing": {"footer": False}}, [*ALL[:2], *ALL[3:]]),
        # With one it is an account of its own; the instance's footers are everybody's.
        ({"sender": {"address": "anna@firma.example"}}, [ALL[0], *ALL[3:]]),
        (
            {"sender": {"address": "anna@firma.example"}, "footer": OWN},
            [ALL[0], ("account_footer", "users/anna"), *ALL[3:]],
        ),
        (
            {"sender": {"address": "anna@firma.example"}, "closing": {"instance_footer": False}},
            [ALL[0], ALL[4]],
        ),
    ],
)
async def test_an_account_in_its_own_name_inherits_none(client, admin, personal, parts):
    made = await client.put("/config/users/anna", json=personal, headers=admin)
    assert made.status_code == 201, made.text
    assert list_parts(await render(client, admin)) == parts
    found = (await client.get("/config/effective?user=anna", headers=admin)).json()["closing"]
    assert [(name, each["origin"]) for name, each in found.items() if each["value"]] == parts


async def test_another_user_has_another_signature(client, admin):
    assert list_parts(await render(client, admin, user="piotr")) == ALL[1:]
    assert list_parts(await render(client, admin, user=None)) == ALL[1:]


async def test_a_signature_stays_until_it_is_given_again(client, admin, as_role):
    shown = await save_user(client, admin, signature=None, name="A. Kowalska")
    assert shown["signature"] == {"html": "<p>{wysyłający}</p>", "text": None}
    again = (await client.put("/users/anna", json=shown, headers=as_role("anna"))).json()
    assert again["signature"] == shown["signature"]
    trail = (await client.get("/audit?object=users/anna", headers=admin)).json()["data"]
    assert trail[0]["after"]["signature"] == SIGNATURE
    gone = await save_user(client, as_role("anna"), signature="")
    assert gone["signature"] is None
    assert list_parts(await render(client, admin)) == ALL[1:]


@ONE_ENGINE
async def test_advice_comes_with_saving(client, admin):
    shown = await save_user(client, admin, signature={"html": "<script>1</script>{numr}"})
    assert [(each["code"], each["pointer"]) for each in shown["warnings"]] == [
        ("not_shown_in_mail", "/signature/html"), ("unknown_macro", "/signature/html"),
    ]  # fmt: skip
    saved = await client.put(
        "/config/global", json=CONFIG | {"footer": {"text": "{firma} {telefon}"}}, headers=admin
    )
    assert [(each["code"], each["pointer"]) for each in saved.json()["warnings"]] == [
        ("unknown_macro", "/footer/text")
    ]


@ONE_ENGINE
async def test_a_macro_without_value_refuses_no_mail(client, admin):
    await save_user(client, admin, signature={"text": "Anna {umowa}"})
    body = PAGE | {"strict_macros": True}
    sent = await client.post("/send", json=body, headers=admin)
    assert sent.status_code == 202
    assert ("macro_missing_in_signature", "/macros/umowa") in [
        (each["code"], each["pointer"]) for each in sent.json()["warnings"]
    ]


@ONE_ENGINE
async def test_what_get_shows_can_be_put_back(client, admin):
    shown = (await client.get("/config/global", headers=admin)).json()
    assert {name: shown[name] for name in COMMON} == COMMON
    again = await client.put("/config/global", json=shown, headers=admin)
    assert again.status_code == 200, again.text
    patched = await client.patch(
        "/config/global", json={"footer": None, "closing": {"signature": False}}, headers=admin
    )
    assert "footer" not in patched.json() and patched.json()["closing"] == {"signature": False}


@ONE_ENGINE
async def test_the_instance_s_footers_are_global_only(client, admin):
    body = {"instance_footer": {"text": "x"}, "product_footer": False}
    answer = await client.put("/config/users/anna", json=body, headers=admin)
    assert (answer.status_code, list_faults(answer)) == (
        422, [("/instance_footer", "global_only"), ("/product_footer", "global_only")],
    )  # fmt: skip


@ONE_ENGINE
async def test_a_batch_takes_the_wish_from_its_defaults(client, admin):
    body = {"defaults": PAGE | {"closing": False}, "messages": [{}, {"closing": True}]}
    data = (await client.post("/send/batch", json=body, headers=admin)).json()["data"]
    mails = [await read_mail(client, admin, each["id"]) for each in data]
    texts = [read_body(mail, "plain") for mail in mails]
    assert ["Anna Kowalska" in text for text in texts] == [False, True]
