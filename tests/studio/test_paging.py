"""Lists of any size: a page begins at a place in an index, totals are counted up to a bound, large values are cut."""

from __future__ import annotations

import asyncio
import json
import re
from typing import Any
from uuid import UUID

import pytest
from tests.studio.conftest import TABLES, Browser, Open, Planter

from weft.core.actor import system_actor
from weft.db.database import Database
from weft.studio import reading, rows, rules, statements
from weft.studio.errors import TooSlow
from weft.studio.frame import Bounds
from weft.studio.rows import Total
from weft.studio.statements import Order, Question

FILL = """
insert into weft.clients (tenant_id, id, name, name_key, company, is_active, created_at, updated_at, row_version)
select $1, ('0199c0aa-0000-7000-8000-' || lpad(to_hex(n), 12, '0'))::uuid, 'Client ' || n, 'client ' || n,
       case when n % 3 = 0 then null else 'Company ' || n % 5 end, true, now(), now(), 1
  from generate_series(1, $2::int) as n"""


async def filled(planter: Planter, slug: str, count: int) -> UUID:
    tenant = await planter.tenant(slug)
    await planter.connection.execute(FILL, tenant, count)
    await planter.connection.execute("analyze weft.clients")
    return tenant


def names(page: str) -> list[str]:
    return re.findall(r"title=\"(Client \d+)\"", page)


def link(page: str, which: str) -> str | None:
    found = re.search(rf'rel="{which}" href="http://127.0.0.1:5555([^"]+)"', page)
    return found[1].replace("&amp;", "&") if found else None


async def walk(browser: Browser, path: str, which: str) -> list[list[str]]:
    pages, at = [], path
    while at:
        page = (await browser.client.get(at)).text
        pages.append(names(page))
        at = link(page, which) or ""
        if not at and which == "next":
            pages.append([page])
    return pages


@pytest.mark.parametrize("sort", ["", "&sort=company__asc", "&sort=company__desc", "&sort=created_at__asc"])
async def test_pages_show_every_row_once_forwards_and_backwards(sort: str, planter: Planter, studio: Open) -> None:
    await filled(planter, "ada", 103)
    browser = await studio(tenant="ada")
    *pages, last = await walk(browser, f"/clients/list?page_size=25{sort}", "next")
    assert [len(page) for page in pages] == [25, 25, 25, 25, 3]
    assert len({name for page in pages for name in page}) == 103
    before = link(last[0], "prev")
    assert before is not None
    back = await walk(browser, before, "prev")
    assert back == pages[3::-1]
    if not sort:
        assert pages[0][0] == "Client 103"


async def test_a_large_table_opens_with_few_statements_and_an_index(
    planter: Planter, database: Database, studio: Open
) -> None:
    """What makes ten million rows open at once: the plan and the number of statements do not depend on how many."""
    tenant = await filled(planter, "ada", 20_000)
    await filled_bob(planter)
    page = statements.page(TABLES["clients"], tenant, Question(), ["id", "name"])
    counting = statements.count(TABLES["clients"], tenant, Question(), rows.COUNTED + 1)
    estimate = statements.estimate(TABLES["clients"], tenant, Question())
    async with rows.looking(database, system_actor(tenant), 60) as connection:
        plan = await planned(connection, page)
        assert "Backward" in plan
        assert "Sort" not in plan
        assert "Seq Scan" not in plan
        assert '"Actual Rows": 51' in plan
        assert "Seq Scan" not in await planned(connection, counting)
        assert "Actual Rows" not in str(await connection.fetchval(estimate.text, *estimate.values))
        sent: list[str] = []
        connection.add_query_logger(lambda record: sent.append(record.query))
        await rows.page(connection, TABLES["clients"], tenant, Question(), ["id"])
        total = await rows.total(connection, TABLES["clients"], tenant, Question())
    assert [found[0] for query in sent if (found := re.findall(r"weft:studio\.\w+", query))] == [
        "weft:studio.page", "weft:studio.count", "weft:studio.estimate",
    ]  # fmt: skip
    assert not total.exact
    assert total.count is not None
    assert 18_000 < total.count < 22_000
    browser = await studio(tenant="ada")
    shown = (await browser.get("/clients/list")).text
    assert re.search(r"about (1[89]|2[0-2]),000 rows", shown)
    assert "newest first" in shown


async def filled_bob(planter: Planter) -> None:
    bob = await planter.tenant("bob")
    await planter.connection.execute(FILL, bob, 5)
    await planter.connection.execute("analyze weft.clients")


async def planned(connection: Any, statement: statements.Statement) -> str:
    return json.dumps(
        json.loads(await connection.fetchval(f"explain (analyze, format json) {statement.text}", *statement.values))
    )


async def test_what_takes_too_long_is_stopped_and_says_so(planter: Planter, studio: Open, database: Database) -> None:
    tenant = await filled(planter, "ada", 3)
    with pytest.raises(TooSlow, match="Filter by a column"):
        async with rows.looking(database, system_actor(tenant), 0.05) as connection:
            await connection.execute("select pg_sleep(5)")
    # A lock that somebody holds makes any look too slow, without a large table.
    browser, patient = await studio(tenant="ada", bounds=Bounds(seconds=0.1)), await studio(tenant="ada")
    async with planter.connection.transaction():
        await planter.connection.execute("lock table weft.clients in access exclusive mode")
        stopped = await browser.get("/clients/list")
    assert (stopped.status_code, "within 0.1 seconds" in stopped.text) == (503, True)
    assert (await patient.get("/clients/list")).status_code == 200


