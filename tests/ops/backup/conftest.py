"""A house to back up."""

from __future__ import annotations

import asyncio
import contextlib
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import asyncpg
import pytest
from tests.conftest import TestDatabase

from weft.ops.backup import making, proving
from weft.ops.backup.making import Made
from weft.ops.backup.proofs import Proof
from weft.ops.backup.targets import Target, targets_of
from weft.ops.installation import Addresses
from weft.ops.postgres import ConnectionFacts, ephemeral_cluster
from weft.settings import Settings, load_settings

MASTER_KEY = bytes(32)


@dataclass(frozen=True)
class House:
    """An installation whose home and backups are in a temporary directory."""

    settings: Settings
    addresses: Addresses

    @property
    def target(self) -> Target:
        return targets_of(self.settings)[0]

    def with_settings(self, **environ: str) -> House:
        given = {"WEFT_HOME": str(self.settings.home), "WEFT_MASTER_KEY": MASTER_KEY.hex()}
        return replace(self, settings=load_settings(given | environ))

    async def backup(self, **options: Any) -> Made:
        return await asyncio.to_thread(making.make, self.settings, self.addresses, **options)

    async def prove(self, backup: str, **options: Any) -> Proof:
        return await asyncio.to_thread(proving.prove, self.settings, backup, **options)


@pytest.fixture(scope="session")
def spare() -> Iterator[ConnectionFacts]:
    """A throw-away server that tests share: starting one takes longer than what most of them ask of it."""
    with tempfile.TemporaryDirectory(prefix="weft-spare-") as directory, ephemeral_cluster(Path(directory)) as facts:
        yield facts


@pytest.fixture
def real_server() -> None:
    """For the tests in which a backup gets a server of its own, as it does in earnest."""


@pytest.fixture(autouse=True)
def shared_server(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    if "real_server" in request.fixturenames:
        return

    @contextlib.contextmanager
    def shared(_directory: Path) -> Iterator[ConnectionFacts]:
        facts: ConnectionFacts = request.getfixturevalue("spare")
        try:
            yield facts
        finally:
            asyncio.run(_tidied(facts))

    monkeypatch.setattr(proving, "ephemeral_cluster", shared)


async def _tidied(facts: ConnectionFacts) -> None:
    connection = await asyncpg.connect(facts.superuser_dsn)
    try:
        for name in (proving.DATABASE, proving.EXPECTED):
            await connection.execute(f"drop database if exists {name} with (force)")
    finally:
        await connection.close()


@pytest.fixture
def house(test_database: TestDatabase, tmp_path: Path) -> House:
    settings = load_settings({"WEFT_HOME": str(tmp_path / "a hóme"), "WEFT_MASTER_KEY": MASTER_KEY.hex()})
    addresses = Addresses(test_database.app, test_database.owner, test_database.admin, embedded=False)
    return House(settings, addresses)
