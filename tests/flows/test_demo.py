"""The demo as a stranger runs it: a process of its own, its exit code, and what it leaves behind."""

import io
import os
import signal
import smtplib
import socket
import subprocess
import sys
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
import pyzipper

from app.demo.samples import PASSWORD, PDF_TEXT, make_invoice
from app.demo.teller import Teller
from app.demo.unlock import unlock_pdf, unlock_zip

ROOT = Path(__file__).parents[2]


@contextmanager
def run_demo(folder: Path, *options: str) -> Iterator[subprocess.Popen[str]]:
    """Run the demo with its temporary files in ``folder``; end it at the end, if it has not."""
    process = subprocess.Popen(
        [sys.executable, "-m", "app", "demo", *options],
        cwd=ROOT, env={**os.environ, "TMPDIR": str(folder), "PYTHONUTF8": "1"},
        stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, encoding="utf-8",
        start_new_session=True,
    )  # fmt: skip
    try:
        yield process
    finally:
        if process.poll() is None:
            process.terminate()
            process.wait(30)
        process.stdout.close()


def read_until(process: subprocess.Popen[str], words: str) -> str:
    """Return what the process prints up to the line with ``words``; fail where it never comes."""
    said = ""
    for line in process.stdout:
        said += line
        if words in line:
            return said
    raise AssertionError(f"{words!r} never came:\n{said}")


def find_processes(word: str) -> list[str]:
    """Return the command lines of living processes with ``word`` in their environment."""
    found = []
    for each in Path("/proc").glob("[0-9]*"):
        try:
            if word.encode() in (each / "environ").read_bytes():
                found.append((each / "cmdline").read_text())
        except OSError:
            continue  # it ended meanwhile, or is somebody else's
    return found


def test_the_demo_keeps_every_promise_and_leaves_nothing_behind(tmp_path):
    with run_demo(tmp_path) as demo:
        said, _ = demo.communicate(timeout=120)
    assert demo.returncode == 0, said
    assert "   NO " not in said
    for shown in (
        "Subject: Wezwanie do zapłaty – FV 12/2026",
        "mimo wcześniejszego przypomnienia",
        f"The password is {PASSWORD}",
        "FV 12-2026.pdf does not open without a password.",
        "Faktura FV 12/2026",
        "zalaczniki.zip opens with it:",
        "Usluga serwisowa X-17",
        "recipient.sent    ksiegowosc@klient.example",
        "curl -X PUT $AWIZO/config/global",
    ):
        assert shown in said
    assert list(tmp_path.iterdir()) == []


@pytest.mark.skipif(not Path("/proc").is_dir(), reason="needs /proc to see processes")
def test_ctrl_c_ends_a_demo_that_stays_and_every_process_of_it(tmp_path):
    with run_demo(tmp_path, "--stay") as demo:
        read_until(demo, "Awizo stays up")
        assert len(find_processes(str(tmp_path))) >= 2
        demo.send_signal(signal.SIGINT)
        assert demo.wait(60) == 0
    assert find_processes(str(tmp_path)) == []
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("how", [signal.SIGINT, signal.SIGTERM])
def test_a_demo_stopped_halfway_says_so_and_leaves_nothing_behind(tmp_path, how):
    with run_demo(tmp_path) as demo:
        read_until(demo, "2. The administrator")
        demo.send_signal(how)
        said, _ = demo.communicate(timeout=60)
    assert demo.returncode == 130
    assert "Stopped" in said
    assert "Traceback" not in said
    assert list(tmp_path.iterdir()) == []


def test_the_receiving_mail_server_shows_what_arrives(tmp_path):
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    with run_demo(tmp_path, "--catch", str(port)) as demo:
        read_until(demo, "receives at")
        with smtplib.SMTP("127.0.0.1", port, timeout=10) as smtp:
            smtp.sendmail(
                "a@firma.example",
                ["b@klient.example"],
                b"From: a@firma.example\r\nSubject: Probe\r\n\r\n.A dot\r\nand the end\r\n",
            )
        shown = read_until(demo, "and the end")
        demo.send_signal(signal.SIGINT)
        assert demo.wait(30) == 0
    assert "RCPT TO:<b@klient.example>" in shown
    assert "\n     .A dot\n" in shown


def test_a_taken_port_is_said_in_one_sentence(tmp_path):
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        with run_demo(tmp_path, "--catch", str(port)) as demo:
            said, _ = demo.communicate(timeout=30)
    assert demo.returncode == 1
    assert said == f"No mail server at port {port}: Address already in use.\n"


def test_a_promise_that_is_not_kept_is_counted_and_said(capsys):
    teller = Teller()
    teller.check("Water is wet.", True)
    teller.check("Mail is free.", False)
    assert teller.broken == 1
    assert capsys.readouterr().out == "   yes Water is wet.\n   NO  Mail is free.\n"


def test_the_demo_notices_attachments_that_are_not_protected():
    plain = io.BytesIO()
    with zipfile.ZipFile(plain, "w") as archive:
        archive.writestr("a.csv", "1;2")
    assert unlock_pdf(make_invoice(), "") == "\n".join(PDF_TEXT)
    assert unlock_zip(plain.getvalue(), "") == "a.csv:\n1;2"


@pytest.mark.parametrize("compression", [zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED])
def test_the_demo_opens_the_archives_of_another_program(compression):
    locked = io.BytesIO()
    with pyzipper.AESZipFile(
        locked, "w", compression=compression, encryption=pyzipper.WZ_AES
    ) as archive:
        archive.setpassword("zażółć".encode())
        archive.writestr("ż.csv", b"1;2\n" * 50)
        archive.writestr("empty.txt", b"")
    shown = unlock_zip(locked.getvalue(), "zażółć")
    assert shown == "ż.csv:\n" + "1;2\n" * 50 + "\nempty.txt:"
    assert unlock_zip(locked.getvalue(), "zazolc") is None
