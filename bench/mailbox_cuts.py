"""Connections to a mailbox cut at random bytes, and the count afterwards: real Dovecot, IMAP and POP3.

Per protocol and per what becomes of collected mail (``after``): so many cuts, while mail comes. missing
and doubled must be 0, and nothing may be left undone in the mailbox.
Run as root: python -m bench.mailbox_cuts [CUTS of each] [--seed 1] [--protocol imap]
"""

import argparse
import asyncio
import sys
import tempfile
import time
from pathlib import Path

from bench.stock import show_load
from tests.peers.cuts import WAYS, collect_with_cuts
from tests.peers.dovecot import USER, find_missing_dovecot, run_dovecot


def main() -> int:
    """Run every way and print a line of each; 1 where anything is amiss."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("cuts", type=int, nargs="?", default=100)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--protocol", choices=["imap", "pop3", "both"], default="both")
    options = parser.parse_args()
    if missing := find_missing_dovecot():
        print(missing)
        return 1
    amiss = False
    with run_dovecot() as dovecot:
        for protocol, after in WAYS:
            if options.protocol not in (protocol, "both"):
                continue
            dovecot.run("expunge", "-u", USER, "mailbox", "INBOX", "all")
            start = time.perf_counter()
            with tempfile.TemporaryDirectory() as folder:
                work = collect_with_cuts(
                    Path(folder), dovecot, protocol, after, options.cuts, options.seed
                )
                count = asyncio.run(work)
            amiss |= not count.is_good
            seconds = time.perf_counter() - start
            print(f"{protocol:5} {after:7} {count} ({seconds:.0f} s; {show_load()})", flush=True)
    return amiss


if __name__ == "__main__":
    sys.exit(main())
