"""Fixtures for everybody: one server, a migrated template, a database per test cloned from it.

Tests connect as `weft_app`: real commits, real row security, real notifications. `WEFT_TEST_CLUSTER` (a DSN of a
superuser on a server made for tests) uses that server instead of starting one.
"""

from __future__ import annotations

import asyncio
import hashlib
import os
import tempfile
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import AbstractAsyncContextManager, suppress
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import parse_qs, urlencode, urlsplit, urlunsplit
from uuid import UUID, uuid4

import asyncpg
import pytest
from hypothesis import HealthCheck, settings
from tests.places import is_memory, prefer_memory

from weft.core.actor import Actor, ActorKind, system_actor
from weft.core.ids import new_id
from weft.db import migrate
from weft.db.database import Database
from weft.db.scope import Scope, enter
from weft.migrations import freeze
from weft.ops import roles
from weft.ops.postgres import ephemeral_cluster

# A busy machine is no fault of a property, and what one run finds the next finds too: nothing is kept between runs.
# Examples that nobody has seen come with `--hypothesis-profile=search`.
settings.register_profile(
    "weft", deadline=None, database=None, derandomize=True, suppress_health_check=[HealthCheck.too_slow]
)
settings.register_profile("search", settings.get_profile("weft"), derandomize=False)
settings.load_profile("weft")

PASSWORDS = {"weft_owner": "owner-of-tests", "weft_app": "app-of-tests"}


@dataclass(frozen=True)
class Cluster:
    """A server for tests. `dsn(...)` gives an address on it."""

    admin: str

    @property
    def strategy(self) -> str:
        """How a database is cloned the fastest: through the log on a disk, file by file in memory."""
        host = parse_qs(urlsplit(self.admin).query).get("host", [""])[0]
        return "file_copy" if is_memory(Path(host)) else "wal_log"

    def dsn(self, database: str, user: str | None = None) -> str:
        parts = urlsplit(self.admin)
        query = {k: v[0] for k, v in parse_qs(parts.query).items()}
        host = parts.hostname or ""
        port = f":{parts.port}" if parts.port else ""
        if user is None:
            userinfo = parts.netloc.rpartition("@")[0]
        else:
            userinfo = f"{user}:{PASSWORDS[user]}"
        return urlunsplit(("postgresql", f"{userinfo}@{host}{port}", f"/{database}", urlencode(query), ""))


@dataclass(frozen=True)
class TestDatabase:
    """One test's own database."""

    __test__ = False

    name: str
    cluster: Cluster

    @property
    def app(self) -> str:
        return self.cluster.dsn(self.name, "weft_app")

    @property
    def owner(self) -> str:
        return self.cluster.dsn(self.name, "weft_owner")

    @property
    def admin(self) -> str:
        return self.cluster.dsn(self.name)


@pytest.fixture(scope="session")
def cluster(tmp_path_factory: pytest.TempPathFactory, worker_id: str) -> Iterator[Cluster]:
    """The server: shared by all xdist workers of one run, started by the controller (see pytest_configure)."""
    given = os.environ.get("WEFT_TEST_CLUSTER")
    if given:
        yield Cluster(given)
        return
    with tempfile.TemporaryDirectory(prefix="weft-test-") as directory, ephemeral_cluster(Path(directory)) as facts:
        yield Cluster(facts.superuser_dsn)


def pytest_configure(config: pytest.Config) -> None:
    """With xdist, the controller starts one server and tells its workers by the environment."""
    if hasattr(config, "workerinput"):
        return
    prefer_memory()
    if os.environ.get("WEFT_TEST_CLUSTER"):
        return
    if not getattr(config.option, "numprocesses", None):
        return
    directory = tempfile.TemporaryDirectory(prefix="weft-test-")
    running = ephemeral_cluster(Path(directory.name))
    facts = running.__enter__()
    os.environ["WEFT_TEST_CLUSTER"] = facts.superuser_dsn

    def stop() -> None:
        os.environ.pop("WEFT_TEST_CLUSTER", None)
        running.__exit__(None, None, None)
        directory.cleanup()

    config.add_cleanup(stop)


@pytest.fixture(scope="session")
def worker_id() -> str:
    return os.environ.get("PYTEST_XDIST_WORKER", "master")


async def insist(admin: asyncpg.Connection, sql: str) -> None:
    """For what needs a database that nobody is connected to: the server waits five seconds for connections to end, and
    on a machine that stands still that may not be enough."""
    for _ in range(10):
        with suppress(asyncpg.ObjectInUseError):
            await admin.execute(sql)
            return
    await admin.execute(sql)


