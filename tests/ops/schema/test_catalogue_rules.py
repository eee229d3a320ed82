"""Each rule on the catalogue can be broken, and then says so."""

from __future__ import annotations

from contextlib import AsyncExitStack
from typing import Any

import pytest
from tests.conftest import Cluster
from tests.ops.schema.conftest import alone_with_roles

from weft.ops.schema import catalogue_rules, lint

KEPT = "alter table weft.boats enable row level security; alter table weft.boats force row level security;"
BOATS = "create table weft.boats (tenant_id uuid not null, id uuid not null, primary key (tenant_id, id));" + KEPT

# rule -> (what breaks it, the object that is named)
BROKEN: dict[str, tuple[str, str]] = {
    "row-security": ("alter table weft.clients no force row level security", "clients"),
    "tenant-column": (f"create table weft.boats (id uuid primary key); {KEPT}", "boats"),
    "primary-key": (f"create table weft.boats (tenant_id uuid not null); {KEPT}", "boats"),
    "tenant-key": ("create unique index boats_key on weft.clients (name, tenant_id)", "boats_key"),
    "tenant-reference": (
        BOATS + "create unique index odd on weft.clients (id);"
        "alter table weft.boats add constraint boats_fkey foreign key (id) references weft.clients (id)",
        "boats_fkey",
    ),
    "unindexed-reference": (
        BOATS + "alter table weft.boats add column client_id uuid, add constraint boats_fkey"
        " foreign key (tenant_id, client_id) references weft.clients (tenant_id, id)",
        "boats_fkey",
    ),
    "policy-restrictive": (
        "create policy boats on weft.clients as restrictive to weft_audit using (true)", "clients.boats"
    ),
    "policy-sub-select": (
        "create policy boats on weft.clients to weft_audit using (tenant_id = (select gen_random_uuid()))",
        "clients.boats",
    ),
    "policies-add-up": (
        "create policy boats on weft.clients to weft_app using (name = 'x')", "clients to weft_app"
    ),
    "policy-always-true": ("alter policy tenant_rw on weft.clients using (true)", "clients.tenant_rw"),
    "leaky-index": (
        "create index boats_idx on weft.clients (tenant_id, lower(name))", "boats_idx: lower(name)"
    ),
    "invalid-index": (
        "update pg_index set indisvalid = false where indexrelid = 'weft.clients_pkey'::regclass", "clients_pkey"
    ),
    "not-validated": (
        "alter table weft.clients add constraint boats check (name <> '') not valid", "clients.boats"
    ),
    "partition-open": (
        ("create table weft.boats partition of weft.audit_logs for values from ('1999-01-01') to ('1999-02-01');"
         f"{KEPT} grant select on weft.boats to weft_app"),
        "boats",
    ),
    "grant-to-public": ("grant execute on function weft.touch() to public", "touch()"),
    "right-too-many": ("grant truncate on weft.clients to weft_app", "clients"),
    "function-search-path": ("alter function weft.touch() set search_path = public, pg_catalog", "touch()"),
    "view-of-its-owner": ("create view weft.boats as select name from weft.clients", "boats"),
    "column-type": ("alter table weft.clients add column seen timestamp", "clients.seen"),
    "role-unsafe": ("grant pg_read_all_data to weft_app", "weft_app"),
}  # fmt: skip


def test_every_rule_is_tried() -> None:
    assert BROKEN.keys() == {rule.name for rule in catalogue_rules.RULES}


@pytest.mark.parametrize("name", BROKEN)
async def test_a_broken_rule_names_the_object(name: str, admin: Any, cluster: Cluster) -> None:
    async with AsyncExitStack() as stack:
        if name == "role-unsafe":
            await stack.enter_async_context(alone_with_roles(cluster))
        sql, broken = BROKEN[name]
        assert await lint.inspect(admin) == []
        await admin.execute(sql)
        found = [finding for finding in await lint.inspect(admin) if finding.rule == name]
        assert [finding.object for finding in found] == [broken]
        assert found[0].sentence().startswith(f"{broken}: ")
