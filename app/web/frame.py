"""Foreign HTML in a frame of its own: shown, but it can do nothing and load nothing.

The policy's ``sandbox`` takes away scripts, forms and the origin, wherever the address is opened;
nothing but what the document itself carries is shown.
"""

from html import escape

from fastapi import Response
from fastapi.responses import HTMLResponse

POLICY = (
    "sandbox; default-src 'none'; img-src data:; style-src 'unsafe-inline'; font-src data:; "
    "frame-ancestors 'self'; base-uri 'none'; form-action 'none'"
)
_HEADERS = {"Content-Security-Policy": POLICY, "Referrer-Policy": "no-referrer"}
_PAGE = (
    '<!doctype html><meta charset="utf-8"><meta name="viewport" content="width=device-width">'
    "<style>body{{margin:1rem;background:#fff;color:#1f2933;font:1rem/1.5 system-ui,sans-serif}}"
    "pre{{white-space:pre-wrap;overflow-wrap:anywhere;font-size:.9rem}}</style>{body}"
)


def frame_html(html: str) -> Response:
    """Return a mail's HTML as it is."""
    return HTMLResponse(html, headers=_HEADERS)


def frame_text(text: str) -> Response:
    """Return a mail's text."""
    return HTMLResponse(_PAGE.format(body=f"<pre>{escape(text)}</pre>"), headers=_HEADERS)


def frame_lines(title: str, lines: list[str], status: int = 200) -> Response:
    """Return words of ours, such as why there is nothing to show."""
    items = "".join(f"<li>{escape(line)}</li>" for line in lines)
    body = f"<p><strong>{escape(title)}</strong></p><ul>{items}</ul>"
    return HTMLResponse(_PAGE.format(body=body), status, headers=_HEADERS)
