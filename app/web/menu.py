"""The menu: which pages there are, and which roles are offered them."""

from collections.abc import Sequence
from dataclasses import dataclass

from app.accounts.caller import Caller
from app.web.words import mark


@dataclass(frozen=True, slots=True)
class Entry:
    """One entry of the menu. path: pages below it belong to it, and below ``also``."""

    path: str
    label: str
    roles: tuple[str, ...] = ("admin", "sender", "user")
    also: tuple[str, ...] = ()

    @property
    def places(self) -> tuple[str, ...]:
        """What the paths of its pages begin with."""
        return self.path, *self.also


MENU: Sequence[Entry] = (
    Entry("/ui/", mark("Overview")),
    Entry("/ui/messages", mark("Messages")),
    Entry("/ui/inbox", mark("Inbox")),
    Entry("/ui/compose", mark("Compose")),
    Entry("/ui/templates", mark("Templates")),
    Entry("/ui/config", mark("Configuration")),
    Entry(
        "/ui/accounts", mark("Accounts"), also=("/ui/domains", "/ui/suppressions", "/ui/portable")
    ),
    Entry(
        "/ui/keys", mark("Administration"), ("admin",), ("/ui/webhooks", "/ui/audit", "/ui/system")
    ),
)


def list_menu(caller: Caller | None) -> list[Entry]:
    """Return what somebody is offered; nothing before signing in."""
    return [entry for entry in MENU if caller is not None and caller.role in entry.roles]
