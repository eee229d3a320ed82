"""`weft db distribute`: its SQL follows every rule of a distributed PostgreSQL, and makes weft's schema."""

from __future__ import annotations

import asyncio
import json
import re
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import asyncpg
import pytest
from sqlalchemy import Column, ForeignKeyConstraint, Index, MetaData, Table, Text, UniqueConstraint, Uuid
from tests.conftest import PASSWORDS, Cluster, TestDatabase, make_tenant

from weft.cli import command_line
from weft.cli.database_distribute import _obstacles, _plan
from weft.db import fingerprint
from weft.db.base import NAMING, SCHEMA, marks
from weft.db.database import Database
from weft.db.scope import enter
from weft.domain.clients.models import Client
from weft.migrations.models import METADATA
from weft.ops import preflight, roles
from weft.ops.postgres import ephemeral_cluster
from weft.ops.scale import distribute, obstacles, order, statements
from weft.ops.scale.distribution import as_sql, plan
from weft.ops.scale.places import Place, place_of, tables_at

SQL = as_sql(_plan())

STAND_IN = """
create table public.placed (at serial, kind text, name text, together text);
create function public.create_reference_table(name text) returns void language sql security definer as $$
  insert into public.placed (kind, name) values ('reference', name) $$;
create function public.create_distributed_table(name text, key text, colocate_with text) returns void
language plpgsql security definer as $$
begin
  if exists (select from pg_constraint where contype = 'f' and conrelid = name::regclass)
     or exists (select from pg_class where oid = name::regclass and relrowsecurity)
     or exists (select from pg_trigger where tgrelid = name::regclass) then
    raise exception '% is distributed too late', name;
  end if;
  insert into public.placed (kind, name, together) values (key, name, colocate_with);
end $$;
create function public.run_command_on_all_nodes(command text) returns table (success boolean, result text)
language sql as $$ select true, command $$;
grant usage on schema public to public;
"""
"""Citus' functions, as far as a plan calls them: they write down what they were asked."""


@dataclass(frozen=True)
class Made:
    """A database that was made by carrying out the plan on a plain PostgreSQL with stand-ins for Citus."""

    cluster: Cluster
    said: list[str]
    statements: int

    def dsn(self, user: str | None = None) -> str:
        return self.cluster.dsn("weft", user)


@pytest.fixture(scope="module")
def made() -> Iterator[Made]:
    """On a server of its own: definer roles may log in there."""
    with tempfile.TemporaryDirectory(prefix="weft-spread-") as place, ephemeral_cluster(Path(place)) as facts:
        cluster = Cluster(facts.superuser_dsn)
        said: list[str] = []

        async def make() -> int:
            await roles.bootstrap(cluster.dsn("postgres"), "weft", PASSWORDS)
            admin = await asyncpg.connect(cluster.dsn("weft"))
            try:
                await admin.execute(STAND_IN)
            finally:
                await admin.close()
            return await distribute.run(
                cluster.dsn("weft", "weft_owner") + "&options=-csearch_path%3Dweft,public",
                cluster.dsn("weft"), _plan(), said.append,
            )  # fmt: skip

        yield Made(cluster, said, asyncio.run(make()))


def rules_broken(sql: str) -> set[str]:
    return {breach.rule for breach in order.breaches(sql)}


def test_the_emitted_sql_breaks_no_rule() -> None:
    assert order.breaches(SQL) == []
    assert len(order.split(SQL)) > 400


def moved_up(sql: str, line: str, before: str) -> str:
    found = re.search(line, sql)
    assert found is not None, line
    return sql.replace(found[0], "", 1).replace(before, found[0] + before, 1)


KEY = "PRIMARY KEY (tenant_id, id)"
FIRST_PLACED = "select create_reference_table("


