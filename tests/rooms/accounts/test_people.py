"""User ids, and the rows they leave."""

import unicodedata
from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.accounts.people import check_user_id, ensure_person, read_person
from app.db import Database
from app.errors import Refused

AT = datetime(2026, 11, 22, tzinfo=UTC)


@given(st.text(max_size=300))
def test_a_text_is_a_user_id_or_refused_with_its_reason(text):
    try:
        user = check_user_id(text, "/user")
    except Refused as refused:
        assert [(each.pointer, each.code) for each in refused.faults] == [("/user", "invalid_user")]
        return
    assert 1 <= len(user) <= 128
    assert user == unicodedata.normalize("NFC", text) == check_user_id(user)
    assert user.encode()  # storable: no lone surrogate
    assert not set(user) & {"/", "\0", "\n"}


@pytest.mark.parametrize("text", ["", " ", ".", "..", "a/b", "a\tb", "\x7f", "\ud800", "x" * 129])
def test_what_a_url_or_a_database_would_garble_is_refused(text):
    with pytest.raises(Refused):
        check_user_id(text)


def test_a_long_spelling_of_a_short_id_is_taken():
    assert check_user_id(unicodedata.normalize("NFD", "ż" * 128)) == "ż" * 128


@pytest.mark.anyio
async def test_a_user_is_made_once_and_kept(database_url):
    db = Database(database_url)
    assert await db.read(read_person, "anna") is None
    await db.write_grouped(ensure_person, "anna", AT)
    await db.write_grouped(ensure_person, "anna", AT.replace(year=2027))
    person = await db.read(read_person, "anna")
    assert person is not None
    assert (person.id, person.created_at, person.active_scope) == ("anna", AT, "global")
    assert (person.name, person.address, person.language) == (None, None, None)
    db.close()
