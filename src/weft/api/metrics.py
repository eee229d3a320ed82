"""What Prometheus reads, on a listener of its own: it must not be reachable where tenants are, and needs no sign-in.

Labels are bounded: route templates, status classes, states. There is no tenant label; their number has no bound.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterator
from datetime import datetime
from typing import Final

import asyncpg
import structlog
from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest
from prometheus_client.core import GaugeMetricFamily
from prometheus_client.exposition import CONTENT_TYPE_LATEST
from prometheus_client.registry import Collector
from sqlalchemy.pool import QueuePool
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from weft.core.clock import Clock, utc_now
from weft.db.database import Database

log = structlog.get_logger("weft.api")

_BUCKETS: Final = (0.002, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 15.0, 60.0)
_PATIENCE: Final = 2.0
"""Seconds that a scrape waits for the database before it goes on without the queue."""


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
        self.queue_jobs = Gauge(
            "weft_queue_jobs", "Jobs that wait or run, by state.", ("state",), registry=self.registry
        )
        self.queue_age = Gauge(
            "weft_queue_oldest_seconds",
            "How long the oldest job has been due, by state.",
            ("state",),
            registry=self.registry,
        )
        self.queue_read = Gauge(
            "weft_queue_readable", "1 if the last scrape could read the queue, else 0.", registry=self.registry
        )

    def observe(self, method: str, route: str, status: int, seconds: float) -> None:
        self.requests.labels(method, route, f"{status // 100}xx").observe(seconds)

    def watch(self, database: Database) -> None:
        """Add the database's pools, read at every scrape."""
        self.registry.register(_Pools(database))

    def watch_streams(self, count: Callable[[], int]) -> None:
        """Add the number of open streams of events, read at every scrape."""
        streams = Gauge("weft_event_streams", "Streams of events that are open now.", registry=self.registry)
        streams.set_function(count)

    async def read_queue(self, database: Database, now: datetime) -> None:
        """Ask the database how much waits. A database that does not answer must not take the other metrics along."""
        try:
            async with asyncio.timeout(_PATIENCE), database.pool.acquire() as connection:
                rows = await connection.fetch("select state, jobs, oldest from weft.queue_depth()")
        except (OSError, TimeoutError, asyncpg.PostgresError, asyncpg.InterfaceError) as error:
            log.warning("queue depth unknown", reason=type(error).__name__)
            self.queue_read.set(0)
            return
        self.queue_jobs.clear()
        self.queue_age.clear()
        for row in rows:
            self.queue_jobs.labels(row["state"]).set(row["jobs"])
            self.queue_age.labels(row["state"]).set(max(0.0, (now - row["oldest"]).total_seconds()))
        self.queue_read.set(1)


class _Pools(Collector):
    """Connections of both pools: `rooms` is SQLAlchemy's, `hot` is the engine's."""

    def __init__(self, database: Database) -> None:
        self.database = database

    def collect(self) -> Iterator[GaugeMetricFamily]:
        size = GaugeMetricFamily("weft_database_connections", "Connections that are open.", labels=("pool",))
        used = GaugeMetricFamily("weft_database_connections_used", "Connections in use now.", labels=("pool",))
        rooms = self.database.engine.pool
        if isinstance(rooms, QueuePool):
            size.add_metric(("rooms",), rooms.checkedin() + rooms.checkedout())
            used.add_metric(("rooms",), rooms.checkedout())
        hot = self.database.pool
        size.add_metric(("hot",), hot.get_size())
        used.add_metric(("hot",), hot.get_size() - hot.get_idle_size())
        yield size
        yield used


def listener(metrics: Metrics, database: Database, clock: Clock = utc_now) -> Starlette:
    """The application behind the metrics port."""

    async def scrape(_request: Request) -> Response:
        await metrics.read_queue(database, clock())
        for read in metrics.also:
            await read(database, clock())
        return Response(generate_latest(metrics.registry), media_type=CONTENT_TYPE_LATEST)

    return Starlette(routes=[Route("/metrics", scrape)])
