"""Whatever JSON ``/send`` and ``/send/batch`` are given: an answer they document, never a 500.

Bodies are made of the real members with likely and odd values, so that most get far.
"""

import json

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from app.api.batch_order import BatchMessageBody
from tests.doors.sending import configure
from tests.effort import ONE_ENGINE, look

pytestmark = pytest.mark.anyio

ODD_TEXTS = st.one_of(
    st.text(max_size=20),
    st.sampled_from(
        ["", " ", "a@b.example", "A <a@b.example>, c@d.example;", "<", '"', "{numer}", "<html><p>{numer}",
         "{?numer}x{/numer}", "overdue-reminder", "document", "test", "pl", "en", "x\r\nBcc: a@b.example",
         "2026-11-23T08:00:00Z", "9999-12-31T23:59:59Z", "0001-01-01T00:00:00+14:00", "eA==", "JVBERi0=",
         "application/pdf", "multipart/mixed", "text/calendar; method=REQUEST", "a.pdf", "../../x", "CON",
         "never", "None", "on-success", "auto", "zip", "none", "PLN", "reminder", "anna", "\u202e", "𝕏"]
    ),
)  # fmt: skip
ODD = st.one_of(
    st.none(), st.booleans(), st.integers(-(10**30), 10**30),
    st.floats(allow_nan=False, allow_infinity=False),
    ODD_TEXTS,
)  # fmt: skip
VALUES = st.recursive(
    ODD,
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(
            st.sampled_from(
                ["address", "name", "type", "value", "amount", "currency", "number", "numer", "customer",
                 "filename", "content", "content_type", "content_id", "protect", "issued_on", "due_on",
                 "days_overdue", "outstanding", "z dnia", "x/y~z", ""]
            ),
            inner,
            max_size=4,
        )
    ),
    max_leaves=8,
)  # fmt: skip
MEMBERS = sorted(BatchMessageBody.model_fields)
MESSAGES = st.fixed_dictionaries(
    {},
    optional=dict.fromkeys(MEMBERS, VALUES) | {"to": st.just("a@b.example") | VALUES},
)  # fmt: skip
GOOD = {"to": "a@b.example", "subject": "s", "body": "b"}
SENT = st.builds(lambda good, odd: (GOOD if good else {}) | odd, st.booleans(), MESSAGES)
BATCHES = st.fixed_dictionaries(
    {"messages": st.lists(SENT, max_size=3) | VALUES},
    optional={
        "defaults": MESSAGES | VALUES,
        "mode": st.sampled_from(["partial", "all_or_nothing"]) | VALUES,
        "dry_run": st.booleans() | VALUES,
        "more": VALUES,
    },
)


@pytest.fixture
async def sender(client, as_role):
    """The header of an ERP's key; a global configuration is stored."""
    await configure(client, as_role("admin"), attachment_password="tajne")
    return as_role("sender") | {"Content-Type": "application/json"}


@pytest.mark.parametrize(("path", "bodies"), [("/send", SENT), ("/send/batch", BATCHES)])
@ONE_ENGINE
async def test_any_body_gets_an_answer(client, sender, path, bodies):
    answers = set()
    good = GOOD if path == "/send" else {"messages": [GOOD]}
    for body in [good, *_draw(bodies)]:
        answer = await client.post(path, content=json.dumps(body), headers=sender)
        assert answer.status_code in (202, 200, 400, 413, 422), (body, answer.text)
        if answer.status_code == 422:
            assert answer.json()["errors"], (body, answer.text)
        elif answer.status_code == 202:
            ids = [answer.json()["id"]] if path == "/send" else [
                each["id"] for each in answer.json()["data"] if "id" in each
            ]  # fmt: skip
            for each in ids:
                raw = await client.get(f"/messages/{each}/raw", headers=sender)
                assert raw.status_code == 200
                assert raw.content.isascii() or b"@" in raw.content
        answers.add(answer.status_code)
    assert {202, 422} <= answers


def _draw(bodies):
    """Return many examples; drawn outside the test, because an event loop cannot be nested."""
    drawn = []

    @settings(
        max_examples=look(80), deadline=None, database=None, suppress_health_check=list(HealthCheck)
    )
    @given(bodies)
    def collect(body):
        drawn.append(body)

    collect()
    return drawn
