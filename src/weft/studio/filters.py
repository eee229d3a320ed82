"""What a list can be filtered by: operators for each kind of column, and the tree of them that an address holds."""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from typing import Any, Final

from starlette.requests import Request
from starlette_admin.filters import BaseFilter, FilterDataType
from starlette_admin.filters.base import FilterApplyContext, FilterGroup, FilterRule, FilterValidationError

from weft.studio.catalogue import ColumnFacts, Kind
from weft.studio.documents import document
from weft.studio.keyset import parse
from weft.studio.statements import Arguments, Condition, escaped, quoted

MOST_RULES: Final = 50
_Parse = Callable[[ColumnFacts, Any], Any]
_INPUT: Final = {
    Kind.whole: FilterDataType.NUMBER,
    Kind.number: FilterDataType.NUMBER,
    Kind.time: FilterDataType.DATETIME,
    Kind.word: FilterDataType.ENUM,
}


@cache
def filters_for(column: ColumnFacts) -> tuple[type[BaseFilter], ...]:
    """The operators of a column."""
    found: list[type[BaseFilter]] = []
    typed = _INPUT.get(column.kind, FilterDataType.STRING)
    match column.kind:
        case Kind.text:
            found = [
                _operator(column, "eq", "Is", "{0} = {1}", typed),
                _operator(column, "contains", "Contains", "{0} ilike {1}", typed, _within),
                _operator(column, "startswith", "Starts with", "{0} like {1}", typed, _beginning),
                _operator(column, "not_eq", "Is not", "{0} is distinct from {1}", typed),
            ]
        case Kind.word:
            found = [
                _operator(column, "eq", "Is", "{0} = {1}", typed),
                _operator(column, "in", "Is one of", "{0} = any({1}::text[])", typed, _several),
                _operator(column, "not_eq", "Is not", "{0} is distinct from {1}", typed),
            ]
        case Kind.uuid:
            found = [_operator(column, "eq", "Is", "{0} = {1}", typed)]
        case Kind.whole | Kind.number | Kind.time:
            found = _comparisons(column, typed)
        case Kind.yes_no:
            found = [
                _operator(column, "is_true", "Is true", "{0}", FilterDataType.NONE),
                _operator(column, "is_false", "Is false", "not {0}", FilterDataType.NONE),
            ]
        case Kind.json:
            found = [_operator(column, "includes", "Includes (JSON)", "{0} @> {1}::text::jsonb", typed, _document)]
        case Kind.list:
            found = [_operator(column, "has", "Has", "{1} = any({0}::text[])", typed)]
        case Kind.binary | Kind.secret:
            pass
    if column.nullable:
        found += [
            _operator(column, "is_null", "Is not set", "{0} is null", FilterDataType.NONE),
            _operator(column, "is_not_null", "Is set", "{0} is not null", FilterDataType.NONE),
        ]
    return tuple(found)


def _comparisons(column: ColumnFacts, typed: FilterDataType) -> list[type[BaseFilter]]:
    later = ("at or after", "before") if column.kind is Kind.time else ("at least", "less than")
    return [
        _operator(column, "gte", f"Is {later[0]}", "{0} >= {1}", typed),
        _operator(column, "lt", f"Is {later[1]}", "{0} < {1}", typed),
        _operator(column, "between", "Is between", "{0} between {1} and {2}", typed, two=True),
        _operator(column, "eq", "Is", "{0} = {1}", typed),
    ]


def condition(tree: FilterGroup, columns: dict[str, ColumnFacts]) -> Condition | None:
    """The tree as a test. Its values are parsed already, for this very column."""
    if tree.is_empty():
        return None
    if _size(tree) > MOST_RULES:
        raise FilterValidationError(f"Filters have at most {MOST_RULES} conditions.")
    return lambda arguments: _write(tree, columns, arguments)


def _size(node: FilterGroup | FilterRule) -> int:
    return sum(map(_size, node.rules)) if isinstance(node, FilterGroup) else 1


def _write(node: FilterGroup | FilterRule, columns: dict[str, ColumnFacts], arguments: Arguments) -> str:
    if isinstance(node, FilterGroup):
        parts = [_write(rule, columns, arguments) for rule in node.rules]
        word = " or " if node.logic == "or" else " and "
        return f"({word.join(parts)})" if parts else "true"
    operator = next(f for f in filters_for(columns[node.field]) if f.name == node.filter)
    return str(operator().apply(FilterApplyContext(arguments, node.field, node.value, node.value2)))


def _operator(
    column: ColumnFacts,
    name: str,
    label: str,
    template: str,
    data_type: FilterDataType,
    read: _Parse = lambda column, raw: parse(column, _whole(raw)),
    *,
    two: bool = False,
) -> type[BaseFilter]:
    def parse_value(_self: BaseFilter, raw: Any) -> Any:
        try:
            return read(column, raw)
        except ValueError as error:
            raise FilterValidationError(f"{column.label}: {error}") from error

    def apply(_self: BaseFilter, context: FilterApplyContext) -> str:
        given = [] if data_type is FilterDataType.NONE else [context.value, context.value2][: 2 if two else 1]
        return template.format(quoted(column.name), *(context.query.put(one) for one in given))

    def get_choices(_self: BaseFilter, _request: Request) -> list[tuple[str, str]] | None:
        return [(word, word) for word in column.words] if data_type is FilterDataType.ENUM else None

    members = {
        "name": name,
        "label": label,
        "data_type": data_type,
        "has_value2": two,
        "parse_value": parse_value,
        "get_choices": get_choices,
        "apply": apply,
    }
    return type(f"{column.name}_{name}", (BaseFilter,), members)


def _whole(raw: Any) -> str:
    """A value as it was typed. The library cuts at commas, those within quotes among them, and leaves the quotes."""
    if not isinstance(raw, list):
        return str(raw)
    text = ",".join(map(str, raw))
    if len(text) > 1 and text[0] == text[-1] == '"':
        return text[1:-1].replace('\\"', '"').replace("\\\\", "\\")
    return text


def _within(column: ColumnFacts, raw: Any) -> str:
    return f"%{escaped(parse(column, _whole(raw)))}%"


def _beginning(column: ColumnFacts, raw: Any) -> str:
    return f"{escaped(parse(column, _whole(raw)))}%"


def _several(column: ColumnFacts, raw: Any) -> list[Any]:
    return [parse(column, _whole(one)) for one in (raw if isinstance(raw, list) else [raw])]


def _document(_column: ColumnFacts, raw: Any) -> str:
    text = _whole(raw)
    try:
        document(text)
    except ValueError as error:
        raise ValueError(f'{error} Write JSON, such as {{"status": "paid"}}.') from None
    return text
