"""Every way in which models change is seen, and the statements lead exactly there and back."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import pytest
from sqlalchemy import (
    CheckConstraint,
    Column,
    ForeignKeyConstraint,
    Index,
    Integer,
    MetaData,
    Table,
    Text,
    UniqueConstraint,
    Uuid,
    text,
)
from sqlalchemy.dialects.postgresql import JSONB
from tests.conftest import TestDatabase
from tests.ops.schema.conftest import Made, dumped, kept

from weft.db import fingerprint
from weft.db.base import marks, of_tenant, one_of, within_tenant
from weft.migrations.models import METADATA
from weft.ops.schema import generate, source


def models() -> MetaData:
    """A copy that a test may change."""
    copy = MetaData(schema=METADATA.schema, naming_convention=METADATA.naming_convention)
    for table in METADATA.sorted_tables:
        table.to_metadata(copy)._prefixes = table._prefixes  # which `to_metadata` forgets
    return copy


def boats(metadata: MetaData, name: str = "boats", **marked: Any) -> Table:
    return Table(
        name, metadata,
        Column("tenant_id", Uuid, primary_key=True), Column("id", Uuid, primary_key=True),
        Column("client_id", Uuid), Column("name", Text, nullable=False), Column("status", Text, nullable=False),
        Column("updated_at", Text), Column("key_hash", Text, info={"secret": True}),
        of_tenant(), within_tenant("client_id", "clients"), one_of("status", ("IN", "OUT")),
        Index(f"{name}_client_idx", "tenant_id", "client_id"),
        Index(f"{name}_name_key", "tenant_id", "name", unique=True, postgresql_where=text("status = 'IN'")),
        **marks(**marked),
    )  # fmt: skip


def clients(metadata: MetaData) -> Table:
    return metadata.tables["weft.clients"]


def new_table(metadata: MetaData) -> None:
    boats(metadata)


def new_table_that_is_read_only(metadata: MetaData) -> None:
    boats(metadata, "ships", audit=False, touch=False, grants="select", storage="fillfactor = 70")


def new_column(metadata: MetaData) -> None:
    clients(metadata).append_column(Column("size", Integer, nullable=False, server_default=text("1")))
    clients(metadata).append_column(Column("motto", Text))


def new_column_with_everything(metadata: MetaData) -> None:
    table = clients(metadata)
    table.append_column(Column("parent_id", Uuid))
    table.append_column(Column("mood", Text, nullable=False, server_default=text("'CALM'")))
    table.append_constraint(within_tenant("parent_id", "clients"))
    table.append_constraint(one_of("mood", ("CALM", "ANGRY")))
    Index("clients_parent_idx", table.c.tenant_id, table.c.parent_id)


def new_column_without_default(metadata: MetaData) -> None:
    clients(metadata).append_column(Column("weight", Integer, nullable=False))


def new_column_with_a_default_for_each_row(metadata: MetaData) -> None:
    clients(metadata).append_column(Column("token", Uuid, nullable=False, server_default=text("gen_random_uuid()")))


def new_index(metadata: MetaData) -> None:
    table = clients(metadata)
    Index("clients_company_idx", table.c.tenant_id, table.c.company, postgresql_where=text("company is not null"))


def new_index_on_a_partitioned_table(metadata: MetaData) -> None:
    table = metadata.tables["weft.audit_logs"]
    Index("audit_logs_ip_idx", table.c.tenant_id, table.c.ip)


def new_unique_index(metadata: MetaData) -> None:
    table = clients(metadata)
    Index("clients_address_key", table.c.tenant_id, table.c.address, unique=True)


def other_index(metadata: MetaData) -> None:
    table = clients(metadata)
    (old,) = [index for index in table.indexes if index.name == "clients_created_at_idx"]
    table.indexes.remove(old)
    Index("clients_created_at_idx", table.c.tenant_id, table.c.updated_at)


def index_gone(metadata: MetaData) -> None:
    table = clients(metadata)
    table.indexes.remove(next(index for index in table.indexes if index.name == "clients_created_at_idx"))


def constraint_named(table: Table, name: str) -> Any:
    return next(c for c in table.constraints if c.name is not None and str(c.name) == name)


def check_widened(metadata: MetaData) -> None:
    table = metadata.tables["weft.tenants"]
    table.constraints.remove(constraint_named(table, "tenants_tier_check"))
    table.append_constraint(CheckConstraint("tier in ('FREE', 'PRO', 'ENTERPRISE', 'PUBLIC')", name="tier"))


def check_narrowed(metadata: MetaData) -> None:
    table = metadata.tables["weft.tenants"]
    table.constraints.remove(constraint_named(table, "tenants_tier_check"))
    table.append_constraint(CheckConstraint("tier in ('FREE', 'PRO')", name="tier"))


def new_check(metadata: MetaData) -> None:
    clients(metadata).append_constraint(CheckConstraint("length(name) < 1000", name="name_length"))


def new_reference(metadata: MetaData) -> None:
    table = metadata.tables["weft.events"]
    table.append_constraint(
        ForeignKeyConstraint(["tenant_id", "id"], ["weft.clients.tenant_id", "weft.clients.id"], name="events_odd_fkey")
    )


def new_unique(metadata: MetaData) -> None:
    clients(metadata).append_constraint(UniqueConstraint("tenant_id", "email", name="clients_email_unique"))


def column_gone(metadata: MetaData) -> None:
    table = clients(metadata)
    table._columns.remove(table.c.notes)  # there is no public way to take a column out


def other_type(metadata: MetaData) -> None:
    clients(metadata).c.phone.type = JSONB()


def other_default(metadata: MetaData) -> None:
    clients(metadata).c.is_active.server_default.arg = text("false")  # type: ignore[union-attr]  # it has one


def nullable(metadata: MetaData) -> None:
    clients(metadata).c.name.nullable = True


def not_nullable(metadata: MetaData) -> None:
    clients(metadata).c.company.nullable = False


def other_grants(metadata: MetaData) -> None:
    clients(metadata).info["grants"] = "select, insert, truncate"


def no_audit(metadata: MetaData) -> None:
    clients(metadata).info["audit"] = False


def another_secret(metadata: MetaData) -> None:
    clients(metadata).c.email.info["secret"] = True


def other_storage(metadata: MetaData) -> None:
    clients(metadata).info["storage"] = "fillfactor = 80"


def new_partitioned_table(metadata: MetaData) -> None:
    table = boats(metadata, "logbooks", partition="updated_at")
    table.dialect_options["postgresql"]["partition_by"] = "range (id)"
    table.indexes.clear()


def table_gone(metadata: MetaData) -> None:
    metadata.remove(metadata.tables["weft.message_templates"])


# change of the models -> what the revisions must say for it
CHANGES: dict[Callable[[MetaData], None], str] = {
    new_table: "create policy tenant_rw on weft.boats to weft_app",
    new_table_that_is_read_only: "with (fillfactor=70)",
    new_partitioned_table: "partition by RANGE (id)",
    new_column: "add column size integer default 1 not null",
    new_column_with_everything: "validate constraint clients_parent_id_fkey",
    new_column_without_default: "check (weight is not null) not valid",
    new_column_with_a_default_for_each_row: "set default gen_random_uuid()",
    new_index: "create index concurrently if not exists clients_company_idx",
    new_index_on_a_partitioned_table: "create index concurrently if not exists audit_logs_ip_idx",
    new_unique_index: "create unique index concurrently if not exists clients_address_key",
    other_index: "rename to clients_created_at_idx",
    index_gone: "drop index concurrently if exists weft.clients_created_at_idx",
    check_widened: "'PUBLIC'",
    check_narrowed: "validate constraint tenants_tier_check",
    new_check: "CHECK ((length(name) < 1000)) not valid",
    new_reference: "validate constraint events_odd_fkey",
    new_unique: "unique using index clients_email_unique",
    column_gone: "drop column notes",
    other_type: "type jsonb using phone::jsonb",
    other_default: "alter column is_active set default false",
    nullable: "alter column name drop not null",
    not_nullable: "alter column company set not null",
    other_grants: "revoke update on weft.clients from weft_app",
    no_audit: "drop trigger audit on weft.clients",
    another_secret: "CREATE OR REPLACE TRIGGER audit",
    other_storage: "set (fillfactor=80)",
    table_gone: "drop table weft.message_templates",
}


@dataclass(frozen=True)
class Edit:
    """A change of what is written in SQL: `before` becomes `after`, and the revisions must say `said`."""

    before: str
    after: str
    said: str


FIND_TENANT = "select t.id from weft.tenants t where t.slug = p_slug"
AUTH_READ = "create policy auth_read on weft.roles for select to weft_auth using (true)"
AUTH_MEMBERS = "create policy auth_read on weft.tenant_users for select to weft_auth using (true)"
APPEND_ONLY = "function weft.audit_is_append_only() returns trigger\nlanguage plpgsql"
ONE = (
    "create function weft.one() returns integer language sql set search_path = pg_catalog as $$ select 1 $$;\n"
    "revoke all on function weft.one() from public;\n"
)
COMMENTS = (
    "comment on table weft.clients is 'Who''s who'; comment on column weft.clients.name is 'as they write it';\n"
    "comment on function weft.touch() is 'keeps time'; comment on policy tenant_rw on weft.clients is 'its own';\n"
)

ADDED = [
    Edit("new.updated_at := clock_timestamp();", "new.updated_at := now();", "FUNCTION weft.touch_versioned()"),
    Edit(FIND_TENANT, FIND_TENANT.replace("p_slug", "lower(p_slug)"), "set local role weft_auth"),
    Edit(
        "function weft.payloads_gone() returns trigger\nlanguage plpgsql",
        "function weft.payloads_gone() returns trigger\nlanguage plpgsql set work_mem = '8MB'",
        "SET work_mem TO '8MB'",
    ),
    Edit(APPEND_ONLY, f"{APPEND_ONLY} security definer", "SECURITY DEFINER"),
    Edit("create function weft.touch()", f"{ONE}create function weft.touch()", "revoke all on function weft.one()"),
    Edit(
        "'Create workflows, edit", "'Make workflows, edit", "update weft.permissions set description = 'Make workflows"
    ),
    Edit("('workflows', 'write',", "('workflows', 'paint', 'Paint them'),\n  ('workflows', 'write',", "'Paint them'"),
    Edit("grant usage on schema weft to weft_app", f"{COMMENTS}grant usage on schema weft to weft_app", "'Who''s who'"),
]
TAKEN = [
    Edit(AUTH_READ, AUTH_READ.replace("true", "name <> ''"), "alter policy auth_read on weft.roles"),
    Edit(AUTH_MEMBERS, AUTH_MEMBERS.replace("for select ", ""), "drop policy auth_read on weft.tenant_users"),
    Edit("alter table weft.clients force row level security;", "", "weft.clients no force row level security"),
    Edit(
        "grant execute on function weft.find_tenant(text) to weft_app;", "",
        "revoke execute on function weft.find_tenant(text) from weft_app",
    ),
]  # fmt: skip


@dataclass(frozen=True)
class Together:
    """Changes that are made at once, and the kinds of the revisions that they become."""

    changes: list[Callable[[MetaData], None]]
    kinds: list[str]
    edits: list[Edit] = field(default_factory=list)


ALL_OF_THEM = {
    "what only adds is one revision": Together(
        [new_table, new_table_that_is_read_only, new_partitioned_table, new_column, other_default, nullable,
         another_secret, other_storage],
        ["expand"], ADDED,
    ),
    "what needs a second look comes in three": Together(
        [new_column_with_everything, check_widened, new_index, other_index, new_index_on_a_partitioned_table],
        ["expand", "expand", "expand"],
    ),
    "what takes away is a contract": Together(
        [index_gone, column_gone, other_type, other_grants, no_audit, table_gone],
        ["expand", "contract", "contract"], TAKEN,
    ),
    "what narrows is a contract, checked before it binds": Together(
        [new_column_without_default, new_column_with_a_default_for_each_row, check_narrowed, new_check, new_reference,
         new_unique, new_unique_index, not_nullable],
        ["expand", "contract", "contract", "contract"],
    ),
}  # fmt: skip


def test_every_change_is_tried() -> None:
    assert {change for together in ALL_OF_THEM.values() for change in together.changes} == CHANGES.keys()


@pytest.mark.parametrize("name", ALL_OF_THEM)
async def test_changes_are_seen_and_lead_there_and_back(
    name: str, owner: Any, made_by: Made, test_database: TestDatabase, nursery: TestDatabase
) -> None:
    together, metadata = ALL_OF_THEM[name], models()
    for change in together.changes:
        change(metadata)
    sql = source.models_sql(metadata)
    for edit in together.edits:
        assert edit.before in sql
        sql = sql.replace(edit.before, edit.after)
    wanted = await made_by(sql)
    made = await generate.drafts(owner, wanted, "Boats")
    assert [draft.kind for draft in made] == together.kinds, "\n\n".join(draft.up for draft in made)
    said = "".join(draft.up for draft in made)
    expected = [CHANGES[change] for change in together.changes] + [edit.said for edit in together.edits]
    assert [words for words in expected if words not in said] == [], said
    assert fingerprint.compare(wanted, await fingerprint.take(owner)) == []
    assert await generate.drafts(owner, wanted, "Boats") == []
    assert dumped(test_database) == dumped(await kept(nursery, sql))


async def test_models_equal_revisions(owner: Any, made_by: Made) -> None:
    assert await generate.drafts(owner, await made_by(source.models_sql()), "Nothing") == []


async def test_who_owns_a_definer_function_is_not_changed_by_a_revision(owner: Any, made_by: Made) -> None:
    handed = "alter function weft.retention_tenants() owner to "
    wanted = await made_by(source.models_sql().replace(f"{handed}weft_auth", f"{handed}weft_dispatch"))
    with pytest.raises(generate.SchemaChangeUnsupported, match="not part of revisions"):
        await generate.drafts(owner, wanted, "Boats")


async def test_a_table_cannot_become_partitioned(owner: Any, made_by: Made) -> None:
    metadata = models()
    clients(metadata).dialect_options["postgresql"]["partition_by"] = "hash (id)"
    wanted = await made_by(source.models_sql(metadata))
    before = await fingerprint.take(owner)
    with pytest.raises(generate.SchemaChangeUnsupported, match="make a new table"):
        await generate.drafts(owner, wanted, "Boats")
    assert await fingerprint.take(owner) == before


async def test_new_tables_are_reviewed_without_a_finding(owner: Any, made_by: Made) -> None:
    metadata = models()
    new_table(metadata)
    (draft,) = await generate.drafts(owner, await made_by(source.models_sql(metadata)), "Boats")
    assert [finding.sentence() for finding in draft.findings] == []


async def test_what_a_reviewer_must_know_is_said(owner: Any, made_by: Made) -> None:
    metadata = models()
    column_gone(metadata)
    (draft,) = await generate.drafts(owner, await made_by(source.models_sql(metadata)), "Boats")
    assert [finding.rule for finding in draft.findings] == ["ban-drop-column"]
    assert "A renamed column looks like this too" in draft.warnings[0]
    assert draft.down == "alter table weft.clients add column notes text;\n"


async def test_a_table_that_tells_tenants_of_each_other_is_not_missed(owner: Any, made_by: Made) -> None:
    metadata = models()
    table = boats(metadata)
    Index("boats_status_key", table.c.status, unique=True)
    (draft,) = await generate.drafts(owner, await made_by(source.models_sql(metadata)), "Boats")
    assert {finding.rule for finding in draft.findings} == {"tenant-key"}
    assert "boats_status_key" in {finding.object for finding in draft.findings}


async def test_percent_signs_stay_as_they_were_written(owner: Any, made_by: Made) -> None:
    """In defaults, checks, predicates and names: a program that formats statements would want them doubled."""
    metadata = models()
    table = clients(metadata)
    table.append_column(Column("share", Text, nullable=False, server_default=text("'100%'")))
    table.append_column(Column("rest", Integer, CheckConstraint("rest % 2 = 0", name="even")))
    Index("clients_50%_idx", table.c.tenant_id, table.c.company, postgresql_where=text("company like 'a%'"))
    wanted = await made_by(source.models_sql(metadata))
    assert wanted["column", "clients.share"]["default"] == "'100%'::text"
    made = await generate.drafts(owner, wanted, "Percent")
    assert [draft.kind for draft in made] == ["expand", "expand", "expand"]
    assert '"clients_50%_idx"' in made[-1].up
    assert "%%" not in "".join(draft.up + draft.down for draft in made)
