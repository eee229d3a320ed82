"""What `weft db generate` writes is applied by `weft db migrate`, up and down, whatever kind it is."""

from __future__ import annotations

from collections.abc import Callable
from datetime import date
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import MetaData
from tests.conftest import TestDatabase
from tests.ops.schema import test_generate as changes
from tests.ops.schema.conftest import Made

from weft.db import fingerprint, migrate
from weft.ops.preflight import newest_revision
from weft.ops.schema import generate, revision, source


@pytest.mark.parametrize("change", [changes.index_gone, changes.new_unique_index, changes.other_index])
async def test_contracts_that_take_no_lock(
    change: Callable[[MetaData], None], owner: Any, made_by: Made, test_database: TestDatabase, tmp_path: Path
) -> None:
    """They are looked at before, in a transaction, and applied outside of one."""
    before = await fingerprint.take(owner)
    metadata = changes.models()
    change(metadata)
    wanted = await made_by(source.models_sql(metadata))
    drafts = await generate.drafts(owner, wanted, "Other indexes")
    for draft in reversed(drafts):
        await generate.run(owner, draft.down, concurrently=draft.concurrently)
    assert fingerprint.compare(before, await fingerprint.take(owner)) == []
    revision.write(drafts, day=date(2027, 3, 1), after=newest_revision(), directory=tmp_path)
    await migrate.upgrade(test_database.owner, directories=[tmp_path])
    assert fingerprint.compare(wanted, await fingerprint.take(owner)) == []
    await migrate.downgrade(test_database.owner, newest_revision(), directories=[tmp_path])
    assert fingerprint.compare(before, await fingerprint.take(owner)) == []
