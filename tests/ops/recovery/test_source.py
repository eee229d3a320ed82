"""A server that cannot be archived is refused early, with what to do about it."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from pathlib import Path

import asyncpg
import pytest
from tests.conftest import Cluster, TestDatabase

from weft.ops.postgres_files import Programs
from weft.ops.recovery.errors import (
    IncrementalTooOld,
    ProgramsTooOld,
    ReplicationRefused,
    SummariesOff,
    WalLevelTooLow,
    WalNotConfigured,
)
from weft.ops.recovery.source import (
    ServerFacts,
    Source,
    client_programs,
    replication_refusal,
    require_archivable,
    require_summaries,
    server_programs,
    source_of,
    without_secret,
)
from weft.settings import load_settings

FACTS = ServerFacts("1", 18, 2**24, 1, "replica", summarize_wal=True, role="weft_wal")


def test_a_server_that_logs_too_little_is_refused(cluster: Cluster) -> None:
    facts = Source(lambda: cluster.admin, embedded=False).facts()
    assert facts.system.isdigit()
    assert facts.timeline == 1
    with pytest.raises(WalLevelTooLow, match="wal_level = minimal"):
        require_archivable(facts)


async def test_a_role_without_replication_is_refused(test_database: TestDatabase) -> None:
    source = Source(lambda: test_database.owner, embedded=False)
    with pytest.raises(ReplicationRefused, match=r"alter role .weft_owner. replication"):
        await asyncio.to_thread(source.facts)


async def test_a_role_with_replication_is_enough(test_database: TestDatabase) -> None:
    admin = await asyncpg.connect(test_database.admin)
    name = f"wal_{test_database.name[-12:]}"
    try:
        await admin.execute(
            f"create role {name} login replication; grant connect on database {test_database.name} to {name}"
        )
        address = test_database.owner.replace("weft_owner:owner-of-tests@", f"{name}@")
        facts = await asyncio.to_thread(Source(lambda: address, embedded=False).facts)
        assert facts.role == name
    finally:
        await admin.execute(f"drop owned by {name}; drop role {name}")
        await admin.close()


def test_increments_need_summaries_and_a_server_that_makes_them() -> None:
    require_summaries(FACTS)
    with pytest.raises(SummariesOff, match="summarize_wal"):
        require_summaries(replace(FACTS, summarize_wal=False))
    with pytest.raises(IncrementalTooOld, match="PostgreSQL 16"):
        require_summaries(replace(FACTS, major=16))


def test_programs_fit_the_server_or_are_asked_for() -> None:
    assert client_programs(15).major() >= 15
    assert server_programs(18) == Programs.embedded()
    with pytest.raises(ProgramsTooOld, match="PostgreSQL 99 or newer"):
        client_programs(99)
    with pytest.raises(ProgramsTooOld, match="do not speak"):
        client_programs(99, tls=True)
    with pytest.raises(ProgramsTooOld, match="PostgreSQL 9"):
        server_programs(9)


def test_a_server_of_the_operators_needs_an_address_for_replication() -> None:
    place = {"HOME": "/nonexistent", "WEFT_DATABASE_URL": "postgresql://weft_app@db/weft"}
    with pytest.raises(WalNotConfigured, match="WEFT_DATABASE_REPLICATION_URL"):
        source_of(load_settings(place, directory=Path("/nonexistent")))
    given = {**place, "WEFT_DATABASE_REPLICATION_URL": "postgresql://weft_wal:secret@db/weft?sslmode=require"}
    source = source_of(load_settings(given, directory=Path("/nonexistent")))
    command, environment = source.command(Programs(Path("/bin")), "pg_receivewal", "--slot=x")
    assert command == ["/bin/pg_receivewal", "-d", "postgresql://weft_wal@db/weft?sslmode=require", "--slot=x"]
    assert environment["PGPASSWORD"] == "secret"
    assert "secret" not in repr(source)


@pytest.mark.parametrize(
    ("dsn", "address", "password"),
    [
        ("postgresql://a:b%40c@h/d", "postgresql://a@h/d", "b@c"),
        ("postgresql://a@h/d?password=p&sslmode=disable", "postgresql://a@h/d?sslmode=disable", "p"),
        ("postgresql://a@/d?host=%2Frun", "postgresql://a@/d?host=%2Frun", None),
    ],
)
def test_passwords_do_not_stand_in_arguments(dsn: str, address: str, password: str | None) -> None:
    assert without_secret(dsn) == (address, password)


def test_what_programs_say_is_understood() -> None:
    said = "pg_receivewal: error: connection failed: FATAL:  no pg_hba.conf entry for replication connection"
    assert isinstance(replication_refusal(said, "weft_wal"), ReplicationRefused)
    assert replication_refusal("pg_receivewal: error: disconnected", "weft_wal") is None
