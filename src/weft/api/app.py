"""The application: routers under `/v1`, problems, middleware, and the pages about itself."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from contextlib import AbstractAsyncContextManager
from typing import Any, Final

from fastapi import APIRouter, FastAPI
from fastapi.routing import APIRoute
from starlette.middleware import Middleware
from starlette.requests import Request
from starlette.responses import Response

import weft
from weft.api import health, middleware, openapi, pages, recovery
from weft.api.health import Readiness
from weft.api.metrics import Metrics
from weft.api.plain import PlainRoute
from weft.db.database import Database
from weft.http import problems
from weft.http.bodies import MAX_BODY, MAX_PUBLIC_BODY
from weft.http.replicas import Replicas
from weft.http.state import Services

PREFIX: Final = "/v1"
PUBLIC: Final = f"{PREFIX}/auth/"
"""Where the routes are that ask for no credential."""

Lifespan = Callable[[FastAPI], AbstractAsyncContextManager[None]]


class WeftApi(FastAPI):
    """FastAPI with our OpenAPI document."""

    def openapi(self) -> dict[str, Any]:
        if self.openapi_schema is None:
            self.openapi_schema = openapi.describe(self)
        return self.openapi_schema


def create_app(
    services: Services,
    routers: Iterable[APIRouter],
    *,
    unversioned: Iterable[APIRouter] = (),
    direct: Sequence[middleware.DirectRoute] = (),
    readiness: Readiness | None = None,
    metrics: Metrics | None = None,
    trusted_proxies: Sequence[str] = (),
    max_body: int = MAX_BODY,
    lifespan: Lifespan | None = None,
) -> WeftApi:
    """Build the application. `routers` come under `/v1`, `unversioned` ones do not (hooks).

    `direct` addresses are answered without asking the router; they stand in it all the same, for the walks over it.

    Raises `LookupError` for a route that does not declare who may call it, and for two routes of one name.
    """
    metrics = metrics or Metrics()
    app = WeftApi(
        title="weft",
        version=weft.__version__,
        openapi_url=None,
        docs_url=None,
        redoc_url=None,
        redirect_slashes=False,
        generate_unique_id_function=_operation_id,
        lifespan=lifespan,
        middleware=[
            Middleware(middleware.Correlation),
            Middleware(middleware.Requests, metrics=metrics),
            Middleware(middleware.Proxies, trusted=trusted_proxies),
            Middleware(middleware.Protected),
            Middleware(middleware.Failures, metrics=metrics),
            Middleware(middleware.Bodies, limit=max_body, smaller={PUBLIC: min(max_body, MAX_PUBLIC_BODY)}),
            Middleware(middleware.Addresses),
            *_replicas(services),
            Middleware(middleware.Direct, routes=tuple(direct)),
        ],
    )
    app.state.weft = services
    problems.install(app)
    for router in routers:
        app.include_router(router, prefix=PREFIX)
    for router in unversioned:
        app.include_router(router)
    app.router.routes.extend([*health.routes(readiness or Readiness()), *_documents(), *pages.routes()])
    app.router.routes.extend(recovery.routes((readiness or Readiness()).promise or recovery.NOTHING))
    _check_names(app)
    return app


def _replicas(services: Services) -> list[Middleware]:
    """Only where there is one. The documents are made of an application without a database."""
    database: Database | None = services.database
    return [Middleware(Replicas)] if database is not None and database.replica is not None else []


def _operation_id(route: APIRoute) -> str:
    return route.name


def _check_names(app: FastAPI) -> None:
    names = Counter(context.name for context, _ in openapi.operations(app))
    twice = sorted(str(name) for name, times in names.items() if times > 1)
    if twice:
        raise LookupError(f"a route's function name is its operation id, but several routes are called {twice}")


def _documents() -> list[PlainRoute]:
    async def openapi_json(request: Request) -> Response:
        state = request.app.state
        if not hasattr(state, "weft_openapi_json"):
            state.weft_openapi_json = json.dumps(request.app.openapi(), ensure_ascii=False).encode()
        return Response(state.weft_openapi_json, media_type="application/json")

    return [PlainRoute("/openapi.json", openapi_json, name="openapi")]
