"""Disks of their own for the proofs: a small one that can be full, and one that can lose its power.

Both are mounted, which takes root; ``may_mount`` tells. A file system in a file (``lose_power``)
holds in its file only what was synced or written back: a copy of the file is what a machine finds
after its power was cut.
"""

import errno
import filecmp
import os
import shutil
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

_PIECE = b"\0" * 4096


def may_mount() -> bool:
    """Whether this user may mount file systems here."""
    if os.geteuid() != 0:
        return False
    probe = ["unshare", "--mount", "mount", "-t", "tmpfs", "tmpfs", "/mnt"]
    return subprocess.run(probe, capture_output=True, check=False).returncode == 0


def is_mount(folder: Path) -> bool:
    """Whether a folder is a disk of its own."""
    return folder.is_mount()


@contextmanager
def mount_small(folder: Path, size_mb: int) -> Iterator[Path]:
    """Have ``folder`` be a disk of its own, of so many MB."""
    with _mount(folder, "-t", "tmpfs", "-o", f"size={size_mb}m", "tmpfs"):
        yield folder


@contextmanager
def mount_image(image: Path, folder: Path, size_mb: int = 0) -> Iterator[Path]:
    """Have ``folder`` be an ext4 that lies in the file ``image``; size_mb: of a new one."""
    if size_mb:
        with image.open("wb") as file:
            file.truncate(size_mb << 20)
        subprocess.run(["mkfs.ext4", "-q", "-F", image], check=True)
    with _mount(folder, "-o", "loop", str(image)):
        yield folder


def lose_power(image: Path, copy: Path) -> None:
    """Copy what a mounted disk has really been given. Nobody may write to it meanwhile."""
    for _ in range(20):
        shutil.copyfile(image, copy)
        if filecmp.cmp(image, copy, shallow=False):  # nothing was written back while it was copied
            return
    raise RuntimeError("the disk does not rest")


def fill_up(folder: Path) -> Path:
    """Take all the room that is left on the disk of ``folder``; return the file that has it."""
    ballast = folder / "ballast"
    with ballast.open("wb", buffering=0) as file:
        try:
            while True:
                file.write(_PIECE)
        except OSError as error:
            if error.errno != errno.ENOSPC:
                raise
    return ballast


@contextmanager
def _mount(folder: Path, *how: str) -> Iterator[None]:
    folder.mkdir(parents=True, exist_ok=True)
    subprocess.run(["mount", *how, str(folder)], check=True)
    folder.chmod(0o711)
    try:
        yield
    finally:
        for _ in range(50):  # whoever was killed a moment ago may still have it open
            if not subprocess.run(["umount", folder], capture_output=True, check=False).returncode:
                break
            time.sleep(0.1)
        else:
            raise RuntimeError(f"{folder} is still in use")
