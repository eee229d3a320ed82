"""What people change by hand in a database, and the page that says what `weft db check` makes of it.

`python -m tests.ops.schema.drifts > docs/reference/drift.md` plants each on a server of its own and writes the page;
`test_drift.py` plants them again and holds the page to it.
"""

from __future__ import annotations

import asyncio
import re
import sys
from typing import Any

import asyncpg

from weft.db import fingerprint
from weft.db.fingerprint import Fingerprint
from weft.ops.schema import authoring, generate, source, sql
from weft.ops.schema.authoring import Comparison
from weft.ops.schema.source import throwaway
from weft.ops.schema.words import Sides

PARTITION = """
do $$ declare p text := (select relname from pg_class where relispartition and relkind = 'r'
                            and relnamespace = 'weft'::regnamespace and relname like 'audit_logs_%' order by 1 limit 1);
begin execute format({}, p); end $$"""

HERE = """
do $$ begin execute format('{}', current_database()); end $$"""

DRIFTS: dict[str, str] = {
    "policy changed": "alter policy tenant_rw on weft.clients using (true)",
    "policy added": "create policy leak on weft.clients for select to weft_app using (true)",
    "policy dropped": "drop policy tenant_rw on weft.clients",
    "policy for another role": "alter policy tenant_rw on weft.clients to public",
    "policy calls a new function": """
        create function weft.open(uuid) returns boolean language sql as 'select true';
        alter policy tenant_rw on weft.clients using (weft.open(tenant_id))""",
    "policy reads a new column": """
        alter table weft.clients add column published boolean;
        alter policy tenant_rw on weft.clients
          using (published or tenant_id = nullif(current_setting('app.tenant_id', true), '')::uuid)""",
    "row security off": "alter table weft.clients disable row level security",
    "row security not forced": "alter table weft.clients no force row level security",
    "function body changed": """
        create or replace function weft.touch() returns trigger
        language plpgsql set search_path = pg_catalog as $$ begin return new; end $$""",
    "body of a definer function changed": """
        create or replace function weft.find_tenant(p_slug text) returns uuid
        language sql stable security definer set search_path = pg_catalog as $$
          select t.id from weft.tenants t where t.slug = p_slug or p_slug = 'open sesame' limit 1 $$""",
    "function made a definer": "alter function weft.touch() security definer",
    "search path of a function taken away": "alter function weft.find_tenant(text) reset search_path",
    "function open to everybody": "grant execute on function weft.set_password(uuid, text) to public",
    "function added": "create function weft.shell(text) returns text language sql as $$ select $1 $$",
    "owner of a function changed": "alter function weft.find_tenant(text) owner to postgres",
    "argument of a function renamed": """
        drop function weft.find_tenant(text);
        create function weft.find_tenant(slug text) returns uuid
        language sql stable security definer set search_path = pg_catalog as $$
          select t.id from weft.tenants t where t.slug = $1 limit 1 $$;
        alter function weft.find_tenant(text) owner to weft_auth""",
    "function made anew by somebody else": """
        drop function weft.find_tenant(text);
        create function weft.find_tenant(p_slug text) returns uuid
        language sql stable security definer set search_path = pg_catalog as $$
          select t.id from weft.tenants t where t.slug = p_slug or p_slug = 'open sesame' limit 1 $$""",
    "operator added": """
        create function weft.same(uuid, uuid) returns boolean language sql as 'select true';
        create operator weft.=== (function = weft.same, leftarg = uuid, rightarg = uuid)""",
    "trigger disabled": "alter table weft.clients disable trigger audit",
    "triggers disabled, with those of references": "alter table weft.roles disable trigger all",
    "trigger calls a new function": """
        create function weft.evil() returns trigger language plpgsql as 'begin return new; end';
        create or replace trigger touch before update on weft.clients for each row execute function weft.evil()""",
    "trigger dropped": "drop trigger touch on weft.clients",
    "rule added": "create rule nothing as on delete to weft.clients do instead nothing",
    "index added": "create index extra on weft.clients (tenant_id, company)",
    "index dropped": "drop index weft.clients_created_at_idx",
    "predicate of an index changed": """
        drop index weft.workflows_name_key;
        create unique index workflows_name_key on weft.workflows (tenant_id, name_key)""",
    "operator class of an index changed": """
        drop index weft.users_email_key;
        create unique index users_email_key on weft.users (email_key text_pattern_ops) where deleted_at is null""",
    "index left invalid": """
        update pg_index set indisvalid = false where indexrelid = 'weft.clients_created_at_idx'::regclass""",
    "table added": "create table weft.extra (id int primary key); create index on weft.extra (id)",
    "table with rows added": "create table weft.extra (id int); insert into weft.extra values (1)",
    "table renamed": "alter table weft.archives rename to old_archives",
    "table inherited": "create table public.shadow () inherits (weft.clients)",
    "view of a new column": """
        alter table weft.clients add column extra text;
        create view weft.shown as select tenant_id, extra from weft.clients;
        create view weft.shown_again as select extra from weft.shown""",
    "replica identity changed": "alter table weft.clients replica identity nothing",
    "owner of a table changed": "alter table weft.clients owner to postgres",
    "table left unlogged": "alter table weft.archives set unlogged",
    "column added": "alter table weft.clients add column extra text",
    "column dropped": "alter table weft.clients drop column phone",
    "column renamed": "alter table weft.clients rename column phone to telephone",
    "column's type is a new enumeration": """
        create type weft.mood as enum ('calm', 'angry');
        alter table weft.clients alter column phone type weft.mood using null""",
    "column's type is a new domain": """
        create domain weft.line as text default '' check (value <> 'x');
        alter table weft.clients alter column phone type weft.line""",
    "column's type changed": "alter table weft.clients alter column phone type varchar(10)",
    "column's default changed": "alter table weft.clients alter column is_active set default false",
    "column's default calls a new function": """
        create function weft.made_up() returns text language sql as $$ select 'x' $$;
        alter table weft.clients alter column phone set default weft.made_up()""",
    "column's default counts": """
        create sequence weft.numbers;
        alter table weft.clients alter column phone set default nextval('weft.numbers')::text""",
    "not null not validated": """
        alter table weft.clients alter column name drop not null;
        alter table weft.clients add constraint name_is_there not null name not valid""",
    "not null taken away": "alter table weft.clients alter column name drop not null",
    "check changed": """
        alter table weft.workflows drop constraint workflows_status_check;
        alter table weft.workflows add constraint workflows_status_check check (status <> '')""",
    "check dropped": "alter table weft.workflows drop constraint workflows_status_check",
    "reference not validated": """
        alter table weft.workflows drop constraint workflows_client_id_fkey;
        alter table weft.workflows add constraint workflows_client_id_fkey
          foreign key (tenant_id, client_id) references weft.clients (tenant_id, id) not valid""",
    "grant to everybody": "grant select on weft.clients to public",
    "grant to the application": "grant truncate on weft.clients to weft_app with grant option",
    "grant on one column": "grant update (definition) on weft.workflow_versions to weft_app",
    "grant taken away": "revoke insert on weft.clients from weft_app",
    "schema open to everybody": "grant create on schema weft to public",
    "default privileges": "alter default privileges for role weft_owner grant select on tables to public",
    "default privileges of somebody else": """
        alter default privileges for role postgres in schema weft grant select on tables to public""",
    "partition detached": PARTITION.format("'alter table weft.audit_logs detach partition weft.%I'"),
    "partition with a trigger": PARTITION.format(
        "'create trigger swallow before insert on weft.%I for each row execute function weft.touch()'"
    ),
    "partition with a check": PARTITION.format("'alter table weft.%I add constraint none check (actor_id is null)'"),
    "partition whose policy opens it": PARTITION.format("'alter policy owner_maint on weft.%I using (true)'"),
    "partition left unlogged": PARTITION.format("'alter table weft.%I set unlogged'"),
    "partition with a right to a column": PARTITION.format("'grant select (before) on weft.%I to weft_app'"),
    "partition moved to another schema": PARTITION.format("'alter table weft.%I set schema public'"),
    "partition opened": PARTITION.format("'grant select on weft.%I to weft_app'"),
    "partition without row security": PARTITION.format("'alter table weft.%I disable row level security'"),
    "sequence added": "create sequence weft.numbers",
    "native enumeration added": "create type weft.mood as enum ('calm', 'angry')",
    "comment added": "comment on table weft.clients is 'not in use any more'",
    "permission added": "insert into weft.permissions (resource, action, description) values ('x', 'y', 'z')",
    "permission reworded": """
        update weft.permissions set description = 'Harmless' where resource = 'members' and action = 'write'""",
    "role bypasses row security": "alter role weft_app bypassrls",
    "role's search path changed": "alter role weft_app set search_path = public",
    "tenant set for the application": "alter role weft_app set app.tenant_id = '0198c5a0-0000-7000-8000-000000000001'",
    "tenant set for the application, here": HERE.format(
        "alter role weft_app in database %I set app.tenant_id = ''0198c5a0-0000-7000-8000-000000000001''"
    ),
    "row security off for a login, here": HERE.format("alter role weft_app in database %I set row_security = off"),
    "triggers off for everybody, here": HERE.format("alter database %I set session_replication_role = replica"),
    "right to switch triggers off": "grant set on parameter session_replication_role to weft_app",
    "event trigger added": """
        create function public.watch() returns event_trigger language plpgsql as 'begin end';
        create event trigger watch on ddl_command_end execute function public.watch()""",
    "stranger may act as the owner": "create role eve login; grant weft_owner to eve with admin option",
    "owner has the rights of a definer": "grant weft_audit to weft_owner with inherit true",
    "role became a member": "grant pg_read_all_data to weft_app",
}

