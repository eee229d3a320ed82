"""Runs the API process: one event loop, one listener for people and programs, one for Prometheus.

SIGTERM and Ctrl-C stop it gracefully: no new connections, running requests end, then the database is closed.
A second Ctrl-C does not wait.
"""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
import hmac
import signal
import socket
from collections.abc import AsyncIterator, Callable, Iterator
from dataclasses import dataclass
from datetime import timedelta
from typing import Final

import structlog
import uvicorn
from starlette.applications import Starlette
from starlette.types import ASGIApp

from weft.api import metrics as measuring
from weft.api.assemble import assembled
from weft.api.health import Heartbeat, Readiness, worker_heartbeat
from weft.api.metrics import Metrics
from weft.api.protocol import CarefulProtocol
from weft.api.recovery import RecoveryMetrics
from weft.api.system import Health
from weft.core import logs, memory
from weft.core.errors import Unavailable
from weft.db.database import Database
from weft.db.pools import Patience
from weft.db.replica import Replica
from weft.domain.identity.access import open_scope
from weft.engine.limits import limits_of
from weft.engine.watching import StreamLimits
from weft.http.state import Services, leave
from weft.ops import keys, preflight
from weft.ops.installation import with_running_database
from weft.ops.migrating.instances import alive
from weft.ops.monitoring.facts import Sampler
from weft.ops.recovery.health import Promise
from weft.ops.retention import bounds_of
from weft.ops.scale.pools import of_api
from weft.settings import Settings
from weft.settings_scale import ScaledDatabaseSettings

log = structlog.get_logger("weft.api")

DRAIN_SECONDS: Final = 15
"""How long running requests may take to end after SIGTERM; then they are cancelled."""
_BACKLOG: Final = 2048


_MOST_CONNECTIONS: Final = 8_192
_OTHER_FILES: Final = 256
"""File descriptors that are kept for the database, logs and listeners."""


class AddressTaken(Unavailable):
    code = "address_taken"

    def __init__(self, host: str, port: int, said: str) -> None:
        super().__init__(
            f"weft cannot listen on {host}:{port}: {said}. Stop what uses it, or choose another port "
            "(WEFT_PORT for the API, WEFT_METRICS_PORT for its metrics)."
        )


class Server(uvicorn.Server):
    """uvicorn with our signals: it would take them over, and end the process by the signal after a clean stop."""

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        yield

    def stop(self) -> None:
        self.force_exit = self.should_exit
        self.should_exit = True
        if isinstance(self.config.app, Starlette):
            leave(self.config.app)


@dataclass(frozen=True, slots=True)
class Listening:
    """The sockets of one API process, open before anything else is: a taken port is said at once."""

    api: socket.socket
    metrics: socket.socket | None

    @classmethod
    def on(cls, settings: Settings) -> Listening:
        api = listen(settings.api.host, settings.api.port)
        try:
            port = settings.api.metrics_port
            return cls(api, listen(settings.api.host, port) if port else None)
        except BaseException:
            api.close()
            raise

    def close(self) -> None:
        self.api.close()
        if self.metrics is not None:
            self.metrics.close()


def listen(host: str, port: int) -> socket.socket:
    """A listening socket. Raises `AddressTaken` with what the system said."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    try:
        return socket.create_server((host, port), family=family, backlog=_BACKLOG)
    except OSError as error:
        raise AddressTaken(host, port, error.strerror or str(error)) from error


def backup_alarm(settings: Settings) -> timedelta | None:
    """How old a proved backup may be, where a schedule promises some."""
    return timedelta(hours=settings.backup.alarm_hours) if settings.backup.schedule is not None else None


def cursor_key(master_key: bytes) -> bytes:
    """The key that signs page cursors, derived so that it needs no keeping."""
    return hmac.new(master_key, b"weft page cursors 1", hashlib.sha256).digest()


def run(settings: Settings, *, heartbeat: Heartbeat | None = None) -> int:
    """Serve until told to stop; the exit code. Raises `WeftError` when it may not or cannot start."""
    logs.configure(level=settings.log.level, style=settings.log.format)
    settings = with_running_database(settings)
    listening = Listening.on(settings)
    try:
        with asyncio.Runner(loop_factory=_loop_factory()) as runner:
            runner.run(serve(settings, keys.master_key(settings), listening, heartbeat=heartbeat))
    finally:
        listening.close()
    return 0


def _loop_factory() -> Callable[[], asyncio.AbstractEventLoop] | None:
    """uvloop where it exists (not on Windows), else asyncio's own loop."""
    try:
        import uvloop
    except ImportError:
        return None
    return uvloop.new_event_loop