@pytest.mark.parametrize(
    ("rule", "broken"),
    [
        ("the tenant is part of every unique key", lambda s: s.replace(KEY, "PRIMARY KEY (id)")),
        ("references between distributed tables carry the tenant", lambda s: re.sub(
            r"FOREIGN KEY\(tenant_id, (\w+)\) REFERENCES weft\.(workflows) \(tenant_id, id\)",
            r"FOREIGN KEY(\1) REFERENCES weft.\2 (id)", s, count=1)),
        ("no SET NULL with the tenant in the key", lambda s: re.sub(
            r"(REFERENCES weft\.workflows \(tenant_id, id\))( ON DELETE CASCADE)?;", r"\1 ON DELETE SET NULL;", s)),
        ("no reference from a reference or local table to a distributed one", lambda s: s.replace(
            "commit;", "alter table weft.dispatch_jobs add constraint x foreign key (tenant_id, execution_id) "
            "references weft.workflow_executions (tenant_id, id);\ncommit;")),
        ("no reference to a local table", lambda s: s.replace(
            "commit;", "alter table weft.clients add constraint x foreign key (tenant_id, id) "
            "references weft.dispatch_jobs (tenant_id, id);\ncommit;")),
        ("no reference from a reference or local table to a distributed one", lambda s: s.replace(
            "create_distributed_table('weft.events'", "create_reference_table('weft.events'")
            + "alter table weft.events add constraint x foreign key (tenant_id, id) "
            "references weft.clients (tenant_id, id);"),
        ("row security after distribution", lambda s: s.replace(
            FIRST_PLACED, "alter table weft.tenants enable row level security;\n" + FIRST_PLACED, 1)),
        ("row security before its policies", lambda s: moved_up(
            s, r"create policy tenant_rw on weft\.clients [^;]+;", "alter table weft.clients enable")),
        ("row security on every table", lambda s: re.sub(
            r"alter table weft\.clients (enable|force) row level security;", "", s)),
        ("policies are permissive", lambda s: s.replace(
            "policy tenant_rw on weft.clients to", "policy tenant_rw on weft.clients as restrictive to", 1)),
        ("policies without a sub-select", lambda s: s.replace(
            "using (tenant_id = nullif(current_setting('app.tenant_id', true), '')::uuid)",
            "using (tenant_id = (select nullif(current_setting('app.tenant_id', true), '')::uuid))", 1)),
        ("one table for each grant", lambda s: s.replace(
            "select on weft.permissions to weft_app", "select on weft.permissions, weft.clients to weft_app")),
        ("one table for each grant", lambda s: s.replace(
            "commit;", "grant select on all tables in schema weft to weft_app;\ncommit;")),
        ("no grant on a partition", lambda s: s.replace(
            "commit;", "grant select on weft.audit_logs_202611 to weft_app;\ncommit;")),
        ("grants on tables that exist", lambda s: s.replace(
            "commit;", "grant select on weft.nothing to weft_app;\ncommit;")),
        ("triggers need citus.enable_unsafe_triggers", lambda s: s.replace("enable_unsafe_triggers = on", "x = on")),
        ("no trigger of a reference table writes into a distributed one", lambda s: s.replace(
            "commit;", "create trigger audit after insert on weft.tenants for each row "
            "execute function weft.audit_row('tenants', '');\ncommit;")),
        ("a table is made before it is placed", lambda s: s.replace(
            "commit;", "select create_reference_table('weft.nothing');\ncommit;")),
        ("distribution by the tenant", lambda s: s.replace("'weft.clients', 'tenant_id'", "'weft.clients', 'id'")),
        ("tables of a tenant lie together", lambda s: re.sub(
            r"('weft\.workflows', 'tenant_id', colocate_with => )'[\w.]+'", r"\1'none'", s)),
        ("sequential changes of the schema", lambda s: s.replace("'sequential'", "'parallel'")),
        ("the application's context reaches the nodes", lambda s: s.replace("alter role weft_app set citus", "-- ")),
        ("weft_auth may log in to the nodes", lambda s: s.replace("alter role weft_auth login", "alter role x login")),
        ("context by SET LOCAL", lambda s: s.replace(
            "set local app.maintenance = 'on'", "select set_config('app.maintenance', 'on', true)", 1)),
        ("references after distribution", lambda s: s.replace(
            KEY, f"{KEY}, FOREIGN KEY (tenant_id) REFERENCES weft.tenants (id)", 1)),
    ],
)  # fmt: skip
def test_each_rule_is_seen_when_it_is_broken(rule: str, broken: object) -> None:
    assert callable(broken)
    text = broken(SQL)
    assert text != SQL
    assert rule in rules_broken(text)


