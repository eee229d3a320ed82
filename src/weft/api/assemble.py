"""The whole application: every router, with what it needs attached and open."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager

from weft.api import system
from weft.api.app import WeftApi, create_app
from weft.api.health import Readiness
from weft.api.metrics import Metrics
from weft.api.routers import DIRECT, ROUTERS, UNVERSIONED
from weft.domain.identity.access import settle
from weft.domain.retention import routes as retention_routes
from weft.domain.retention.rules import Bounds
from weft.engine import routes as engine_routes
from weft.engine.limits import USUAL, Limits
from weft.engine.process import EngineProcess
from weft.engine.watching import StreamLimits
from weft.http.state import Services, before_leaving


@asynccontextmanager
async def assembled(
    services: Services,
    *,
    listen_dsn: str | None = None,
    readiness: Readiness | None = None,
    metrics: Metrics | None = None,
    trusted_proxies: Sequence[str] = (),
    streams: StreamLimits | None = None,
    retention: Bounds | None = None,
    limits: Limits = USUAL,
    health: system.Health | None = None,
) -> AsyncIterator[WeftApi]:
    """The application of one process while it runs. Leave the block before the database is closed.

    `listen_dsn` is a direct address for notifications where the database's own goes through a pooler.
    """
    database = services.database
    async with EngineProcess(
        database, listen_dsn=listen_dsn, clock=services.clock, streams=streams, limits=limits
    ) as engine:
        app = create_app(
            services,
            ROUTERS,
            unversioned=UNVERSIONED,
            direct=DIRECT,
            readiness=readiness,
            metrics=metrics,
            trusted_proxies=trusted_proxies,
        )
        engine_routes.attach(app, engine)
        retention_routes.BOUNDS.attach(app, retention or Bounds())
        system.HEALTH.attach(app, health or system.Health.of(database))
        before_leaving(app, engine.watchers.leave)
        if metrics is not None:
            metrics.watch_streams(lambda: len(engine.watchers))
        try:
            yield app
        finally:
            await settle(database)
