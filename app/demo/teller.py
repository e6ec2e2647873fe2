"""How the demo talks: numbered steps, lines to copy, promises kept or not."""

import textwrap

import typer

from app.demo.catcher import Caught


class Teller:
    """Tells what happens, and keeps count of the promises that were not kept."""

    def __init__(self) -> None:
        self.broken = 0
        self._chapter = 0

    def chapter(self, text: str) -> None:
        """Begin the next step."""
        self._chapter += 1
        typer.echo(f"\n{self._chapter}. {text}")

    def show(self, text: str) -> None:
        """Show lines as they are."""
        for line in text.rstrip().splitlines():
            typer.echo(f"     {line}".rstrip())

    def check(self, promise: str, kept: object) -> None:
        """Say whether a promise was kept."""
        self.broken += not kept
        typer.echo(f"   {'yes' if kept else 'NO '} {promise}")


def describe(caught: Caught) -> str:
    """Return envelope, headers and text, for people."""
    message = caught.message
    lines = [f"MAIL FROM:{caught.mail}", *(f"RCPT TO:{each}" for each in caught.rcpt), ""]
    shown = ("From", "To", "Cc", "Reply-To", "Subject", "Date", "Message-ID", "Importance")
    lines += [f"{name}: {message[name]}" for name in shown if message[name]]
    text = message.get_body(("plain",))
    lines.append("")
    for line in text.get_content().splitlines() if text else ():
        lines += textwrap.wrap(line, 90) if len(line) > 90 else [line]
    lines.append("")
    lines += [
        f"Attached: {each.get_filename()} ({each.get_content_type()})"
        for each in message.iter_attachments()
    ]
    return "\n".join(lines)
