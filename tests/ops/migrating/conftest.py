"""What tests of migrations need."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

import asyncpg
import pytest
from tests.conftest import TestDatabase

from weft.ops.installation import Addresses
from weft.settings import Settings, load_settings


@pytest.fixture
async def admin(test_database: TestDatabase) -> AsyncIterator[Any]:
    connection = await asyncpg.connect(test_database.admin)
    try:
        yield connection
    finally:
        await connection.close()


@pytest.fixture
def addresses(test_database: TestDatabase) -> Addresses:
    return Addresses(test_database.app, test_database.owner, None, embedded=False)


SettingsFor = Callable[..., Settings]


@pytest.fixture
def settings_for(tmp_path: Path, test_database: TestDatabase) -> SettingsFor:
    """Settings of an installation with this test's database: `settings_for("production", WEFT_X="...")`."""

    def make(profile: str = "development", **environ: str) -> Settings:
        return load_settings(
            {
                "HOME": str(tmp_path),
                "WEFT_PROFILE": profile,
                "WEFT_DATABASE_URL": test_database.app,
                "WEFT_DATABASE_OWNER_URL": test_database.owner,
                "WEFT_MASTER_KEY": "00" * 32,
                **environ,
            },
            directory=tmp_path,
        )

    return make
