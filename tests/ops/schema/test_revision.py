"""Drafts become files that Alembic runs, up and down, and prints."""

from __future__ import annotations

import asyncio
import io
from datetime import date
from pathlib import Path
from typing import Any

import asyncpg
import pytest
from alembic import command
from alembic.config import Config
from sqlalchemy.pool import NullPool
from tests.conftest import TestDatabase
from tests.ops.schema import test_generate as changes
from tests.ops.schema.conftest import Made

from weft.core.errors import Invalid
from weft.db import concurrent, engines, fingerprint, migrate
from weft.db.base import one_of
from weft.ops.schema import generate, lint, revision, source
from weft.ops.schema.finding import Finding
from weft.ops.schema.generate import Draft

DAY = date(2027, 3, 1)
VALID = "select indisvalid from pg_index where indexrelid = 'weft.clients_parent_idx'::regclass"


def config(directory: Path) -> Config:
    made = Config()
    made.set_main_option("script_location", str(migrate.MIGRATIONS))
    made.set_main_option("path_separator", "os")
    made.set_main_option("version_locations", f"{revision.VERSIONS}:{directory}")
    return made


async def alembic(database: TestDatabase, directory: Path, name: str, target: str) -> None:
    engine = engines.make(database.owner, poolclass=NullPool)

    def work(connection: Any) -> None:
        settings = config(directory)
        settings.attributes["connection"] = connection
        getattr(command, name)(settings, target)

    try:
        async with engine.connect() as connection:
            await connection.run_sync(work)
            await connection.commit()
    finally:
        await engine.dispose()


@pytest.fixture
async def drafts(owner: Any, made_by: Made) -> list[Draft]:
    """Three revisions, one of them without a transaction; the database is as before."""
    metadata = changes.models()
    changes.new_column_with_everything(metadata)
    wanted = await made_by(source.models_sql(metadata))
    made = await generate.drafts(owner, wanted, "Clients have parents")
    for draft in reversed(made):
        await generate.run(owner, draft.down, concurrently=draft.concurrently)
    return made


async def test_files_are_applied_and_taken_back(
    drafts: list[Draft], owner: Any, test_database: TestDatabase, tmp_path: Path
) -> None:
    before, head = await fingerprint.take(owner), migrate.head()
    written = revision.write(drafts, day=DAY, after=head, directory=tmp_path)
    assert [path.name for path in written] == [
        "2027_03_01_clients_have_parents.py",
        "2027_03_01_clients_have_parents_validate.py",
        "2027_03_01_clients_have_parents_indexes.py",
    ]
    assert ["statement_seconds = 0" in path.read_text(encoding="utf-8") for path in written] == [False, True, False]
    assert ["concurrently = True" in path.read_text(encoding="utf-8") for path in written] == [False, False, True]
    await alembic(test_database, tmp_path, "upgrade", "head")
    at = await owner.fetchval("select version_num from weft.alembic_version")
    assert at == f"{int(head) + 3:04d}"
    assert await owner.fetchval(
        "select indisvalid from pg_index where indexrelid = 'weft.clients_parent_idx'::regclass"
    )
    assert fingerprint.compare(before, await fingerprint.take(owner)) != []
    await alembic(test_database, tmp_path, "downgrade", head)
    assert fingerprint.compare(before, await fingerprint.take(owner)) == []


async def test_an_index_that_a_failed_attempt_left_is_built_anew(
    drafts: list[Draft], owner: Any, test_database: TestDatabase, tmp_path: Path
) -> None:
    head = migrate.head()
    revision.write(drafts, day=DAY, after=head, directory=tmp_path)
    await alembic(test_database, tmp_path, "upgrade", f"{int(head) + 2:04d}")
    await owner.execute("create index clients_parent_idx on weft.clients (tenant_id, parent_id)")
    admin = await asyncpg.connect(test_database.admin)
    await admin.execute("update pg_index set indisvalid = false where indexrelid = 'weft.clients_parent_idx'::regclass")
    await admin.close()
    await alembic(test_database, tmp_path, "upgrade", "head")
    assert await owner.fetchval(
        "select indisvalid from pg_index where indexrelid = 'weft.clients_parent_idx'::regclass"
    )


async def test_the_files_can_be_read_before_they_run(drafts: list[Draft], tmp_path: Path) -> None:
    revision.write(drafts, day=DAY, after=migrate.head(), directory=tmp_path)
    settings = config(tmp_path)
    settings.output_buffer = printed = io.StringIO()
    command.upgrade(settings, f"{migrate.head()}:head", sql=True)
    sql = printed.getvalue()
    before, _, after = sql.partition("create index concurrently if not exists clients_parent_idx")
    assert "COMMIT;" in before.rpartition("BEGIN;")[2]
    assert after.index("BEGIN;") > 0
    assert [finding.sentence() for finding in lint.review(sql)] == []


@pytest.mark.parametrize("kind", ["expand", "contract"])
def test_a_contract_names_the_oldest_version_that_works_after_it(kind: str, tmp_path: Path) -> None:
    draft = Draft("Nothing.", kind, "select 1;\n", "select 2;\n", concurrently=False)
    (path,) = revision.write([draft], day=DAY, after=None, directory=tmp_path)
    text = path.read_text(encoding="utf-8")
    assert text.startswith(f'"""Nothing\n\nKind: {kind}\n"""')
    assert ('needs = "0.1"' in text) is (kind == "contract")
    assert 'revision = "0001"\ndown_revision = None' in text