def test_every_table_has_a_place_and_the_queue_stays() -> None:
    assert {t.name for t in tables_at(METADATA, Place.reference)} == {"tenants", "users", "permissions"}
    queue = {"dispatch_jobs", "dispatch_limits", "dispatch_dead"}
    of_the_installation = {
        "app_instances", "backups", "installation", "last_runs", "migration_history", "recovery_archives",
        "recovery_drills", "recovery_markers",
    }  # fmt: skip
    assert {t.name for t in tables_at(METADATA, Place.local)} == queue | of_the_installation
    for table in METADATA.sorted_tables:
        placed = f"_table('weft.{table.name}'" in SQL
        assert placed is (place_of(table) is not Place.local), table.name


async def test_carried_out_it_makes_the_schema_that_migrations_make(made: Made, test_database: TestDatabase) -> None:
    """But for what the plan leaves out, and says so."""
    here, there = await asyncpg.connect(test_database.admin), await asyncpg.connect(made.dsn())
    try:
        different = fingerprint.compare(await fingerprint.take(here), await fingerprint.take(there))
    finally:
        await here.close()
        await there.close()
    left_out = {("trigger", f"{one.where}.audit") for one in _obstacles() if one.rule == "audit"}
    may_log_in = {("role", name) for name in roles.DEFINERS}
    assert {(one.kind, one.name) for one in different} == left_out | may_log_in
    assert {tuple(one.changed()) for one in different if one.kind == "role"} == {("logs in",)}
    assert made.statements == sum(len(section.statements) for section in _plan())
    assert made.said[0] == "settings of nodes and roles: 8 statements"


async def test_the_application_finds_itself_at_home_in_it(made: Made) -> None:
    assert [f for f in await preflight.check(made.dsn("weft_app")) if not f.warning] == []
    database = await Database.open(made.dsn("weft_app"), size=2, hot_size=1)
    try:
        ada, bob = await make_tenant(database, "ada"), await make_tenant(database, "bob")
        async with enter(database, ada) as scope:
            await scope.add(Client(name="Grace"))
        for actor, rows in ((ada, 1), (bob, 0)):
            async with enter(database, actor, read_only=True) as scope:
                assert await scope.raw.fetchval("select count(*) from weft.clients") == rows
    finally:
        await database.close()


async def test_tables_are_placed_before_anything_stands_on_them(made: Made) -> None:
    """The stand-in refuses a table with references, row security or triggers."""
    admin = await asyncpg.connect(made.dsn())
    try:
        rows = await admin.fetch("select kind, name, together from public.placed order by at")
        may_log_in = await admin.fetchval(
            "select count(*) from pg_roles where rolname = any($1) and rolcanlogin", list(roles.DEFINERS)
        )
        settings = await admin.fetchval("select rolconfig from pg_roles where rolname = 'weft_app'")
    finally:
        await admin.close()
    assert [row["kind"] for row in rows[:3]] == ["reference"] * 3
    distributed = rows[3:]
    assert {row["kind"] for row in distributed} == {"tenant_id"}
    assert distributed[0]["together"] == "none"
    assert {row["together"] for row in distributed[1:]} == {distributed[0]["name"]}
    assert may_log_in == len(roles.DEFINERS)
    assert "citus.propagate_set_commands=local" in settings


