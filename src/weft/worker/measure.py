"""The worker's own numbers for Prometheus, on a listener of its own."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Callable, Iterator

import structlog
from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily
from prometheus_client.exposition import CONTENT_TYPE_LATEST
from prometheus_client.registry import Collector

from weft.db.database import dumps
from weft.engine.events.hearing import loops_refused
from weft.ops.monitoring.facts import Sampler
from weft.ops.monitoring.prometheus import DatabaseCollector, ProcessCollector, statements_document
from weft.worker.loop import Worker
from weft.worker.loops.retention import Numbers as RetentionNumbers

log = structlog.get_logger("weft.worker")

Page = Callable[[], tuple[str, bytes]]


class _Numbers(Collector):
    """Read from the worker at every scrape: nothing is counted twice."""

    def __init__(self, worker: Worker, retention: RetentionNumbers | None = None) -> None:
        self._worker = worker
        self._retention = retention

    def collect(self) -> Iterator[CounterMetricFamily | GaugeMetricFamily]:
        claimed = CounterMetricFamily("weft_worker_jobs_claimed", "Jobs claimed since the worker started.")
        claimed.add_metric((), self._worker.claimed)
        held = GaugeMetricFamily("weft_worker_jobs_held", "Jobs in hand now.", value=self._worker.holding)
        loops = CounterMetricFamily("weft_event_loops_refused", "Events that would have gone on in a loop.")
        loops.add_metric((), loops_refused.count)
        yield claimed
        yield loops
        yield held
        if self._retention is not None:
            yield from _retention(self._retention)


def _retention(numbers: RetentionNumbers) -> Iterator[CounterMetricFamily | GaugeMetricFamily]:
    counted = (
        ("weft_retention_executions_deleted", "Old executions deleted since the worker started.", numbers.executions),
        ("weft_retention_executions_archived", "Of them, those that were archived first.", numbers.archived),
        (
            "weft_retention_failures",
            "Times that old executions had to stay.",
            numbers.failures,
        ),
    )
    for name, sentence, value in counted:
        family = CounterMetricFamily(name, sentence)
        family.add_metric((), value)
        yield family
    if numbers.last_run is not None:
        yield GaugeMetricFamily(
            "weft_retention_last_run_seconds",
            "When this worker last looked what is too old, in seconds since 1970.",
            value=numbers.last_run.timestamp(),
        )


@contextlib.asynccontextmanager
async def serve_metrics(
    worker: Worker, host: str, port: int, retention: RetentionNumbers | None = None, sampler: Sampler | None = None
) -> AsyncIterator[None]:
    """Answer `GET /metrics` and `/statements` on a port; 0 means that nobody wants them."""
    if not port:
        yield
        return
    registry = CollectorRegistry()
    registry.register(_Numbers(worker, retention))
    pages: dict[bytes, Page] = {b"/metrics": lambda: (CONTENT_TYPE_LATEST, generate_latest(registry))}
    if sampler is not None:
        registry.register(ProcessCollector(sampler.database))
        registry.register(DatabaseCollector(sampler))
        pages[b"/statements"] = lambda: ("application/json", dumps(statements_document(sampler.database)).encode())

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(TimeoutError, OSError, asyncio.IncompleteReadError, asyncio.LimitOverrunError):
            async with asyncio.timeout(10):
                request = await reader.readuntil(b"\r\n\r\n")
                method, _, rest = request.partition(b" ")
                page = pages.get(rest.partition(b" ")[0]) if method in (b"GET", b"HEAD") else None
                if page is not None and sampler is not None:
                    await sampler.fresh()
                kind, body = page() if page is not None else ("text/plain", b"not found: /metrics is what there is\n")
                status = "200 OK" if page is not None else "404 Not Found"
                head = f"HTTP/1.1 {status}\r\nContent-Type: {kind}\r\nContent-Length: {len(body)}\r\n"
                writer.write(head.encode() + b"Connection: close\r\n\r\n" + body)
                await writer.drain()
        writer.close()

    try:
        server = await asyncio.start_server(answer, host, port)
    except OSError as error:
        # A second worker on this machine: work matters more than numbers.
        log.warning("no metrics: the port is taken", port=port, error=error.strerror)
        yield
        return
    async with server:
        yield
