"""Whatever an address asks for is answered, or refused with a sentence: never by a fault of ours."""

from __future__ import annotations

import base64
import itertools
import json
import random
from collections.abc import Iterator
from typing import Any
from urllib.parse import urlencode

import pytest
from starlette_admin.views import BaseModelView
from tests.studio.conftest import TABLES, Browser, Open, Planter

from weft.core.actor import system_actor
from weft.db.database import Database
from weft.studio import rows
from weft.studio.errors import QuestionInvalid
from weft.studio.filters import filters_for

ID = "0199c0aa-0000-7000-8000-000000000000"
TYPED = [
    "", " ", "x", "\0", "a\0b", "\ud800", "x" * 5000, "{0}", "%s", "$1", "'; drop table", '"', "\\", "(", ")", "a,b",
    "9" * 30, "9" * 5000, "-1", "1e5", "1e999999", "-1e-999999", "٣", "1_000", "nan", "NaN", "-Infinity", "true", ID,
    "0001-01-01T00:00:00+14:00", "9999-12-31T23:59:59-14:00", "0000-01-01", "0001-01-01", "99999-01-01", "2026-W01-1",
    "2026-01-01T00:00:00+23:59", '"\\u0000"', '{"a": "\\u0000"}', '{"\\u0000": 1}', '"\\ud800"', '"\\udc00\\ud800"',
    "[NaN]", "[1e999999]", "[" * 2000, "[" * 2000 + "]" * 2000, "[" * 150 + "]" * 150, '{"a":' * 1100 + "1}",
    "null", "{}", "[]",
]  # fmt: skip
PLACES: list[Any] = [
    ["\ud800"], [None], [1], {}, None, 5, ["x"] * 3, [ID], ["\ud800", ID], ["0001-01-01T00:00:00+14:00", ID],
    [None, ID], ["x", ID], [[], ID], ["\0", ID], b"[" * 4000, b"\xff", b"NaN", b"9" * 5000,
]  # fmt: skip
SORTS = [
    "",
    "name",
    "name__asc",
    "created_at__desc",
    "deleted_at__asc",
    "draft__asc",
    "tenant_id__asc",
    "__",
    "x" * 3000,
]
FILTERS = [
    "x",
    "(",
    ")",
    "(" * 3000,
    "a" * 3000,
    "name__eq",
    "name__eq=",
    "and(",
    "{" + "[" * 500,
    "AND",
    " OR ",
    "__=",
]
SIZES = ["-1", "0", "9" * 50, "9" * 5000, "x", "50,50", "25", ""]
NAMES = ["", "x", "\0", "%00", "9" * 40, ";", ";;", "%ED%A0%80", "a;b", ID, f"{ID};{ID}", "x" * 9000, "-"]


def said(field: str, operator: str, value: object) -> str:
    rule = {"field": field, "filter": operator, "value": value, "value2": value}
    return str(BaseModelView._serialize_filter_string({"logic": "and", "rules": [rule]}))


def place(value: Any) -> str:
    raw = value if isinstance(value, bytes) else json.dumps(value).encode()
    return base64.urlsafe_b64encode(raw).decode().rstrip("=")


def asked() -> Iterator[tuple[str, dict[str, str]]]:
    """Each odd value where it hurts most, and a sample of the rest: the same with every run."""
    for value in TYPED:
        for field, operator in (("draft", "includes"), ("name", "contains"), ("tags", "has")):
            yield "/workflows/list", {"filter": said(field, operator, value)}
        yield "/workflows/list", {"q": value}
    every = [
        (table, column.name, operator.name, value)
        for table in ("workflows", "audit_logs", "workflow_executions", "backups")
        for column in TABLES[table].columns.values()
        for operator in filters_for(column)
        for value in TYPED
    ]
    for table, field, operator, value in random.Random(7).sample(every, 150):
        yield f"/{table}/list", {"filter": said(field, operator, value)}
    for coded, sort, way in itertools.product(PLACES, ("", "name__asc", "created_at__desc"), ("after.", "before.")):
        yield "/workflows/list", {"page": way + place(coded), "sort": sort}
    for name, values in (("sort", SORTS), ("filter", FILTERS), ("page_size", SIZES), ("cols", [*SIZES, *SORTS])):
        for value in values:
            yield "/workflows/list", {name: value}
    for table, name in itertools.product(("workflows", "audit_logs", "permissions", "last_runs", "backups"), NAMES):
        yield f"/{table}/detail", {"pk": name}
    for name in (*NAMES, *TYPED):
        yield "/workflows/value", {"pk": ID, "column": name}


