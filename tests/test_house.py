"""The house keeps its own rules: floors, sizes, names, locks, and files made from the code."""

import re
import shutil
import subprocess
import sys
import tomllib
import zipfile
from pathlib import Path

from importlinter.cli import EXIT_STATUS_SUCCESS, lint_imports
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from app.settings import Settings

ROOT = Path(__file__).parent.parent
LOCKS = ("requirements.lock", "requirements-dev.lock", "requirements-fuzz.lock")
FORBIDDEN_NAMES = {
    "utils", "helpers", "common", "core", "base", "manager", "service", "repository", "processor",
}  # fmt: skip


def _run(*command: str, folder: Path = ROOT) -> bytes:
    """Return what ``command`` prints; when it fails, the test shows why."""
    done = subprocess.run(command, cwd=folder, capture_output=True)
    assert done.returncode == 0, done.stderr.decode()
    return done.stdout


def _list_files() -> list[Path]:
    """Every file that is committed or would be with the next commit."""
    listed = _run("git", "ls-files", "-z", "--cached", "--others", "--exclude-standard").decode()
    return [path for name in set(listed.split("\0")) if (path := ROOT / name).is_file()]


def _list_code() -> list[Path]:
    return [path for path in _list_files() if path.is_relative_to(ROOT / "app")]


def _read_lock(name: str) -> dict[str, str]:
    pins = re.findall(r"^([\w.-]+)==([^\s;]+)", (ROOT / name).read_text(), re.MULTILINE)
    return {canonicalize_name(package): version for package, version in pins}


def _find_unlocked(requirements: list[str], pins: dict[str, str]) -> list[str]:
    found = []
    for text in requirements:
        requirement = Requirement(text)
        version = pins.get(canonicalize_name(requirement.name))
        if version is None or not requirement.specifier.contains(version, prereleases=True):
            found.append(text)
    return found


def test_imports_go_down_the_floors_only(monkeypatch):
    monkeypatch.chdir(ROOT)
    assert lint_imports(no_cache=True) == EXIT_STATUS_SUCCESS


def test_no_file_of_the_program_is_longer_than_350_lines():
    lengths = {
        path.relative_to(ROOT): len(path.read_text().splitlines())
        for path in _list_code()
        if path.suffix == ".py"
    }
    assert lengths
    assert {path: lines for path, lines in lengths.items() if lines > 350} == {}


def test_every_module_is_named_for_what_it_does():
    named = {part for path in _list_code() for part in path.relative_to(ROOT).with_suffix("").parts}
    assert "errors" in named
    assert named & FORBIDDEN_NAMES == set()


def test_openapi_json_is_what_the_code_says():
    shown = _run(sys.executable, "-m", "app", "openapi")
    assert (ROOT / "openapi.json").read_bytes() == shown, "run: make openapi"


def test_no_committed_file_names_a_folder_of_the_machine_it_was_written_on():
    places = [r"/(?:home|Users|root)/[\w.]"]
    if len(ROOT.parts) > 2:  # a checkout in / itself has the path of a container's folder
        places.append(re.escape(str(ROOT)) + r"\b")
    here = re.compile("|".join(places).encode())
    files = [path for path in _list_files() if path != Path(__file__)]
    assert [path for path in files if here.search(path.read_bytes())] == []


def test_the_locks_fit_pyproject_and_each_other():
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    runtime, dev, fuzz = (_read_lock(name) for name in LOCKS)
    assert _find_unlocked(project["dependencies"], runtime) == [], "run: make lock"
    assert _find_unlocked(project["optional-dependencies"]["dev"], dev) == [], "run: make lock"
    assert {name: dev.get(name) for name in runtime} == runtime, "run: make lock"
    wanted = (ROOT / "requirements-fuzz.in").read_text().splitlines()
    wanted = [line for line in wanted if line.strip() and not line.startswith("#")]
    assert wanted
    assert _find_unlocked(wanted, fuzz) == [], "run: make lock"


def test_the_locks_pin_by_hash_and_name_no_place_to_download_from():
    assert not (ROOT / "uv.lock").exists()
    for name in LOCKS:
        text = (ROOT / name).read_text()
        entries = re.findall(r"^[^\s#].*(?:\n +--hash=.*)*", text, re.MULTILINE)
        assert len(entries) == len(_read_lock(name)) > 0
        assert [entry for entry in entries if "--hash=sha256:" not in entry] == []
        assert re.findall(r"://|--(?:extra-)?index|--find-links|@ ", text) == []


def test_the_wheel_holds_every_file_of_the_program_and_the_command(tmp_path):
    source = tmp_path / "source"
    inside = ("app", "migrations", "pyproject.toml", "README.md", "LICENSE")
    packed = [path.relative_to(ROOT) for path in _list_files()]
    packed = [name for name in packed if name.parts[0] in inside]
    for name in packed:
        (source / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(ROOT / name, source / name)
    build = "import sys; from setuptools.build_meta import build_wheel; build_wheel(sys.argv[1])"
    _run(sys.executable, "-c", build, str(tmp_path), folder=source)
    with zipfile.ZipFile(next(tmp_path.glob("awizo-*.whl"))) as wheel:
        held = set(wheel.namelist())
        commands = next(name for name in held if name.endswith("entry_points.txt"))
        assert "awizo = app.__main__:main" in wheel.read(commands).decode()
    assert {str(name) for name in packed if len(name.parts) > 1} - held == set()


def test_the_container_files_set_only_variables_that_awizo_reads():
    known = {f"AWIZO_{name.upper()}" for name in Settings.model_fields}
    known.add("AWIZO_POSTGRES_PASSWORD")  # compose.yaml's own, a part of AWIZO_DATABASE_URL
    for name in ("Dockerfile", "compose.yaml"):
        named = set(re.findall(r"\bAWIZO_[A-Z_]+", (ROOT / name).read_text()))
        assert named
        assert named - known == set()
