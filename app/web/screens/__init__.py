"""Every screen's endpoints; the order of the menu stands in ``menu``."""

from collections.abc import Sequence

from fastapi import APIRouter

from app.web.assets import router as assets_router
from app.web.screens.overview import router as overview_router
from app.web.screens.sign_in import router as sign_in_router

ROUTERS: Sequence[APIRouter] = (
    assets_router,
    sign_in_router,
    overview_router,
)
