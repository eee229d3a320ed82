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


@pytest.fixture
async def catalogue(test_database: TestDatabase) -> AsyncIterator[Any]:
    connection = await asyncpg.connect(test_database.admin)
    try:
        yield connection
    finally:
        await connection.close()


NOT_TENANTED = {"tenants", "users", "permissions", "backups", "alembic_version"}


async def test_the_frozen_revision_is_what_the_models_emit() -> None:
    assert freeze.FOUNDATION.read_text(encoding="utf-8") == freeze.foundation(), (
        "models changed: run `just freeze` (before the first release) or add a revision"
    )
    assert freeze.FOUNDATION_DOWN.read_text(encoding="utf-8") == freeze.foundation_down()


async def test_every_table_has_row_security_enabled_and_forced(catalogue: Any) -> None:
    rows = await catalogue.fetch(
        """select relname, relrowsecurity, relforcerowsecurity from pg_class
            where relnamespace = 'weft'::regnamespace and relkind in ('r', 'p') and relname <> 'alembic_version'"""
    )
    assert len(rows) > 20
    assert [r["relname"] for r in rows if not (r["relrowsecurity"] and r["relforcerowsecurity"])] == []


async def test_every_tenant_table_leads_its_key_with_the_tenant(catalogue: Any) -> None:
    rows = await catalogue.fetch(
        """select c.relname, (select array_agg(a.attname::text order by k.n)
                  from unnest(i.indkey) with ordinality k(attnum, n)
                  join pg_attribute a on a.attrelid = c.oid and a.attnum = k.attnum) as columns, i.indisprimary,
                  i.indisunique, i.indexrelid::regclass::text as index
             from pg_index i join pg_class c on c.oid = i.indrelid
            where c.relnamespace = 'weft'::regnamespace and c.relkind in ('r', 'p') and i.indisunique"""
    )
    tenanted = [r for r in rows if r["relname"] not in NOT_TENANTED]
    assert len(tenanted) > 20
    assert [r["index"] for r in tenanted if r["columns"][0] != "tenant_id"] == []


async def test_every_reference_between_tenant_tables_carries_the_tenant(catalogue: Any) -> None:
    rows = await catalogue.fetch(
        """select con.conname, con.conrelid::regclass::text as source, con.confrelid::regclass::text as target,
                  (select array_agg(attname::text) from pg_attribute
                    where attrelid = con.conrelid and attnum = any(con.conkey)) as columns
             from pg_constraint con join pg_class c on c.oid = con.conrelid
            where con.contype = 'f' and c.relnamespace = 'weft'::regnamespace"""
    )
    glob = {f"weft.{name}" for name in ("tenants", "users", "permissions")}
    inner = [r for r in rows if r["target"] not in glob]
    assert len(inner) > 15
    assert [r["conname"] for r in inner if "tenant_id" not in r["columns"]] == []


async def test_every_reference_has_an_index_to_find_its_rows(catalogue: Any) -> None:
    """Without one, every delete or key update of a parent reads the whole child table."""
    missing = await catalogue.fetch(
        """select con.conname from pg_constraint con join pg_class c on c.oid = con.conrelid
            where con.contype = 'f' and c.relnamespace = 'weft'::regnamespace and con.conparentid = 0
              and con.confrelid::regclass::text not in ('weft.tenants', 'weft.permissions')
              and not exists (
                select 1 from pg_index i where i.indrelid = con.conrelid
                   and (i.indkey::int2[])[0:array_length(con.conkey, 1) - 1] @> con.conkey)"""
    )
    assert [r["conname"] for r in missing] == []


async def test_no_policy_has_a_subselect_or_is_restrictive(catalogue: Any) -> None:
    rows = await catalogue.fetch(
        "select tablename, policyname, permissive, qual, with_check from pg_policies where schemaname = 'weft'"
    )
    assert len(rows) > 20
    for row in rows:
        assert row["permissive"] == "PERMISSIVE", row
        assert "select" not in f"{row['qual']} {row['with_check']}".lower(), row


async def test_no_two_policies_of_one_role_add_up(catalogue: Any) -> None:
    """Permissive policies of the same role are joined by OR: a second one opens the table."""
    rows = await catalogue.fetch(
        """select tablename, unnest(roles)::text as role, count(*) as policies from pg_policies
            where schemaname = 'weft' group by 1, 2 having count(*) > 1"""
    )
    assert [(r["tablename"], r["role"]) for r in rows] == []


async def test_no_index_that_row_security_makes_useless(catalogue: Any) -> None:
    """An operator that is not leakproof is evaluated after the policy, so its index is never used."""
    leaky = await catalogue.fetch(
        """select i.indexrelid::regclass::text as index, pg_get_indexdef(i.indexrelid, k.n, true) as part
             from pg_index i
             join pg_class t on t.oid = i.indrelid and t.relrowsecurity and t.relnamespace = 'weft'::regnamespace
            cross join lateral generate_series(1, i.indnkeyatts) k(n)
             join pg_opclass oc on oc.oid = i.indclass[k.n - 1]
             join pg_amop a on a.amopfamily = oc.opcfamily and a.amoplefttype = oc.opcintype
              and (a.amoprighttype = oc.opcintype or oc.opcname like 'jsonb%')
             join pg_operator o on o.oid = a.amopopr join pg_proc p on p.oid = o.oprcode
            group by 1, 2, i.indkey, k.n having bool_or(not p.proleakproof) or i.indkey[k.n - 1] = 0"""
    )
    assert [(r["index"], r["part"]) for r in leaky] == []


async def test_partitions_have_no_grants_and_nobody_may_truncate(catalogue: Any) -> None:
    rows = await catalogue.fetch(
        """select c.relname, p.privilege_type, c.relispartition from pg_class c
            cross join lateral aclexplode(c.relacl) p join pg_roles r on r.oid = p.grantee
            where c.relnamespace = 'weft'::regnamespace and r.rolname = 'weft_app'"""
    )
    assert len(rows) > 20
    assert [r["relname"] for r in rows if r["relispartition"]] == []
    assert {r["privilege_type"] for r in rows} <= {"SELECT", "INSERT", "UPDATE", "DELETE"}


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


async def test_definer_functions_belong_to_narrow_roles_and_fix_their_search_path(catalogue: Any) -> None:
    rows = await catalogue.fetch(
        """select p.proname, r.rolname as owner, p.prosecdef, p.proconfig,
                  has_function_privilege('public', p.oid, 'execute') as open_to_all
             from pg_proc p join pg_roles r on r.oid = p.proowner
            where p.pronamespace = 'weft'::regnamespace"""
    )
    assert {r["proname"] for r in rows} == {signature.partition("(")[0] for signature in emit.FUNCTIONS}
    for row in rows:
        assert not row["open_to_all"], row["proname"]
        assert (row["proconfig"] or [""])[0].startswith("search_path=pg_catalog"), row["proname"]
        if row["prosecdef"] and row["proname"] not in ("ensure_partitions", "drop_empty_partitions"):
            assert row["owner"] in ("weft_auth", "weft_audit", "weft_dispatch", "weft_retention"), row["proname"]


async def test_the_application_role_is_nobody(catalogue: Any) -> None:
    row = await catalogue.fetchrow("select * from pg_roles where rolname = 'weft_app'")
    rights = ("rolsuper", "rolbypassrls", "rolcreaterole", "rolcreatedb", "rolreplication")
    assert [right for right in rights if row[right]] == []
    assert (
        await catalogue.fetchval(
            "select count(*) from pg_auth_members m join pg_roles r on r.oid = m.member where r.rolname = 'weft_app'"
        )
        == 0
    )


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
