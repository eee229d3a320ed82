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
from weft.ops.schema import authoring, generate, sql
from weft.ops.schema.authoring import Comparison
from weft.ops.schema.source import throwaway
from weft.ops.schema.words import Sides

PARTITION = """
do $$ declare p text := (select relname from pg_class where relispartition and relkind = 'r'
                            and relnamespace = 'weft'::regnamespace and relname like 'audit_logs_%' order by 1 limit 1);
begin execute format({}, p); end $$"""

DRIFTS: dict[str, str] = {
    "policy changed": "alter policy tenant_rw on weft.clients using (true)",
    "policy added": "create policy leak on weft.clients for select to weft_app using (true)",
    "policy dropped": "drop policy tenant_rw on weft.clients",
    "policy for another role": "alter policy tenant_rw on weft.clients to public",
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
    "trigger disabled": "alter table weft.clients disable trigger audit",
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
    "owner of a table changed": "alter table weft.clients owner to postgres",
    "table left unlogged": "alter table weft.archives set unlogged",
    "column added": "alter table weft.clients add column extra text",
    "column dropped": "alter table weft.clients drop column phone",
    "column's type changed": "alter table weft.clients alter column phone type varchar(10)",
    "column's default changed": "alter table weft.clients alter column is_active set default false",
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
    "role became a member": "grant pg_read_all_data to weft_app",
}

OF_ROLES = frozenset({"role bypasses row security", "role's search path changed", "role became a member"})
ALONE = frozenset({"index left invalid"})


async def planted(admin: Any, clean: Fingerprint, drift: str) -> Comparison:
    await admin.execute(DRIFTS[drift])
    return authoring.compared(clean, await fingerprint.take(admin), Sides())


async def repaired(admin: Any, found: Comparison) -> None:
    """What the printed SQL says, by those whom it names; in the transaction that is open."""
    await generate.run(admin, sql.script([step for step in found.steps if step.admin]))
    await admin.execute("set local session authorization weft_owner")
    await generate.run(admin, sql.script([step for step in found.steps if not step.admin]))
    await admin.execute("set local session authorization default; set local app.maintenance = ''")


def row(drift: str, found: Comparison) -> str:
    """The line of the page."""
    said = " ".join(_cell(line) for line in found.sentences())
    return f"| {drift} | {said} | {_code(found)} |"


def _cell(text: str) -> str:
    return re.sub(r"_\d{6}\b", "_YYYYMM", text).replace("|", "\\|").replace("<", "&lt;").replace("*", "\\*")


def _code(found: Comparison) -> str:
    lines = (" ".join(step.sql.split()) for step in found.steps)
    shown = (line if len(line) <= 170 else f"{line[:169]}…" for line in lines)
    return "<br>".join(f"`{re.sub(r'_[0-9]{6}', '_YYYYMM', line)}`".replace("|", "\\|") for line in shown)


HEAD = """# What `weft db check` finds

`weft db check` compares the live schema with one that the migrations make on a server of its own: tables, columns,
constraints, indexes, policies, triggers, functions, grants, partitions, and weft's database roles. It names each object
that differs; `--sql` prints what repairs all of them, `--json` says both for programs, and the exit code is 6 when
there is a difference. It changes nothing.

It does not look at the order of columns, tablespaces, statistics targets, publications, and single partitions' indexes.

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
