"""How this installation is doing: ``/healthz``, ``/readyz``, ``/metrics``, ``/limits``.

``/metrics`` is open to this host itself. A reverse proxy on this host would make everybody look
local, so a request that carries any forwarding header never counts as local, whatever it claims.
A proxy that adds none of them must not pass ``/metrics`` on (``docs/operating.md``).
"""

from ipaddress import ip_address
from time import monotonic

from fastapi import APIRouter, Request, Response
from prometheus_client import CollectorRegistry, generate_latest
from pydantic import BaseModel, Field

from app.api.body import Route, ShownInstant
from app.api.gate import TheOffice
from app.api.gauges import Count, Gauges, take_count
from app.api.meters import Meters
from app.api.problem import make_problem
from app.api.sign_in import TheCaller, identify
from app.errors import Unavailable
from app.outbox.census import Readiness, read_readiness
from app.outbox.office import Office
from app.templates_engine.parse import MAX_TEMPLATE_BYTES

router = APIRouter(route_class=Route, tags=["state"])

_COUNT_KEPT_S = 10.0
_FORWARDING = ("forwarded", "x-forwarded-for", "x-forwarded-host", "x-forwarded-proto",
               "x-real-ip", "via", "cf-connecting-ip", "true-client-ip")  # fmt: skip


class Alive(BaseModel):
    """The process answers."""

    status: str = "ok"


class WorkerState(BaseModel):
    """The workers of this database."""

    ok: bool
    alive: int | None = Field(description="Workers heard of within 30 seconds.")
    seen_at: ShownInstant | None


class QueueState(BaseModel):
    """The queue."""

    oldest_due_at: ShownInstant | None
    oldest_due_s: float | None = Field(
        description="How long the mail that is due longest has been due."
    )


class DatabaseState(BaseModel):
    """The database."""

    ok: bool = Field(description="It answers. Where it does not, what it would say is null.")


class SchemaState(BaseModel):
    """The database's tables."""

    ok: bool
    revision: str | None


class Ready(BaseModel):
    """Everything that accepted mail needs."""

    ready: bool
    database: DatabaseState
    schema_: SchemaState = Field(alias="schema", description="Tables are as this version needs.")
    worker: WorkerState
    queue: QueueState
    delivery: str = Field(
        description="`on`, `off` or `redirect:<address>`.",
        examples=["on", "redirect:test@firma.example"],
    )


class Limits(BaseModel):
    """What one request may hold."""

    attachment_bytes: int = Field(description="All attachments of one message together.")
    recipients: int = Field(description="Recipients of one message, copies included.")
    request_bytes: int
    batch_messages: int
    template_bytes: int = Field(description="Subject and body of a template together, UTF-8.")
    rendered_bytes: int = Field(description="Subject and body after macros, UTF-8.")


@router.get("/healthz")
async def check_health() -> Alive:
    """Say that this process answers; nothing else is looked at."""
    return Alive()


@router.get("/readyz", response_model=Ready)
async def check_readiness(request: Request, office: TheOffice) -> Response | Ready:
    """Say whether database, tables and a worker are there; `503` with the same members if not."""
    delivery = office.settings.delivery
    try:
        found = await office.db.read(read_readiness)
    except Unavailable as error:
        request.app.state.meters.database_errors.inc()
        unknown = Ready(
            ready=False,
            database=DatabaseState(ok=False),
            schema=SchemaState(ok=False, revision=None),
            worker=WorkerState(ok=False, alive=None, seen_at=None),
            queue=QueueState(oldest_due_at=None, oldest_due_s=None),
            delivery=delivery,
        )
        return _show_unready(request, unknown, error.code, error.detail)
    ready = Ready(
        ready=found.schema_is_current and found.workers_alive > 0,
        database=DatabaseState(ok=True),
        schema=SchemaState(ok=found.schema_is_current, revision=found.schema),
        worker=WorkerState(
            ok=found.workers_alive > 0, alive=found.workers_alive, seen_at=found.worker_seen_at
        ),
        queue=QueueState(oldest_due_at=found.oldest_due_at, oldest_due_s=found.oldest_due_s),
        delivery=delivery,
    )
    if ready.ready:
        return ready
    return _show_unready(request, ready, "not_ready", _say_what_lacks(found))


def _show_unready(request: Request, ready: Ready, code: str, detail: str) -> Response:
    members = ready.model_dump(mode="json", by_alias=True)
    return make_problem(request, 503, code, detail, retryable=True, members=members)


@router.get("/limits")
async def read_limits(caller: TheCaller, office: TheOffice) -> Limits:
    """Show what one request may hold; past it the answer is `413` or `422`."""
    settings = office.settings
    return Limits(
        attachment_bytes=settings.max_attachment_bytes,
        recipients=settings.max_recipients,
        request_bytes=settings.max_request_bytes,
        batch_messages=settings.max_batch_messages,
        template_bytes=MAX_TEMPLATE_BYTES,
        rendered_bytes=settings.max_rendered_bytes,
    )


@router.get(
    "/metrics",
    response_class=Response,
    responses={200: {"content": {"text/plain": {"schema": {"type": "string"}}}}},
)
async def show_metrics(request: Request, office: TheOffice) -> Response:
    """Show counters for Prometheus: open on the server's own host, else for `admin`."""
    if not _is_local(request):
        (await identify(request)).require("admin")
    meters: Meters = request.app.state.meters
    registry = CollectorRegistry()
    registry.register(Gauges(await _count(office, meters), office.settings.delivery))
    return Response(
        generate_latest(meters.registry) + generate_latest(registry),
        media_type="text/plain; version=0.0.4; charset=utf-8",
    )


def _is_local(request: Request) -> bool:
    """Whether the request came from this host and through no proxy."""
    if request.client is None or any(name in request.headers for name in _FORWARDING):
        return False
    try:
        address = ip_address(request.client.host)
    except ValueError:
        return False
    return (getattr(address, "ipv4_mapped", None) or address).is_loopback


async def _count(office: Office, meters: Meters) -> Count | None:
    """Return the counts, at most some seconds old; None while the database is away."""
    kept = meters.count
    if kept is None or monotonic() - kept[0] > _COUNT_KEPT_S:
        try:
            kept = meters.count = (monotonic(), await office.db.read(take_count))
        except Unavailable:
            meters.database_errors.inc()
            return None
    return kept[1]


def _say_what_lacks(found: Readiness) -> str:
    if not found.schema_is_current:
        return "The database's tables are of another version; run `awizo migrate`."
    return "No worker has been heard of for 30 seconds; start `awizo serve` or `awizo worker`."