def test_files_that_are_there_are_left_alone(tmp_path: Path) -> None:
    draft = Draft("Nothing", "expand", "select 1;\n", "select 2;\n", concurrently=False)
    (tmp_path / "2027_03_01_nothing.down.sql").write_text("mine")
    with pytest.raises(revision.RevisionExists, match=r"nothing\.down\.sql"):
        revision.write([draft], day=DAY, after="0001", directory=tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == ["2027_03_01_nothing.down.sql"]


def test_a_revision_needs_a_name_that_a_file_can_have() -> None:
    assert revision.slug("Clients: größer, & more!") == "clients_groer_more"
    with pytest.raises(Invalid, match="in a few words"):
        revision.slug("…")


def test_the_successor_of_a_name_cannot_be_guessed(tmp_path: Path) -> None:
    draft = Draft("Nothing", "expand", "", "", concurrently=False)
    with pytest.raises(Invalid, match="by hand"):
        revision.write([draft], day=DAY, after="abc", directory=tmp_path)


def test_an_installed_package_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    revision.require_clone()
    monkeypatch.setattr(revision, "_CLONE", tmp_path)
    with pytest.raises(revision.CloneNeeded, match="Clone the repository"):
        revision.require_clone()


async def test_an_index_of_a_partitioned_table_is_built_on_each_partition(owner: Any) -> None:
    build = "create index concurrently if not exists audit_logs_ip_idx ON weft.audit_logs USING btree (tenant_id, ip);"
    await concurrent.execute(owner, build)
    valid = "select indisvalid from pg_index where indexrelid = 'weft.audit_logs_ip_idx'::regclass"
    parts = "select count(*) from pg_inherits where inhparent = 'weft.{}'::regclass"
    assert await owner.fetchval(valid)
    assert await owner.fetchval(parts.format("audit_logs_ip_idx")) == await owner.fetchval(parts.format("audit_logs"))


async def test_what_was_built_on_some_partitions_is_gone_on_with(owner: Any) -> None:
    await owner.execute("create index audit_logs_ip_idx on only weft.audit_logs (tenant_id, ip)")
    part = await owner.fetchval(
        "select c.relname from pg_inherits h join pg_class c on c.oid = h.inhrelid"
        " where h.inhparent = 'weft.audit_logs'::regclass order by 1 limit 1"
    )
    await owner.execute(f"create index {part}_ip_idx on weft.{part} (tenant_id, ip)")
    await concurrent.execute(owner, "create index concurrently audit_logs_ip_idx on weft.audit_logs (tenant_id, ip)")
    assert await owner.fetchval("select indisvalid from pg_index where indexrelid = 'weft.audit_logs_ip_idx'::regclass")
    assert (
        await owner.fetchval(f"select count(*) from pg_indexes where tablename = '{part}' and indexname like '%ip_idx'")
        == 1
    )


async def test_a_reference_is_really_checked_although_row_security_binds_the_owner(
    owner: Any, made_by: Made, test_database: TestDatabase, tmp_path: Path
) -> None:
    """Without `app.maintenance` the owner would see no row, and call the reference valid."""
    metadata = changes.models()
    changes.new_reference(metadata)
    made = await generate.drafts(owner, await made_by(source.models_sql(metadata)), "Odd")
    for draft in reversed(made):
        await generate.run(owner, draft.down)
    admin = await asyncpg.connect(test_database.admin)
    tenant = "insert into weft.tenants (id, slug, name) values (gen_random_uuid(), 'ada', 'Ada') returning id"
    event = (
        "insert into weft.events (tenant_id, id, type, received_at, source)"
        " values ($1, gen_random_uuid(), 'x', now(), 'API')"
    )
    await admin.execute(event, await admin.fetchval(tenant))
    await admin.close()
    revision.write(made, day=DAY, after=migrate.head(), directory=tmp_path)
    with pytest.raises(asyncpg.ForeignKeyViolationError, match="events_odd_fkey"):
        await alembic(test_database, tmp_path, "upgrade", "head")
    assert await owner.fetchval("select not convalidated from pg_constraint where conname = 'events_odd_fkey'")


def test_a_check_that_comes_back_wider_is_no_risk_to_validate(tmp_path: Path) -> None:
    dropped = Finding(line=1, rule="ban-drop-constraint", level="warning", message="", help="")
    for kind, says in (("expand", True), ("contract", False)):
        draft = Draft(
            title=f"More states {kind}", kind=kind, up="select 1;\n", down="select 1;\n", concurrently=False,
            findings=(dropped,),
        )  # fmt: skip
        [written] = revision.write([draft], day=DAY, after="0001", directory=tmp_path)
        assert ("accepts = {" in written.read_text(encoding="utf-8")) is says


def test_models_that_postgresql_refuses_are_said_to_be_so() -> None:
    assert "in ('it''s')" in str(one_of("mood", ("it's",)).sqltext)
    with source.throwaway() as server, pytest.raises(source.ModelsRefused, match=r"syntax error.* Mend them"):
        asyncio.run(server.models(sql="create tabel x ();"))
