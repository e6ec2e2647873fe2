"""The change that mends a configuration: thought of, tried out, and only then suggested.

``suggest`` lists changes of the ``smtp`` block that may help, the likeliest first; ``find_change``
tries them on the real server, without any login, all at once. Nothing is ever suggested that is
less safe than what is there: no clear text, no unverified certificate, and no host name that a
certificate brings (whoever sits in between could name their own).
"""

import asyncio
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from functools import partial
from typing import Any

from app.outbox.probe_talk import Failure
from app.wire.address_policy import AddressPolicy
from app.wire.auth import choose_mechanisms
from app.wire.session import Session
from app.wire.steps import Halted, SessionFailed
from app.wire.target import Secret, Target

Change = Mapping[str, Any]

# What a port says that is closed, filtered, or speaks something else.
SILENT = frozenset(
    ("connection_refused", "timeout", "connection_lost", "protocol_error", "tls_failed")
)
_UNSAFE = frozenset(("starttls_not_offered", "starttls_refused", "insecure_auth"))
_LOGIN = frozenset(("mechanism_not_offered", "auth_required", "insecure_auth"))
_ELSEWHERE: tuple[Change, ...] = (  # RFC 8314 §3.3, RFC 6409 §3.1
    {"port": 465, "connection": "ssl_tls"},
    {"port": 587, "connection": "starttls"},
)
_SHORT_MS, _USUAL_MS = 5_000, 30_000  # who writes 30 means seconds


def suggest(target: Target, failure: Failure) -> list[Change]:
    """Return the changes worth trying."""
    found: list[Change] = []
    step, cause = failure.step, failure.cause
    if cause == "timeout" and target.timeout_ms < _SHORT_MS and step != "resolve":
        found.append({"timeout_ms": _USUAL_MS})
    if cause in _LOGIN:
        if target.connection == "plaintext":
            found.append({"connection": "starttls"})
        if target.auth != "auto" and target.username:
            found.append({"auth": "auto"})
    if (cause in SILENT and step in ("connect", "tls", "greeting", "ehlo")) or cause in _UNSAFE:
        if step != "connect":
            found.append({"connection": "starttls" if target.implicit_tls else "ssl_tls"})
        found += [change for change in _ELSEWHERE if change["port"] != target.port]
    return found


async def find_change(
    target: Target,
    changes: Sequence[Change],
    policy: AddressPolicy,
    ehlo_name: str,
    *,
    timeout_s: float,
) -> Change | None:
    """Return the first change with which the server can be spoken to; None where none is found.

    timeout_s: for all of them together; nothing is tried where no time is left.
    """
    if timeout_s <= 0:
        return None
    helping: set[int] = set()
    tasks = [
        asyncio.create_task(
            _try_out(replace(target, **change), policy, ehlo_name, partial(helping.add, number))
        )
        for number, change in enumerate(changes)
    ]
    try:
        if tasks:
            await asyncio.wait(tasks, timeout=timeout_s)
    finally:
        for task in tasks:
            task.cancel()
        for ended in await asyncio.gather(*tasks, return_exceptions=True):
            if isinstance(ended, Exception):
                raise ended
    return changes[min(helping)] if helping else None


async def speaks_smtp(
    target: Target, policy: AddressPolicy, ehlo_name: str, *, timeout_s: float
) -> bool:
    """Tell whether a mail server stands behind a certificate that does not verify; no login."""
    found = await find_change(
        replace(target, username=None), [{"tls_verify": False}], policy, ehlo_name,
        timeout_s=timeout_s,
    )  # fmt: skip
    return found is not None


async def _try_out(
    target: Target, policy: AddressPolicy, ehlo_name: str, helps: Callable[[], None]
) -> None:
    """Open a session without a login; call ``helps`` where a login would be possible too."""
    try:
        session = await Session.open(target, policy=policy, ehlo_name=ehlo_name, login=False)
    except SessionFailed:
        return
    try:
        if _can_log_in(target, session):
            helps()
        await session.quit()
    finally:
        session.abort()


def _can_log_in(target: Target, session: Session) -> bool:
    if not target.wants_login:
        return True
    asked = replace(target, password=target.password or Secret("entered later"))
    try:
        choose_mechanisms(asked, session.capabilities.auth, session.encrypted)
    except Halted:
        return False
    return True
