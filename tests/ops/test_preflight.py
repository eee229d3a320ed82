"""weft does not start where its promises would not hold."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import asyncpg
import pytest
from tests.conftest import Cluster, TestDatabase

from weft.db import base, migrate
from weft.ops import preflight
from weft.ops.postgres import ConnectionFacts
from weft.ops.preflight import Finding, PreflightFailed, check, require
from weft.ops.roles import bootstrap


@pytest.fixture
async def admin(test_database: TestDatabase) -> AsyncIterator[asyncpg.Connection]:
    connection = await asyncpg.connect(test_database.admin)
    yield connection
    await connection.close()


@pytest.fixture
async def other_role(cluster: Cluster, test_database: TestDatabase) -> AsyncIterator[str]:
    """A login role of this test's own, so that nobody else's `weft_app` changes meanwhile."""
    name = f"other_{test_database.name[-12:]}"
    connection = await asyncpg.connect(cluster.dsn("postgres"))
    await connection.execute(f"create role {name} login; grant connect on database {test_database.name} to {name}")
    try:
        yield name
    finally:
        inside = await asyncpg.connect(test_database.admin)
        await inside.execute(f"drop owned by {name}; drop role {name}")
        await inside.close()
        await connection.close()


def as_role(database: TestDatabase, role: str) -> str:
    return database.app.replace("weft_app:app-of-tests@", f"{role}@")


async def codes(dsn: str) -> list[str]:
    return [finding.code for finding in await check(dsn)]


async def test_a_migrated_database_is_fine(test_database: TestDatabase) -> None:
    assert await check(test_database.app) == []


async def test_a_superuser_is_refused(test_database: TestDatabase) -> None:
    assert (await codes(test_database.admin))[0] == "role_superuser"


async def test_a_role_that_bypasses_row_security_is_refused(
    test_database: TestDatabase, admin: asyncpg.Connection, other_role: str
) -> None:
    await admin.execute(f"alter role {other_role} bypassrls; grant usage on schema weft to {other_role}")
    assert "role_bypasses" in await codes(as_role(test_database, other_role))


@pytest.mark.parametrize("parent", ["weft_owner", "weft_auth", "weft_app"])
async def test_a_member_of_ours_is_refused(bare_server: ConnectionFacts, parent: str) -> None:
    """On another server: a member of our roles is a drift to everybody who compares theirs meanwhile."""
    other = f"other_{parent}"
    await bootstrap(bare_server.superuser_dsn)
    admin = await asyncpg.connect(bare_server.superuser_dsn)
    await admin.execute(f"create role {other} login; grant connect on database weft to {other}")
    await admin.execute(f"grant {parent} to {other}")
    await admin.close()
    findings = await check(bare_server.dsn(other, None, "weft"))
    assert findings[0].code == "role_member"
    assert f'revoke {parent} from "{other}"' in findings[0].sentence


async def test_any_other_role_is_refused(test_database: TestDatabase, other_role: str) -> None:
    assert await codes(as_role(test_database, other_role)) == ["role_unknown", "grants_missing"]


async def test_row_security_switched_off_is_found(test_database: TestDatabase, admin: asyncpg.Connection) -> None:
    await admin.execute("alter table weft.workflows disable row level security")
    assert await codes(test_database.app) == ["row_security_inactive"]


async def test_a_missing_table_is_found(test_database: TestDatabase, admin: asyncpg.Connection) -> None:
    await admin.execute("drop table weft.workflows cascade")
    assert await codes(test_database.app) == ["schema_damaged"]


async def test_a_newer_schema_is_refused(test_database: TestDatabase, admin: asyncpg.Connection) -> None:
    await admin.execute("update weft.alembic_version set version_num = '9999'")
    findings = await check(test_database.app)
    assert [finding.code for finding in findings] == ["schema_newer"]
    with pytest.raises(PreflightFailed, match="revision 9999"):
        require(findings)


async def test_a_database_that_was_never_migrated_says_what_to_run(
    test_database: TestDatabase, admin: asyncpg.Connection
) -> None:
    await admin.execute("drop schema weft cascade")
    findings = await check(test_database.app)
    assert findings[0].code == "schema_missing"
    assert "weft db migrate" in findings[0].sentence


async def test_missing_grants_are_found(test_database: TestDatabase, admin: asyncpg.Connection) -> None:
    await admin.execute("revoke select on weft.alembic_version from weft_app")
    assert await codes(test_database.app) == ["grants_missing"]


def test_an_older_schema_needs_a_migration(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    versions = tmp_path / "versions"
    versions.mkdir()
    (versions / "a.py").write_text('revision = "0001"\ndown_revision = None\n')
    (versions / "b.py").write_text("revision: str = '0002'\ndown_revision: str | None = '0001'\n")
    monkeypatch.setattr(preflight, "MIGRATIONS", tmp_path)
    assert preflight.newest_revision() == "0002"
    finding = preflight.revision_finding("0001")
    assert finding is not None
    assert finding.code == "schema_older"
    assert preflight.revision_finding("0002") is None


def test_the_newest_revision_is_the_one_that_alembic_knows() -> None:
    assert preflight.newest_revision() == migrate.head()


@pytest.mark.parametrize(
    ("number", "code", "warns"),
    [
        (140_012, "server_too_old", False),
        (150_017, "server_outdated", True),
        (160_013, "server_outdated", True),
        (170_009, "server_outdated", True),
        (180_003, "server_outdated", True),
        (190_000, "server_untested", True),
    ],
)
def test_server_versions(number: int, code: str, warns: bool) -> None:
    [finding] = preflight._version_findings(number)
    assert (finding.code, finding.warning) == (code, warns)


@pytest.mark.parametrize("number", [150_018, 160_014, 170_010, 180_004, 180_006])
def test_good_server_versions(number: int) -> None:
    assert preflight._version_findings(number) == []


async def test_an_unreachable_server_is_a_finding_with_advice(tmp_path: Path) -> None:
    [finding] = await check(f"postgresql://weft_app:hush@/weft?host={tmp_path}")
    assert finding.code == "server_unreachable"
    assert "hush" not in finding.sentence
    assert "Check that the server runs" in finding.sentence


async def test_a_missing_database_says_how_to_make_it(cluster: Cluster) -> None:
    [finding] = await check(cluster.dsn("no_such_database", "weft_app"))
    assert "weft db init" in finding.sentence


async def test_an_address_that_is_none_is_explained() -> None:
    [finding] = await check("postgresql://host:notaport/x")
    assert "postgresql://role:password@host:5432/database" in finding.sentence


def test_warnings_do_not_refuse() -> None:
    warning = Finding("server_outdated", "old", warning=True)
    assert require([warning]) == [warning]


def test_all_refusals_are_said_at_once() -> None:
    with pytest.raises(PreflightFailed, match=r"(?s)one\..*two\."):
        require([Finding("a", "one."), Finding("b", "two.")])


def test_what_is_known_in_two_places_is_the_same() -> None:
    assert preflight.SCHEMA == base.SCHEMA
    assert preflight.MIGRATIONS == migrate.MIGRATIONS
