"""A private Dovecot with IMAP (and POP3 where it is installed) on high loopback ports, in a folder.

Clear text with STARTTLS and implicit TLS, certificate for 127.0.0.1; PLAIN, LOGIN, CRAM-MD5. The
Sent folder of ``USER`` is called Wysłane and marked ``\\Sent``; OTHER has none.
"""

import contextlib
import os
import shutil
import socket
import subprocess
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from tests.crafts.wire.certificates import make_authority
from tests.peers.postfix import NOBODY, _path, wait_until

USER, OTHER, PASSWORD = "anna@firma.example", "piotr@firma.example", "zażółć und lang"
PEOPLE = [f"user{number}@firma.example" for number in range(30)]
START_S = 30.0

CONF = """\
base_dir = {folder}/run
state_dir = {folder}/run
log_path = {folder}/log
protocols = {protocols}
listen = 127.0.0.1
ssl = yes
ssl_cert = <{certificate}
ssl_key = <{key}
disable_plaintext_auth = no
auth_mechanisms = plain login cram-md5
auth_failure_delay = 0
mail_max_userip_connections = 0
default_login_user = nobody
default_internal_user = nobody
default_internal_group = nogroup
mail_location = maildir:{folder}/mail/%n
first_valid_uid = 1
passdb {{
  driver = passwd-file
  args = scheme=PLAIN {folder}/users
}}
userdb {{
  driver = static
  args = uid={nobody} gid={nobody} home={folder}/mail/%n
}}
namespace inbox {{
  inbox = yes
  separator = /
  mailbox Wysłane {{
    auto = no
    special_use = \\Sent
  }}
}}
service imap-login {{
  chroot =
  inet_listener imap {{
    port = {imap}
  }}
  inet_listener imaps {{
    port = {imaps}
    ssl = yes
  }}
}}
service anvil {{
  chroot =
  unix_listener anvil-auth-penalty {{
    mode = 0
  }}
}}
"""
POP3_CONF = """\
service pop3-login {{
  chroot =
  inet_listener pop3 {{
    port = {pop3}
  }}
  inet_listener pop3s {{
    port = {pop3s}
    ssl = yes
  }}
}}
"""


@dataclass(frozen=True)
class Dovecot:
    """The running server. ca_pem: who signed its certificate."""

    folder: Path
    ports: dict[str, int]
    ca_pem: str

    def read(self, user: str, box: str = "") -> list[tuple[str, bytes]]:
        """Return name (its flags behind ``:2,``) and content of what lies in a folder."""
        place = self.folder / "mail" / user.partition("@")[0] / box
        found = []
        for path in (each for part in ("new", "cur") for each in sorted((place / part).glob("*"))):
            with contextlib.suppress(FileNotFoundError):  # taken away or marked meanwhile
                found.append(
                    (path.name, path.read_bytes().replace(b"\n", b"\r\n"))
                )  # LF in maildirs
        return found

    def put(self, user: str, raw: bytes, box: str = "") -> None:
        """Let a message arrive."""
        command = ["doveadm", "-c", str(self.folder / "conf"), "save", "-u", user, "-m"]
        subprocess.run([*command, box or "INBOX"], input=raw, check=True, timeout=20,
                       env={"PATH": _path()}, capture_output=True)  # fmt: skip

    def drop(self, user: str, raw: bytes, box: str = "") -> None:
        """Let a message arrive as a delivery agent does, in a millisecond; CRLF as it is given."""
        place = self.folder / "mail" / user.partition("@")[0] / box
        name = f"{time.time_ns()}.drop.example"
        for part in ("tmp", "new", "cur"):
            if not (place / part).is_dir():
                (place / part).mkdir(parents=True)
                shutil.chown(place, NOBODY, NOBODY)
                shutil.chown(place / part, NOBODY, NOBODY)
        (place / "tmp" / name).write_bytes(raw)
        shutil.chown(place / "tmp" / name, NOBODY, NOBODY)
        (place / "tmp" / name).rename(place / "new" / name)

    def run(self, *command: str) -> str:
        """Run ``doveadm``."""
        words = ["doveadm", "-c", str(self.folder / "conf"), *command]
        done = subprocess.run(
            words, check=True, timeout=20, env={"PATH": _path()}, capture_output=True, text=True
        )
        return done.stdout


def find_missing_dovecot() -> str | None:
    """Say what this machine lacks, or None."""
    if os.geteuid() != 0:
        return "Dovecot needs root to start"
    return None if shutil.which("dovecot", path=_path()) else "not installed: dovecot"


@contextlib.contextmanager
def run_dovecot(more: str = "") -> Iterator[Dovecot]:
    """Start it; stop it and remove its folder at the end. more: configuration beside its own."""
    folder = Path(tempfile.mkdtemp(prefix="awizo-dovecot-", dir="/tmp"))
    folder.chmod(0o755)
    for name in ("run", "mail", "certificates"):
        (folder / name).mkdir()
    shutil.chown(folder / "mail", NOBODY, NOBODY)
    authority = make_authority(folder / "certificates")
    certificate, key = authority.issue("127.0.0.1")
    ports = dict(zip(("imap", "imaps", "pop3", "pop3s"), _find_ports(4), strict=True))
    (folder / "users").write_text(
        "".join(f"{user}:{PASSWORD}\n" for user in (USER, OTHER, *PEOPLE))
    )
    has_pop3 = Path("/usr/lib/dovecot/pop3").exists()
    values = {"folder": folder, "nobody": NOBODY, "certificate": certificate, "key": key, **ports}
    values["protocols"] = "imap pop3" if has_pop3 else "imap"
    text = CONF + POP3_CONF if has_pop3 else CONF
    (folder / "conf").write_text(text.format(**values) + more, encoding="utf-8")
    if not has_pop3:
        del ports["pop3"], ports["pop3s"]
    with (folder / "out").open("wb") as output:
        process = subprocess.Popen(
            ["dovecot", "-F", "-c", str(folder / "conf")],
            stdout=output,
            stderr=output,
            env={"PATH": _path()},
            process_group=0,
        )

    def tell() -> str:
        return "".join(
            path.read_text() for path in (folder / "out", folder / "log") if path.exists()
        )

    try:
        for port in ports.values():
            wait_until(lambda port=port: _listens(port), START_S, tell)
        running = Dovecot(folder, ports, authority.pem)
        running.run("mailbox", "create", "-u", USER, "Wysłane")
        yield running
    finally:
        process.terminate()
        process.wait(20)
        shutil.rmtree(folder)


def _find_ports(count: int) -> list[int]:
    with contextlib.ExitStack() as stack:
        sockets = [stack.enter_context(socket.socket()) for _ in range(count)]
        for each in sockets:
            each.bind(("127.0.0.1", 0))
        return [each.getsockname()[1] for each in sockets]


def _listens(port: int) -> bool:
    try:
        with socket.create_connection(("127.0.0.1", port), timeout=5):
            return True
    except OSError:
        return False
