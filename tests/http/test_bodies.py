"""Strict as JSON is, and nothing that PostgreSQL could not keep."""

from __future__ import annotations

import json
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from enum import StrEnum
from typing import Annotated, Any
from uuid import UUID

import httpx2
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import BaseModel, Field, TypeAdapter, ValidationError

from weft.http.bodies import MAX_DEPTH, MAX_TEXT, Input, Moment, unstorable


class Color(StrEnum):
    red = "red"


class Part(Input):
    id: UUID
    count: int = 0


class Everything(Input):
    flag: bool = False
    count: int = 0
    share: float = 0.0
    name: str = ""
    short: Annotated[str, Field(max_length=3)] = ""
    id: UUID | None = None
    at: datetime | None = None
    day: date | None = None
    lasts: timedelta | None = None
    price: Decimal | None = None
    color: Color = Color.red
    parts: list[Part] = Field(default_factory=list)
    by_id: dict[str, UUID] = Field(default_factory=dict)
    either: Part | UUID | None = None
    document: dict[str, Any] = Field(default_factory=dict)


SHAPE: TypeAdapter[Everything] = TypeAdapter(Everything)
ID = UUID("0198f3a0-0000-7000-8000-00000000c0de")


def read(**values: Any) -> Everything:
    """As FastAPI does it: from Python objects that JSON gave."""
    return SHAPE.validate_python(json.loads(json.dumps(values)), from_attributes=True)


@pytest.mark.parametrize(
    ("values", "expected"),
    [
        ({"id": str(ID)}, {"id": ID}),
        ({"at": "2026-03-01T12:00:00Z"}, {"at": datetime(2026, 3, 1, 12, tzinfo=UTC)}),
        ({"at": "1970-01-01T00:00:00Z"}, {"at": datetime(1970, 1, 1, tzinfo=UTC)}),
        ({"at": "2999-12-31T23:59:59Z"}, {"at": datetime(2999, 12, 31, 23, 59, 59, tzinfo=UTC)}),
        ({"day": "2026-03-01"}, {"day": date(2026, 3, 1)}),
        ({"lasts": "PT90S"}, {"lasts": timedelta(seconds=90)}),
        ({"price": "12.30"}, {"price": Decimal("12.30")}),
        ({"color": "red"}, {"color": Color.red}),
        ({"share": 1}, {"share": 1.0}),
        ({"parts": [{"id": str(ID), "count": 2}]}, {"parts": [Part(id=ID, count=2)]}),
        ({"by_id": {"x": str(ID)}}, {"by_id": {"x": ID}}),
        ({"either": str(ID)}, {"either": ID}),
        ({"either": {"id": str(ID)}}, {"either": Part(id=ID)}),
        ({"name": "x" * MAX_TEXT}, {"name": "x" * MAX_TEXT}),
    ],
)
def test_what_json_writes_as_text_is_read(values: dict[str, Any], expected: dict[str, Any]) -> None:
    assert read(**values) == Everything(**expected)


@pytest.mark.parametrize(
    "values",
    [
        {"flag": 1},
        {"flag": "true"},
        {"count": "1"},
        {"count": 1.0},
        {"count": True},
        {"share": "1.5"},
        {"share": 10**400},
        {"name": 1},
        {"name": None},
        {"name": "x" * (MAX_TEXT + 1)},
        {"short": "four"},
        {"id": 7},
        {"id": "seven"},
        {"at": 1_700_000_000},
        {"at": "1700000000"},
        {"at": True},
        {"at": "1969-12-31T23:59:59Z"},
        {"at": "9999-12-31T23:59:59-14:00"},
        {"at": "0001-01-01T00:00:00+14:00"},
        {"day": "3000-01-01"},
        {"day": 20_000},
        {"day": "20000"},
        {"lasts": 90},
        {"color": "blue"},
        {"color": 1},
        {"parts": {"id": str(ID)}},
        {"parts": [{"id": str(ID), "count": "2"}]},
        {"parts": [{"id": str(ID), "more": 1}]},
        {"unknown": 1},
    ],
    ids=str,
)
def test_what_is_of_another_type_is_refused(values: dict[str, Any]) -> None:
    with pytest.raises(ValidationError):
        read(**values)


def test_python_values_do_as_well() -> None:
    """Seeds and tests make inputs from ids and dates, not from text."""
    now = datetime(2026, 3, 1, tzinfo=UTC)
    made = Everything(id=ID, at=now, color=Color.red, parts=[Part(id=ID)])
    assert (made.id, made.at, made.parts[0].id) == (ID, now, ID)
    with pytest.raises(ValidationError):
        made.name = "other"  # an input is frozen


