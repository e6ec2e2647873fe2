"""The API's doors: every router, and what OpenAPI says about them all.

A new router module is imported here and added to ``ROUTERS``; nothing else registers endpoints.
"""

from fastapi import APIRouter

from app.api.audit import router as audit_router
from app.api.describe import describe_api
from app.api.keys import router as keys_router
from app.api.state import router as state_router
from app.api.users import router as users_router

__all__ = ["ROUTERS", "describe_api"]

ROUTERS: list[APIRouter] = [
    keys_router,
    users_router,
    audit_router,
    state_router,
]
