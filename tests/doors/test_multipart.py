"""``POST /send`` as a form: a message part in JSON, and the files as they are."""

import json

import pytest

from tests.doors.sending import (
    LETTER,
    attach,
    configure,
    encode_form,
    list_faults,
    list_files,
    read_mail,
)
from tests.effort import ONE_ENGINE

pytestmark = pytest.mark.anyio

MESSAGE = json.dumps(LETTER)


@pytest.fixture
async def sender(client, as_role):
    """The header of an ERP's key; a global configuration is stored."""
    await configure(client, as_role("admin"))
    return as_role("sender")


async def post(client, headers, message, *files):
    body, header = encode_form(message, *files)
    return await client.post("/send", content=body, headers=headers | header)


async def test_file_parts_are_the_attachments(client, sender):
    answer = await post(
        client, sender, MESSAGE,
        ("FV 12.pdf", "application/pdf", b"%PDF-x\r\n--xy\r\n\0\xff"), ("pusty.txt", "text/plain", b""),
        ("zażółć.csv", "", b"a;b"), ("bez typu", "no type", b"1"),
    )  # fmt: skip
    assert answer.status_code == 202, answer.text
    assert [(each["filename"], each["content_type"]) for each in answer.json()["attachments"]] == [
        ("FV 12.pdf", "application/pdf"), ("pusty.txt", "text/plain"),
        ("zażółć.csv", "text/csv"), ("bez typu", "application/octet-stream"),
    ]  # fmt: skip
    files = list_files(await read_mail(client, sender, answer.json()["id"]))
    assert files["FV 12.pdf"] == b"%PDF-x\r\n--xy\r\n\0\xff"
    assert files["zażółć.csv"].strip() == "a;b"


async def test_the_message_may_say_more_of_a_file(client, sender):
    listed = [
        {"filename": "b.ics", "content_type": "text/calendar", "protect": "none"},
        attach("c.txt", b"c"),
        {"filename": "a.csv", "protect": "zip"},
    ]
    message = json.dumps(LETTER | {"attachments": listed, "attachment_password": "tajne"})
    answer = await post(
        client, sender, message,
        ("a.csv", "text/csv", b"a"), ("b.ics", "", b"b"), ("b.ics", "text/plain", b"other"),
    )  # fmt: skip
    assert [(each["filename"], each["protection"]) for each in answer.json()["attachments"]] == [
        ("b.ics", "none"), ("zalaczniki.zip", "zip_aes256"),
    ]  # fmt: skip


async def test_a_file_that_is_listed_and_not_sent_is_missed(client, sender):
    message = json.dumps(LETTER | {"attachments": [{"filename": "a.csv"}, {"filename": "b.csv"}]})
    answer = await post(client, sender, message, ("b.csv", "text/csv", b"b"))
    assert list_faults(answer) == [("/attachments/0/content", "required")]


async def test_the_files_of_a_form_have_the_bounds_of_all_attachments(client, sender):
    message = json.dumps(LETTER | {"attachments": [attach("a.csv", b"a")]})
    answer = await post(client, sender, message, ("x" * 256, "text/csv", b"b"))
    assert list_faults(answer) == [("/attachments/1/filename", "too_long")]
    answer = await post(client, sender, MESSAGE, ("a\0b.csv", "text/csv", b"b"))
    assert answer.status_code == 422
    assert list_faults(answer) == [("", "invalid_filename")]


@pytest.mark.parametrize(
    "body",
    [
        b"--xyz", b"no boundary at all", b"--xyz\r\n\r\n", b"--xyz\r\nbroken",
        b'--xyz\r\nContent-Disposition: form-data; name="message"\r\n\r\n{}',
        b'--xyz\r\nContent-Disposition: form-data; name="message"\r\n\r\n{}\r\n--xyz',
        b'--xyz\r\nContent-Disposition: form-data; name="message"\n\n{}\r\n--xyz--\r\n',
        b'--xyz\r\nContent-Disposition: \xff; name="message"\r\n\r\n{}\r\n--xyz--\r\n',
        b"--xyz\r\n" + b"X: y\r\n" * 5000 + b"\r\n{}\r\n--xyz--\r\n",
    ],
)  # fmt: skip
@ONE_ENGINE
async def test_what_is_no_form_is_malformed(client, sender, body):
    header = {"Content-Type": "multipart/form-data; boundary=xyz"}
    answer = await client.post("/send", content=body, headers=sender | header)
    assert (answer.status_code, answer.json()["code"]) == (400, "malformed_form")


@pytest.mark.parametrize(
    "media_type",
    ["multipart/form-data", "multipart/form-data; boundary=", 'multipart/form-data; boundary="',
     "multipart/form-data; boundary=" + "x" * 3000, "multipart/form-data; boundary=ż"],
)  # fmt: skip
async def test_a_form_needs_a_boundary(client, sender, media_type):
    header = {"Content-Type": media_type.encode()}
    answer = await client.post("/send", content=b"--xyz--\r\n", headers=sender | header)
    assert (answer.status_code, answer.json()["code"]) == (400, "malformed_form")


async def test_a_form_has_one_message_part_and_files(client, sender):
    body = b'--xyz\r\nContent-Disposition: form-data; name="to"\r\n\r\nx@y.example\r\n--xyz--\r\n'
    header = {"Content-Type": "multipart/form-data; boundary=xyz"}
    answer = await client.post("/send", content=body, headers=sender | header)
    assert list_faults(answer) == [("", "unknown_part"), ("", "message_part_missing")]
    body, header = encode_form("{not json")
    answer = await client.post("/send", content=body, headers=sender | header)
    assert (answer.status_code, answer.json()["code"]) == (400, "malformed_json")


async def test_more_files_than_a_message_takes_are_refused(client, sender):
    files = [(f"{number}.txt", "text/plain", b"x") for number in range(230)]
    answer = await post(client, sender, MESSAGE, *files)
    assert (answer.status_code, answer.json()["code"]) == (400, "malformed_form")
    files = files[:201]
    answer = await post(client, sender, MESSAGE, *files)
    assert (answer.status_code, list_faults(answer)) == (422, [("/attachments", "too_many")])
