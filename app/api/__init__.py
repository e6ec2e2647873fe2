"""The API's doors: every router, and what OpenAPI says about them all.

A new router module is imported here and added to ``ROUTERS``; nothing else registers endpoints.
"""

from fastapi import APIRouter

from app.api import audit, keys, state, users
from app.api.describe import describe_api

__all__ = ["ROUTERS", "describe_api"]

ROUTERS: list[APIRouter] = [
    keys.router,
    users.router,
    audit.router,
    state.router,
]
