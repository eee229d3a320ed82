"""Commands reach the installation's database whoever runs it, and only with its passwords."""

from __future__ import annotations

import asyncio
from pathlib import Path

import asyncpg
import pytest

from weft.ops.home import Home
from weft.ops.installation import (
    DatabaseAddressMissing,
    OwnerAddressMissing,
    embedded_addresses,
    reach,
    with_running_database,
)
from weft.ops.postgres import EmbeddedPostgres
from weft.settings import Settings, load_settings


def settings(place: Path, **environ: str) -> Settings:
    return load_settings({"WEFT_HOME": str(place / "home"), **environ}, directory=place)


def who(dsn: str) -> str:
    async def ask() -> str:
        connection = await asyncpg.connect(dsn)
        try:
            return str(await connection.fetchval("select current_user || '@' || current_database()"))
        finally:
            await connection.close()

    return asyncio.run(ask())


def test_an_operators_addresses_are_used_as_they_are(place: Path) -> None:
    with reach(settings(place, WEFT_DATABASE_URL="postgresql://app@h/d")) as addresses:
        assert addresses.app == "postgresql://app@h/d"
        with pytest.raises(OwnerAddressMissing, match="WEFT_DATABASE_OWNER_URL"):
            addresses.require_owner()
    assert not (place / "home").exists()


def test_the_embedded_server_runs_for_the_time_of_a_command(place: Path) -> None:
    with reach(settings(place)) as addresses:
        assert who(addresses.app) == "weft_app@weft"
        assert who(addresses.require_owner()) == "weft_owner@weft"
        assert EmbeddedPostgres(place / "home").status().ready
    assert not EmbeddedPostgres(place / "home").status().running


def test_a_password_is_needed_and_changes_with_the_file(place: Path) -> None:
    with reach(settings(place)) as addresses, pytest.raises(asyncpg.InvalidPasswordError):
        who(addresses.app.replace("weft_app:", "weft_app:not"))
    Home(place / "home").credentials_file.unlink()
    with reach(settings(place)) as addresses:
        assert who(addresses.app) == "weft_app@weft"


def test_a_running_server_is_shared(place: Path) -> None:
    with pytest.raises(DatabaseAddressMissing, match="weft up"):
        with_running_database(settings(place))
    home = Home(place / "home")
    with reach(settings(place)), reach(settings(place)) as addresses:
        running = with_running_database(settings(place)).database.url
        assert running == addresses.app == embedded_addresses(home, _facts(home)).app
        assert who(addresses.app) == "weft_app@weft"


def _facts(home: Home):  # type: ignore[no-untyped-def]  # a context manager of the test's own
    from weft.ops.postgres import find_running

    return find_running(home)
