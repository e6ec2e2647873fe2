"""The audit trail: who changed or revealed what, from what to what."""

from collections.abc import Iterator, Mapping
from typing import Any

from fastapi import APIRouter, Response

from app.accounts import audit
from app.web.screens.audit_words import describe_action, list_actions
from app.web.visit import TheVisit

router = APIRouter()
_PAGE = 50
_MOST_SHOWN = 200


@router.get("/audit")
async def show_audit(
    visit: TheVisit, object: str = "", actor: str = "", action: str = "", after: str = ""
) -> Response:
    """List changes, the newest first."""
    visit.caller.require("admin")
    rows = await visit.office.db.read(
        audit.list_audit,
        object=object.strip() or None,
        actor=actor.strip() or None,
        action=action.strip() or None,
        before=after or None,
        limit=_PAGE + 1,
    )
    wanted = {"object": object, "actor": actor, "action": action}
    return visit.render(
        "audit.html",
        lines=[(row, list(find_changes(row.before, row.after))) for row in rows[:_PAGE]],
        following=rows[_PAGE - 1].id if len(rows) > _PAGE else "",
        actions=list_actions(visit, action.strip()),
        describe=lambda action: describe_action(visit, action),
        wanted={name: value.strip() for name, value in wanted.items() if value.strip()},
    )


def find_changes(before: Any, after: Any, name: str = "") -> Iterator[tuple[str, str, str]]:
    """Yield what differs, as (name, before, after); "" where there was, or is, nothing."""
    if isinstance(before, Mapping) or isinstance(after, Mapping):
        old = before if isinstance(before, Mapping) else {}
        new = after if isinstance(after, Mapping) else {}
        for member in dict.fromkeys((*old, *new)):
            inner = f"{name}.{member}" if name else str(member)
            yield from find_changes(old.get(member), new.get(member), inner)
    elif before != after:
        yield name, _write(before), _write(after)


def _write(value: Any) -> str:
    if value is None:
        return ""
    text = ", ".join(map(str, value)) if isinstance(value, list) else str(value)
    return text if len(text) <= _MOST_SHOWN else f"{text[:_MOST_SHOWN]} \u2026"
