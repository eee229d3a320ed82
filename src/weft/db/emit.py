"""From table markers to DDL: tables, references, row security, functions, triggers, grants, in that order.

The order is the one that a distributed PostgreSQL needs too (tables can be distributed before references
are added). A migration freezes what this emits; `tests/db/test_catalogue.py` compares the two.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from importlib.resources import files
from typing import Any

from sqlalchemy import MetaData, Table
from sqlalchemy.dialects import postgresql
from sqlalchemy.schema import AddConstraint, CreateIndex, CreateTable

from weft.db.base import SCHEMA

DIALECT = postgresql.dialect(paramstyle="named")  # type: ignore[no-untyped-call]  # SQLAlchemy leaves this factory untyped
"""Its usual `paramstyle` marks parameters by `%`, and so doubles every other `%`, also in statements without any."""

TENANT = "nullif(current_setting('app.tenant_id', true), '')::uuid"
USER = "nullif(current_setting('app.user_id', true), '')::uuid"
MAINTENANCE = "current_setting('app.maintenance', true) = 'on'"

EXECUTIONS = "workflow_executions"
DEFINERS = "weft_auth, weft_audit, weft_dispatch, weft_retention"

# function -> (owner, may the application role call it)
FUNCTIONS: dict[str, tuple[str, bool]] = {
    "touch()": ("weft_owner", False),
    "touch_versioned()": ("weft_owner", False),
    "audit_row()": ("weft_audit", False),
    "audit_event(text, text, text, jsonb)": ("weft_audit", True),
    "audit_is_append_only()": ("weft_owner", False),
    "find_user(text)": ("weft_auth", True),
    "memberships_of(uuid)": ("weft_auth", True),
    "find_tenant(text)": ("weft_auth", True),
    "create_tenant(uuid, text, text, text)": ("weft_auth", True),
    "ensure_user(uuid, text, text, text, text)": ("weft_auth", True),
    "set_password(uuid, text)": ("weft_auth", True),
    "mark_sign_in(uuid)": ("weft_auth", True),
    "claim_jobs(text, integer, integer, uuid, interval, uuid[])": ("weft_dispatch", True),
    "claim_suspect(text, interval)": ("weft_dispatch", True),
    "promote_jobs(timestamptz, integer, integer)": ("weft_dispatch", True),
    "extend_leases(text, uuid[], integer[], interval)": ("weft_dispatch", True),
    "release_jobs(text, uuid[], integer[], integer)": ("weft_dispatch", True),
    "queue_depth()": ("weft_dispatch", True),
    "prune_events(timestamptz, integer)": ("weft_dispatch", True),
    "tenants_with_places()": ("weft_dispatch", True),
    "lock_limits(uuid, uuid[])": ("weft_owner", True),
    "admit(uuid, uuid[], text[])": ("weft_owner", True),
    "take_places(uuid, uuid[], uuid[], text[], boolean[], integer[])": ("weft_owner", True),
    "free_places(uuid, uuid[], uuid[])": ("weft_owner", True),
    "sweep_places(uuid)": ("weft_owner", True),
    "ensure_partition(text, date)": ("weft_owner", False),
    "ensure_partitions(integer)": ("weft_owner", True),
    "claim_schedules(timestamptz, integer, interval)": ("weft_dispatch", True),
    "next_schedule()": ("weft_dispatch", True),
    "prune_schedule_runs(timestamptz, integer)": ("weft_dispatch", True),
    "delete_executions(uuid[], integer[])": ("weft_retention", True),
    "delete_journals(uuid[], integer[])": ("weft_retention", True),
    "retention_tenants()": ("weft_auth", True),
    "drop_empty_partitions(date)": ("weft_owner", True),
    "payloads_gone()": ("weft_owner", False),
    "beat(uuid, text, text, text, text)": ("weft_dispatch", True),
    "leave(uuid)": ("weft_dispatch", True),
    "serve_as(text)": ("weft_dispatch", True),
}


def sql_file(name: str) -> str:
    return files("weft.db").joinpath("sql", f"{name}.sql").read_text(encoding="utf-8")


def tables_of(metadata: MetaData) -> list[Table]:
    return list(metadata.sorted_tables)


def is_guarded(table: Table) -> bool:
    return bool(table.info["scope"] in ("tenant", "own"))


def create_tables(tables: Sequence[Table]) -> Iterator[str]:
    for table in tables:
        statement = str(CreateTable(table, include_foreign_key_constraints=[]).compile(dialect=DIALECT)).strip()
        if table.info["storage"]:
            statement += f" with ({table.info['storage']})"
        yield statement
        for index in sorted(table.indexes, key=lambda i: str(i.name)):
            yield str(CreateIndex(index).compile(dialect=DIALECT)).strip()


def add_references(tables: Sequence[Table]) -> Iterator[str]:
    for table in tables:
        for key in sorted(table.foreign_key_constraints, key=lambda k: str(k.name)):
            yield str(AddConstraint(key).compile(dialect=DIALECT)).strip()


def _predicate(info: dict[str, Any]) -> str:
    if info["scope"] == "own":
        return f"id = {TENANT}" if info["own"] == "id" else f"id = {USER}"
    return f"tenant_id = {TENANT}"


def row_security(tables: Sequence[Table]) -> Iterator[str]:
    """Permissive policies on the bare setting: no sub-select, never restrictive (`database.md` section 0)."""
    for table in tables:
        name = f"{SCHEMA}.{table.name}"
        yield f"alter table {name} enable row level security"
        yield f"alter table {name} force row level security"
        if is_guarded(table):
            test = _predicate(table.info)
            yield f"create policy tenant_rw on {name} to weft_app using ({test}) with check ({test})"
        else:
            yield f"create policy everybody_reads on {name} for select to weft_app using (true)"
        yield (f"create policy owner_maint on {name} to weft_owner using ({MAINTENANCE}) with check ({MAINTENANCE})")


def triggers(tables: Sequence[Table]) -> Iterator[str]:
    for table in tables:
        name = f"{SCHEMA}.{table.name}"
        if table.info["touch"]:
            function = "touch_versioned" if "row_version" in table.columns else "touch"
            yield (f"create trigger touch before update on {name} for each row execute function {SCHEMA}.{function}()")
        if table.info["audit"]:
            secrets = ",".join(c.name for c in table.columns if c.info.get("secret"))
            yield (
                f"create trigger audit after insert or update or delete on {name} "
                f"for each row execute function {SCHEMA}.audit_row('{table.name}', '{secrets}')"
            )
        if table.name == "audit_logs":
            for event, level in (("update or delete", "row"), ("truncate", "statement")):
                yield (
                    f"create trigger append_only_{level} before {event} on {name} "
                    f"for each {level} execute function {SCHEMA}.audit_is_append_only()"
                )


def functions() -> Iterator[str]:
    for name in ("touch", "audit", "auth", "dispatch", "events", "places", "partitions", "schedules", "payloads"):
        yield sql_file(name)
    yield sql_file("operations")
    yield f"create policy audit_insert on {SCHEMA}.audit_logs for insert to weft_audit with check (true)"
    yield f"grant usage on schema {SCHEMA} to weft_audit"
    yield f"grant insert on {SCHEMA}.audit_logs to weft_audit"


def belongings(tables: Sequence[Table]) -> Iterator[tuple[Table, str]]:
    """What belongs to an execution, with the column that names it: archived with it, and deleted with it."""
    for table in tables:
        for key in sorted(table.foreign_key_constraints, key=lambda k: str(k.name)):
            if key.referred_table.name == EXECUTIONS and table.name != EXECUTIONS:
                yield table, next(c.name for c in key.columns if c.name != "tenant_id")


def retention(tables: Sequence[Table]) -> Iterator[str]:
    """The functions that delete what is too old, and the rights of their owner, within the tenant of a transaction."""
    owned = list(belongings(tables))
    for name in dict.fromkeys([EXECUTIONS, *(table.name for table, _ in owned)]):
        test = f"tenant_id = {TENANT}"
        yield (f"create policy retention_rw on {SCHEMA}.{name} to weft_retention using ({test}) with check ({test})")
        yield f"grant select, delete on {SCHEMA}.{name} to weft_retention"
    yield f"grant update (journal_gone, row_version) on {SCHEMA}.{EXECUTIONS} to weft_retention"
    deletions = "\n".join(
        f"  delete from {SCHEMA}.{table.name} b where b.tenant_id = tenant and b.{column} = any(p_ids);\n"
        "  get diagnostics n = row_count;\n"
        "  belongings := belongings + n;"
        for table, column in owned
    )
    yield sql_file("retention").replace("  -- {belongings}", deletions)


def hand_over() -> Iterator[str]:
    """Definer functions go to the roles whose narrow rights they use. Last, because triggers need them first."""
    # Taking over a function needs CREATE on the schema for as long as it takes.
    yield f"grant create on schema {SCHEMA} to {DEFINERS}"
    for signature, (owner, callable_) in FUNCTIONS.items():
        yield f"revoke all on function {SCHEMA}.{signature} from public"
        if callable_:
            yield f"grant execute on function {SCHEMA}.{signature} to weft_app"
        if owner != "weft_owner":
            yield f"alter function {SCHEMA}.{signature} owner to {owner}"
    yield f"revoke create on schema {SCHEMA} from {DEFINERS}"
    # Later migrations, which run as weft_owner, must be able to put the trigger on new tables.
    yield "set local role weft_audit"
    yield f"grant execute on function {SCHEMA}.audit_row() to weft_owner"
    yield "reset role"
    # Whoever migrates says what the database is for, as those who serve do.
    yield "set local role weft_dispatch"
    yield f"grant execute on function {SCHEMA}.serve_as(text) to weft_owner"
    yield "reset role"


def grants(tables: Sequence[Table]) -> Iterator[str]:
    """On parents only, one table a statement: a grant on all tables would reach partitions."""
    yield f"grant usage on schema {SCHEMA} to weft_app"
    yield f"grant select on {SCHEMA}.alembic_version to weft_app"  # preflight asks which revision it meets
    for table in tables:
        yield f"grant {table.info['grants']} on {SCHEMA}.{table.name} to weft_app"


def create_all(metadata: MetaData) -> list[str]:
    """Every statement that makes the schema from nothing, for weft_owner to run in one transaction."""
    tables = tables_of(metadata)
    return [
        *create_tables(tables),
        *add_references(tables),
        *row_security(tables),
        *functions(),
        *retention(tables),
        *triggers(tables),
        *hand_over(),
        *grants(tables),
        f"select {SCHEMA}.ensure_partitions(3)",
    ]
