"""Lists in pages: by key, never by offset, so that page 1,000 costs what page 1 costs and nothing is skipped.

    @router.get("", response_model=Page[WorkflowRead])
    async def list_workflows(scope: Reader, query: Paging, status: ... = None) -> Paged[Workflow]:
        return await page(scope, queries.matching(status=status), (Workflow.created_at, Workflow.id), query)

A cursor says where the last page ended: the values of the sort columns. It is signed, and bound to the tenant, the
direction, the address and all filters of the list: anything else would silently show the wrong rows.
"""

from __future__ import annotations

import hashlib
import hmac
from base64 import urlsafe_b64decode, urlsafe_b64encode
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Annotated, Any, Final, Generic, NamedTuple, TypeVar, overload
from uuid import UUID

import msgspec
from fastapi import Depends, Query
from pydantic import Field
from sqlalchemy import Select, literal, tuple_
from sqlalchemy.orm import InstrumentedAttribute
from starlette.requests import Request

from weft.core.errors import Invalid
from weft.db.scope import Scope
from weft.http.bodies import Output
from weft.http.state import services_of

DEFAULT_LIMIT: Final = 50
MAX_LIMIT: Final = 200
_TAG_BYTES: Final = 16
_NOT_FILTERS: Final = frozenset({"cursor", "limit", "order"})

Item = TypeVar("Item")


class CursorInvalid(Invalid):
    code = "cursor_invalid"

    def __init__(self) -> None:
        super().__init__(
            "This cursor does not belong to this list. Send `next_cursor` exactly as it came, with the same address, "
            "filters and `order`, in the same tenant; or leave `cursor` out to begin again."
        )


class Order(StrEnum):
    asc = "asc"
    desc = "desc"


class Page(Output, Generic[Item]):
    """One page of a list."""

    items: list[Item]
    next_cursor: str | None = Field(description="Send it as `cursor` for the next page; null on the last one.")


class Paged(NamedTuple, Generic[Item]):
    """What `page` returns; a response model `Page[...Read]` reads it by attribute."""

    items: Sequence[Item]
    next_cursor: str | None


@dataclass(frozen=True, slots=True)
class PageQuery:
    """What a caller asks of a list. `fingerprint` is the list: its address and filters."""

    key: bytes = field(repr=False)
    limit: int = DEFAULT_LIMIT
    cursor: str | None = None
    order: Order = Order.desc
    fingerprint: bytes = b""


async def _page_query(
    request: Request,
    limit: Annotated[int, Query(ge=1, le=MAX_LIMIT, description="Rows per page.")] = DEFAULT_LIMIT,
    cursor: Annotated[
        str | None, Query(max_length=2000, description="`next_cursor` of the page before; leave out for the first.")
    ] = None,
    order: Annotated[Order, Query(description="By the list's sort key: newest first is `desc`.")] = Order.desc,
) -> PageQuery:
    return PageQuery(
        key=services_of(request).cursor_key, limit=limit, cursor=cursor, order=order, fingerprint=_fingerprint(request)
    )


Paging = Annotated[PageQuery, Depends(_page_query)]


def _fingerprint(request: Request) -> bytes:
    filters = sorted((name, value) for name, value in request.query_params.multi_items() if name not in _NOT_FILTERS)
    return hashlib.sha256(msgspec.json.encode([request.url.path, filters])).digest()


class _Position(msgspec.Struct, array_like=True, forbid_unknown_fields=True):
    """The signed content of a cursor."""

    tenant_id: UUID
    order: str
    columns: list[str]
    fingerprint: bytes
    values: list[Any]


def _sign(key: bytes, content: bytes) -> bytes:
    return hmac.new(key, b"weft cursor 1\0" + content, hashlib.sha256).digest()[:_TAG_BYTES]


def _encode(key: bytes, position: _Position) -> str:
    content = msgspec.msgpack.encode(position)
    return urlsafe_b64encode(_sign(key, content) + content).rstrip(b"=").decode()


def _decode(key: bytes, cursor: str) -> _Position:
    try:
        signed = urlsafe_b64decode(cursor + "=" * (-len(cursor) % 4))
    except ValueError as error:
        raise CursorInvalid from error
    tag, content = signed[:_TAG_BYTES], signed[_TAG_BYTES:]
    if not hmac.compare_digest(tag, _sign(key, content)):
        raise CursorInvalid
    return msgspec.msgpack.decode(content, type=_Position)


Columns = Sequence[InstrumentedAttribute[Any]]


@overload
async def page(
    scope: Scope,
    select: Select[Item],
    columns: Columns,
    query: PageQuery,
    *,
    key_of: Callable[[Item], Sequence[Any]] | None = None,
) -> Paged[Item]: ...


@overload
async def page(
    scope: Scope,
    select: Select[*tuple[Any, ...]],
    columns: Columns,
    query: PageQuery,
    *,
    key_of: Callable[[Any], Sequence[Any]] | None = None,
) -> Paged[Any]: ...


async def page(
    scope: Scope,
    select: Select[Any],
    columns: Columns,
    query: PageQuery,
    *,
    key_of: Callable[[Any], Sequence[Any]] | None = None,
) -> Paged[Any]:
    """One page of `select`, sorted by `columns`: not null, the last one unique, together in one index.

    A select of one entity gives that entity; of several, rows: then `key_of` reads the sort values from a row,
    unless the columns are among those selected.
    """
    values = _after(scope, columns, query)
    if values is not None:
        left = tuple_(*columns)
        bounds: list[Any] = [literal(value, column.type) for column, value in zip(columns, values, strict=True)]
        right = tuple_(*bounds)
        select = select.where(left < right if query.order is Order.desc else left > right)
    sorting = [column.desc() if query.order is Order.desc else column.asc() for column in columns]
    result = await scope.session.execute(select.order_by(None).order_by(*sorting).limit(query.limit + 1))
    single = len(select.column_descriptions) == 1
    rows: Sequence[Any] = result.scalars().all() if single else result.all()
    if len(rows) <= query.limit:
        return Paged(rows, None)
    rows = rows[: query.limit]
    last = key_of(rows[-1]) if key_of is not None else [getattr(rows[-1], column.key) for column in columns]
    return Paged(rows, _encode(query.key, _position(scope, columns, query, list(last))))


def _position(scope: Scope, columns: Columns, query: PageQuery, values: list[Any]) -> _Position:
    return _Position(scope.tenant_id, query.order.value, [column.key for column in columns], query.fingerprint, values)


def _after(scope: Scope, columns: Columns, query: PageQuery) -> list[Any] | None:
    """The sort values of the row before this page, or None for the first page."""
    if query.cursor is None:
        return None
    found = _decode(query.key, query.cursor)
    if found != _position(scope, columns, query, found.values):
        raise CursorInvalid
    return [
        msgspec.convert(value, column.type.python_type) for value, column in zip(found.values, columns, strict=True)
    ]
