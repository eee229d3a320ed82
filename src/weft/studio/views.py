"""Tables as views of starlette-admin: it parses addresses and draws; the rows are our own affair."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Final, NoReturn

from starlette.requests import Request
from starlette_admin.exceptions import StarletteAdminException
from starlette_admin.fields import BaseField
from starlette_admin.filters.base import FilterGroup
from starlette_admin.types import ListParams, RequestAction
from starlette_admin.views import BaseModelView

from weft.studio import keyset, statements
from weft.studio.catalogue import SORTABLE, TENANT, ColumnFacts, TableFacts
from weft.studio.errors import QuestionInvalid
from weft.studio.filters import condition, filters_for
from weft.studio.statements import Order, Question
from weft.studio.viewers import Viewer

PAGE_SIZES: Final = (25, 50, 100)
BACK: Final = "before."
ONWARD: Final = "after."
_LONGEST_SEARCH: Final = 200


def field_of(column: ColumnFacts) -> BaseField:
    return BaseField(column.name, label=column.label, filters=list(filters_for(column)))


class TableView(BaseModelView):
    """One table. Its rows are read by `weft.studio.rows`, so what the library would ask of a model is refused."""

    page_size = 50
    page_size_options = PAGE_SIZES
    exporters: Sequence[Any] = ()
    importers: Sequence[Any] = ()
    actions = ()
    row_actions = ()
    search_highlight = False

    def __init__(self, table: TableFacts) -> None:
        self.table = table
        self.key = table.name
        self.menu_label = self.display_name = table.title
        # The tenant is the same in every row, so nobody chooses, sorts or filters by it.
        self.fields = [field_of(column) for column in table.columns.values() if column.name != TENANT]
        self.sortable_fields = [c.name for c in table.columns.values() if c.kind in SORTABLE]
        self.searchable_fields = [c.name for c in table.columns.values() if filters_for(c)]
        self.pk_attr = self.fields[0].name
        super().__init__()

    def is_accessible(self, request: Request) -> bool:
        viewer = getattr(request.state, "viewer", None)
        return isinstance(viewer, Viewer) and viewer.may_read(self.table)

    def can_create(self, _request: Request) -> bool:
        return False

    def can_import(self, _request: Request) -> bool:
        return False

    def can_export(self, _request: Request) -> bool:
        return False

    # The frame's own ways to rows. The studio asks by statements of its own, under row security (decision 0027): were
    # one of these ever reached, a page would show what nobody has checked, so it must fail instead.

    async def find_all(self, *_: Any, **__: Any) -> NoReturn:
        raise NotImplementedError

    async def count(self, *_: Any, **__: Any) -> NoReturn:
        raise NotImplementedError

    async def find_by_pk(self, *_: Any, **__: Any) -> NoReturn:
        raise NotImplementedError

    async def find_by_pks(self, *_: Any, **__: Any) -> NoReturn:
        raise NotImplementedError

    async def create(self, *_: Any, **__: Any) -> NoReturn:
        raise NotImplementedError

    async def edit(self, *_: Any, **__: Any) -> NoReturn:
        raise NotImplementedError

    async def delete(self, *_: Any, **__: Any) -> NoReturn:
        raise NotImplementedError

    def asked(self, request: Request) -> tuple[ListParams, Question]:
        """What the address asks for. Raises `QuestionInvalid`."""
        request.state.action = RequestAction.LIST
        try:
            parameters = self._parse_list_params(request)
        except StarletteAdminException as error:
            raise QuestionInvalid(str(error)) from error
        order = self._order(parameters) if request.query_params.get("sort") else None
        if order is None:
            parameters.sorts = []
        if parameters.visible_cols is None and not request.query_params.get("cols"):
            parameters.visible_cols = self.table.first_columns()
        search = (parameters.q or "").strip()
        if len(search) > _LONGEST_SEARCH or "\0" in search:
            raise QuestionInvalid(f"Search for at most {_LONGEST_SEARCH} characters.")
        place, back = self._place(request, order)
        return parameters, Question(
            condition=self._condition(parameters.filters),
            search=search or None,
            order=order,
            place=place,
            back=back,
            limit=parameters.page_size,
        )

    def _order(self, parameters: ListParams) -> Order | None:
        if not parameters.sorts:
            return None
        column, direction = parameters.sorts[0]
        parameters.sorts = parameters.sorts[:1]
        return Order(column, direction == "desc")

    def _condition(self, tree: FilterGroup) -> statements.Condition | None:
        try:
            return condition(tree, dict(self.table.columns))
        except StarletteAdminException as error:
            raise QuestionInvalid(str(error)) from error

    def _place(self, request: Request, order: Order | None) -> tuple[list[Any] | None, bool]:
        said = request.query_params.get("page", "")
        for prefix in (BACK, ONWARD):
            if said.startswith(prefix):
                columns, _ = statements.order_columns(self.table, order)
                return keyset.place(columns, said.removeprefix(prefix)), prefix == BACK
        return None, False


def filter_words(pairs: Mapping[str, Any]) -> str:
    """The filter of an address that finds rows with exactly these values."""
    rules = [{"field": name, "filter": "eq", "value": keyset.text_of(value)} for name, value in pairs.items()]
    return BaseModelView._serialize_filter_string({"logic": "and", "rules": rules})  # noqa: SLF001  its only writer
