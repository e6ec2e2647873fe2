"""How this installation is doing: ``/healthz``, ``/readyz``, ``/metrics``, ``/limits``."""

from fastapi import APIRouter
from pydantic import BaseModel

from app.api.body import Route

router = APIRouter(route_class=Route, tags=["state"])


class Alive(BaseModel):
    """The process answers."""

    status: str = "ok"


@router.get("/healthz")
async def check_health() -> Alive:
    """Say that this process answers; nothing else is looked at."""
    return Alive()
