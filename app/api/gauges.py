"""What the database says for ``/metrics``, as one collector for Prometheus."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from prometheus_client.core import GaugeMetricFamily, Metric
from prometheus_client.registry import Collector
from sqlalchemy.engine import Connection

from app.accounts.audit import SYSTEM
from app.inbox.census import Mailboxes, Open, count_mailboxes, count_open
from app.outbox.census import Census, take_census
from app.webhooks.census import Webhooks, count_webhooks


@dataclass(frozen=True, slots=True)
class Count:
    """All that is counted; None where the tables are of another version."""

    census: Census
    open: Open | None = None
    mailboxes: Mailboxes | None = None
    webhooks: Webhooks | None = None


def take_count(tx: Connection) -> Count:
    """Count what every room has."""
    census = take_census(tx)
    if not census.readiness.schema_is_current:
        return Count(census)
    return Count(census, count_open(tx, SYSTEM), count_mailboxes(tx), count_webhooks(tx))


class Gauges(Collector):
    """The gauges of one count; None while the database is away."""

    def __init__(self, count: Count | None, delivery: str) -> None:
        self._count = count
        self._delivery = delivery

    def collect(self) -> Iterator[Metric]:
        """Yield every gauge."""
        count = self._count
        yield _gauge("awizo_database_up", "Whether the database answers.", int(count is not None))
        mode = self._delivery.partition(":")[0]
        yield _family("awizo_delivery", "AWIZO_DELIVERY.", "mode", {mode: 1})
        if count is None:
            return
        yield from _list_outbox(count.census)
        if count.open is not None:
            waiting = {"answer": count.open.answers, "report": count.open.unmatched}
            text = "Answers, and reports on no message, that nobody took care of."
            yield _family("awizo_incoming_unhandled", text, "kind", waiting)
        if count.mailboxes is not None:
            yield from _list_mailboxes(count.mailboxes)
        if count.webhooks is not None:
            hooks = count.webhooks
            deliveries = {"waiting": hooks.waiting, "given_up": hooks.given_up}
            yield _family("awizo_webhook_deliveries", "Webhook deliveries.", "state", deliveries)
            text = "Webhooks that were switched off because of their receiver."
            yield _gauge("awizo_webhooks_disabled", text, hooks.disabled)


def _list_outbox(census: Census) -> Iterator[Metric]:
    text = "Recipients of unfinished messages."
    yield _family("awizo_recipients", text, "state", census.recipients)
    yield _family("awizo_messages", "Messages in the database.", "status", census.messages)
    found = census.readiness
    yield _gauge("awizo_workers", "Workers heard of lately.", found.workers_alive)
    text = "How long mail has been due at most."
    yield _gauge("awizo_oldest_due_seconds", text, found.oldest_due_s)
    if found.worker_silent_s is not None:
        text = "Since a worker was last heard of."
        yield _gauge("awizo_worker_heartbeat_age_seconds", text, found.worker_silent_s)


def _list_mailboxes(mailboxes: Mailboxes) -> Iterator[Metric]:
    yield _gauge("awizo_mailboxes", "Mailboxes that are collected.", mailboxes.collected)
    text = "Of them, those whose last look failed."
    yield _gauge("awizo_mailboxes_failing", text, mailboxes.failing)
    if mailboxes.oldest_sync_s is not None:
        text = "How long ago the mailbox that waits longest was last read."
        yield _gauge("awizo_mailbox_oldest_sync_age_seconds", text, mailboxes.oldest_sync_s)


def _gauge(name: str, text: str, value: float) -> Metric:
    return GaugeMetricFamily(name, text, value=value)


def _family(name: str, text: str, label: str, counts: Mapping[str, int]) -> Metric:
    family = GaugeMetricFamily(name, text, labels=[label])
    for value, count in sorted(counts.items()):
        family.add_metric([value], count)
    return family
