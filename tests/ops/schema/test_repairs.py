"""What a repair must not do: lose rows, guess where there is a choice, or leave switched off what it says it mended."""

from __future__ import annotations

from typing import Any

import asyncpg
import pytest
from tests.conftest import TestDatabase
from tests.ops.schema import drifts

from weft.db import fingerprint
from weft.db.fingerprint import Fingerprint
from weft.ops.schema import sql
from weft.ops.schema.authoring import Comparison
from weft.ops.schema.step import bracketed, quoted
from weft.ops.schema.words import report

NOBODY = "0198c5a0-0000-7000-8000-000000000009"
AUDITED = """
set local app.maintenance = 'on';
insert into weft.audit_logs (tenant_id, id, at, action, resource_type)
values (gen_random_uuid(), gen_random_uuid(), date_trunc('year', now()) + '11 months 40 hours', 'x.y', 'x');
set local app.maintenance = ''"""
ARCHIVED = f"""
set local app.maintenance = 'on'; set constraints all deferred;
insert into weft.tenants (id, slug, name) values ('{NOBODY}', 'nobody', 'Nobody');
insert into weft.archives (tenant_id, id, period_from, period_to, executions, rows)
values ('{NOBODY}', gen_random_uuid(), now(), now(), 1, 1);
set local app.maintenance = ''"""


@pytest.fixture
async def clean(admin: Any) -> Fingerprint:
    return await fingerprint.take(admin)


async def mended(admin: Any, clean: Fingerprint) -> Comparison:
    """Found, and repaired by the printed SQL, with nothing left."""
    found = await drifts.compared(admin, clean)
    assert found.differences
    await drifts.repaired(admin, found)
    left = await drifts.compared(admin, clean)
    assert report(left.differences) == []
    return found


async def test_references_bind_again(admin: Any, clean: Fingerprint) -> None:
    await admin.execute("alter table weft.roles disable trigger all")
    found = await mended(admin, clean)
    assert "enforced by triggers no, should be yes" in " ".join(found.sentences())
    assert found.script().count("alter table weft.tenants enable trigger all") == 1
    off = "select count(*) from pg_trigger where tgrelid = 'weft.roles'::regclass and tgenabled <> 'O'"
    assert await admin.fetchval(off) == 0
    await admin.execute(f"set local session authorization weft_app; set local app.tenant_id = '{NOBODY}'")
    with pytest.raises(asyncpg.ForeignKeyViolationError):
        await admin.execute(
            "insert into weft.roles (tenant_id, id, name, description, is_builtin)"
            f" values ('{NOBODY}', gen_random_uuid(), 'x', '', false)"
        )


async def test_triggers_that_are_on_in_another_way_are_so_again(admin: Any) -> None:
    await admin.execute("alter table weft.roles enable always trigger touch")
    usual = await fingerprint.take(admin)
    await admin.execute("alter table weft.roles disable trigger all")
    await mended(admin, usual)


async def test_references_of_a_partition_bind_again(admin: Any, clean: Fingerprint) -> None:
    month = await admin.fetchval(
        "select relname from pg_class where relispartition and relkind = 'r' and relname like 'execution_logs_%'"
    )
    await admin.execute(f"alter table weft.{month} disable trigger all")
    found = await mended(admin, clean)
    assert found.sentences()[0].startswith(f"The partition {month} is open or out of order: references enforced no")


async def test_a_detached_month_comes_back_with_its_rows(admin: Any, clean: Fingerprint) -> None:
    await admin.execute("select weft.ensure_partition('audit_logs', (date_trunc('year', now()) + '11 months')::date)")
    await admin.execute(AUDITED)
    month = await admin.fetchval("select 'audit_logs_' || to_char(now(), 'YYYY') || '12'")
    await admin.execute(
        f"alter table weft.audit_logs detach partition weft.{month}; grant select on weft.{month} to weft_app;"
        f"create policy leak on weft.{month} to weft_app using (true);"
        f"alter table weft.{month} disable row level security"
    )
    found = await drifts.compared(admin, clean)
    assert "is a month of audit_logs that was detached" in " ".join(found.sentences())
    assert "drop table" not in found.script()
    await mended(admin, clean)
    assert await admin.fetchval(f"select count(*) from only weft.{month}") == 1
    assert await admin.fetchval("select count(*) from weft.audit_logs") == 1


async def test_a_table_that_only_looks_like_a_month_is_none(admin: Any, clean: Fingerprint) -> None:
    await admin.execute("create table weft.audit_logs_202601 (id int)")
    found = await mended(admin, clean)
    assert "attach" not in found.script()


