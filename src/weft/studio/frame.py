"""What every page of the studio needs: the tables, who looks, and how pages and refusals are drawn."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final
from urllib.parse import urlencode

from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response
from starlette_admin.base import BaseAdmin

from weft.core.errors import Kind, WeftError
from weft.studio.catalogue import Reference, TableFacts
from weft.studio.cells import Cell, cell
from weft.studio.errors import TableUnknown
from weft.studio.keyset import row_name
from weft.studio.rows import Row
from weft.studio.viewers import Viewer, Viewers
from weft.studio.views import TableView, filter_words

STATUS: Final = {
    Kind.invalid: 400,
    Kind.unauthenticated: 401,
    Kind.forbidden: 403,
    Kind.not_found: 404,
    Kind.conflict: 409,
    Kind.stale: 412,
    Kind.exhausted: 503,
    Kind.unavailable: 503,
}
_TITLES: Final = {
    400: "That cannot be answered",
    401: "Who are you?",
    403: "Not allowed",
    404: "Nothing there",
    409: "Refused",
    412: "Changed meanwhile",
    500: "Something unexpected happened",
    503: "Stopped",
}


@dataclass(frozen=True, slots=True)
class Bounds:
    """How long a statement may take, and how many rows an export has."""

    seconds: float = 5.0
    export_rows: int = 100_000
    export_seconds: float = 60.0


@dataclass(frozen=True, slots=True)
class Frame:
    """One running studio."""

    admin: BaseAdmin
    viewers: Viewers
    tables: Mapping[str, TableFacts]
    views: Mapping[str, TableView]
    bounds: Bounds

    def view(self, request: Request) -> TableView:
        """The table that the address names, if whoever asks may see it."""
        name = str(request.path_params["key"])
        if name not in self.views:
            raise TableUnknown(name)
        view = self.views[name]
        viewer_of(request).require_read(view.table)
        return view

    def draw(self, request: Request, template: str, status: int = 200, **context: Any) -> Response:
        return self.admin._template_response(  # noqa: SLF001  it takes the messages of the page before along
            request=request, name=template, context=context, status_code=status
        )

    def refuse(self, request: Request, error: WeftError | HTTPException | None) -> Response:
        """A page that says no."""
        if isinstance(error, WeftError):
            status, sentence = STATUS[error.kind], error.message
        elif error is not None:
            status, sentence = error.status_code, str(error.detail)
        else:
            status, sentence = 500, "This is a bug in weft; the terminal of `weft db studio` shows where."
        title = _TITLES.get(status, "This did not work")
        table = self._seen(request)
        return self.draw(request, "error.html", status, title=title, sentence=sentence, code=status, table=table)

    def _seen(self, request: Request) -> TableFacts | None:
        """The table that the address names, if whoever asks is known and may see it: there is a way back to it."""
        viewer = getattr(request.state, "viewer", None)
        table = self.tables.get(str(request.path_params.get("key", "")))
        return table if isinstance(viewer, Viewer) and table is not None and viewer.may_read(table) else None

    def cells(self, row: Row, viewer: Viewer, names: list[str], *, whole: bool) -> list[Cell]:
        """The values of a row, linked to the rows that they refer to."""
        columns = [row.table.columns[name] for name in names]
        return [
            cell(c, row.values[c.name], row.sizes.get(c.name), whole=whole, href=self._target(row, c.name, viewer))
            for c in columns
        ]

    def _target(self, row: Row, column: str, viewer: Viewer) -> str | None:
        reference = row.table.reference_of(column)
        if reference is None or not viewer.may_read(self.tables[reference.target]):
            return None
        given = {there: row.values.get(here) for here, there in reference.pairs}
        if any(value is None for value in given.values()):
            return None
        target = self.tables[reference.target]
        if set(target.key) == set(given):
            return address(target.name, "detail", pk=row_name(target, [given[key] for key in target.key]))
        return address(target.name, "list", filter=filter_words(given))

    def referring(self, row: Row, viewer: Viewer) -> list[tuple[str, str, str]]:
        """Where rows may refer to this one: title, column and address of the list. Nothing is read for it."""
        return [
            (
                self.tables[one.table].title,
                _columns(one),
                address(one.table, "list", filter=filter_words(_pairs(one, row))),
            )
            for one in row.table.referred
            if viewer.may_read(self.tables[one.table])
        ]


def viewer_of(request: Request) -> Viewer:
    viewer: Viewer = request.state.viewer
    return viewer


def ip_of(request: Request) -> str | None:
    return request.client.host if request.client else None


def address(table: str, page: str, **query: str) -> str:
    """An address within the studio."""
    said = urlencode({name: value for name, value in query.items() if value})
    return f"/{table}/{page}" + (f"?{said}" if said else "")


def _columns(reference: Reference) -> str:
    return ", ".join(here.replace("_", " ") for here, _ in reference.pairs)


def _pairs(reference: Reference, row: Row) -> dict[str, Any]:
    return {here: row.values[there] for here, there in reference.pairs}