async def refused(browser: Browser, path: str, query: dict[str, str]) -> str | None:
    """What went wrong with an address, if anything did."""
    sent = urlencode({name: value.encode("utf-8", "surrogatepass") for name, value in query.items()})
    try:
        status = (await browser.client.get(f"{path}?{sent}")).status_code
    except Exception as error:  # what escapes would be an answer 500
        return f"{path} {str(query)[:120]}: {type(error).__name__}: {str(error)[:80]}"
    return None if status in (200, 400, 404, 503) else f"{path} {str(query)[:120]}: {status}"


@pytest.fixture
async def browser(studio: Open, planter: Planter) -> Browser:
    tenant = await planter.tenant("ada")
    for table in ("workflows", "audit_logs", "workflow_executions", "backups"):
        await planter.plant(table, tenant)
    return await studio(tenant="ada")


async def test_no_address_is_answered_with_a_fault_of_ours(browser: Browser) -> None:
    found = [await refused(browser, path, query) for path, query in asked()]
    assert len(found) > 500
    assert [one for one in found if one is not None] == []


async def test_an_export_refuses_as_its_list_does(browser: Browser) -> None:
    for path, query in itertools.islice(asked(), 0, None, 9):
        if path.endswith("/list"):
            listed = (await browser.get(path, **query)).status_code
            for form in ("csv", "json"):
                exported = await browser.get(path.replace("/list", "/export"), **{**query, "format": form})
                assert exported.status_code == listed, query


async def test_what_forms_send_is_no_fault_of_ours_either(studio: Open, planter: Planter) -> None:
    """Before anybody is known, too."""
    await planter.tenant("ada")
    choosing, signing = await studio(), await studio("ada", owner=False)
    for value in (*TYPED[:12], ID, "a@b.example", "x" * 100_000):
        raw = value.encode("utf-8", "surrogatepass").decode("utf-8", "replace")
        assert (await choosing.post("/tenants", tenant=raw)).status_code == 404, value[:20]
        assert (await choosing.get("/tenants", q=raw[:5000])).status_code == 200, value[:20]
        answer = await signing.post("/sign-in", email=raw, password=raw)
        assert answer.status_code in (400, 401, 422), value[:20]


async def test_refusals_of_addresses_say_what_to_do(browser: Browser) -> None:
    for query, words in (
        ({"filter": said("draft", "includes", "NaN")}, "no NaN"),
        ({"filter": said("draft", "includes", "[" * 2000 + "]" * 2000)}, "nested deeper than"),
        ({"filter": said("draft", "includes", '"\\u0000"')}, "NUL character"),
        ({"filter": said("draft", "includes", '"\\ud800"')}, "surrogate pair"),
        ({"filter": said("draft", "includes", "1e999999")}, "sensible size"),
        ({"filter": said("created_at", "gte", "0001-01-01T00:00:00+14:00")}, "A time looks like"),
        ({"page": "after." + place(b"[" * 4000)}, "Begin again at the first page"),
    ):
        page = await browser.get("/workflows/list", **query)
        assert (page.status_code, words in page.text) == (400, True), query


async def test_a_value_that_only_the_database_refuses_is_a_question_too(database: Database, planter: Planter) -> None:
    """A belt for whatever the checks before it let through: from the server, and from the driver."""
    actor = system_actor(await planter.tenant("ada"))
    for statement, value in (
        ("select $1::text::jsonb", "NaN"),
        ("select $1::int", 2**40),
        ("select $1::text", "\ud800"),
    ):
        with pytest.raises(QuestionInvalid, match="Correct the filter"):
            async with rows.looking(database, actor, 60) as connection:
                await connection.fetchval(statement, value)