async def test_a_server_without_citus_is_left_alone(
    test_database: TestDatabase, monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(distribute.CitusMissing):
        await distribute.refuse_what_cannot_be(test_database.owner)
    monkeypatch.setattr(distribute, "EXTENSION", "select '14.0'")
    with pytest.raises(distribute.SchemaPresent):
        await distribute.refuse_what_cannot_be(test_database.owner)


def test_the_command_shows_checks_and_refuses(
    test_database: TestDatabase, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HOME", str(tmp_path))
    assert command_line.run(["db", "distribute", "--json"]) == 0
    told = json.loads(capsys.readouterr().out)
    assert [section["name"] for section in told["sections"]][:4] == [
        "administrator", "transaction", "tables", "reference tables",
    ]  # fmt: skip
    assert command_line.run(["db", "distribute"]) == 0
    assert "Solved by the plan:" in capsys.readouterr().out
    assert command_line.run(["db", "distribute", "--sql"]) == 0
    assert capsys.readouterr().out == SQL
    assert command_line.run(["db", "distribute", "--check", "--json"]) == 6
    assert any(one["where"] == "weft:engine.save" for one in json.loads(capsys.readouterr().out))
    assert command_line.run(["db", "distribute", "--sql", "--run"]) == 2
    capsys.readouterr()
    monkeypatch.setenv("WEFT_DATABASE_URL", test_database.app)
    assert command_line.run(["db", "distribute", "--run", "--yes"]) == 2
    assert "WEFT_DATABASE_OWNER_URL" in capsys.readouterr().err
    monkeypatch.setenv("WEFT_DATABASE_OWNER_URL", test_database.owner)
    assert command_line.run(["db", "distribute", "--run", "--yes"]) == 6
    assert "create extension citus" in capsys.readouterr().err


def test_what_stands_in_the_way_of_our_own_schema_is_known() -> None:
    """Nothing in the tables; in functions and statements what the guide on scaling tells of."""
    assert [one for one in obstacles.of_schema(METADATA) if not one.solved] == []
    hindering = {one.where for one in _obstacles() if not one.solved}
    assert {"weft:engine.save", "weft:events.store", "weft:dead.requeue", "claim_schedules()"} <= hindering
    labels = statements.labelled()
    assert "weft.dispatch_jobs" in labels["weft:engine.save"]
    assert len(labels) > 80


def small(**options: object) -> MetaData:
    """Tables that break the rules."""
    metadata = MetaData(schema=SCHEMA, naming_convention=NAMING)
    of = {"info": marks()["info"]}
    Table("tenants", metadata, Column("id", Uuid, primary_key=True), info=marks(scope="own", own="id")["info"])
    Table(
        "parents", metadata, Column("tenant_id", Uuid, primary_key=True), Column("id", Uuid, primary_key=True),
        Column("mail", Text), UniqueConstraint("mail", name="parents_mail_key"), **of,
    )  # fmt: skip
    Table(
        "children", metadata, Column("tenant_id", Uuid, primary_key=True), Column("id", Uuid, primary_key=True),
        Column("parent_id", Uuid), Column("name", Text),
        ForeignKeyConstraint(["tenant_id", "parent_id"], ["weft.parents.tenant_id", "weft.parents.id"],
                             name="children_parent_id_fkey", ondelete="SET NULL (parent_id)"),
        ForeignKeyConstraint(["name"], ["weft.parents.mail"], name="children_mail_fkey"),
        Index("children_name_key", "name", unique=True), **of,
    )  # fmt: skip
    Table(
        "queue", metadata, Column("tenant_id", Uuid, primary_key=True), Column("id", Uuid, primary_key=True),
        ForeignKeyConstraint(["tenant_id", "id"], ["weft.parents.tenant_id", "weft.parents.id"], name="queue_fkey"),
        info=marks(local=True)["info"],
    )  # fmt: skip
    return metadata


def test_a_schema_that_breaks_rules_is_told_so() -> None:
    found = {(one.rule, one.where, one.solved) for one in obstacles.of_schema(small())}
    assert found == {
        ("audit", "tenants", True),
        ("keys", "parents.parents_mail_key", False),
        ("keys", "children.children_name_key", False),
        ("references", "children.children_mail_fkey", False),
        ("set null", "children.children_parent_id_fkey", True),
        ("references", "queue.queue_fkey", True),
    }


def test_what_the_plan_can_solve_it_solves() -> None:
    sections = {section.name: section.statements for section in plan(small(), "0001", "select 1")}
    added = sections["references"]
    assert not any("queue" in statement for statement in added)
    (one,) = [statement for statement in added if "children_parent_id_fkey" in statement]
    assert "SET NULL" not in one.upper()
    assert not any("weft.tenants" in statement for statement in sections["triggers"] if "trigger audit" in statement)


@pytest.mark.parametrize(
    ("statement", "rule"),
    [
        ("update weft.events set type = '' where tenant_id = $1 and exists (select from weft.dispatch_jobs)",
         "one place a statement"),
        ("select e.id from weft.events e order by e.tenant_id for update skip locked", "locks of one tenant"),
        ("with recursive t as (select tenant_id from weft.events) select * from t", "recursion"),
        ("select set_config('app.tenant_id', '', true)", "context"),
        ("select count(*) from weft.events", "tenant in every statement"),
    ],
)  # fmt: skip
def test_statements_that_would_be_refused_are_found(statement: str, rule: str) -> None:
    assert [one.rule for one in obstacles.of_statements(METADATA, {"weft:x": statement})] == [rule]


def test_a_statement_of_one_tenant_is_fine() -> None:
    said = "select e.id from weft.events e where e.tenant_id = $1 for update skip locked"
    assert obstacles.of_statements(METADATA, {"weft:x": said}) == []