async def test_tables_with_rows_stay_with_all_that_they_use(admin: Any, clean: Fingerprint) -> None:
    await admin.execute(
        "create type weft.mood as enum ('calm'); create sequence weft.counting;"
        "create function weft.one() returns int language sql as 'select 1';"
        "create function weft.one_more() returns int language sql as 'select 1';"
        "create table weft.extra (mood weft.mood, one int default weft.one_more(),"
        " n int default nextval('weft.counting'),"
        " a uuid, b uuid, constraint extra_client_fkey foreign key (a, b) references weft.clients (tenant_id, id));"
        "insert into weft.extra (mood) values ('calm'); drop policy tenant_rw on weft.clients"
    )
    found = await drifts.compared(admin, clean)
    gone = [line for line in found.script().splitlines() if line.startswith(("drop", "alter table weft.extra"))]
    assert gone == ["drop function weft.one();"]
    await drifts.repaired(admin, found)
    left = await drifts.compared(admin, clean)
    assert {d.name for d in left.differences if d.kind in ("table", "type", "sequence", "function", "policy")} == {
        "extra", "mood", "counting", "one_more()",
    }  # fmt: skip
    assert await admin.fetchval("select count(*) from weft.extra") == 1


async def test_a_renamed_table_gets_its_name_back_with_its_rows(admin: Any, clean: Fingerprint) -> None:
    await admin.execute(ARCHIVED)
    await admin.execute(
        "alter table weft.archives rename to old_archives; alter table weft.old_archives owner to postgres;"
        "alter policy tenant_rw on weft.old_archives using (true); grant select on weft.old_archives to public"
    )
    found = await mended(admin, clean)
    assert "old_archives is like archives, which is missing" in " ".join(found.sentences())
    assert await admin.fetchval("select count(*) from weft.archives") == 1


@pytest.mark.parametrize(
    "renamed", ["audit_logs rename to another", "workflow_executions rename column tenant_id to tenant"]
)
async def test_names_that_many_others_use(admin: Any, clean: Fingerprint, renamed: str) -> None:
    await admin.execute(f"alter table weft.{renamed}")
    found = await mended(admin, clean)
    assert len(found.steps) == 1


async def test_a_renamed_column_keeps_what_is_in_it(admin: Any, clean: Fingerprint) -> None:
    await admin.execute(ARCHIVED)
    await admin.execute("set local app.maintenance = 'on'; update weft.tenants set name = 'Kept'")
    await admin.execute("set local app.maintenance = ''; alter table weft.tenants rename column name to title")
    await mended(admin, clean)
    assert await admin.fetchval("select name from weft.tenants") == "Kept"


async def test_where_there_is_a_choice_nothing_is_guessed(admin: Any, clean: Fingerprint) -> None:
    await admin.execute("alter table weft.clients rename column phone to a; alter table weft.clients add column b text")
    found = await mended(admin, clean)
    assert not [step for step in found.steps if " rename " in step.sql]


async def test_a_table_of_another_shape_makes_room(admin: Any, clean: Fingerprint) -> None:
    await admin.execute(ARCHIVED)
    await admin.execute("alter table weft.archives rename to kept; alter table weft.kept add column x int")
    found = await drifts.compared(admin, clean)
    await drifts.repaired(admin, found)
    left = await drifts.compared(admin, clean)
    assert [d.name for d in left.differences if d.kind == "table"] == ["kept"]
    assert await admin.fetchval("select count(*) from weft.kept") == 1


async def test_the_default_of_a_column_does_not_keep_its_type(admin: Any, clean: Fingerprint) -> None:
    await admin.execute(
        "create type weft.yes_no as enum ('true', 'false');"
        "alter table weft.clients alter column is_active drop default,"
        " alter column is_active type weft.yes_no using 'true', alter column is_active set default 'true'"
    )
    found = await drifts.compared(admin, clean)
    lines = [step.sql for step in found.steps]
    assert lines[0].endswith("drop default")
    assert lines[2].endswith("set default true")


async def test_a_script_for_people_alone_can_be_run(test_database: TestDatabase) -> None:
    admin = await asyncpg.connect(test_database.admin)
    try:
        clean = await fingerprint.take(admin)
        await admin.execute(drifts.DRIFTS["table with rows added"])
        found = await drifts.compared(admin, clean)
        await admin.execute(found.script())
        assert await admin.fetchval("select count(*) from weft.extra") == 1
    finally:
        await admin.close()


@pytest.mark.parametrize(
    ("expression", "expected"),
    [
        ("a", "(a)"),
        ("(a)", "(a)"),
        ("(a) + (b)", "((a) + (b))"),
        ("(a || '(')", "(a || '(')"),
        ("(a || '(')::text", "((a || '(')::text)"),
        ("(a || ')')", "(a || ')')"),
        ("(\"a)\" || 'it''s (')", "(\"a)\" || 'it''s (')"),
    ],
)
def test_brackets_in_strings_and_names_mean_nothing(expression: str, expected: str) -> None:
    assert bracketed(expression) == expected


def test_a_name_may_have_a_percent_sign() -> None:
    assert quoted("100%") == '"100%"'


def test_statements_that_several_objects_need_are_said_once(clean: Fingerprint) -> None:
    off = {
        key: {**facts, "enforced by triggers": False} if key[0] == "constraint" and facts["table"] == "roles" else facts
        for key, facts in clean.items()
    }
    said = sql.script(sql.steps(clean, off, holding=()))
    assert said.count("alter table weft.roles enable trigger all") == 1
