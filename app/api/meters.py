"""What one process counts about itself for ``/metrics``; the queue is counted in the database."""

from prometheus_client import CollectorRegistry, Counter, Histogram

from app.api.gauges import Count

_METHODS = {"GET", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"}  # HEAD counts as GET
_BUCKETS_S = (0.002, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 15, 60)


class Meters:
    """The counters of one process, in a registry of their own."""

    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        self.count: tuple[float, Count] | None = None  # when it was taken (monotonic), and it
        self.database_errors = Counter(
            "awizo_database_errors",
            "Requests answered 503 because the database was away, busy or full.",
            registry=self.registry,
        )
        self._requests = Counter(
            "awizo_http_requests",
            "HTTP requests answered.",
            ("method", "route", "status"),
            registry=self.registry,
        )
        self._seconds = Histogram(
            "awizo_http_request_seconds",
            "Time from a request's head to the end of its answer.",
            ("route",),
            buckets=_BUCKETS_S,
            registry=self.registry,
        )

    def observe(self, method: str, route: str, status: int, seconds: float) -> None:
        """Count one request. ``route`` is the path with its parameters' names, never their values."""
        known = method if method in _METHODS else "other"
        self._requests.labels(known, route, str(status)).inc()
        self._seconds.labels(route).observe(seconds)
