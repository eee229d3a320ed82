"""Stats, advice, plans and storage: each finds what was planted for it, and says nothing of what is well."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import asyncpg
import pytest
from tests.conftest import TestDatabase, make_tenant
from tests.ops.upkeep.conftest import Plant

from weft.db.database import Database
from weft.db.measure import BUCKETS, Statements
from weft.ops import connections
from weft.ops.insight import plans, slow
from weft.ops.insight.advice import Advice, Limits, advise
from weft.ops.insight.stats import stats
from weft.ops.insight.storage import StorageTenantUnknown, storage
from weft.ops.installation import Addresses
from weft.ops.postgres import ephemeral_cluster

LOW = Limits(rows=1000, whole_reads=3, unused_bytes=1, unused_for=timedelta())
PARENT = "create table weft.parent (id bigint primary key)"


async def advice(admin: Any, limits: Limits = LOW) -> dict[str, Advice]:
    return {
        one.kind: one
        for one in await advise(admin, limits)
        if (one.index or one.table).startswith(("planted", "child"))
    }


class TestAdvice:
    @pytest.mark.parametrize("role", ["admin", "owner", "app"])
    async def test_nothing_is_said_of_the_schema_as_it_is(self, role: str, test_database: TestDatabase) -> None:
        connection = await asyncpg.connect(getattr(test_database, role))
        assert await advise(connection) == []
        await connection.close()

    async def test_a_reference_without_an_index(self, plant: Plant, admin: Any) -> None:
        await plant(
            f"{PARENT}; create table weft.child (id bigint primary key, parent_id bigint references weft.parent)"
        )
        [(kind, one)] = (await advice(admin)).items()
        assert (kind, one.table) == ("unindexed reference", "child")
        await plant(one.remedy)
        assert await advice(admin) == {}

    async def test_a_duplicate_and_one_that_another_covers(self, plant: Plant, admin: Any) -> None:
        await plant(
            "create table weft.planted (a int, b int, c int); create index planted_a on weft.planted (a, b);"
            "create index planted_b on weft.planted (a, b); create index planted_c on weft.planted (a);"
            "create index planted_d on weft.planted (a desc); create index planted_e on weft.planted (a) where b > 1;"
            "create unique index planted_f on weft.planted (a, b, c); create index planted_g on weft.planted (b)"
        )
        found = {one.index: one.kind for one in await advise(admin, Limits()) if one.table == "planted"}
        assert found == {"planted_a": "covered", "planted_b": "duplicate", "planted_c": "covered"}

    async def test_an_invalid_index(self, plant: Plant, admin: Any) -> None:
        await plant("create table weft.planted (a int); create index planted_a on weft.planted (a)")
        await admin.execute("update pg_index set indisvalid = false where indexrelid = 'weft.planted_a'::regclass")
        assert (await advice(admin))["invalid"].remedy == "weft db maintain --task reindex"

    async def test_an_index_that_nobody_uses(self, plant: Plant, admin: Any) -> None:
        await plant(
            "create table weft.planted (a int primary key, b int, c int); create index planted_b on weft.planted (b);"
            "create index planted_c on weft.planted (c);"
            "insert into weft.planted select n, n, n from generate_series(1, 9000) n;"
            "set enable_seqscan = off; select * from weft.planted where c = 5"
        )
        assert (await advice(admin))["unused"].index == "planted_b"
        assert "unused" not in await advice(admin, Limits(unused_bytes=1)), "the counters are younger than a week"

    async def test_a_large_table_that_is_read_whole_again_and_again(self, plant: Plant, admin: Any) -> None:
        fill = "create table weft.planted (a int); insert into weft.planted select generate_series(1, 2000)"
        await plant(fill + "; select count(*) from weft.planted where a = 3" * 2)
        assert await advice(admin) == {}
        await plant("select count(*) from weft.planted where a = 3" + "; select count(*) from weft.planted" * 2)
        assert "read whole 5 times" in (await advice(admin))["read whole"].sentence


class TestPlans:
    async def test_a_statement_that_reads_a_whole_table_is_told_which_index_it_lacks(
        self,
        plant: Plant,
        admin: Any,
        test_database: TestDatabase,
    ) -> None:
        await plant(
            "create table weft.planted (tenant_id uuid, id bigint, word text);"
            "insert into weft.planted select gen_random_uuid(), n, 'w' || n from generate_series(1, 5000) n;"
            "grant select on weft.planted to weft_app; analyze weft.planted"
        )
        text = "/* weft:a.b */ select * from weft.planted p where p.tenant_id = $1 and p.word = $2"
        found = await plans.explain(test_database.app, text)
        assert "Seq Scan on planted" in "".join(found.lines)
        assert found.suggestions == [
            "It reads all 5,000 rows of planted. An index on (tenant_id, word) would find them."
        ]
        await plant("create index planted_word on weft.planted (tenant_id, word)")
        found = await plans.explain(test_database.app, text)
        assert "planted_word" in "".join(found.lines)
        assert "reached by an index" in found.suggestions[0]

    async def test_a_function_says_where_its_work_is(self, test_database: TestDatabase) -> None:
        found = await plans.explain(
            test_database.app, "/* weft:queue.promote */ select * from weft.promote_jobs($1, $2, $3)"
        )
        assert "promote_jobs" in found.suggestions[0]

    async def test_nothing_is_run_and_what_has_no_plan_is_refused(
        self, test_database: TestDatabase, admin: Any
    ) -> None:
        await admin.execute(
            "insert into weft.dispatch_jobs (tenant_id, id, kind) values ($1::uuid, gen_random_uuid(), 'x')",
            plans.NOBODY,
        )
        await plans.explain(test_database.app, "delete from weft.dispatch_jobs where tenant_id = $1")
        assert await admin.fetchval("select count(*) from weft.dispatch_jobs") == 1
        with pytest.raises(plans.PlanRefused):
            await plans.explain(test_database.app, "begin")


class TestSlow:
    def document(self, *durations: float) -> dict[str, Any]:
        statements = Statements()
        for seconds in durations:
            statements.took("/* weft:a.b */ select 1", seconds, str)
        timings = {label: timing.as_json() for label, timing in statements.timings.items()}
        return {"ends": list(BUCKETS), "slow": 0, "statements": timings}

    def test_processes_are_added_up(self) -> None:
        [one] = slow.merged([self.document(*[0.002] * 98), self.document(0.002, 0.4)])
        assert (one.label, one.calls, one.longest, one.text) == ("a.b", 100, 0.4, "/* weft:a.b */ select 1")
        assert one.seconds == pytest.approx(0.598)
        assert one.p99 == pytest.approx(0.0025)
        assert slow.merged([]) == []

    @pytest.mark.parametrize(
        ("durations", "word"),
        [
            ([0.2], "slow each time"),
            ([0.001] * 90 + [0.5] * 2, "slow at times"),
            ([0.001] * 5000 + [2.0], "once"),
            ([0.001], ""),
        ],
    )
    def test_a_word_on_each(self, durations: list[float], word: str) -> None:
        [one] = slow.merged([self.document(*durations)])
        assert word in slow.remark(one)
        assert bool(word) == bool(slow.remark(one))

    async def test_without_the_extension_nothing_is_counted(self, admin: Any) -> None:
        assert await slow.counted(admin) is None
        with pytest.raises(slow.StatementsNotLoaded):
            await slow.enable(admin)

    async def test_what_runs_is_seen_with_what_it_waits_for(self, test_database: TestDatabase, admin: Any) -> None:
        holds, waits = await asyncpg.connect(test_database.owner), await asyncpg.connect(test_database.owner)
        async with holds.transaction():
            await holds.execute("lock table weft.clients")
            waiting = asyncio.ensure_future(waits.fetch("/* weft:tests.waits */ select * from weft.clients"))
            await slow.sample(admin, 0.1)
            found: list[dict[str, Any]] = []
            while not found:
                found = [row for row in await slow.sample(admin, 0.1) if row["event"].startswith("Lock")]
        await waiting
        await holds.close()
        await waits.close()
        assert (found[0]["statement"], found[0]["event"]) == ("tests.waits", "Lock relation")


async def test_stats_tell_of_everything_an_operator_asks_for(addresses: Addresses, plant: Plant, admin: Any) -> None:
    await plant(
        "create table weft.planted (a int primary key); insert into weft.planted select generate_series(1, 900)"
    )
    await plant("delete from weft.planted where a > 300")
    await admin.execute("begin; /* weft:tests.open */ select 1")
    found = await stats(addresses)
    await admin.execute("rollback")
    table = next(row for row in found["tables"] if row["table"] == "planted")
    assert (table["rows"], table["dead_rows"], table["vacuumed_at"]) == (300, 600, None)
    assert next(row for row in found["tables"] if row["table"] == "audit_logs")["partitions"] >= 5
    index = next(row for row in found["indexes"] if row["index"] == "planted_pkey")
    assert (index["is_valid"], index["bytes"] > 0) == (True, True)
    assert 0 < found["cache_hit_ratio"] <= 1
    assert found["xid_age"] > 0
    assert found["partition_runway_days"].keys() == {"execution_logs", "audit_logs"}
    assert min(found["partition_runway_days"].values()) > 60
    open_ = next(row for row in found["transactions"] if row["state"] == "idle in transaction")
    assert open_["statement"] in ("tests.open", "unnamed")
    assert "query" not in open_
    assert sum(row["connections"] for row in found["connections"]) >= 2
    assert (found["slots"], found["queue"]) == ([], {})


async def test_stats_are_there_without_an_administrator_too(test_database: TestDatabase) -> None:
    found = await stats(Addresses(test_database.app, None, None, embedded=False))
    assert len(found["tables"]) > 20


class TestStorage:
    @pytest.fixture
    async def filled(self, database: Database, admin: Any) -> None:
        for slug, rows in (("large", 3000), ("small", 30)):
            tenant = (await make_tenant(database, slug)).tenant_id
            await admin.execute("set session_replication_role = replica")
            await admin.execute(
                "insert into weft.events (tenant_id, id, type, source, received_at)"
                " select $1, gen_random_uuid(), 'a.b', 'API', $3 from generate_series(1, $2::integer)",
                tenant, rows, datetime(2026, 6, 1, tzinfo=UTC),
            )  # fmt: skip
            await admin.execute(
                "insert into weft.payload_usage (tenant_id, payloads, size, stored_size) values ($1, $2, 900, $3)",
                tenant, rows // 10, rows * 5,
            )  # fmt: skip

    async def test_who_takes_the_room(self, filled: None, addresses: Addresses) -> None:
        found = await storage(addresses)
        assert [one["tenant"] for one in found["tenants"]] == ["large", "small"]
        large, small = found["tenants"]
        events = {one["table"]: one for one in large["tables"]}["events"]
        assert (events["rows"], events["is_estimated"]) == (3000, False)
        assert (large["payloads"], large["payload_bytes"], small["payload_bytes"]) == (300, 15_000, 150)
        size = next(row["bytes"] for row in found["tables"] if row["table"] == "events")
        assert events["bytes"] == pytest.approx(size * 3000 / 3030, rel=0.01)

    async def test_a_large_table_is_sampled(
        self,
        filled: None,
        addresses: Addresses,
        monkeypatch: pytest.MonkeyPatch,
    ) -> None:
        monkeypatch.setattr("weft.ops.insight.storage.SAMPLED_PAGES", 20)
        found = await storage(addresses)
        events = {one["table"]: one for one in found["tenants"][0]["tables"]}["events"]
        assert events["is_estimated"]
        assert events["rows"] == pytest.approx(3000, rel=0.7)

    async def test_of_one_tenant(self, filled: None, addresses: Addresses) -> None:
        found = await storage(addresses, tenant="small")
        assert [one["tenant"] for one in found["tenants"]] == ["small"]
        with pytest.raises(StorageTenantUnknown, match="nobody"):
            await storage(addresses, tenant="nobody")


async def test_what_the_server_counts_has_our_names(place: Path) -> None:
    """With a server of its own, because the library has to be loaded at its start."""
    with ephemeral_cluster(place) as facts_:
        first = await asyncpg.connect(facts_.superuser_dsn)
        await first.execute("alter system set shared_preload_libraries = 'pg_stat_statements'")
        await first.close()
    with ephemeral_cluster(place) as facts_:
        connection = await asyncpg.connect(facts_.superuser_dsn)
        try:
            assert await slow.counted(connection) is None
            assert await slow.enable(connection)
            assert not await slow.enable(connection)
            text = "/* weft:tests.counted */ select $1::int\n  + $2::int"
            for _ in range(3):
                await connection.fetchval(text, 1, 2)
            found = await slow.counted(connection, [slow.Measured("tests.counted", 3, 0.1, 0.1, None, text)])
        finally:
            await connection.close()
    assert found is not None
    by_name = {one.label: one for one in found}
    assert (by_name["tests.counted"].calls, by_name["tests.counted"].seconds > 0) == (3, True)
    assert not any("/*" in name for name in by_name)


async def test_stats_do_not_wait_for_a_table_that_somebody_holds(
    addresses: Addresses, admin: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(connections, "_LOCK_SECONDS", 0.1)
    await admin.execute("begin; lock table weft.clients")
    try:
        async with asyncio.timeout(20):
            with pytest.raises(connections.TableHeld, match="Somebody holds a table"):
                await stats(addresses)
    finally:
        await admin.execute("rollback")
