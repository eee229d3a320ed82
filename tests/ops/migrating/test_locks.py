"""Which lock a statement takes is read from its text."""

from __future__ import annotations

import pytest

from weft.ops.migrating.locks import Lock, Taken, is_bookkeeping, taken
from weft.ops.schema.script import statements


def locks(sql: str) -> list[tuple[str, Lock]]:
    return [(t.table, t.lock) for _, found in taken(list(statements(sql))) for t in found]


@pytest.mark.parametrize(
    ("sql", "expected"),
    [
        ("alter table weft.clients add column x text", [("clients", Lock.access_exclusive)]),
        ("ALTER TABLE ONLY weft.clients DROP COLUMN x", [("clients", Lock.access_exclusive)]),
        ("alter table if exists weft.clients validate constraint c", [("clients", Lock.share_update_exclusive)]),
        ("alter table weft.clients set (fillfactor = 70)", [("clients", Lock.share_update_exclusive)]),
        ("alter table weft.logs detach partition weft.logs_1 concurrently", [("logs", Lock.share_update_exclusive)]),
        ("alter table weft.clients disable trigger audit", [("clients", Lock.share_row_exclusive)]),
        (
            "alter table weft.a add constraint f foreign key (tenant_id) references weft.tenants (id) not valid",
            [("a", Lock.share_row_exclusive), ("tenants", Lock.share_row_exclusive)],
        ),
        (
            "alter table weft.a add column t uuid references weft.tenants (id)",
            [("a", Lock.access_exclusive), ("tenants", Lock.share_row_exclusive)],
        ),
        ("create index i on weft.clients (tenant_id)", [("clients", Lock.share)]),
        ("create unique index i on only weft.clients (tenant_id)", [("clients", Lock.share)]),
        ("create index concurrently if not exists i on weft.clients (x)", [("clients", Lock.share_update_exclusive)]),
        ("drop index weft.i", [("index i", Lock.access_exclusive)]),
        ("drop index concurrently if exists weft.i", [("index i", Lock.share_update_exclusive)]),
        ("drop table weft.clients", [("clients", Lock.access_exclusive)]),
        ("create policy p on weft.clients to weft_app using (true)", [("clients", Lock.access_exclusive)]),
        ("create trigger t before update on weft.clients for each row execute function f()",
         [("clients", Lock.share_row_exclusive)]),
        ("update weft.clients set x = 1", [("clients", Lock.row_exclusive)]),
        ("with b as (select 1) update weft.clients set x = 1", [("clients", Lock.row_exclusive)]),
        ("grant select on weft.clients to weft_app", []),
        ("create function weft.f() returns void language sql as $$ drop table weft.x $$", []),
    ],
)  # fmt: skip
def test_a_statement(sql: str, expected: list[tuple[str, Lock]]) -> None:
    assert locks(sql) == expected


def test_nobody_waits_for_a_table_that_was_just_made() -> None:
    script = "create table weft.t (id int references weft.users (id)); create index i on weft.t (id); drop table weft.u"
    found = [t for _, several in taken(list(statements(script))) for t in several]
    assert found == [
        Taken("users", Lock.share_row_exclusive),
        Taken("t", Lock.share, new=True),
        Taken("u", Lock.access_exclusive),
    ]
    assert [t.words() for t in found] == [
        "users: share row exclusive (stops writes)",
        "t: share (new)",
        "u: access exclusive (stops reads and writes)",
    ]


@pytest.mark.parametrize(
    ("statement", "expected"),
    [
        ("BEGIN", True),
        ("UPDATE weft.alembic_version SET version_num='9001' WHERE weft.alembic_version.version_num = '0001'", True),
        ("insert into weft.migration_history (id) values (1)", True),
        ("set local app.maintenance = 'on'", True),
        ("grant select on weft.alembic_version to weft_app", False),
        ("create function begin() returns void", False),
        ("create policy owner_maint on weft.a using (current_setting('app.maintenance', true) = 'on')", False),
        ("drop table weft.migration_history, weft.alembic_version, weft.clients", False),
        ("create function f() returns void language sql as $$ select from weft.alembic_version $$", False),
    ],
)
def test_what_is_only_bookkeeping(statement: str, expected: bool) -> None:
    assert is_bookkeeping(statement) is expected
