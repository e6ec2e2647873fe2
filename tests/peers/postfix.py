"""A private Postfix, with Dovecot to check its logins, in a folder of its own.

Nothing of the machine's configuration is read or changed; high loopback ports, maildirs in the
folder. Two listeners: `submission_port` (STARTTLS and login demanded) and `relay_port` (neither).
Recipients at ``gone.example`` are accepted and bounce, those at ``dalej.example`` go on by SMTP without
DSN, those at ``later.example`` wait until ``open_later``; a warning comes after a second.
``lista@klient.example`` is two people; ``brak@klient.example`` does not exist.
"""

import contextlib
import os
import shutil
import socket
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from email import message_from_bytes, policy
from email.message import EmailMessage
from pathlib import Path

from tests.crafts.wire.certificates import make_authority

USER, PASSWORD = "anna@firma.example", "geheim und lang"
NOBODY = 65534
START_S = 30.0

MAIN_CF = """\
compatibility_level = 3.6
queue_directory = {folder}/queue
data_directory = {folder}/data
maillog_file = {folder}/log/mail.log
maillog_file_prefixes = {folder}
mail_owner = postfix
setgid_group = postdrop
myhostname = mx.klient.example
inet_interfaces = loopback-only
inet_protocols = ipv4
mydestination =
local_recipient_maps =
alias_maps =
mynetworks = 127.0.0.0/8
smtpd_relay_restrictions = permit_mynetworks, reject_unauth_destination
message_size_limit = 1000000
smtpd_error_sleep_time = 0
virtual_mailbox_domains = firma.example, klient.example
virtual_mailbox_maps = inline:{{ {{ anna@firma.example = anna/ }} {{ jan@klient.example = jan/ }}
  {{ ewa@klient.example = ewa/ }} {{ żółw@klient.example = zolw/ }} }}
virtual_mailbox_base = {folder}/mail
virtual_uid_maps = static:{nobody}
virtual_gid_maps = static:{nobody}
recipient_delimiter = +
relay_domains = gone.example, later.example, dalej.example
transport_maps = inline:{{ {{ gone.example = gone: }} {{ later.example = later: }}
  {{ dalej.example = smtp:[127.0.0.1]:{further} }} }}
virtual_alias_maps = inline:{{ {{ lista@klient.example = jan@klient.example, ewa@klient.example }} }}
delay_warning_time = 1s
queue_run_delay = 1s
minimal_backoff_time = 1s
maximal_backoff_time = 1s
smtpd_tls_cert_file = {certificate}
smtpd_tls_key_file = {key}
smtpd_sasl_type = dovecot
smtpd_sasl_path = private/auth
smtpd_tls_auth_only = yes
"""

MASTER_CF = """\
127.0.0.1:{submission} inet n - n - - smtpd
  -o smtpd_tls_security_level=encrypt
  -o smtpd_sasl_auth_enable=yes
  -o smtpd_client_restrictions=permit_sasl_authenticated,reject
127.0.0.1:{relay} inet n - n - - smtpd
127.0.0.1:{further} inet n - n - - smtpd
  -o myhostname=mx.dalej.example
  -o smtpd_discard_ehlo_keywords=dsn
  -o cleanup_service_name=further
further unix n - n - 0 cleanup
  -o virtual_alias_maps=inline:{{{{ @dalej.example = ewa@klient.example }}}}
smtp unix - - n - - smtp
pickup unix n - n 60 1 pickup
cleanup unix n - n - 0 cleanup
qmgr unix n - n 1 1 qmgr
tlsmgr unix - - n 1000? 1 tlsmgr
rewrite unix - - n - - trivial-rewrite
bounce unix - - n - 0 bounce
defer unix - - n - 0 bounce
trace unix - - n - 0 bounce
verify unix - - n - 1 verify
proxymap unix - - n - - proxymap
error unix - - n - - error
retry unix - - n - - error
virtual unix - n n - - virtual
gone unix - n n - - pipe user=nobody argv=/bin/sh -c {{ exit 67 }}
later unix - n n - - pipe flags=X user=nobody argv=/bin/sh -c {{ test -e {folder}/open || exit 75 }}
anvil unix - - n - 1 anvil
scache unix - - n - 1 scache
postlog unix-dgram n - n - 1 postlogd
"""

DOVECOT_CONF = """\
base_dir = {folder}/dovecot
state_dir = {folder}/dovecot
log_path = {folder}/log/dovecot.log
protocols =
ssl = no
disable_plaintext_auth = no
auth_mechanisms = plain login cram-md5
passdb {{
  driver = passwd-file
  args = scheme=PLAIN {folder}/users
}}
userdb {{
  driver = static
  args = uid={nobody} gid={nobody} home={folder}/mail
}}
service auth {{
  unix_listener {folder}/queue/private/auth {{
    mode = 0660
    user = postfix
    group = postfix
  }}
}}
"""


