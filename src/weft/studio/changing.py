"""Pages that change rows, in a studio that was started with `--write`: edit one, delete some."""

from __future__ import annotations

from functools import partial
from typing import Final

from starlette.requests import Request
from starlette.responses import RedirectResponse, Response
from starlette_admin.flash import flash

from weft.core.errors import WeftError
from weft.studio import forms, keyset, rows
from weft.studio.catalogue import TableFacts
from weft.studio.cells import typed
from weft.studio.checking import checked
from weft.studio.errors import QuestionInvalid, ReadOnly, ValuesInvalid
from weft.studio.frame import STATUS, Frame, address, viewer_of
from weft.studio.rows import Row
from weft.studio.viewers import Viewer

MOST_DELETED: Final = 100
"""A page of rows: more at once is a matter for SQL, or for the commands that know what belongs to them."""


async def edit(frame: Frame, request: Request) -> Response:
    """The form of a row, and what it sends back."""
    view, viewer = frame.view(request), viewer_of(request)
    table = view.table
    viewer.require_write(table)
    if not table.may_update:
        raise ReadOnly("Rows of this table can be deleted, not changed.")
    key = keyset.row_key(table, request.query_params.get("pk", ""))
    async with rows.looking(frame.viewers.database, viewer.actor, frame.bounds.seconds) as connection:
        row = await rows.one(connection, table, viewer.tenant_id, key)
    if row.why_kept is not None:
        raise ReadOnly(row.why_kept)
    if request.method == "GET":
        return _form(frame, request, row, {}, None, None)
    sent = {name: str(text) for name, text in (await request.form()).items()}
    try:
        changed = forms.read(forms.editable(table, _cut(row)), sent, row.values, partial(checked, table.name))
        version = sent.get("#version")
        if not version:
            raise QuestionInvalid("The form does not say which version of the row it changes. Open it again.")
        if changed:
            async with rows.writing(
                frame.viewers.database, viewer.actor, frame.bounds.seconds, frame.tables
            ) as connection:
                await rows.update(connection, table, viewer.tenant_id, key, changed, version)
    except ValuesInvalid as error:
        return _form(frame, request, row, error.problems, sent, error)
    except WeftError as error:
        return _form(frame, request, row, {}, sent, error)
    said = ", ".join(table.columns[name].label for name in changed)
    flash(request, f"Saved: {said}." if changed else "Nothing was different, so nothing was saved.", "success")
    return RedirectResponse(address(table.name, "detail", pk=row.name), status_code=303)


def _form(
    frame: Frame,
    request: Request,
    row: Row,
    problems: dict[str, str],
    sent: dict[str, str] | None,
    error: WeftError | None,
) -> Response:
    columns = forms.editable(row.table, _cut(row))
    if sent is None:
        texts = {c.name: typed(c, row.values[c.name]) for c in columns}
        nulls = {c.name for c in columns if row.values[c.name] is None}
    else:
        texts = {c.name: sent.get(c.name, "") for c in columns}
        nulls = {c.name for c in columns if f"{c.name}.{forms.NULL}" in sent}
    return frame.draw(
        request,
        "studio/edit.html",
        200 if error is None else STATUS[error.kind],
        table=row.table,
        title=f"Edit · {row.table.title}",
        pk=row.name,
        columns=columns,
        texts=texts,
        nulls=nulls,
        problems=problems,
        refusal=error.message if error else None,
        version=(sent or {}).get("#version") or row.version,
        left_out=[c.label for c in row.table.columns.values() if c.name in _cut(row) and c.editable],
        address=address,
    )


def _cut(row: Row) -> frozenset[str]:
    """Columns whose values are larger than what a page shows."""
    return frozenset(
        name
        for name, size in row.sizes.items()
        if size is not None and row.values[name] is not None and size > len(str(row.values[name]).encode())
    )


async def selected(frame: Frame, request: Request) -> Response:
    """What the list's menu does with selected rows: it goes to the page that asks."""
    view = frame.view(request)
    if request.query_params.get("name") != "delete":
        raise QuestionInvalid("That cannot be done with rows.")
    viewer_of(request).require_write(view.table)
    names = request.query_params.getlist("pks")
    query = "&".join(f"pk={_quoted(name)}" for name in names[:MOST_DELETED])
    return RedirectResponse(f"/{view.table.name}/delete?{query}", status_code=303)


async def delete(frame: Frame, request: Request) -> Response:
    """Asks, with how many rows go and what refers to them; then deletes all of them or none."""
    view, viewer = frame.view(request), viewer_of(request)
    viewer.require_write(view.table)
    if not view.table.may_delete:
        raise ReadOnly("Rows of this table cannot be deleted by hand.")
    names = request.query_params.getlist("pk")
    if not 0 < len(names) <= MOST_DELETED:
        raise QuestionInvalid(f"Choose between one and {MOST_DELETED} rows.")
    keys = [keyset.row_key(view.table, name) for name in dict.fromkeys(names)]
    async with rows.looking(frame.viewers.database, viewer.actor, frame.bounds.seconds) as connection:
        await rows.require_free(connection, view.table, viewer.tenant_id, keys)
    refusal, status = None, 200
    if request.method == "POST":
        try:
            async with rows.writing(
                frame.viewers.database, viewer.actor, frame.bounds.seconds, frame.tables
            ) as connection:
                gone = await rows.delete(connection, view.table, viewer.tenant_id, keys)
        except WeftError as error:
            refusal, status = error.message, STATUS[error.kind]
        else:
            flash(request, f"{gone} row{'s are' if gone != 1 else ' is'} gone.", "success")
            return RedirectResponse(address(view.table.name, "list"), status_code=303)
    return frame.draw(
        request,
        "studio/delete.html",
        status,
        table=view.table,
        title=f"Delete · {view.table.title}",
        names=names,
        consequences=await _consequences(frame, viewer, view.table, keys),
        refusal=refusal,
        address=address,
    )


async def _consequences(
    frame: Frame, viewer: Viewer, table: TableFacts, keys: list[list[object]]
) -> list[tuple[str, str, bool]]:
    """Rows that refer to those: the table's title, how many (counted up to a bound), and whether they go along."""
    async with rows.looking(frame.viewers.database, viewer.actor, frame.bounds.seconds) as connection:
        found = []
        for reference in table.referred:
            child = frame.tables[reference.table]
            count = await rows.referring(connection, child, table, reference, viewer.tenant_id, keys)
            if count:
                words = f"{count:,}" if count <= rows.COUNTED else f"more than {rows.COUNTED:,}"
                found.append((frame.tables[reference.table].title, words, reference.goes_along))
        return found


def _quoted(text: str) -> str:
    from urllib.parse import quote

    return quote(text, safe="")
