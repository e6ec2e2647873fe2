"""Who may read and change what a scope has stored (contract §1, roles). user None: the global scope."""

from app.accounts.caller import SENDERS, Caller


def require_reader(caller: Caller, user: str | None) -> None:
    """Raise ``Denied`` or ``Missing`` unless the caller may see what is stored there."""
    if user is None:
        caller.require("admin")
    else:
        caller.require(*SENDERS)
        caller.require_own(user)


def require_writer(caller: Caller, user: str | None) -> None:
    """Raise ``Denied`` or ``Missing`` unless the caller may change what is stored there."""
    if user is None:
        caller.require("admin")
    else:
        caller.require("admin", "user")
        caller.require_own(user)
