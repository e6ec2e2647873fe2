"""The first page: what needs somebody, what waits, what went out."""

from fastapi import APIRouter, Response

from app.web.visit import TheVisit

router = APIRouter()


@router.get("/")
async def show_overview(visit: TheVisit) -> Response:
    """Show how the post office is doing."""
    return visit.render("overview.html")
