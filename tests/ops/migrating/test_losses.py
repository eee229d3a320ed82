"""What a statement takes with it is read from its text, however it is written."""

from __future__ import annotations

import pytest

from weft.ops.migrating.statement_losses import Loss, loss
from weft.ops.schema.script import statements

TABLES = [
    "drop table weft.clients",
    "DROP TABLE IF EXISTS weft.clients CASCADE",
    "/* gone */ Drop -- now\n\ttable weft.clients",
    "truncate weft.clients",
    "TRUNCATE TABLE weft.clients",
    "drop schema weft cascade",
    "drop owned by weft_app",
    "DROP FOREIGN TABLE weft.far",
    "delete from weft.clients",
    "with gone as (delete from weft.clients returning 1) select count(*) from gone",
    "do $$ begin execute 'drop table weft.clients'; end $$",
    "do language plpgsql 'begin truncate weft.clients; end'",
]
SOME = [
    "alter table weft.clients drop column region",
    "ALTER TABLE ONLY weft.clients\n  DROP COLUMN IF EXISTS region",
    "alter table weft.clients drop region",
    "alter table weft.clients alter name drop not null, drop region",
    "delete from weft.clients where name = 'a'",
    "with old as (select 1) DELETE FROM weft.clients c USING old WHERE c.name = 'a'",
    "drop type weft.mood cascade",
    "alter type weft.pair drop attribute b",
]
NOTHING = [
    "grant select, truncate on weft.clients to weft_app",
    "create or replace function weft.f() returns void language sql as $$ drop table weft.clients $$",
    "create rule r as on insert to weft.clients do also delete from weft.clients",
    "comment on table weft.clients is 'do not drop table'",
    "alter table weft.clients alter column name drop not null",
    "alter table weft.clients drop constraint clients_pkey",
    "alter table weft.clients alter column name drop default",
    "drop index concurrently if exists weft.clients_x",
    "drop policy tenant_rw on weft.clients",
    "do $$ begin perform 1; end $$",
    "DELETE FROM weft.alembic_version WHERE weft.alembic_version.version_num = '0001'",
    "update weft.clients set region = null",
]


@pytest.mark.parametrize(
    ("sql", "expected"),
    [*((s, Loss.tables) for s in TABLES), *((s, Loss.some) for s in SOME), *((s, None) for s in NOTHING)],
)
def test_what_goes(sql: str, expected: Loss | None) -> None:
    [statement] = statements(sql)
    assert loss(statement) is expected
