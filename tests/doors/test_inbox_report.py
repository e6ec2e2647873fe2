"""What OpenAPI says of a report is what is shown of one."""

from datetime import UTC, datetime

from app.api.shown_report import SHOWN_REPORT
from app.inbox.entry import describe
from app.mime.incoming import read_incoming
from tests.crafts.mime.corpus import load_corpus


def list_members(value, schema):
    """Members that stand in a value and not in its schema, or the other way round."""
    if isinstance(value, list):
        return [each for item in value for each in list_members(item, schema["items"])]
    if not isinstance(value, dict):
        return []
    other = [*(value.keys() ^ schema["properties"].keys())]
    return other + [
        each
        for name in value.keys() & schema["properties"].keys()
        for each in list_members(value[name], schema["properties"][name])
    ]


def test_every_member_of_every_report_of_the_corpus_is_described_and_no_other():
    at, kinds = datetime.now(UTC), set()
    for name, raw in load_corpus().items():
        report = describe(read_incoming(raw), "", at)["report"]
        if report is not None:
            kinds.add(report["kind"])
            assert list_members(report, SHOWN_REPORT) == [], name
    assert kinds == set(SHOWN_REPORT["properties"]["kind"]["enum"])
