"""Values in words and back: pure, so tried with whatever there is."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta, timezone
from decimal import Decimal
from uuid import UUID

import asyncpg
import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.studio.conftest import TABLES

from weft.studio import cells, forms, keyset, refusals, rules
from weft.studio.catalogue import ColumnFacts, Kind
from weft.studio.errors import QuestionInvalid, RowMissing

JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=12,
)
TEXT = TABLES["clients"].columns["notes"]
DOCUMENT = TABLES["workflows"].columns["draft"]


@given(JSON)
def test_pretty_json_is_the_same_json(value: object) -> None:
    text = json.dumps(value, ensure_ascii=False)
    assert json.loads(cells.pretty(text)) == value
    assert cells.pretty(text).split() == json.dumps(value, ensure_ascii=False, indent=2).split()


def test_pretty_json_keeps_every_digit() -> None:
    assert cells.pretty('{"a": 0.10, "b": [], "c": [1e400, "x, y: {"]}') == (
        '{\n  "a": 0.10,\n  "b": [],\n  "c": [\n    1e400,\n    "x, y: {"\n  ]\n}'
    )


@given(st.lists(st.text(min_size=1) | st.none(), min_size=1, max_size=3))
def test_places_survive_an_address(values: list[str | None]) -> None:
    columns = [TEXT] * len(values)
    coded = keyset.cursor(values)
    assert coded is not None
    if any(value and "\0" in value for value in values):
        with pytest.raises(QuestionInvalid):
            keyset.place(columns, coded)
    else:
        assert keyset.place(columns, coded) == values


def test_a_place_that_no_address_holds_is_none() -> None:
    assert keyset.cursor(["x" * 10_000]) is None
    for damaged in ("", "x", "W10", "bnVsbA", keyset.cursor([1]) or "", "x" * 9000):
        with pytest.raises(QuestionInvalid):
            keyset.place([TEXT, TEXT], damaged)


@given(st.text(), st.text())
def test_row_names_are_exact(resource: str, action: str) -> None:
    table = TABLES["permissions"]
    name = keyset.row_name(table, [resource, action])
    if "\0" in resource + action:
        return
    assert keyset.row_key(table, name) == [resource, action]


def test_names_of_no_row_are_refused() -> None:
    for name in ("", "x", ";", "01a2141e-a9b4-7000-8405-fcbcf5eb4778;", "%00"):
        with pytest.raises(RowMissing):
            keyset.row_key(TABLES["clients"], name)


def column(kind: Kind, *, nullable: bool = True, type_: str = "") -> ColumnFacts:
    return ColumnFacts("c", kind, type_, nullable, is_key=False, editable=True)


def test_what_a_form_shows_is_what_it_reads() -> None:
    moment = datetime(2026, 11, 25, 12, 30, 0, 123456, tzinfo=timezone(timedelta(hours=2)))
    for kind, value in (
        (Kind.text, "a\r\nb"), (Kind.uuid, UUID(int=7)), (Kind.whole, -3), (Kind.number, Decimal("1.500")),
        (Kind.yes_no, False), (Kind.time, moment), (Kind.json, '{"a": 0.1000000000000000055511151231257827}'),
        (Kind.list, '["x", "y"]'), (Kind.text, ""),
    ):  # fmt: skip
        facts = column(kind, type_="text[]")
        shown = cells.typed(facts, value).replace("\n", "\r\n").replace("\r\r", "\r")
        assert forms.read([facts], {"c": shown}, {"c": value}) == {}, kind


def test_json_is_stored_as_it_is_typed() -> None:
    typed = '{"a": 0.10000000000000000000001}'
    assert forms.read([DOCUMENT], {"draft": typed}, {"draft": '{"a": 0.1}'}) == {"draft": typed}
    assert forms.read([DOCUMENT], {"draft": "", "draft.null": "on"}, {"draft": "{}"}) == {"draft": None}


def test_times_say_their_zone() -> None:
    assert cells.time_words(datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)) == "2026-01-02 03:04:05 UTC"
    east = datetime(2026, 1, 2, 3, 4, 5, 60_000, tzinfo=timezone(timedelta(hours=2)))
    assert cells.time_words(east) == "2026-01-02 01:04:05.060 UTC"


def test_refusals_are_sentences() -> None:
    for error, words in (
        (asyncpg.CheckViolationError("x"), "does not allow these values"),
        (asyncpg.NotNullViolationError("x"), "cannot be left empty"),
        (asyncpg.InsufficientPrivilegeError("x"), "weft's own commands"),
        (asyncpg.DeadlockDetectedError("x"), "Try again"),
        (asyncpg.RaiseError("the audit log is append-only"), "the audit log is append-only"),
    ):
        assert words in refusals.in_words(error, TABLES).message


def test_every_room_has_a_permission_that_exists() -> None:
    from weft.domain.identity.rules import known

    for table in TABLES.values():
        assert known(rules.to_read(table.name))
    assert all(known(permission) for permission in rules.WRITING.values())
