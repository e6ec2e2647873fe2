"""A line to a real mailbox that is cut at random: a few cuts of ``python -m bench.mailbox_cuts``."""

from pathlib import Path

import pytest

from tests.peers.cuts import WAYS, collect_with_cuts
from tests.peers.dovecot import Dovecot

pytestmark = [pytest.mark.anyio, pytest.mark.peer, pytest.mark.usefixtures("emptied")]


@pytest.mark.parametrize(("protocol", "after"), WAYS)
async def test_whatever_is_cut_every_mail_is_stored_once_and_the_mailbox_as_it_should_be(
    tmp_path: Path, dovecot: Dovecot, protocol: str, after: str
) -> None:
    count = await collect_with_cuts(tmp_path, dovecot, protocol, after, cuts=12, seed=4)
    assert count.cuts >= 12
    assert count.is_good, str(count)
