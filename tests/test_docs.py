"""The documentation tells the truth: its lines run in order, its tables are the code's own.

Between ``<!-- run -->`` and ``<!-- /run -->`` every ``sh`` block is run, all of a file in one shell,
against a real server and a mail server that receives. A ``json`` or ``http`` block after it is what
must be found in the last answer: members that are not shown are free, ``…`` stands for anything. An
``http`` block begins with the status of an answer that is meant to be an error.
"""

import json
import os
import re
import shutil
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from app.settings import show_settings

ROOT = Path(__file__).parent.parent
DOCS = ROOT / "docs"
_BLOCK = re.compile(r"^```(sh|json|http)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
_MARK = "--8<-- step"


@dataclass
class Step:
    """One block of commands, and what its last answer must hold."""

    commands: str
    kind: str = ""
    expected: str = ""


def read_steps(text: str) -> list[Step]:
    """Return the steps between the run marks of a page."""
    steps: list[Step] = []
    for part in re.findall(r"<!-- run -->(.*?)<!-- /run -->", text, re.DOTALL):
        for kind, block in _BLOCK.findall(part):
            if kind == "sh":
                steps.append(Step(block))
            else:
                steps[-1].kind, steps[-1].expected = kind, block
    return steps


def _take_port() -> int:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        return int(free.getsockname()[1])


@contextmanager
def _run(folder: Path, *command: str, **variables: str) -> Iterator[subprocess.Popen[bytes]]:
    log = (folder / f"{command[0]}.log").open("wb")
    process = subprocess.Popen(
        [sys.executable, "-m", "app", *command],
        cwd=folder, env={**os.environ, "PYTHONPATH": str(ROOT), **variables},
        stdout=log, stderr=log,
    )  # fmt: skip
    try:
        yield process
    finally:
        process.terminate()
        process.wait(60)
        log.close()


def _wait_for(url: str, process: subprocess.Popen[bytes], log: Path) -> None:
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    end = time.monotonic() + 60
    while time.monotonic() < end and process.poll() is None:
        try:
            opener.open(url, timeout=5).close()
        except (urllib.error.URLError, ConnectionError):
            time.sleep(0.05)  # between two looks; the bound is above
        else:
            return
    raise AssertionError(log.read_text())


def run_steps(
    folder: Path, steps: list[Step], port: int, smtp_port: int
) -> list[tuple[str, list[int]]]:
    """Run the steps in one shell; return of each what it printed and the statuses it met."""
    script = [
        "set -euo pipefail",
        "curl() { command curl -sS --noproxy '*' -w '%{stderr}status %{http_code}\\n' \"$@\"; }",
    ]
    for number, step in enumerate(steps):
        script += [f"echo; echo '{_MARK} {number}' | tee /dev/stderr", step.commands]
    with (
        _run(folder, "demo", "--catch", str(smtp_port)),
        _run(folder, "serve", AWIZO_PORT=str(port)) as server,
    ):
        _wait_for(f"http://127.0.0.1:{port}/readyz", server, folder / "serve.log")
        done = subprocess.run(
            ["bash", "-c", "\n".join(script)], cwd=folder, capture_output=True, text=True, timeout=300,
            encoding="utf-8",
        )  # fmt: skip
        print(done.stdout, done.stderr)
        assert done.returncode == 0
    said = re.split(rf"^{_MARK} \d+\n", done.stdout, flags=re.MULTILINE)[1:]
    met = re.split(rf"^{_MARK} \d+\n", done.stderr, flags=re.MULTILINE)[1:]
    assert len(said) == len(met) == len(steps)
    return [
        (out, [int(status) for status in re.findall(r"status (\d{3})", err)])
        for out, err in zip(said, met, strict=True)
    ]


def read_answers(printed: str) -> list[Any]:
    """Return the JSON values that stand one after the other."""
    decoder, values, at = json.JSONDecoder(), [], 0
    while at < len(printed):
        if printed[at] not in "{[":
            at += 1
            continue
        value, at = decoder.raw_decode(printed, at)
        values.append(value)
    return values


def find_difference(expected: Any, found: Any, where: str = "") -> str | None:
    """Return where ``found`` does not hold what ``expected`` shows, or None."""
    if isinstance(expected, str) and isinstance(found, str):
        pattern = ".*".join(map(re.escape, expected.split("…")))
        return None if re.fullmatch(pattern, found, re.DOTALL) else f"{where}: {found!r}"
    if isinstance(expected, dict) and isinstance(found, dict):
        for name, member in expected.items():
            if name not in found:
                return f"{where}/{name} is missing"
            if different := find_difference(member, found[name], f"{where}/{name}"):
                return different
        return None
    if isinstance(expected, list) and isinstance(found, list):
        more = expected[-1:] == ["…"]
        expected = expected[:-1] if more else expected
        if len(found) < len(expected) or (len(found) > len(expected) and not more):
            return f"{where}: {len(found)} members"
        pairs = enumerate(zip(expected, found, strict=False))
        return next(
            (
                d
                for at, (one, other) in pairs
                if (d := find_difference(one, other, f"{where}/{at}"))
            ),
            None,
        )
    return None if expected == found else f"{where}: {found!r}"


@pytest.mark.skipif(shutil.which("curl") is None, reason="needs curl")
@pytest.mark.parametrize("page", ["README.md", "docs/api.md"])
def test_the_lines_of_a_tour_run_in_order_and_answer_as_shown(page, tmp_path):
    port, smtp_port = _take_port(), _take_port()
    text = (ROOT / page).read_text().replace("8025", str(port)).replace("2525", str(smtp_port))
    steps = read_steps(text)
    assert len(steps) > 5
    done = run_steps(tmp_path, steps, port, smtp_port)
    for step, (printed, statuses) in zip(steps, done, strict=True):
        wanted = step.expected
        if step.kind == "http":
            status, _, wanted = wanted.partition("\n")
            assert statuses[-1] == int(status), step.commands
            statuses = statuses[:-1]
        assert [each for each in statuses if each >= 400] == [], f"{step.commands}\n{printed}"
        if wanted.strip():
            answer = read_answers(printed)[-1]
            assert find_difference(json.loads(wanted), answer) is None, step.commands


@pytest.mark.parametrize(
    ("expected", "found", "fits"),
    [
        ({"a": 1}, {"a": 1, "b": 2}, True),
        ({"a": 1}, {"b": 2}, False),
        (["x…"], ["xyz"], True),
        (["x…"], ["xyz", "more"], False),
        (["x…", "…"], ["xyz", "more"], True),
        ([1, 2], [1], False),
        ({"a": [{"b": "…c"}]}, {"a": [{"b": "abd"}]}, False),
    ],
)
def test_an_answer_is_compared_by_what_is_shown_of_it(expected, found, fits):
    assert (find_difference(expected, found) is None) == fits


def test_the_settings_table_is_what_the_code_says():
    shown = re.search(
        r"<!-- settings -->\n(.*?)\n<!-- /settings -->",
        (DOCS / "operating.md").read_text(),
        re.DOTALL,
    )
    assert shown, "docs/operating.md has no settings table"
    assert shown[1] == show_settings(), "put in what `python -m app settings` prints"


def _list_pages() -> list[Path]:
    return [ROOT / "README.md", *sorted(DOCS.rglob("*.md"))]


def _name_anchor(heading: str) -> str:
    return re.sub(r"[^\w -]", "", heading.strip().lower()).replace(" ", "-")


def test_every_link_of_the_pages_leads_somewhere():
    broken = []
    for page in _list_pages():
        for target in re.findall(r"\]\(([^)\s]+)\)", page.read_text()):
            if target.startswith("http"):
                continue
            path, _, anchor = target.partition("#")
            found = (page.parent / path).resolve() if path else page
            anchors = (
                {_name_anchor(each) for each in re.findall(r"^#+ (.*)$", found.read_text(), re.M)}
                if found.suffix == ".md" and found.exists()
                else set()
            )
            if not found.exists() or (anchor and anchor not in anchors):
                broken.append(f"{page.name}: {target}")
    assert broken == []


def test_every_file_that_the_pages_name_is_there():
    missing = {
        f"{page.name}: {name}"
        for page in _list_pages()
        for name in re.findall(r"`((?:app|tests|bench|migrations|\.ci)/[\w./]*)`", page.read_text())
        if not (ROOT / name).exists()
    }
    assert missing == set()


def test_every_decision_is_in_the_index():
    listed = re.findall(r"\((\d{4}[\w-]+\.md)\)", (DOCS / "decisions" / "README.md").read_text())
    assert listed == sorted(path.name for path in (DOCS / "decisions").glob("[0-9]*.md"))
    assert [int(name[:4]) for name in listed] == list(range(1, len(listed) + 1))


def test_every_test_that_the_feature_list_names_exists():
    named = re.findall(r"`(tests/[\w/]+\.py)::(\w+)`", (DOCS / "seeds.md").read_text())
    assert len(named) > 30
    missing = [
        f"{path}::{name}"
        for path, name in named
        if not re.search(rf"^(?:async )?def {name}\(", (ROOT / path).read_text(), re.M)
    ]
    assert missing == []


def test_a_clone_runs_although_nothing_of_it_is_installed(tmp_path):
    for name in ("app", "migrations"):
        shutil.copytree(ROOT / name, tmp_path / name, ignore=shutil.ignore_patterns("__pycache__"))
    shutil.copy(ROOT / "pyproject.toml", tmp_path)
    done = subprocess.run(
        [sys.executable, "-m", "app", "openapi"], cwd=tmp_path, capture_output=True, timeout=120
    )
    assert done.returncode == 0, done.stderr.decode()
    assert json.loads(done.stdout)["info"]["version"]
