"""What OpenAPI says about the API as a whole: the guide, the tags, the one form of every error.

``Service`` is FastAPI with the shared ``Problem`` schema in its document; operation ids are the
endpoints' function names, so they stay when paths are moved between files.
"""

from importlib.metadata import version
from typing import Any

from fastapi import FastAPI
from fastapi.routing import APIRoute

_GUIDE = """\
"""

PROBLEM: dict[str, Any] = {}


class Service(FastAPI):
    """FastAPI whose OpenAPI document has the ``Problem`` schema."""

    def openapi(self) -> dict[str, Any]:
        """Return the document."""
        document = super().openapi()
        document["components"]["schemas"]["Problem"] = PROBLEM
        return document


def _name_operation(route: APIRoute) -> str:
    return route.name


def describe_api() -> dict[str, Any]:
    """Return the arguments of ``Service`` that describe the API."""
    return {
        "title": "Awizo",
        "version": version("awizo"),
        "description": _GUIDE,
        "openapi_url": "/openapi.json",
        # Both pages load scripts from somebody else's servers, beside a page that holds keys.
        "docs_url": None,
        "redoc_url": None,
        "redirect_slashes": False,
        "generate_unique_id_function": _name_operation,
        "responses": {
            "default": {
                "description": "A problem; `code` says which, `errors` lists every fault.",
                "content": {
                    "application/problem+json": {"schema": {"$ref": "#/components/schemas/Problem"}}
                },
            }
        },
    }
