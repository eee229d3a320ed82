"""The studio as a web application: starlette-admin draws the frame and parses addresses, the rest is our own."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from pathlib import Path
from typing import Any, Final

from jinja2 import BaseLoader, Environment
from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import RedirectResponse, Response
from starlette.routing import Route
from starlette.types import ASGIApp
from starlette_admin.base import BaseAdmin
from starlette_admin.views import CustomView, DropDown

from weft.core.errors import WeftError
from weft.domain.clients.models import name_key
from weft.migrations.models import METADATA
from weft.studio import catalogue, changing, entering, reading
from weft.studio.doors import Doors, Gate, session_of
from weft.studio.errors import SignInNeeded
from weft.studio.frame import Bounds, Frame, ip_of
from weft.studio.viewers import Viewers
from weft.studio.views import TableView

HERE: Final = Path(__file__).parent
DERIVE: Final[catalogue.Derive] = {"clients.name_key": name_key}
_ICONS: Final[Mapping[str, str]] = {
    "audit": "fa-solid fa-clipboard-list",
    "clients": "fa-solid fa-address-book",
    "engine": "fa-solid fa-gears",
    "events": "fa-solid fa-bolt",
    "executions": "fa-solid fa-play",
    "identity": "fa-solid fa-users",
    "limits": "fa-solid fa-gauge",
    "retention": "fa-solid fa-box-archive",
    "secrets": "fa-solid fa-key",
    "templates": "fa-solid fa-envelope",
    "workflows": "fa-solid fa-diagram-project",
}
Handler = Callable[[Frame, Request], Awaitable[Response]]


class _Scripts(BaseLoader):
    """Gives every script that a template itself contains the nonce of the response: the policy runs no others."""

    def __init__(self, loader: BaseLoader) -> None:
        self._loader = loader

    def get_source(self, environment: Environment, template: str) -> tuple[str, str | None, Callable[[], bool] | None]:
        source, name, is_fresh = self._loader.get_source(environment, template)
        return source.replace("<script", '<script nonce="{{ request.state.nonce }}"'), name, is_fresh


class _Admin(BaseAdmin):
    """Without the library's own pages: every route is one of ours."""

    def _collect_core_routes(self) -> list[Route]:
        return []


def application(viewers: Viewers, doors: Doors, *, secret: str, bounds: Bounds) -> ASGIApp:
    """The whole of it, behind its gate. `secret` signs the library's cookies."""
    tables = catalogue.read(METADATA, DERIVE)
    admin = _Admin(
        title="weft studio",
        base_url="/",
        templates_dir=str(HERE / "templates"),
        static_dir=str(HERE / "static"),
        favicon_url=lambda _: "/static/studio.svg",
        index_view=CustomView(add_to_menu=False, path="/unused"),
        timezone_config=None,
        secret_key=secret,
    )
    admin.routes = [route for route in admin.routes if route.name == "static"]
    views = {table.name: TableView(table) for table in tables.values()}
    _fill_menu(admin, views)
    frame = Frame(admin, viewers, tables, views, bounds)
    for route in _routes(frame):
        admin.routes.append(route)
    loader = admin.templates.env.loader
    assert loader is not None  # noqa: S101  the library sets it
    admin.templates.env.loader = _Scripts(loader)
    admin.templates.env.globals["studio"] = frame
    app = Starlette()
    admin.mount_to(app)
    _refuse_in_pages(admin.app, frame)
    return Gate(app, doors)


def _fill_menu(admin: BaseAdmin, views: Mapping[str, TableView]) -> None:
    rooms: dict[str, list[Any]] = {}
    for view in views.values():
        rooms.setdefault(view.table.room, []).append(view)
    for room, inside in sorted(rooms.items()):
        icon = _ICONS.get(room, "fa-solid fa-table")
        admin.add_view(DropDown(room.replace("_", " ").capitalize(), inside, icon=icon, always_open=False))


def _routes(frame: Frame) -> list[Route]:
    """All pages. The names are those by which the library's templates find them."""

    def page(path: str, name: str, handler: Handler, *methods: str, known: bool = True) -> Route:
        async def endpoint(request: Request) -> Response:
            if known:
                session = session_of(request.scope)
                request.state.viewer = await frame.viewers.of(session, ip_of(request))
            return await handler(frame, request)

        return Route(path, endpoint, methods=list(methods) or ["GET"], name=name)

    return [
        page("/", "index", reading.overview),
        page("/sign-in", "sign-in", entering.sign_in, "GET", "POST", known=False),
        page("/sign-out", "sign-out", entering.sign_out, "POST", known=False),
        page("/tenants", "tenants", entering.tenants, "GET", "POST"),
        page("/{key}/list", "list", reading.listed),
        page("/{key}/detail", "detail", reading.detail),
        page("/{key}/value", "value", reading.value),
        page("/{key}/export", "export", reading.exported),
        page("/{key}/edit", "edit", changing.edit, "GET", "POST"),
        page("/{key}/delete", "delete", changing.delete, "GET", "POST"),
        page("/{key}/selected", "action", changing.selected, "POST"),
        page("/{key}/selected-row", "row-action", changing.selected, "POST"),
    ]


def _refuse_in_pages(app: Starlette, frame: Frame) -> None:
    """Every no is a page that says why."""

    async def refuse(request: Request, error: Exception) -> Response:
        if isinstance(error, SignInNeeded):
            return RedirectResponse("/sign-in", status_code=303)
        return frame.refuse(request, error if isinstance(error, (WeftError, HTTPException)) else None)

    for kind in (WeftError, HTTPException, Exception):
        app.add_exception_handler(kind, refuse)
