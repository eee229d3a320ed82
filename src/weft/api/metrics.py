"""What Prometheus reads, on a listener of its own: it must not be reachable where tenants are, and needs no sign-in.

Labels are bounded: route templates, status classes, states. There is no tenant label; their number has no bound.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from datetime import datetime
from typing import Final

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest
from prometheus_client.exposition import CONTENT_TYPE_LATEST
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from weft.api.replica_metrics import ReplicaNumbers
from weft.core.clock import utc_now
from weft.db.database import Database
from weft.ops.monitoring.facts import Sampler
from weft.ops.monitoring.prometheus import DatabaseCollector, ProcessCollector, statements_document

_BUCKETS: Final = (0.002, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 15.0, 60.0)


class Metrics:
    """The registry of one API process and the instruments that requests use."""

    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        self.also: list[Callable[[Database, datetime], Awaitable[None]]] = []
        """What else is read at each scrape."""
        self.requests = Histogram(
            "weft_http_request_seconds",
            "Time from the first byte of a request to the last of its response.",
            ("method", "route", "status"),
            buckets=_BUCKETS,
            registry=self.registry,
        )
        self.running = Gauge("weft_http_requests_running", "Requests being answered now.", registry=self.registry)
        self.failures = Counter(
            "weft_http_failures", "Requests that ended in an error that nobody expected.", registry=self.registry
        )

    def observe(self, method: str, route: str, status: int, seconds: float) -> None:
        self.requests.labels(method, route, f"{status // 100}xx").observe(seconds)

    def watch(self, database: Database, sampler: Sampler) -> None:
        """Add the process's statements and pools, and what the sampler knows of the database; read at every scrape."""
        self.registry.register(ProcessCollector(database))
        self.registry.register(DatabaseCollector(sampler))
        if database.replica is not None:
            self.registry.register(ReplicaNumbers(database.replica))

    def watch_streams(self, count: Callable[[], int]) -> None:
        """Add the number of open streams of events, read at every scrape."""
        streams = Gauge("weft_event_streams", "Streams of events that are open now.", registry=self.registry)
        streams.set_function(count)


def listener(metrics: Metrics, database: Database, sampler: Sampler) -> Starlette:
    """The application behind the metrics port."""

    async def scrape(_request: Request) -> Response:
        await sampler.fresh()
        for read in metrics.also:
            await read(database, utc_now())
        return Response(generate_latest(metrics.registry), media_type=CONTENT_TYPE_LATEST)

    async def statements(_request: Request) -> Response:
        return JSONResponse(statements_document(database))

    return Starlette(routes=[Route("/metrics", scrape), Route("/statements", statements)])