@dataclass(frozen=True)
class Postfix:
    """The running pair. ca_pem: who signed the certificate (for 127.0.0.1)."""

    folder: Path
    submission_port: int
    relay_port: int
    ca_pem: str

    def read_mail(self, user: str) -> list[EmailMessage]:
        """Return what lies in a user's maildir."""
        return [message_from_bytes(raw, policy=policy.default) for raw in self.read_raw(user)]

    def read_raw(self, user: str) -> list[bytes]:
        """Return the files of a user's maildir."""
        return [path.read_bytes() for path in sorted((self.folder / "mail" / user).glob("new/*"))]

    def wait_for_mail(self, user: str, wanted: Callable[[EmailMessage], bool]) -> EmailMessage:
        """Return the first wanted message of a user, within 20 s."""
        found: list[EmailMessage] = []

        def look() -> bool:
            found[:] = [message for message in self.read_mail(user) if wanted(message)]
            return bool(found)

        wait_until(look, 20, self.read_log)
        return found[0]

    def wait_until_empty(self) -> None:
        """Wait until nothing waits in the queue, within 20 s."""
        queues = [self.folder / "queue" / name for name in ("incoming", "active", "maildrop")]

        def is_empty() -> bool:
            return not any(path.is_file() for queue in queues for path in queue.rglob("*"))

        wait_until(is_empty, 20, self.read_log)

    def open_later(self) -> None:
        """Let what waits for ``later.example`` be delivered."""
        (self.folder / "open").touch()

    def read_log(self) -> str:
        """Return what Postfix has logged so far."""
        return (self.folder / "log" / "mail.log").read_text()

    def wait_for_log(self, words: str) -> None:
        """Wait until Postfix has logged these words, within 20 s."""
        wait_until(lambda: words in self.read_log(), 20, self.read_log)


def find_missing() -> str | None:
    """Say what this machine lacks for these peers, or None."""
    if os.geteuid() != 0:
        return "Postfix needs root to start"
    wanted = ("postfix", "dovecot")
    lacking = [name for name in wanted if shutil.which(name, path=_path()) is None]
    return f"not installed: {', '.join(lacking)} (.ci/install-peers)" if lacking else None


@contextlib.contextmanager
def run_postfix() -> Iterator[Postfix]:
    """Start the pair, and stop it and remove its folder at the end."""
    folder = Path(tempfile.mkdtemp(prefix="awizo-postfix-", dir="/tmp"))
    processes: list[subprocess.Popen[bytes]] = []
    environment = {"PATH": _path(), "LC_ALL": "C.UTF-8"}
    postfix_command = ["postfix", "-c", str(folder / "etc")]
    try:
        postfix = _lay_out(folder)
        for command in (
            ["dovecot", "-F", "-c", str(folder / "dovecot.conf")],
            [*postfix_command, "start-fg"],
        ):
            with (folder / "log" / f"{command[0]}.out").open("wb") as output:
                processes.append(
                    subprocess.Popen(
                        command,
                        stdout=output,
                        stderr=output,
                        env=environment,
                        process_group=0,
                    )
                )
        for port in (postfix.submission_port, postfix.relay_port):
            wait_until(lambda port=port: _answers(port), START_S, lambda: _tell(folder))
        wait_until((folder / "queue/private/auth").is_socket, START_S, lambda: _tell(folder))
        yield postfix
    finally:
        # Ending the starter alone would leave its master behind.
        subprocess.run([*postfix_command, "stop"], env=environment, capture_output=True, timeout=30)
        for process in processes:
            process.terminate()
            process.wait(20)
        shutil.rmtree(folder)


def wait_until(condition: Callable[[], bool], seconds: float, tell: Callable[[], str]) -> None:
    """Wait for a condition; fail with what `tell` knows when it does not come."""
    deadline = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > deadline:
            raise AssertionError(f"it did not come about in {seconds} s:\n{tell()[-4000:]}")
        time.sleep(0.02)


def _lay_out(folder: Path) -> Postfix:
    folder.chmod(0o755)  # its daemons run as several users
    for name in ("etc", "queue", "data", "mail", "log", "dovecot", "certificates"):
        (folder / name).mkdir()
    shutil.chown(folder / "data", "postfix")
    shutil.chown(folder / "mail", NOBODY, NOBODY)
    authority = make_authority(folder / "certificates")
    certificate, key = authority.issue("127.0.0.1")
    submission, relay, further = _find_ports()
    values = {
        "folder": folder,
        "nobody": NOBODY,
        "certificate": certificate,
        "key": key,
        "submission": submission,
        "relay": relay,
        "further": further,
    }
    (folder / "users").write_text(f"{USER}:{PASSWORD}\n")
    (folder / "dovecot.conf").write_text(DOVECOT_CONF.format(**values))
    (folder / "etc" / "main.cf").write_text(MAIN_CF.format(**values), encoding="utf-8")
    (folder / "etc" / "master.cf").write_text(MASTER_CF.format(**values))
    # Dovecot puts its socket there before Postfix makes its own folders.
    (folder / "queue" / "private").mkdir(mode=0o700)
    shutil.chown(folder / "queue" / "private", "postfix")
    return Postfix(folder, submission, relay, authority.pem)


def _find_ports() -> tuple[int, int, int]:
    with socket.socket() as one, socket.socket() as two, socket.socket() as three:
        one.bind(("127.0.0.1", 0))
        two.bind(("127.0.0.1", 0))
        three.bind(("127.0.0.1", 0))
        return one.getsockname()[1], two.getsockname()[1], three.getsockname()[1]


def _answers(port: int) -> bool:
    try:
        with socket.create_connection(("127.0.0.1", port), timeout=5) as connection:
            return connection.recv(3) == b"220"
    except OSError:
        return False


def _tell(folder: Path) -> str:
    return "\n".join(path.read_text(errors="replace") for path in (folder / "log").iterdir())


def _path() -> str:
    return os.environ.get("PATH", "") + ":/usr/sbin:/sbin"
