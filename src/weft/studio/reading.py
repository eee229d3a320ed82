"""Pages that only look: a list, a row, one value whole, an export, the overview."""

from __future__ import annotations

import re
from collections.abc import AsyncIterator
from dataclasses import replace
from typing import Final

from starlette.requests import Request
from starlette.responses import Response, StreamingResponse

from weft.db.hot import transaction
from weft.studio import keyset, rows
from weft.studio.catalogue import Kind, TableFacts
from weft.studio.errors import QuestionInvalid, RowMissing
from weft.studio.exporting import FORMATS, export
from weft.studio.frame import Frame, address, viewer_of
from weft.studio.rows import Total
from weft.studio.rules import about, size_words
from weft.studio.viewers import Viewer
from weft.studio.views import BACK, ONWARD, TableView

MOST_BYTES: Final = 64_000_000
"""The largest value that can be downloaded: it is held in memory once."""


async def overview(frame: Frame, request: Request) -> Response:
    """Every table that can be seen, by room."""
    viewer = viewer_of(request)
    rooms: dict[str, list[TableFacts]] = {}
    for table in frame.tables.values():
        if viewer.may_read(table):
            rooms.setdefault(table.room, []).append(table)
    return frame.draw(request, "index.html", title="weft studio", rooms=dict(sorted(rooms.items())))


async def listed(frame: Frame, request: Request) -> Response:
    view, viewer = frame.view(request), viewer_of(request)
    parameters, question = view.asked(request)
    names = parameters.visible_cols or [field.name for field in view.fields]
    async with rows.looking(frame.viewers.database, viewer.actor, frame.bounds.seconds) as connection:
        page = await rows.page(connection, view.table, viewer.tenant_id, question, names)
        if question.place is None and len(page.rows) < question.limit:
            total = Total(len(page.rows), exact=True)
        else:
            total = await rows.total(connection, view.table, viewer.tenant_id, question)
    logic, chips = view._active_filter_chips(request, parameters)  # noqa: SLF001  the library's own page does so
    fields = {field.name: field for field in view.fields}
    return frame.draw(
        request,
        "studio/list.html",
        view=view,
        table=view.table,
        title=view.table.title,
        _actions=_actions(view, viewer),
        fields=[fields[name] for name in names],
        names=names,
        all_fields=view.fields,
        list_params=parameters,
        filter_logic=logic,
        filter_chips=chips,
        filter_builder_fields=view._filter_builder_fields(request),  # noqa: SLF001  likewise
        raw_filter=request.query_params.get("filter"),
        rows=[(row.name, frame.cells(row, viewer, names, whole=False)) for row in page.rows],
        total=len(page.rows),
        total_words=total_words(total),
        before=f"{BACK}{page.before}" if page.before else None,
        after=f"{ONWARD}{page.after}" if page.after else None,
        export_rows=frame.bounds.export_rows,
        why_not=viewer.why_not(view.table),
    )


def total_words(total: Total) -> str:
    if total.count is None:
        return f"more than {rows.COUNTED:,} rows"
    if not total.exact:
        return f"about {about(total.count)} rows"
    return f"{total.count:,} row{'s' if total.count != 1 else ''}"


def _actions(view: TableView, viewer: Viewer) -> list[dict[str, object]]:
    """What can be done with selected rows, in the library's words."""
    if not view.table.may_delete or viewer.why_not(view.table) is not None:
        return []
    return [
        {"name": "delete", "text": "Delete…", "confirmation": None, "custom_response": True, "form": "",
         "icon_class": "fa-solid fa-trash", "submit_btn_text": "", "allow_empty_selection": False}
    ]  # fmt: skip


async def detail(frame: Frame, request: Request) -> Response:
    view, viewer = frame.view(request), viewer_of(request)
    key = keyset.row_key(view.table, request.query_params.get("pk", ""))
    async with rows.looking(frame.viewers.database, viewer.actor, frame.bounds.seconds) as connection:
        row = await rows.one(connection, view.table, viewer.tenant_id, key)
    refusal = viewer.why_not(view.table) or row.why_kept
    return frame.draw(
        request,
        "studio/detail.html",
        table=view.table,
        title=view.table.title,
        pk=row.name,
        cells=frame.cells(row, viewer, list(view.table.columns), whole=True),
        referring=frame.referring(row, viewer),
        may_edit=view.table.may_update and refusal is None,
        may_delete=view.table.may_delete and refusal is None,
        why_not=refusal,
        address=address,
    )


async def value(frame: Frame, request: Request) -> Response:
    """One value, whole, as a file. Secrets have no such page."""
    view, viewer = frame.view(request), viewer_of(request)
    column = view.table.columns.get(request.query_params.get("column", ""))
    if column is None or column.is_secret:
        raise RowMissing
    key = keyset.row_key(view.table, request.query_params.get("pk", ""))
    async with rows.looking(frame.viewers.database, viewer.actor, frame.bounds.seconds) as connection:
        size, content = await rows.value(connection, view.table, viewer.tenant_id, key, column.name, MOST_BYTES)
    if content is None:
        raise QuestionInvalid(
            f"This value has {size_words(size)}; up to {size_words(MOST_BYTES)} can be downloaded here."
        )
    kind, ending = "text/plain; charset=utf-8", "txt"
    if column.kind is Kind.json:
        kind, ending = "application/json", "json"
    elif column.kind is Kind.binary:
        kind, ending = "application/octet-stream", "bin"
    return Response(content, media_type=kind, headers=_as_file(f"{view.table.name}-{column.name}.{ending}"))


async def exported(frame: Frame, request: Request) -> Response:
    """The rows of a list as a file. Written down in the audit log before the first row leaves."""
    view, viewer = frame.view(request), viewer_of(request)
    form = request.query_params.get("format", "")
    if form not in FORMATS:
        raise QuestionInvalid(f"Exports are {' or '.join(FORMATS)}.")
    _, question = view.asked(request)
    question = replace(question, place=None, back=False, limit=frame.bounds.export_rows)
    pieces = export(
        frame.viewers.database,
        viewer.actor,
        view.table,
        viewer.tenant_id,
        question,
        form,
        frame.bounds.export_seconds,
    )
    first = await anext(pieces)
    if viewer.tenant_id is not None:
        await _note_export(frame, viewer, view.table, form, request)

    async def all_of_it() -> AsyncIterator[bytes]:
        yield first
        async for piece in pieces:
            yield piece

    return StreamingResponse(all_of_it(), media_type=FORMATS[form], headers=_as_file(f"{view.table.name}.{form}"))


async def _note_export(frame: Frame, viewer: Viewer, table: TableFacts, form: str, request: Request) -> None:
    from weft.db.database import dumps

    asked = {name: request.query_params[name][:1000] for name in ("filter", "q") if request.query_params.get(name)}
    async with transaction(frame.viewers.database, viewer.actor) as connection:
        await connection.execute(
            "/* weft:studio.note */ select weft.audit_event($1, $2, $3, $4::text::jsonb)",
            "studio.exported",
            table.name,
            "",
            dumps({"format": form, **asked}),
        )


def _as_file(name: str) -> dict[str, str]:
    plain = re.sub(r"[^a-z0-9_.-]", "_", name)
    return {"Content-Disposition": f'attachment; filename="{plain}"'}