async def _make_template(cluster: Cluster) -> str:
    """Roles and a migrated database, made once per server whatever the number of test processes."""
    digest = hashlib.sha256(freeze.foundation().encode()).hexdigest()[:12]
    name = f"weft_template_{digest}"
    admin = await asyncpg.connect(cluster.dsn("postgres"))
    try:
        await admin.execute("select pg_advisory_lock(hashtext('weft.tests'))")
        if not await admin.fetchval("select exists (select from pg_database where datname = $1)", name):
            building = f"{name}_building"
            await admin.execute(f"drop database if exists {building}")
            await roles.bootstrap(cluster.dsn("postgres"), building, PASSWORDS)
            # Whoever has a lock, or works on a statement, may be kept waiting by other tests for some seconds.
            for limit in ("lock_timeout", "statement_timeout"):
                await admin.execute(f"alter role weft_app set {limit} = '60s'")
            await migrate.upgrade(cluster.dsn(building, "weft_owner"))
            await insist(admin, f"alter database {building} rename to {name}")
    finally:
        await admin.close()
    return name


@pytest.fixture(scope="session")
def template(cluster: Cluster) -> str:
    return asyncio.run(_make_template(cluster))


@pytest.fixture
async def test_database(cluster: Cluster, template: str) -> AsyncIterator[TestDatabase]:
    """A fresh, migrated, empty database (some 40 ms in memory)."""
    name = f"weft_test_{uuid4().hex}"
    admin = await asyncpg.connect(cluster.dsn("postgres"))
    try:
        await insist(admin, f"create database {name} template {template} strategy {cluster.strategy} owner weft_owner")
        # A clone inherits everything but the grants on the database itself.
        await admin.execute(f"revoke all on database {name} from public; grant connect on database {name} to weft_app")
        try:
            yield TestDatabase(name, cluster)
        finally:
            await insist(admin, f"drop database {name} with (force)")
    finally:
        await admin.close()


@pytest.fixture
def place() -> Iterator[Path]:
    """A directory for servers. Not pytest's own: every pytest that starts closes that one to the server's account."""
    with tempfile.TemporaryDirectory(prefix="weft-place-") as directory:
        yield Path(directory)


def lasting_database(cluster: Cluster, options: str = "") -> Iterator[TestDatabase]:
    """A database for many tests, which leave nothing in it."""
    name = f"weft_test_{uuid4().hex}"

    async def execute(sql: str) -> None:
        admin = await asyncpg.connect(cluster.dsn("postgres"))
        await insist(admin, sql)
        await admin.close()

    asyncio.run(execute(f"create database {name} owner weft_owner {options}"))
    yield TestDatabase(name, cluster)
    asyncio.run(execute(f"drop database {name} with (force)"))


@pytest.fixture(scope="session")
def migrated(cluster: Cluster, template: str) -> Iterator[TestDatabase]:
    """A database as the revisions make it, for tests that roll back what they do."""
    yield from lasting_database(cluster, f"template {template} strategy {cluster.strategy}")


@pytest.fixture
async def database(test_database: TestDatabase) -> AsyncIterator[Database]:
    """Connected as the application role."""
    opened = await Database.open(
        test_database.app, application_name="weft test", size=5, hot_size=5, master_key=bytes(32)
    )
    try:
        yield opened
    finally:
        await opened.close()


Enter = Callable[[], AbstractAsyncContextManager[Scope]]
MakeTenant = Callable[[str], Awaitable[Actor]]


async def make_tenant(database: Database, slug: str) -> Actor:
    """A bare tenant without roles or members, and an actor in it who may do everything."""
    tenant_id = new_id()
    actor = system_actor(tenant_id, name=slug)
    async with enter(database, actor) as scope:
        await scope.raw.execute("select weft.create_tenant($1, $2, $3, 'FREE')", tenant_id, slug, slug.title())
    return actor


@pytest.fixture
async def ada(database: Database) -> Actor:
    """An actor of tenant `ada` who may do everything."""
    return await make_tenant(database, "ada")


@pytest.fixture
async def bob(database: Database) -> Actor:
    """An actor of another tenant."""
    return await make_tenant(database, "bob")


@pytest.fixture
def as_ada(database: Database, ada: Actor) -> Enter:
    return lambda: enter(database, ada)


@pytest.fixture
def as_bob(database: Database, bob: Actor) -> Enter:
    return lambda: enter(database, bob)


def actor_with(tenant_id: UUID, *permissions: str) -> Actor:
    """Somebody in a tenant who may do just this."""
    return Actor(
        tenant_id=tenant_id, id=new_id(), kind=ActorKind.user, name="somebody", permissions=frozenset(permissions)
    )
