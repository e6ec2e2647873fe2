"""The files in ``static``: in memory, compressed once, under a name that changes with their content.

So a browser keeps each for a year and asks for it once; scripts and styles come from here only.
"""

import gzip
import hashlib
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from fastapi import APIRouter, Request, Response

from app.errors import Missing

router = APIRouter()
_FOLDER = Path(__file__).parent / "static"
_TYPES = {
    ".css": "text/css; charset=utf-8",
    ".js": "text/javascript; charset=utf-8",
    ".svg": "image/svg+xml",
}


@dataclass(frozen=True, slots=True)
class Asset:
    """One file. mark: begins the address; another content has another one."""

    mark: str
    media_type: str
    plain: bytes
    packed: bytes


@cache
def load_asset(name: str) -> Asset | None:
    """Return a file that browsers may have; None where there is none."""
    path = _FOLDER / name
    media_type = _TYPES.get(path.suffix)
    if media_type is None or path.parent != _FOLDER or not path.is_file():
        return None
    plain = path.read_bytes()
    mark = hashlib.sha256(plain).hexdigest()[:12]
    return Asset(mark, media_type, plain, gzip.compress(plain, mtime=0))


def name_asset(name: str) -> str:
    """Return the address of a file in ``static``; a KeyError where there is none."""
    asset = load_asset(name)
    if asset is None:
        raise KeyError(name)
    return f"/ui/static/{asset.mark}/{name}"


@router.get("/static/{mark}/{name}")
def send_asset(request: Request, mark: str, name: str) -> Response:
    """Send one file."""
    asset = load_asset(name) if len(name) < 100 else None
    if asset is None:
        raise Missing("There is no such file.")
    is_current = asset.mark == mark
    headers = {
        "Cache-Control": "public, max-age=31536000, immutable" if is_current else "no-cache",
        "Vary": "Accept-Encoding",
    }
    if "gzip" in request.headers.get("accept-encoding", ""):
        headers["Content-Encoding"] = "gzip"
        return Response(asset.packed, headers=headers, media_type=asset.media_type)
    return Response(asset.plain, headers=headers, media_type=asset.media_type)
