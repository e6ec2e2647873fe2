"""The system: workers, database, version, limits in force."""

import sys

from fastapi import APIRouter, Response

from app.outbox.beat import list_workers
from app.outbox.census import read_readiness
from app.settings import read_version
from app.templates_engine.parse import MAX_TEMPLATE_BYTES
from app.web.visit import TheVisit
from app.web.words import mark

router = APIRouter()


@router.get("/system")
async def show_system(visit: TheVisit) -> Response:
    """Show how this installation is doing, and what bounds it has."""
    visit.caller.require("admin")
    readiness = await visit.office.db.read(read_readiness)
    workers = await visit.office.db.read(list_workers)
    settings = visit.office.settings
    return visit.render(
        "system.html",
        readiness=readiness,
        workers=workers,
        version=read_version(),
        python=".".join(map(str, sys.version_info[:3])),
        engine="SQLite" if visit.office.db.is_sqlite else "PostgreSQL",
        sizes={
            mark("All attachments of one message"): settings.max_attachment_bytes,
            mark("One request"): settings.max_request_bytes,
            mark("Subject and body of a template"): MAX_TEMPLATE_BYTES,
            mark("Subject and body with all values in it"): settings.max_rendered_bytes,
        },
        counts={
            mark("Recipients of one message, copies included"): settings.max_recipients,
            mark("Messages in one batch"): settings.max_batch_messages,
            mark(
                "Connections to one mail server, for each worker"
            ): settings.connections_per_account,
            mark("Tests a minute for one key"): settings.probe_rate,
        },
        retries=settings.retry_schedule,
        keeps={
            mark("Content of a message after its end"): settings.keep_bodies_days,
            mark("Record of a message after its end"): settings.keep_metadata_days,
        },
        ports=sorted(settings.smtp_ports) if settings.smtp_ports is not None else None,
    )
