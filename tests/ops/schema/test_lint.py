"""What a reviewer would say about SQL, said before it runs."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from weft.db import migrate
from weft.ops.schema import lint
from weft.ops.schema.script import statements

GUARDED = """
create table weft.boats (tenant_id uuid not null, id uuid not null, constraint boats_pkey primary key (tenant_id, id));
alter table weft.boats enable row level security;
alter table weft.boats force row level security;
"""

SAID = {
    "tenant-row-security": "create table weft.boats (tenant_id uuid, id uuid, primary key (tenant_id, id))",
    "row-security-removed": "alter table weft.clients no force row level security",
    "tenant-key": "alter table weft.clients add constraint clients_name_key unique (name, tenant_id)",
    "tenant-reference": "alter table weft.boats add foreign key (client_id) references weft.clients (id) not valid",
    "grant-to-public": "grant select on weft.clients to weft_app, public",
    "grant-on-all": "grant select on all tables in schema weft to weft_app",
    "default-privileges": "alter default privileges in schema weft grant select on tables to weft_app",
    "function-search-path": "create function weft.one() returns integer language sql as $$ select 1; $$",
    "definer-open-to-all": (
        "create function weft.one() returns integer language sql security definer set search_path = pg_catalog"
        " as $$ select 1 $$"
    ),
    "policy-restrictive": "create policy p on weft.clients as restrictive to weft_app using (true)",
    "policy-sub-select": "create policy p on weft.clients to weft_app using (tenant_id = (select gen_random_uuid()))",
    "native-enumeration": "create type weft.mood as enum ('calm')",
    # and squawk's own, of which these matter most here
    "require-concurrent-index-creation": "create index clients_phone_idx on weft.clients (tenant_id, phone)",
    "constraint-missing-not-valid": "alter table weft.clients add constraint c check (name <> '')",
    "adding-required-field": "alter table weft.clients add column size text not null",
    "ban-drop-column": "alter table weft.clients drop column phone",
    "renaming-column": "alter table weft.clients rename column phone to telephone",
    "changing-column-type": "alter table weft.clients alter column phone type bytea using phone::bytea",
}


@pytest.mark.parametrize("rule", SAID)
def test_a_script_that_needs_a_second_look_gets_it(rule: str) -> None:
    assert rule in {finding.rule for finding in lint.review(f"begin;\n{SAID[rule]};\ncommit;\n")}


def test_a_guarded_table_is_nothing_to_talk_about() -> None:
    assert lint.review(f"begin;{GUARDED}commit;\n") == []


def test_a_unique_index_needs_the_tenant_too() -> None:
    (found,) = lint.review("create unique index concurrently boats_name_key on weft.boats (name, tenant_id);")
    assert (found.rule, found.line) == ("tenant-key", 1)
    assert "begin it with tenant_id" in found.sentence()


def test_a_definer_function_that_is_closed_at_once_is_fine() -> None:
    sql = f"{SAID['definer-open-to-all']};\nrevoke all on function weft.one() from public;"
    assert lint.review(sql) == []


@pytest.mark.parametrize("revision", ["base:head"])
def test_the_revisions_are_clean(revision: str) -> None:
    start, _, end = revision.partition(":")
    assert [finding.sentence() for finding in lint.review(migrate.offline_sql(start, end))] == []


def test_statements_end_where_sql_ends_them() -> None:
    script = """-- one; not yet
select ';' as ";" /* a /* nested; */ one; */;

  create function f() returns int as $body$ select 1; $body$;;
select $$;$$"""
    found = list(statements(script))
    assert [statement.line for statement in found] == [2, 4, 5]
    assert found[0].plain() == """select ';' as ";\""""
    assert found[1].text.endswith("$body$")


def test_a_missing_linter_says_where_to_get_it(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(sys, "executable", str(tmp_path / "python"))
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(lint.LinterMissing, match="squawk-cli"):
        lint.review("select 1")
