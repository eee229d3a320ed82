"""The catalogue keeps the kernel's promises: what a new table forgets fails here, not in production."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any

import asyncpg
import pytest
from tests.conftest import TestDatabase

from weft.db import emit
from weft.migrations import freeze
from weft.migrations.models import METADATA
from weft.ops.schema import catalogue_rules


@pytest.fixture
async def catalogue(test_database: TestDatabase) -> AsyncIterator[Any]:
    connection = await asyncpg.connect(test_database.admin)
    try:
        yield connection
    finally:
        await connection.close()


async def test_the_frozen_revision_is_what_the_models_emit() -> None:
    assert freeze.FOUNDATION.read_text(encoding="utf-8") == freeze.foundation(), (
        "models changed: run `just freeze` (before the first release) or add a revision"
    )
    assert freeze.FOUNDATION_DOWN.read_text(encoding="utf-8") == freeze.foundation_down()


@pytest.mark.parametrize("rule", catalogue_rules.RULES, ids=lambda rule: rule.name)
async def test_nothing_breaks_a_rule(rule: catalogue_rules.Rule, migrated: TestDatabase) -> None:
    """What each means, and that it can be broken: `tests/ops/schema/test_catalogue_rules.py`."""
    connection = await asyncpg.connect(migrated.app)
    try:
        assert await catalogue_rules.offenders(connection, rule) == []
    finally:
        await connection.close()


async def test_there_is_much_to_judge(catalogue: Any) -> None:
    counts = await catalogue.fetchrow(
        """select (select count(*) from pg_class where relnamespace = 'weft'::regnamespace and relkind in ('r', 'p')),
                  (select count(*) from pg_policies where schemaname = 'weft'),
                  (select count(*) from pg_constraint where contype = 'f' and connamespace = 'weft'::regnamespace)"""
    )
    assert min(counts) > 20


async def test_versions_and_the_audit_log_cannot_be_updated_by_the_application(catalogue: Any) -> None:
    for table in ("workflow_versions", "workflow_steps", "workflow_transitions", "audit_logs", "permissions"):
        assert not await catalogue.fetchval(f"select has_table_privilege('weft_app', 'weft.{table}', 'update')"), table
        assert not await catalogue.fetchval(f"select has_table_privilege('weft_app', 'weft.{table}', 'delete')"), table


async def test_the_audit_trigger_masks_every_secret_column(catalogue: Any) -> None:
    rows = await catalogue.fetch(
        """select c.relname, encode(t.tgargs, 'escape') as args from pg_trigger t
             join pg_class c on c.oid = t.tgrelid where t.tgname = 'audit' and not t.tgisinternal"""
    )
    found = {r["relname"]: set(r["args"].split("\\000")[1].split(",")) - {""} for r in rows}
    audited = {
        t.name: {c.name for c in t.columns if c.info.get("secret")} for t in METADATA.sorted_tables if t.info["audit"]
    }
    assert found == audited
    looks_secret = {
        (t.name, c.name)
        for t in METADATA.sorted_tables
        for c in t.columns
        if any(word in c.name for word in ("secret", "password", "hash", "wrapped")) and c.name != "content_hash"
    }
    marked = {(t.name, c.name) for t in METADATA.sorted_tables for c in t.columns if c.info.get("secret")}
    assert looks_secret <= marked


async def test_definer_functions_belong_to_narrow_roles(catalogue: Any) -> None:
    rows = await catalogue.fetch(
        """select p.proname, r.rolname as owner, p.prosecdef
             from pg_proc p join pg_roles r on r.oid = p.proowner
            where p.pronamespace = 'weft'::regnamespace"""
    )
    assert {r["proname"] for r in rows} == {signature.partition("(")[0] for signature in emit.FUNCTIONS}
    for row in rows:
        if row["prosecdef"] and row["proname"] not in ("ensure_partitions", "drop_empty_partitions"):
            assert row["owner"] in ("weft_auth", "weft_audit", "weft_dispatch", "weft_retention"), row["proname"]


async def test_every_time_has_a_zone_and_no_state_is_a_native_enumeration(catalogue: Any) -> None:
    rows = await catalogue.fetch(
        "select table_name, column_name, data_type from information_schema.columns where table_schema = 'weft'"
    )
    assert [
        r
        for r in rows
        if r["data_type"] in ("timestamp without time zone", "USER-DEFINED", "numeric") and r["column_name"] != "cost"
    ] == []


async def test_partitions_reach_three_months_ahead_and_making_them_again_changes_nothing(
    test_database: TestDatabase,
) -> None:
    app = await asyncpg.connect(test_database.app)
    try:
        # The template may have been made in the month before this one: two tables lack their last month then.
        migrated = await app.fetchval("select min(applied_at) at time zone 'utc' from weft.migration_history")
        async with app.transaction():  # of one moment
            now = await app.fetchval("select now() at time zone 'utc'")
            passed = 12 * (now.year - migrated.year) + now.month - migrated.month
            assert await app.fetchval("select weft.ensure_partitions(3)") == 2 * passed
            assert await app.fetchval("select weft.ensure_partitions(3)") == 0
            assert await app.fetchval("select weft.ensure_partitions(5)") == 4
        with pytest.raises(asyncpg.RaiseError, match="0 to 24 months"):
            await app.fetchval("select weft.ensure_partitions(99)")
        with pytest.raises(asyncpg.InsufficientPrivilegeError):
            await app.fetch(
                "select * from weft.audit_logs_"
                + (await app.fetchval("select to_char(now() at time zone 'utc', 'YYYYMM')"))
            )
    finally:
        await app.close()
