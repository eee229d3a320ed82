"""The guide about migrations works as it is written, on a database of its own with the revisions it speaks of."""

from __future__ import annotations

import asyncio
import shutil
from pathlib import Path

import asyncpg
from tests.conftest import TestDatabase
from tests.docs.documents import DOCS, ROOT, blocks
from tests.docs.test_first_steps import Shell

PAGE = DOCS / "guides" / "migrations.md"
_CLIENTS = """
with t as (insert into weft.tenants (id, slug, name) values (gen_random_uuid(), 'ada', 'Ada') returning id)
insert into weft.clients (tenant_id, id, name, name_key)
select t.id, gen_random_uuid(), n::text, n::text from t, generate_series(1, 5) n"""


async def _plant(dsn: str) -> None:
    connection = await asyncpg.connect(dsn)
    try:
        await connection.execute("set session_replication_role = replica")
        await connection.execute(_CLIENTS)
    finally:
        await connection.close()


def test_the_whole_page_works(tmp_path: Path, test_database: TestDatabase) -> None:
    asyncio.run(_plant(test_database.admin))
    shell = Shell(
        tmp_path,
        WEFT_HOME=str(tmp_path / "home"),
        WEFT_DATABASE_URL=test_database.app,
        WEFT_DATABASE_OWNER_URL=test_database.owner,
        WEFT_MIGRATE_DIRECTORIES="next",
    )
    shutil.copytree(ROOT / "tests" / "db" / "revisions", tmp_path / "work" / "next")
    ran = 0
    for block in blocks(PAGE):
        shell.run(block)
        ran += block.kind == "offline"
    assert ran >= 7