async def serve(
    settings: Settings, master_key: bytes, listening: Listening, *, heartbeat: Heartbeat | None = None
) -> None:
    """The process's one task."""
    dsn = settings.database.url or ""
    for finding in preflight.require(await preflight.check(dsn)):
        log.warning("preflight", code=finding.code, finding=finding.sentence)
    async with (
        _database(settings, dsn, master_key) as database,
        alive(database, "api", profile=settings.profile, forbidden=_say),
    ):
        measured = Metrics()
        sampler = Sampler(database, settings.monitor.every_seconds)
        measured.watch(database, sampler)
        promise = Promise.of(settings)
        if promise.alarm is not None or promise.slot is not None:
            measured.also.append(RecoveryMetrics(measured.registry, promise).read)
        services = Services(
            database=database,
            authenticate=open_scope,
            cursor_key=cursor_key(master_key),
            public_url=settings.api.address,
            profile=settings.profile,
        )
        async with assembled(
            services,
            listen_dsn=settings.database.listen_url,
            readiness=Readiness(
                preflight.newest_revision(), heartbeat or worker_heartbeat, backup_alarm(settings), promise
            ),
            metrics=measured,
            trusted_proxies=settings.api.trusted_proxies,
            retention=bounds_of(settings),
            streams=StreamLimits(settings.api.streams, settings.api.streams_per_tenant),
            limits=limits_of(settings.limits),
            health=Health(sampler, settings.monitor, maintains=settings.maintain.schedule is not None),
        ) as app:
            servers = [(server(app, most_connections(settings.api.streams)), listening.api)]
            if listening.metrics is not None:
                servers.append((server(measuring.listener(measured, database, sampler)), listening.metrics))
            memory.settle()
            log.info("serving", address=settings.api.address)
            await until_stopped(servers)
    log.info("stopped")


def _say(finding: preflight.Finding) -> None:
    """`/readyz` answers 503 by itself: whoever asks it sends requests elsewhere."""
    log.error("schema", code=finding.code, finding=finding.sentence)


@contextlib.asynccontextmanager
async def _database(settings: Settings, dsn: str, master_key: bytes) -> AsyncIterator[Database]:
    chosen = settings.database
    pools = of_api(chosen)
    database = await Database.open(
        dsn,
        application_name="weft api",
        size=pools.rooms,
        hot_size=pools.hot,
        master_key=master_key,
        pooled=chosen.pooler == "transaction",
        patience=Patience(chosen.pool_wait_seconds, chosen.pool_waiting),
        slow_ms=settings.log.slow_ms,
    )
    try:
        async with _with_replica(database, chosen):
            yield database
    finally:
        await database.close()


@contextlib.asynccontextmanager
async def _with_replica(database: Database, chosen: ScaledDatabaseSettings) -> AsyncIterator[None]:
    """Where there is one, it is looked after for as long as the process serves."""
    if chosen.replica_url is None:
        yield
        return
    database.replica = replica = Replica(
        database,
        chosen.replica_url,
        size=chosen.replica_pool_size,
        max_lag=chosen.replica_max_lag_seconds,
        stale=chosen.replica_stale_seconds,
    )
    keeping = asyncio.create_task(replica.keep())
    try:
        yield
    finally:
        keeping.cancel()
        await asyncio.gather(keeping, return_exceptions=True)
        await replica.close()


def most_connections(streams: int = 0) -> int:
    """Beyond so many open connections new requests get 503: with no file descriptor left, nothing would work at all.

    Takes what the system allows, of which a process has a part until it asks for more.
    """
    wanted = _MOST_CONNECTIONS + streams
    try:
        import resource
    except ImportError:  # Windows has no such limit
        return wanted
    files, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    if resource.RLIM_INFINITY not in (files, most) and files < min(most, wanted + _OTHER_FILES):
        files = min(most, wanted + _OTHER_FILES)
        resource.setrlimit(resource.RLIMIT_NOFILE, (files, most))
    return wanted if files == resource.RLIM_INFINITY else max(_OTHER_FILES, min(wanted, files - _OTHER_FILES))


def server(app: ASGIApp, connections: int | None = None) -> Server:
    """uvicorn as we run it: httptools with limits, no access log of its own, no word about what it is."""
    return Server(
        uvicorn.Config(
            app,
            http=CarefulProtocol,
            limit_concurrency=connections,
            ws="none",
            lifespan="auto",
            log_config=None,
            access_log=False,
            server_header=False,
            proxy_headers=False,
            timeout_graceful_shutdown=DRAIN_SECONDS,
        )
    )


async def until_stopped(servers: list[tuple[Server, socket.socket]]) -> None:
    """Run all servers; the first that ends, or a signal, ends the others."""
    loop = asyncio.get_running_loop()

    def stop() -> None:
        for one, _ in servers:
            one.stop()

    def stop_others(_ended: asyncio.Task[None]) -> None:
        for one, _ in servers:
            if not one.should_exit:
                one.stop()

    for order in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(order, stop)
    try:
        async with asyncio.TaskGroup() as running:
            for one, bound in servers:
                task = running.create_task(one.serve(sockets=[bound]))
                task.add_done_callback(stop_others)
    finally:
        for order in (signal.SIGTERM, signal.SIGINT):
            loop.remove_signal_handler(order)
