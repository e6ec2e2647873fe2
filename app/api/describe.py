"""What OpenAPI says about the API as a whole: the guide, the tags, the one form of every error.

``Service`` is FastAPI with the shared ``Problem`` schema in its document; operation ids are the
endpoints' function names, so they stay when paths move between files.
"""

from typing import Any

from fastapi import FastAPI
from fastapi.routing import APIRoute
from pydantic import BaseModel
from pydantic.json_schema import JsonSchemaMode, models_json_schema

from app.api.batch_order import BatchBody, BatchMessageBody
from app.api.inbox_forward import ForwardBody
from app.api.order import MessageBody, OrderBody
from app.api.portable import PORTABLE
from app.api.templates import RenderBody
from app.api.users import UserBody
from app.api.webhooks import WebhookBody
from app.configuration.document import describe_input
from app.configuration.shown_document import describe_answer
from app.settings import read_version

_GUIDE = """\
Awizo keeps the mail configuration of a company and its users, and sends templated mail for an ERP:
documents, contracts, payment reminders. This page is all an ERP developer needs; ten minutes.

## 1. Sign in

Every call carries `Authorization: Bearer <key>`. The first start prints one admin key (and writes it
to `admin.key` in the data directory). With it, make one key for your module and keep the answer's
`key`: it is shown once.

```
curl -s $AWIZO/keys -H "Authorization: Bearer $ADMIN_KEY" -H 'Content-Type: application/json' \\
     -d '{"role": "sender", "name": "Accounting module"}'
```

| role | may |
| --- | --- |
| `admin` | everything |
| `sender` | send and read for any user; read configurations |
| `user` | bound to one user id: their own things only |
| `probe` | only `/test-smtp` of the global scope, and `/limits` |

Users are the ids your ERP has; nothing needs to be registered. A JWT of the configured OIDC issuer
works like a key. Replace a key with `POST /keys/{id}/rotate`: both work for a day.

## 2. Configure once, send often

`PUT /config/global` (or `/config/users/{user}`) stores the mail server; `POST /test-smtp` says whether
it works, and what to do when it does not. Then:

```
curl -s $AWIZO/send -H "Authorization: Bearer $KEY" -H 'Content-Type: application/json' \\
     -H 'Idempotency-Key: FV/12/2026-1' \\
     -d '{"to": "Klient <ksiegowosc@klient.example>", "subject": "FV {numer}", "body": "…",
          "macros": {"numer": "FV/12/2026"}}'
```

`202` means: checked, composed and stored durably; it will be sent, also after a crash. Ask
`GET /messages/{id}`, or poll `GET /events?after=` for all messages together. A recipient is `queued`,
`sending`, `deferred` (tried again by itself), `held` (needs a person; `reason` says why), and in the
end `sent`, `delivered`, `failed`, `suppressed`, `cancelled` or `expired`. *Sent* means the server took
it; *delivered* that a report says so.

## 3. Repeat safely

Send an `Idempotency-Key` with `POST /send` (or `idempotency_key` with each message of a batch) and
repeat the same request after any error or timeout: one message is made, and the same answer comes
again with `Idempotent-Replayed: true`. The same key with another body is refused.

## 4. Errors

Every error is `application/problem+json` (RFC 9457) with a stable `code`, and `errors` lists **all**
faults at once, each with a JSON pointer into your request. `retryable: true` (`429`, `503`, with
`Retry-After`) means: the same request later. Quote `request_id` (also the header `X-Request-Id`, which
you may set) when you ask an administrator.

## 5. What comes back

Give each message its `reference` (the document's type, number, customer). Where the account has a
mailbox (`incoming`), reports move its recipients and answers are found at the document:
`GET /inbox?reference.number=FV/12/2026&kind=human`, `POST /inbox/{id}/handled`. `answer_within_min`
has people told when nobody answers. Instead of polling, `POST /webhooks` has the events of `/events`
posted to you, signed by Standard Webhooks 1.0.

## 6. Habits

`null` equals absent (except in `PATCH`); an empty string or list means *explicitly none*. Unknown
members are refused. Address fields take `"A <a@x.example>; b@x.example"`, lists, or objects; answers
are lists of objects. Times have an offset; answers are UTC. Lists are `?limit=&after=` →
`{"data": […], "next": …}`. Configurations and templates have an `ETag`; `If-Match` is optional.
"""