def test_a_model_around_an_input_keeps_its_strictness() -> None:
    class Around(BaseModel):
        part: Part

    assert Around.model_validate({"part": {"id": str(ID)}}).part.id == ID
    with pytest.raises(ValidationError):
        Around.model_validate({"part": {"id": str(ID), "count": "2"}})


def test_the_schema_says_what_is_accepted() -> None:
    properties = Everything.model_json_schema()["properties"]
    assert properties["at"]["anyOf"][0] == {"type": "string", "format": "date-time"}
    assert properties["id"]["anyOf"][0] == {"type": "string", "format": "uuid"}
    assert Everything.model_json_schema()["additionalProperties"] is False


@pytest.mark.parametrize(
    ("document", "path"),
    [
        ({"a": ["x", {"b": "nul \0 inside"}]}, ("a", 1, "b")),
        ({"a": {"half \ud800": 1}}, ("a",)),
        ({"a": "\udfff"}, ("a",)),
        ({"a": [float("nan")]}, ("a", 0)),
        ({"a": float("-inf")}, ("a",)),
        ("\0", ()),
    ],
)
def test_what_cannot_be_stored_is_found(document: Any, path: tuple[str | int, ...]) -> None:
    found = unstorable(document)
    assert found is not None
    assert found[0] == path


def test_depth_has_a_limit() -> None:
    def nested(levels: int) -> Any:
        value: Any = "leaf"
        for _ in range(levels):
            value = [value]
        return value

    assert unstorable(nested(MAX_DEPTH)) is None
    assert unstorable(nested(MAX_DEPTH + 1)) is not None


texts = st.text(st.characters(codec="utf-8", exclude_characters="\0"))
json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | texts,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(texts, inner, max_size=4),
    max_leaves=20,
)


@given(json_values)
def test_ordinary_documents_pass(document: Any) -> None:
    assert unstorable(json.loads(json.dumps(document))) is None


@pytest.mark.parametrize(
    ("text", "place"),
    [
        ('{"name": "nul \\u0000"}', "name"),
        ('{"name": "x", "notes": "half \\ud83d"}', "notes"),
        ('{"name": "x", "extra": {"a": [{"b": "\\u0000"}]}}', "extra.a.0.b"),
        ('{"name": "x", "extra": {"n": NaN}}', "extra.n"),
    ],
)
async def test_over_http_it_is_a_422_with_the_place(http: httpx2.AsyncClient, text: str, place: str) -> None:
    answer = await http.post("/v1/clients", content=text, headers={"Content-Type": "application/json"})
    assert answer.status_code == 422
    assert place in answer.json()["detail"]


async def test_unicode_goes_in_and_out(http: httpx2.AsyncClient) -> None:
    name = "Żółć 漢字 😀 \u202e"
    assert (await http.post("/v1/clients", json={"name": name})).json()["name"] == name


@pytest.mark.parametrize("text", ["1205601185", "-5", "1.5", "2026-03-01T12:00:00", "yesterday", "0001-01-15T00:00Z"])
def test_a_moment_in_a_query_is_a_date_with_its_zone(text: str) -> None:
    assert TypeAdapter(Moment).validate_python("2026-03-01T12:00:00+01:00").utcoffset() == timedelta(hours=1)
    with pytest.raises(ValidationError):
        TypeAdapter(Moment).validate_python(text)


def test_a_time_that_cannot_be_reckoned_with_is_told_what_can() -> None:
    with pytest.raises(ValidationError, match="a time between 1970-01-01 and 2999-12-31"):
        read(at="9999-12-31T23:59:59Z")


class TestLimit:
    async def test_an_announced_length_is_believed(self, http: httpx2.AsyncClient) -> None:
        answer = await http.post("/v1/clients", json={"name": "x", "notes": "x" * 30_000})
        assert answer.status_code == 413
        assert answer.json()["type"] == "/errors/body_oversized"

    async def test_a_stream_is_stopped(self, http: httpx2.AsyncClient) -> None:
        sent = 0

        async def endless() -> Any:
            nonlocal sent
            yield b'{"name": "'
            while sent < 100:
                sent += 1
                yield b"x" * 1000

        answer = await http.post("/v1/clients", content=endless(), headers={"Content-Type": "application/json"})
        assert answer.status_code == 413
        assert answer.json()["type"] == "/errors/body_oversized"
        assert sent < 30

    async def test_a_body_just_small_enough_passes(self, http: httpx2.AsyncClient) -> None:
        body = b'{"name": "x", "extra": {"y": "%s"}}'
        body = body % (b"y" * (20_000 - len(body) + 2))
        assert len(body) == 20_000
        answer = await http.post("/v1/clients", content=body, headers={"Content-Type": "application/json"})
        assert answer.status_code == 201
