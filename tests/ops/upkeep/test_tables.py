"""Vacuum, analyze and reindex: where it is needed, nowhere else, and beside traffic."""

from __future__ import annotations

from typing import Any

import asyncpg
from tests.conftest import TestDatabase
from tests.ops.upkeep.conftest import LOW, Keep, Plant, said

from weft.ops.upkeep import bloat

FILLED = """
create table weft.planted (id bigint primary key, word text not null, left_empty text);
insert into weft.planted select n, 'word number ' || n from generate_series(1, 20000) n
"""
EMPTIED = FILLED + "; delete from weft.planted where id % 10 <> 0"


async def table_of(admin: Any) -> Any:
    return await admin.fetchrow(
        "select s.*, pg_relation_size(s.relid) as bytes from pg_stat_user_tables s where s.relname = 'planted'"
    )


async def test_dead_rows_are_vacuumed_and_statistics_made(plant: Plant, keep: Keep, admin: Any) -> None:
    await plant(EMPTIED)
    report = await keep("vacuum", "analyze")
    assert said(report, "vacuum")["planted"] == ("done", "done")
    assert said(report, "analyze")["planted"] == ("done", "done")
    row = await table_of(admin)
    assert (row["n_dead_tup"], row["vacuum_count"], row["analyze_count"]) == (0, 1, 1)
    again = await keep("vacuum", "analyze")
    assert "planted" not in said(again, "vacuum")
    assert "planted" not in said(again, "analyze")


async def test_a_dry_run_says_what_it_would_do_and_does_nothing(plant: Plant, keep: Keep, admin: Any) -> None:
    await plant(EMPTIED)
    report = await keep("vacuum", dry_run=True)
    assert said(report, "vacuum")["planted"] == ("planned", "")
    assert (await table_of(admin))["vacuum_count"] == 0
    assert await admin.fetchval("select count(*) from weft.last_runs") == 0


async def test_a_partitioned_table_is_analyzed_because_nobody_else_does(plant: Plant, keep: Keep, admin: Any) -> None:
    await admin.execute(
        "insert into weft.audit_logs (tenant_id, id, action, resource_type)"
        " select gen_random_uuid(), gen_random_uuid(), 'x', 'y' from generate_series(1, 500)"
    )
    await admin.execute("select pg_stat_force_next_flush()")
    report = await keep("analyze")
    assert said(report, "analyze")["audit_logs"] == ("done", "done")
    assert await admin.fetchval("select reltuples from pg_class where oid = 'weft.audit_logs'::regclass") == 500


async def test_a_table_that_traffic_holds_is_put_off_and_the_others_are_done(
    plant: Plant, keep: Keep, test_database: TestDatabase
) -> None:
    await plant(EMPTIED + "; create table weft.other (id int); insert into weft.other select generate_series(1, 9000)")
    await plant("delete from weft.other")
    busy = await asyncpg.connect(test_database.owner)
    try:
        async with busy.transaction():
            await busy.execute("lock table weft.planted in access exclusive mode")
            report = await keep("vacuum")
    finally:
        await busy.close()
    assert said(report, "vacuum")["planted"][0] == "put off"
    assert said(report, "vacuum")["other"][0] == "done"
    assert report.is_ok


async def test_bloat_is_estimated_close_to_what_is_there(plant: Plant, keep: Keep, test_database: TestDatabase) -> None:
    await plant(FILLED + "; vacuum analyze weft.planted")
    owner = await asyncpg.connect(test_database.owner)
    try:
        fresh = {one.index or one.table: one for one in await bloat.estimate(owner, LOW)}
        assert fresh["planted"].share < 0.1
        assert fresh["planted_pkey"].share < 0.1
        await owner.execute("delete from weft.planted where id % 10 <> 0")
        await owner.execute("vacuum analyze weft.planted")
        emptied = {one.index or one.table: one for one in await bloat.estimate(owner, LOW)}
        assert 0.8 < emptied["planted"].share < 1
        assert 0.8 < emptied["planted_pkey"].share < 1
    finally:
        await owner.close()
    report = await keep("bloat")
    assert said(report, "bloat")["planted"][0] == said(report, "bloat")["planted_pkey"][0] == "reported"
    assert "vacuum full" in next(step.why for step in report.steps if step.what == "planted")


async def test_rows_of_tenants_are_sampled_through_forced_row_security(admin: Any, keep: Keep, plant: Plant) -> None:
    await admin.execute("set session_replication_role = replica")
    await admin.execute(
        "insert into weft.events (tenant_id, id, type, source, received_at, payload)"
        " select gen_random_uuid(), gen_random_uuid(), 'a.b', 'API', now(), jsonb_build_object('n', repeat('x', 200))"
        " from generate_series(1, 5000)"
    )
    await admin.execute("delete from weft.events where get_byte(uuid_send(id), 0) > 20")
    await admin.execute("vacuum analyze weft.events")
    assert said(await keep("bloat"), "bloat")["events"][0] == "reported"


async def test_a_bloated_index_is_built_anew(plant: Plant, keep: Keep, admin: Any) -> None:
    await plant(EMPTIED + "; vacuum analyze weft.planted")
    before = await admin.fetchval("select pg_relation_size('weft.planted_pkey')")
    report = await keep("reindex")
    assert said(report, "reindex")["planted_pkey"] == ("done", "done")
    assert await admin.fetchval("select pg_relation_size('weft.planted_pkey')") < before / 5
    assert "planted_pkey" not in said(await keep("reindex"), "reindex")


async def test_invalid_indexes_are_built_anew_and_what_a_reindex_left_behind_goes(
    plant: Plant, keep: Keep, admin: Any
) -> None:
    await plant(
        FILLED
        + "; create index planted_word on weft.planted (word); create index planted_word_ccnew on weft.planted (word)"
    )
    await admin.execute(
        "update pg_index set indisvalid = false"
        " where indexrelid in ('weft.planted_word'::regclass, 'weft.planted_word_ccnew'::regclass)"
    )
    report = await keep("reindex")
    assert said(report, "reindex")["planted_word"][0] == said(report, "reindex")["planted_word_ccnew"][0] == "done"
    assert await admin.fetchval("select to_regclass('weft.planted_word_ccnew')") is None
    assert await admin.fetchval("select indisvalid from pg_index where indexrelid = 'weft.planted_word'::regclass")
