"""Runs the worker process: one event loop, one dispatch loop, one listener for Prometheus.

SIGTERM and Ctrl-C stop it gracefully: nothing more is claimed, what is in hand is finished or given back.
"""

from __future__ import annotations

import asyncio
import contextlib
import signal
from collections.abc import AsyncIterator
from datetime import datetime, timedelta

import asyncpg
import structlog
import uvloop

from weft.adapters.addresses import Allow
from weft.adapters.http_client import SafeHttpClient
from weft.adapters.mail import mailer_of
from weft.core import logs, memory
from weft.core.clock import utc_now
from weft.db.database import Database
from weft.db.hot import AWAY
from weft.domain.events.rules import KEPT as EVENTS_KEPT
from weft.engine.code_sandbox import CodeSandbox
from weft.engine.kinds import Ports
from weft.engine.limits import limits_of
from weft.engine.message_templates import Templates
from weft.engine.process import EngineProcess
from weft.engine.triggers.schedules import Schedules
from weft.engine.vault import Vault
from weft.ops import keys, preflight
from weft.ops.installation import with_running_database
from weft.ops.migrating.instances import alive
from weft.ops.monitoring.facts import Sampler
from weft.ops.retention import Sweep, bounds_of
from weft.ops.scale.pools import of_worker
from weft.settings import Settings
from weft.worker.loop import Worker
from weft.worker.loops.maintenance import MaintenanceLoop
from weft.worker.loops.retention import Retention
from weft.worker.loops.schedules import ScheduleLoop
from weft.worker.measure import serve_metrics
from weft.worker.options import WorkerOptions
from weft.worker.sweep import keep_places

log = structlog.get_logger("weft.worker")

PARTITIONS_AHEAD = 3
"""Months. A row without a partition is refused, so they are made long before they are needed."""

EVENTS_AT_ONCE = 5_000
"""Old events that one statement deletes."""

CHORE_INTERVAL = timedelta(hours=6)


def run(settings: Settings) -> int:
    """Work until told to stop; the exit code. Raises `WeftError` when it may not or cannot start."""
    logs.configure(level=settings.log.level, style=settings.log.format)
    settings = with_running_database(settings)
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(work(settings, keys.master_key(settings)))
    return 0


async def work(settings: Settings, master_key: bytes) -> None:
    """The process's one task."""
    dsn = settings.database.url or ""
    for finding in preflight.require(await preflight.check(dsn)):
        log.warning("preflight", code=finding.code, finding=finding.sentence)
    async with open_worker(settings, dsn, master_key) as worker:
        loop = asyncio.get_running_loop()
        for order in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(order, worker.stop)
        memory.settle()
        log.info("working", owner=worker.owner, concurrency=settings.worker.concurrency)
        await worker.run()
    log.info("stopped")


@contextlib.asynccontextmanager
async def open_worker(settings: Settings, dsn: str, master_key: bytes) -> AsyncIterator[Worker]:
    """A worker with everything that it needs, and its companions for as long as it is open."""
    pools = of_worker(settings.database)
    database = await Database.open(
        dsn,
        application_name="weft worker",
        size=pools.rooms,
        hot_size=pools.hot,
        master_key=master_key,
        pooled=settings.database.pooler == "transaction",
        slow_ms=settings.log.slow_ms,
    )
    client = SafeHttpClient(Allow.parse(settings.http.allow))
    code = CodeSandbox()
    engine = EngineProcess(database, wakes=False, answers=False, limits=limits_of(settings.limits))
    await engine.open()
    chosen = settings.worker
    worker = Worker(
        database,
        engine.driver,
        engine.starter,
        Ports(
            http=client,
            secrets=Vault(database),
            code=code,
            mail=mailer_of(settings.smtp),
            templates=Templates(database, engine.guard),
        ),
        WorkerOptions(
            concurrency=chosen.concurrency,
            batch=chosen.batch,
            lease=chosen.lease_seconds,
            poll=chosen.poll_seconds,
            drain=chosen.drain_seconds,
        ),
        listen_dsn=settings.database.listen_url,
        clock=engine.clock,
    )
    schedules = Schedules(engine.driver, engine.starter, engine.guard)
    scheduler = ScheduleLoop(database, schedules, listen_dsn=settings.database.listen_url, clock=engine.clock)
    retention = Retention(
        Sweep(database, settings.archives, bounds_of(settings)),
        every_seconds=settings.retention.every_minutes * 60,
        round_seconds=settings.retention.round_seconds,
        clock=engine.clock,
    )
    companions = [
        asyncio.create_task(keep_partitions(database)),
        asyncio.create_task(keep_events(database)),
        asyncio.create_task(scheduler.run()),
        asyncio.create_task(retention.keep()),
        asyncio.create_task(keep_places(database)),
        asyncio.create_task(MaintenanceLoop(settings, clock=engine.clock).keep()),
    ]

    def forbidden(finding: preflight.Finding) -> None:
        """Whoever starts us again is told why by the preflight."""
        log.error("schema", code=finding.code, finding=finding.sentence)
        worker.stop()

    try:
        sampler = Sampler(database, settings.monitor.every_seconds)
        async with (
            alive(database, "worker", profile=settings.profile, forbidden=forbidden),
            serve_metrics(worker, settings.api.host, chosen.metrics_port, retention.numbers, sampler),
        ):
            yield worker
    finally:
        for task in companions:
            task.cancel()
        await asyncio.gather(*companions, return_exceptions=True)
        await engine.close()
        await client.close()
        await code.close()
        await database.close()


async def keep_partitions(database: Database) -> None:
    """Months ahead, so that no insert ever misses its partition. Asking again changes nothing."""
    while True:
        try:
            async with database.pool.acquire() as connection:
                made = await connection.fetchval("select weft.ensure_partitions($1)", PARTITIONS_AHEAD)
            if made:
                log.info("made partitions", partitions=made)
            pause = CHORE_INTERVAL.total_seconds()
        except (asyncpg.PostgresError, *AWAY) as error:
            log.warning("partitions not checked", error=type(error).__name__)
            pause = 60.0
        await asyncio.sleep(pause)


async def keep_events(database: Database) -> None:
    """Old events go, a few thousand at a time. That several workers do it changes nothing."""
    while True:
        try:
            await prune_events(database, utc_now() - EVENTS_KEPT)
            pause = CHORE_INTERVAL.total_seconds()
        except (asyncpg.PostgresError, *AWAY) as error:
            log.warning("old events not deleted", error=type(error).__name__)
            pause = 60.0
        await asyncio.sleep(pause)


async def prune_events(database: Database, before: datetime, at_once: int = EVENTS_AT_ONCE) -> int:
    """Delete the events that came before a time. Returns how many there were."""
    total = 0
    while True:
        async with database.pool.acquire() as connection:
            gone: int = await connection.fetchval("select weft.prune_events($1, $2)", before, at_once)
        total += gone
        if gone < at_once:
            return total