async def test_a_server_that_goes_away_is_a_page_too(planter: Planter, browser_of_ada: Browser) -> None:
    others = "select pg_terminate_backend(pid, 60000) from pg_stat_activity where datname = current_database()"
    async with planter.connection.transaction():
        await planter.connection.execute("lock table weft.clients in access exclusive mode")
        looking = asyncio.create_task(browser_of_ada.get("/clients/list"))
        # The databases of other tests are copies: there the table has the same number.
        waiting = (
            "select count(*) from pg_locks where not granted and relation = 'weft.clients'::regclass"
            " and database = (select oid from pg_database where datname = current_database())"
        )
        while not await planter.connection.fetchval(waiting):  # noqa: ASYNC110  the database tells nobody
            await asyncio.sleep(0.01)
        await planter.connection.execute(f"{others} and pid <> pg_backend_pid()")
        stopped = await looking
    assert (stopped.status_code, "The database does not answer" in stopped.text) == (503, True)
    assert (await browser_of_ada.get("/clients/list")).status_code == 200


def test_totals_say_what_is_known() -> None:
    assert reading.total_words(Total(1, exact=True)) == "1 row"
    assert reading.total_words(Total(1000, exact=True)) == "1,000 rows"
    assert reading.total_words(Total(10_034_221, exact=False)) == "about 10,000,000 rows"
    assert reading.total_words(Total(None, exact=False)) == "more than 1,000 rows"
    assert [rules.about(n) for n in (7, 99, 1234, 98_765)] == ["7", "99", "1,200", "99,000"]
    assert [rules.size_words(n) for n in (0, 999, 1000, 3_140_000)] == ["0 bytes", "999 bytes", "1.0 kB", "3.1 MB"]


async def test_large_values_are_cut_with_their_size_and_can_be_had_whole(planter: Planter, studio: Open) -> None:
    tenant = await planter.tenant("ada")
    large = json.dumps({"items": [f"item {n} äöü" for n in range(20_000)]}, ensure_ascii=False)
    row = await planter.plant(
        "workflow_versions", tenant, definition=f"'{large}'", note=f"'{'long note ' * 50}'", content_hash="'x'"
    )
    pk = row["id"].strip("'")
    browser = await studio(tenant="ada")
    listed = await browser.get("/workflow_versions/list", cols="id,definition,note")
    assert "item 7" not in listed.text
    assert "too large for a list" in listed.text
    assert len(listed.content) < 120_000
    shown = await browser.get("/workflow_versions/detail", pk=pk)
    assert "the beginning of" in shown.text
    assert "item 19999" not in shown.text
    whole = await browser.get("/workflow_versions/value", pk=pk, column="definition")
    assert whole.headers["content-disposition"] == 'attachment; filename="workflow_versions-definition.json"'
    assert whole.json() == json.loads(large)
    exported = await browser.get("/workflow_versions/export", format="json")
    assert exported.json()[0]["definition"] == json.loads(large)


async def test_json_is_shown_as_it_is_and_opens(planter: Planter, studio: Open) -> None:
    tenant = await planter.tenant("ada")
    document = '{"big": 12345678901234567890, "exact": 0.10, "<b>": ["x", null, true, {}]}'
    deepest = "[" * 70 + "]" * 70
    browser = await studio(tenant="ada")
    row = await planter.plant("workflow_versions", tenant, definition=f"'[{document}, {deepest}]'")
    deep = (await browser.get("/workflow_versions/detail", pk=row["id"].strip("'"))).text
    assert '<pre class="studio-text">' in deep
    row = await planter.plant("workflow_versions", tenant, definition=f"'{document}'")
    shown = (await browser.get("/workflow_versions/detail", pk=row["id"].strip("'"))).text
    for part in ("12345678901234567890", "0.10", "&lt;b&gt;", "4 items", "null", "true", '<details class="json" open>'):
        assert part in shown, part
    assert "<b>" not in shown


async def test_references_lead_both_ways_and_nothing_is_read_for_them(
    planter: Planter, studio: Open, database: Database
) -> None:
    tenant = await planter.tenant("ada")
    client = (await planter.plant("clients", tenant))["id"].strip("'")
    workflow = (await planter.plant("workflows", tenant, client_id=f"'{client}'"))["id"].strip("'")
    browser = await studio(tenant="ada")
    shown = (await browser.get("/workflows/detail", pk=workflow)).text
    assert f'href="/clients/detail?pk={client}"' in shown
    back = re.search(r'href="(/workflows/list\?filter=[^"]+)"', (await browser.get("/clients/detail", pk=client)).text)
    assert back is not None
    found = (await browser.client.get(back[1].replace("&amp;", "&"))).text
    assert workflow in found
    assert ">1 row" in found


async def test_exports_are_bounded(planter: Planter, studio: Open) -> None:
    await filled(planter, "ada", 500)
    browser = await studio(tenant="ada", bounds=Bounds(export_rows=450))
    exported = await browser.get("/clients/export", format="json", sort="name__asc")
    assert len(exported.json()) == 450
    assert (await browser.get("/clients/export", format="csv")).text.count("\r\n") == 451


def test_orders_end_with_the_key() -> None:
    columns, down = statements.order_columns(TABLES["execution_logs"], Order("status", descending=False))
    assert ([c.name for c in columns], down) == (["status", "started_at", "id"], False)