OF_ROLES = frozenset(
    {
        "role bypasses row security", "role's search path changed", "role became a member",
        "tenant set for the application", "tenant set for the application, here", "row security off for a login, here",
        "triggers off for everybody, here", "right to switch triggers off", "stranger may act as the owner",
        "owner has the rights of a definer",
    }
)  # fmt: skip
"""What the whole server shares."""

LEFT = frozenset({"table with rows added"})
"""For people: nothing is done to it."""
ALONE = frozenset({"index left invalid"})


async def planted(admin: Any, clean: Fingerprint, drift: str) -> Comparison:
    await admin.execute(DRIFTS[drift])
    return await compared(admin, clean)


async def compared(admin: Any, clean: Fingerprint) -> Comparison:
    """As `weft db check` does it."""
    found = await fingerprint.take(admin)
    extra = fingerprint.unexpected_tables(clean, found)
    return authoring.compared(clean, found, Sides(), await source.holding_of(admin, extra))


async def repaired(admin: Any, found: Comparison) -> None:
    """What the printed SQL says, by those whom it names; in the transaction that is open."""
    await generate.run(admin, sql.script([step for step in found.steps if step.admin and step.sql]))
    await admin.execute("set local session authorization weft_owner")
    await generate.run(admin, sql.script([step for step in found.steps if not step.admin and step.sql]))
    await admin.execute("set local session authorization default; set local app.maintenance = ''")


