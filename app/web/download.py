"""Foreign content as a file to keep: never shown in the page's place, never run."""

from urllib.parse import quote

from fastapi import Response


def give(content: bytes, name: str, media_type: str) -> Response:
    """Return content as a file called ``name``, whatever characters that has."""
    return Response(
        content,
        media_type=media_type,
        headers={
            "Content-Disposition": f"attachment; filename*=UTF-8''{quote(name, safe='')}",
            "Content-Security-Policy": "sandbox; default-src 'none'",
        },
    )
