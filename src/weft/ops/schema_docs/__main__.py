"""`python -m weft.ops.schema_docs [DIRECTORY]`: the pages of this version's schema, from a throw-away server.

For whoever changes the schema in a clone: `docs/reference/schema` is kept current with it.
"""

from __future__ import annotations

import asyncio
import sys
import tempfile
from pathlib import Path

from weft.db import migrate
from weft.ops.postgres import ephemeral_cluster
from weft.ops.roles import OWNER, bootstrap
from weft.ops.schema_docs import writing

DATABASE = "weft_documented"


async def _migrated(admin_dsn: str, owner_dsn: str) -> writing.Documents:
    await bootstrap(admin_dsn, DATABASE)
    await migrate.upgrade(owner_dsn)
    return await writing.read(owner_dsn)


def main(place: Path) -> None:
    with tempfile.TemporaryDirectory(prefix="weft-docs-") as directory, ephemeral_cluster(Path(directory)) as facts:
        found = asyncio.run(_migrated(facts.superuser_dsn, facts.dsn(OWNER, None, DATABASE)))
    written = writing.write(found, place)
    if written.missing is not None:
        raise written.missing


if __name__ == "__main__":
    main(Path(sys.argv[1] if len(sys.argv) > 1 else "docs/reference/schema"))