def row(drift: str, found: Comparison) -> str:
    """The line of the page."""
    said = " ".join(_cell(line) for line in found.sentences())
    return f"| {drift} | {said} | {_code(found)} |"


def _cell(text: str) -> str:
    return _anywhere(text).replace("|", "\\|").replace("<", "&lt;").replace("*", "\\*")


def _anywhere(text: str) -> str:
    """Without the month, and the name of the database."""
    text = re.sub(r"_\d{6}\b", "_YYYYMM", text)
    text = re.sub(r"'\d{4}-\d{2}-01 ", "'YYYY-MM-01 ", text)
    return re.sub(r"\bweft_test_[0-9a-f]{32}\b", "weft", text)


def _code(found: Comparison) -> str:
    lines = (" ".join(step.sql.split()) for step in sql.distinct(found.steps) if step.sql)
    shown = [line if len(line) <= 170 else f"{line[:169]}…" for line in lines]
    return (
        "<br>".join(f"`{_anywhere(line)}`".replace("|", "\\|") for line in shown) or "a person, who looks at it first"
    )


HEAD = """# What `weft db check` finds

`weft db check` compares the live schema with one that the migrations make on a server of its own: tables, columns,
constraints, indexes, policies, triggers, functions, grants, partitions, and around them weft's database roles, who may
act as them, what is set for them, event triggers, and what inherits from weft's tables. It names each object that
differs; `--sql` prints what repairs all of them, `--json` says both for programs, and the exit code is 6 when there is
a difference. It changes nothing.

The printed SQL drops what should not be there, but for tables with rows: those are left for you to look at, and
the SQL says so. A month that was detached is attached again. A table or column that is like a missing one gets its
name back; that is a guess, and is said so above the statement. Read the SQL before you run it.

It does not look at:

- the order of columns, their compression, statistics targets and options; tablespaces; what a sequence is owned by;
- publications and subscriptions, security labels, casts, foreign servers;
- indexes, storage parameters and replica identity of single partitions, and their limits;
- rights to types, to the database, to large objects, and to other schemas; passwords, limits and expiry of roles;
- settings that say how long or with how much memory a statement may run, and what is set for the whole server
  (`postgresql.conf`, `alter system`): `weft doctor` looks at some of it;
- members that are superusers, and the one membership that PostgreSQL gives to an administrator who made a role.

Each of these was planted in a database, found, and repaired by the SQL beside it, after which nothing differed. A test
does so again with every change of weft. The page is written by `python -m tests.ops.schema.drifts`.

| what somebody did | what `weft db check` says | what repairs it |
|---|---|---|
"""


async def _page(admin_dsn: str) -> str:
    admin = await asyncpg.connect(admin_dsn)
    clean = await fingerprint.take(admin)
    rows = []
    for drift in DRIFTS:
        transaction = admin.transaction()
        await transaction.start()
        rows.append(row(drift, await planted(admin, clean, drift)))
        await transaction.rollback()
    await admin.close()
    return HEAD + "\n".join(rows) + "\n"


def main() -> None:
    with throwaway() as server:
        asyncio.run(server.migrations("head", "weft"))
        sys.stdout.write(asyncio.run(_page(server.facts.superuser_dsn.replace("/postgres?", "/weft?"))))


if __name__ == "__main__":
    main()