_TAGS = [
    {"name": "sending", "description": "Send one message or a batch."},
    {"name": "messages", "description": "Follow, cancel, retry, release and resend messages."},
    {"name": "inbox", "description": "What came in: answers, reports, and what they are about."},
    {"name": "configuration", "description": "What a scope has set; what a send would use."},
    {"name": "accounts", "description": "Every mail account, who may use it, and as whom."},
    {"name": "domains", "description": "Servers entered once for every address of a domain."},
    {"name": "templates", "description": "Texts and macros."},
    {"name": "test", "description": "Try a mail server, step by step."},
    {"name": "providers", "description": "What mail providers publish; the servers of an address."},
    {"name": "users", "description": "Who the ERP's user ids stand for."},
    {"name": "suppressions", "description": "Who is not to be written to."},
    {"name": "keys", "description": "API keys."},
    {"name": "webhooks", "description": "Events pushed to your programs."},
    {"name": "audit", "description": "Who changed or revealed what."},
    {"name": "state", "description": "Health, readiness, metrics, limits."},
]

# Bodies that the endpoints read themselves, so that FastAPI does not know them.
_READ_BY_HAND: list[tuple[type[BaseModel], JsonSchemaMode]] = [
    (OrderBody, "validation"),
    (MessageBody, "validation"),
    (BatchBody, "validation"),
    (BatchMessageBody, "validation"),
    (RenderBody, "validation"),
    (UserBody, "validation"),
    (WebhookBody, "validation"),
    (ForwardBody, "validation"),
    *((each, "validation") for each in PORTABLE),
]

_FAULT: dict[str, Any] = {
    "type": "object",
    "required": ["pointer", "code", "detail"],
    "properties": {
        "pointer": {
            "type": "string",
            "description": "RFC 6901 pointer into the request; empty: the whole of it.",
        },
        "code": {"type": "string", "description": "Stable slug."},
        "detail": {"type": "string", "description": "What is wrong and what to do."},
    },
}
_PROBLEM: dict[str, Any] = {
    "title": "Problem",
    "type": "object",
    "description": "RFC 9457; every error of this API.",
    "required": [
        "type",
        "title",
        "status",
        "detail",
        "instance",
        "code",
        "errors",
        "retryable",
        "request_id",
    ],
    "properties": {
        "type": {"type": "string", "format": "uri-reference"},
        "title": {"type": "string"},
        "status": {"type": "integer"},
        "detail": {"type": "string"},
        "instance": {"type": "string"},
        "code": {"type": "string", "description": "Stable slug; decide by this one."},
        "errors": {"type": "array", "items": _FAULT},
        "retryable": {
            "type": "boolean",
            "description": "The same request may succeed later, without a change.",
        },
        "request_id": {"type": ["string", "null"]},
    },
    "examples": [
        {
            "type": "about:blank",
            "title": "Unprocessable Content",
            "status": 422,
            "detail": "2 things are wrong.",
            "instance": "/keys",
            "code": "required",
            "errors": [
                {"pointer": "/name", "code": "required", "detail": "This is required."},
                {
                    "pointer": "/rolle",
                    "code": "unknown_field",
                    "detail": "There is no such member.",
                },
            ],
            "retryable": False,
            "request_id": "1f6c2f0b9d7e4a52c3b1d0aa",
        }
    ],
}


# Large and in many places: once in the document, by name.
_SHARED: dict[str, dict[str, Any]] = {
    "Configuration": describe_answer(),
    "ConfigurationBody": describe_input(),
}


class Service(FastAPI):
    """FastAPI whose OpenAPI document has the ``Problem`` schema, and what is large once."""

    def openapi(self) -> dict[str, Any]:
        """Return the document."""
        document = super().openapi()
        schemas = document["components"]["schemas"]
        schemas["Problem"] = _PROBLEM
        schemas |= models_json_schema(_READ_BY_HAND, ref_template="#/components/schemas/{model}")[
            1
        ]["$defs"]
        shared: dict[str, Any] = _share(document)
        shared["components"]["schemas"] |= _SHARED
        return shared


def _share(node: Any) -> Any:
    """Return a document with ``_SHARED`` referred to wherever one of them stands."""
    if isinstance(node, list):
        return [_share(each) for each in node]
    if not isinstance(node, dict):
        return node
    plain = {name: value for name, value in node.items() if name != "title"}
    for name, schema in _SHARED.items():
        if plain == schema:
            return {"$ref": f"#/components/schemas/{name}"}
    return {name: _share(value) for name, value in node.items()}


def describe_api() -> dict[str, Any]:
    """Return the arguments of ``Service`` that describe the API."""
    return {
        "title": "Awizo",
        "version": read_version(),
        "description": _GUIDE,
        "openapi_tags": _TAGS,
        # Their pages load scripts from somebody else's servers, on the origin of the admin page.
        "docs_url": None,
        "redoc_url": None,
        "redirect_slashes": False,
        "generate_unique_id_function": _name_operation,
        "responses": {
            "default": {
                "description": "A problem: `code` says which, `errors` lists every fault.",
                "content": {
                    "application/problem+json": {"schema": {"$ref": "#/components/schemas/Problem"}}
                },
            }
        },
    }


def _name_operation(route: APIRoute) -> str:
    return route.name
