"""The body of ``POST /send/batch``, and how its messages become orders.

A message is what it says itself, completed by ``defaults``: member by member, ``macros``,
``metadata`` and ``reference`` name by name; ``attachments`` of the defaults come before its own
(``[]``: none at all). A message with a template takes no subject and body from the defaults, and one
with a subject or a body no template. Faults are put where the wrong value stands.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Annotated, Any, Literal

from pydantic import Field, WithJsonSchema

from app.api.body import Body, Choice
from app.api.collect import collect
from app.api.order import MessageBody, read_order
from app.errors import Fault
from app.mime.protect import Plain
from app.outbox.batch import Item
from app.outbox.idempotency import Attempted, make_canonical
from app.templates_engine.catalogue import resolve

KEY_PATTERN = r"^[^\x00-\x1f\x7f]+$"
_BY_NAME = ("macros", "metadata", "reference")


class BatchMessageBody(MessageBody):
    """One message of a batch; what it leaves out, `defaults` fill in."""

    idempotency_key: str | None = Field(
        None, min_length=1, max_length=256, pattern=KEY_PATTERN, description="As the header's."
    )


class BatchBody(Body):
    """Many messages, and what they have in common."""

    defaults: Annotated[
        dict[str, Any], WithJsonSchema({"allOf": [{"$ref": "#/components/schemas/MessageBody"}]})
    ] = Field(
        default_factory=dict,
        description="Members of every message. A message's own win; `macros`, `metadata` and "
        "`reference` are joined name by name, `attachments` come before a message's own.",
    )
    messages: Annotated[
        list[Any],
        WithJsonSchema(
            {
                "type": "array",
                "minItems": 1,
                "items": {"$ref": "#/components/schemas/BatchMessageBody"},
            }
        ),
    ] = Field(default_factory=list)
    mode: Annotated[Literal["all_or_nothing", "partial"], Choice] = Field(
        "all_or_nothing", description="What one wrong message means for the others."
    )
    dry_run: bool = Field(False, description="Check everything, store nothing: `200`.")


@dataclass(frozen=True, slots=True)
class Batch:
    """A batch as read. faults: of its defaults and of its form; pointers into the request."""

    items: tuple[Item, ...]
    shared: tuple[Plain, ...]
    users: frozenset[str]
    faults: tuple[Fault, ...]


def read_messages(
    body: BatchBody,
    *,
    user: str | None,
    make_key: Callable[[int], str | None],
) -> Batch:
    """Return the orders of a batch, each with what is wrong with it.

    user: the bound user of the caller. make_key: the key of a message that has none of its own.
    """
    defaults = {name: value for name, value in body.defaults.items() if value is not None}
    read, wrong = collect(MessageBody, defaults)
    shared = read_order(read, wrong, user=None, whole=False).attachments
    faults = [replace(fault, pointer="/defaults" + fault.pointer) for fault in wrong]
    items: list[Item] = []
    users: set[str] = set()
    seen: dict[str, int] = {}
    digests: dict[int, str] = {}
    for index, raw in enumerate(body.messages):
        own = raw if isinstance(raw, Mapping) else {}
        merged = merge(defaults, own)
        message, wrong = collect(BatchMessageBody, merged if own is raw else raw)
        first = () if own.get("attachments") == [] else shared
        order = read_order(message, wrong, user=user, shared=first)
        key = message.idempotency_key
        if key is not None and seen.setdefault(key, index) != index:
            detail = f"Message {seen[key]} has the same key; every message needs its own."
            wrong.append(Fault("/idempotency_key", "duplicate_idempotency_key", detail))
        key, attempted = key or make_key(index), None
        if key is not None:
            whole = _add_shared(merged, defaults, own)
            attempted = Attempted(key, make_canonical("send", whole, seen=digests))
        items.append(Item(index, order, tuple(wrong), attempted))
        if message.as_user is not None:
            users.add(message.as_user)
    return Batch(tuple(items), shared, frozenset(users), tuple(faults))


def merge(defaults: Mapping[str, Any], own: Mapping[str, Any]) -> dict[str, Any]:
    """Return a message completed by the defaults, but for their attachments."""
    given = {name: value for name, value in own.items() if value is not None}
    merged = {name: value for name, value in defaults.items() if name != "attachments"}
    if "template" in given:
        merged.pop("subject", None)
        merged.pop("body", None)
    elif "subject" in given or "body" in given:
        merged.pop("template", None)
    for name in _BY_NAME:
        common, special = merged.get(name), given.get(name)
        if isinstance(common, Mapping) and isinstance(special, Mapping):
            special = {key: value for key, value in special.items() if value is not None}
            if name == "macros":  # one macro may be spelled in several ways
                spelled = {resolve(key) for key in special}
                common = {key: common[key] for key in common if resolve(key) not in spelled}
            given[name] = {**common, **special}
    return merged | given


def _add_shared(
    merged: dict[str, Any], defaults: Mapping[str, Any], own: Mapping[str, Any]
) -> dict[str, Any]:
    """Return the message as ``POST /send`` would take it, which is what its key stands for."""
    common, special = defaults.get("attachments"), own.get("attachments")
    whole = {name: value for name, value in merged.items() if name != "idempotency_key"}
    if isinstance(common, list) and special != []:
        whole["attachments"] = [*common, *(special or ())]
    return whole


def place(faults: Sequence[Fault], index: int, body: BatchBody, shared: int) -> Iterator[Fault]:
    """Yield the faults of a message with pointers into the request. shared: attachments of defaults."""
    raw = body.messages[index]
    own = raw if isinstance(raw, Mapping) else {}
    for fault in faults:
        pointer = _place(fault.pointer, own, body.defaults, shared)
        if pointer is None:
            yield replace(fault, pointer="")
        elif pointer.startswith("/defaults"):
            yield replace(fault, pointer=pointer)
        else:
            yield replace(fault, pointer=f"/messages/{index}{pointer}")


def _place(
    pointer: str, own: Mapping[str, Any], defaults: Mapping[str, Any], shared: int
) -> str | None:
    _, name, *rest = (*pointer.split("/", 3), "")[:4] if pointer else ("", "", "")
    given, common = own.get(name), defaults.get(name)
    if name == "attachments" and rest[0].isdecimal():
        first = 0 if given == [] else shared
        number = int(rest[0])
        if number < first:
            return f"/defaults{pointer}"
        tail = pointer.removeprefix(f"/attachments/{number}")
        return f"/attachments/{number - first}{tail}"
    if name in _BY_NAME and rest[0]:
        key = rest[0].replace("~1", "/").replace("~0", "~")
        own_has, defaults_have = (
            isinstance(each, Mapping) and each.get(key) is not None for each in (given, common)
        )
        return f"/defaults{pointer}" if defaults_have and not own_has else pointer
    if name and given is None and common is not None:
        return f"/defaults{pointer}"
    if name == "as_user" and given is None:
        return None  # the global scope, or the bound user's: nothing in the request says so
    return pointer
