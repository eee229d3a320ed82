"""Lists are read from a streaming replica when it knows enough, and from the primary when not."""

from __future__ import annotations

import asyncio
import json
import tempfile
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from pathlib import Path
from uuid import uuid4

import asyncpg
import httpx2
import pytest
from sqlalchemy import select
from tests.conftest import make_tenant
from tests.factories import api, identity
from tests.factories.identity import Person
from tests.ops.scale.standby import Pair, following, pair

from weft.api.metrics import Metrics
from weft.cli import command_line
from weft.cli.database_replica import reads_there
from weft.db.database import Database
from weft.db.replica import POSITION, Freshness, Lag, Replica, State, position_number
from weft.db.scope import Scope, enter
from weft.domain.audit import service as audit
from weft.domain.clients.models import Client
from weft.http import replicas
from weft.ops.doctor import replica as doctor
from weft.ops.doctor.answers import Verdict
from weft.ops.monitoring.facts import Sampler
from weft.ops.scale.replica import status
from weft.settings import load_settings


class Clock:
    """Stands still until it is moved."""

    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


class Served:
    """The API in this process, with a replica, and somebody who may do everything."""

    def __init__(self, database: Database, replica: Replica, client: httpx2.AsyncClient, owner: Person) -> None:
        self.database, self.replica, self.client, self.owner = database, replica, client, owner

    async def write(self, name: str) -> None:
        answer = await self.client.post("/v1/clients", json={"name": name})
        assert answer.status_code == 201, answer.text

    async def audited(self, **headers: str) -> set[str]:
        """The clients whose making the audit list shows."""
        answer = await self.client.get("/v1/audit", params={"resource_type": "clients"}, headers=headers)
        assert answer.status_code == 200, answer.text
        return {item["after"]["name"] for item in answer.json()["items"]}

    async def answered_by(self) -> str:
        """Who answers a list that needs to be new."""
        before = dict(self.replica.reads)
        await self.audited()
        (who,) = [name for name, count in self.replica.reads.items() if count > before[name]]
        return who


@pytest.fixture(scope="module")
def both() -> Iterator[Pair]:
    with tempfile.TemporaryDirectory(prefix="weft-pair-") as place, pair(Path(place)) as running:
        yield running


@pytest.fixture(autouse=True)
def patience(monkeypatch: pytest.MonkeyPatch) -> None:
    """A machine that stalls for a second has no replica that is away."""
    monkeypatch.setattr("weft.db.replica.LOOK_SECONDS", 30.0)


@pytest.fixture
async def served(both: Pair) -> AsyncIterator[Served]:
    async with serving(both, both.standby.app) as opened:
        yield opened


@asynccontextmanager
async def serving(both: Pair, replica_dsn: str) -> AsyncIterator[Served]:
    database = await Database.open(both.primary, size=3, hot_size=3, master_key=bytes(32))
    # By a clock that goes slower: a machine that stalls for a second has no replica that is behind.
    replica = Replica(database, replica_dsn, size=2, clock=lambda: time.monotonic() / 10)
    database.replica = replica
    try:
        owner = await identity.tenant(database, f"t-{uuid4().hex[:12]}")
        await until(replica, State.ready)
        async with api.client(database) as client:
            client.headers.update(await identity.bearer(database, owner))
            yield Served(database, replica, client, owner)
    finally:
        await replica.close()
        await database.close()


async def until(replica: Replica, wanted: State) -> None:
    """Look until it is in this state."""
    async with asyncio.timeout(60):
        while await replica.look() is not wanted:  # noqa: ASYNC110  the replica tells nobody
            await asyncio.sleep(0.02)


@asynccontextmanager
async def standing_still(both: Pair) -> AsyncIterator[None]:
    """The replica gets the log and does not replay it."""
    admin = await asyncpg.connect(both.standby.admin)
    try:
        await admin.execute("select pg_wal_replay_pause()")
        while await admin.fetchval("select pg_get_wal_replay_pause_state()") != "paused":  # noqa: ASYNC110 - the server tells nobody
            await asyncio.sleep(0.01)
        yield
    finally:
        await admin.execute("select pg_wal_replay_resume()")
        await admin.close()


async def test_a_list_is_read_there_and_shows_what_was_just_written(served: Served) -> None:
    for number in range(5):
        await served.write(f"client {number}")
        assert f"client {number}" in await served.audited()
    await caught_up(served)
    assert served.replica.reads["replica"] >= 1


async def caught_up(served: Served) -> None:
    """The replica answers a list that must not be older than the request."""
    async with asyncio.timeout(60):
        while await served.answered_by() != "replica":
            await served.replica.look()


async def test_what_only_the_primary_knows_yet_is_read_there(served: Served, both: Pair) -> None:
    await served.write("before")
    await caught_up(served)
    async with standing_still(both):
        await served.write("just now")
        assert await served.audited() == {"before", "just now"}
        assert await served.answered_by() == "primary"
        patient = await served.audited(**{"Cache-Control": "max-stale=9"})
        assert patient == {"before"}, "nine seconds old is new enough for whoever says so"
        assert await served.audited(**{"Cache-Control": "no-cache"}) == {"before", "just now"}
    await caught_up(served)
    assert await served.audited() == {"before", "just now"}


async def test_other_addresses_are_never_read_there(served: Served, both: Pair) -> None:
    async with standing_still(both):
        made = await served.client.post("/v1/clients", json={"name": "Grace"})
        before = dict(served.replica.reads)
        found = await served.client.get(f"/v1/clients/{made.json()['id']}")
        assert found.status_code == 200
        assert served.replica.reads == before


async def test_a_session_that_was_ended_opens_no_list_though_the_replica_knows_it(served: Served, both: Pair) -> None:
    await caught_up(served)
    async with standing_still(both):
        out = await served.client.post("/v1/auth/logout")
        assert out.status_code in (200, 204), out.text
        answer = await served.client.get("/v1/audit", headers={"Cache-Control": "max-stale=9"})
        assert answer.status_code == 401


async def test_row_security_holds_there(served: Served, both: Pair) -> None:
    bob = await make_tenant(served.database, f"bob-{uuid4().hex[:8]}")
    async with enter(served.database, bob) as scope:
        await scope.add(Client(name="Bob's"))
    ada = await identity.actor(served.database, served.owner)
    async with enter(served.database, ada) as scope:
        await scope.add(Client(name="Ada's"))
        wanted = Freshness(position=await scope.raw.fetchval("select pg_current_wal_insert_lsn()::text"))
    await until_seen(served, wanted)
    for actor, name in ((bob, "Bob's"), (ada, "Ada's")):
        async with enter(served.database, actor, read_only=True, freshness=Freshness(9.0)) as scope:
            assert scope.from_replica
            assert [client.name for client in await scope.all(select(Client))] == [name]
            with pytest.raises(asyncpg.ReadOnlySQLTransactionError):
                await scope.raw.execute("delete from weft.clients")
    nobody = await asyncpg.connect(both.standby.app)
    try:
        assert await nobody.fetchval("select count(*) from weft.clients") == 0
    finally:
        await nobody.close()


async def until_seen(served: Served, wanted: Freshness) -> None:
    async with asyncio.timeout(60):
        while (connection := await served.replica.connection(wanted)) is None:
            await served.replica.look()
    await connection.close()


async def test_a_replica_that_row_security_does_not_bind_is_not_asked(both: Pair) -> None:
    database = await Database.open(both.primary, size=1, hot_size=1)
    replica = Replica(database, both.standby.admin)
    try:
        assert await replica.look() is State.unguarded
        assert await replica.connection(Freshness(9.0)) is None
    finally:
        await replica.close()
        await database.close()


async def test_it_is_left_alone_while_it_is_too_far_behind(both: Pair) -> None:
    database = await Database.open(both.primary, size=2, hot_size=2)
    clock = Clock()
    replica = Replica(database, both.standby.app, max_lag=10.0, clock=clock)
    try:
        ada = await make_tenant(database, f"t-{uuid4().hex[:12]}")
        await until(replica, State.ready)
        async with standing_still(both):
            async with enter(database, ada) as scope:
                await scope.add(Client(name="Grace"))
            clock.now += 6
            assert await replica.look() is State.ready
            assert not replica.may_answer(Freshness(5.0))
            clock.now += 6
            assert await replica.look() is State.lagging
            assert (replica.lag_bytes or 0) > 0
            assert not replica.may_answer(Freshness(3600.0))
        await until(replica, State.ready)
        async with asyncio.timeout(60):
            while replica.lag_seconds != 0:  # it may have replayed the half of it
                await replica.look()
    finally:
        await replica.close()
        await database.close()


async def test_it_may_go_away_and_come_back(served: Served, both: Pair) -> None:
    await served.write("before")
    await caught_up(served)
    both.standby.stop()
    try:
        assert await served.audited() == {"before"}, "the first read finds out, and goes to the primary"
        assert served.replica.state is State.away
        assert await served.replica.look() is State.away
        assert await served.answered_by() == "primary"
    finally:
        both.standby.start()
    await until(served.replica, State.ready)
    await served.write("afterwards")
    await caught_up(served)
    assert await served.audited() == {"before", "afterwards"}


async def test_a_read_that_breaks_off_there_is_done_again_here(
    served: Served, both: Pair, monkeypatch: pytest.MonkeyPatch
) -> None:
    await served.write("before")
    await caught_up(served)
    original = audit.listed
    broken: list[bool] = []

    async def listed(scope: Scope, *arguments: object) -> object:
        if scope.from_replica:
            broken.append(True)
            admin = await asyncpg.connect(both.standby.admin)
            try:
                await admin.execute("select pg_terminate_backend($1)", scope.raw.get_server_pid())
            finally:
                await admin.close()
        return await original(scope, *arguments)  # type: ignore[arg-type]  # passed on as they came

    monkeypatch.setattr(audit, "listed", listed)
    async with asyncio.timeout(60):
        while not broken:  # the primary answers what the replica has not replayed in time
            assert await served.audited() == {"before"}
    assert broken == [True]
    assert served.replica.state is State.away, "nobody else is sent there before it was looked at"


async def test_a_promoted_replica_is_another_server(both: Pair) -> None:
    name = f"extra_{uuid4().hex[:8]}"
    with following(both.home, both.facts, name) as extra:
        async with serving(both, extra.app) as served:
            await served.write("before")
            await caught_up(served)
            admin = await asyncpg.connect(extra.admin)
            try:
                assert await admin.fetchval("select pg_promote()")
            finally:
                await admin.close()
            assert await served.answered_by() == "primary", "even before the next look"
            assert await served.replica.look() is State.promoted
            assert await served.audited(**{"Cache-Control": "max-stale=9"}) == {"before"}
            found = await status(both.primary, extra.app, max_lag=10)
            assert found.state is State.promoted
    admin = await asyncpg.connect(both.admin)
    try:
        await admin.execute("select pg_drop_replication_slot($1)", name)
    finally:
        await admin.close()


async def test_numbers_for_prometheus(served: Served) -> None:
    from prometheus_client import generate_latest

    metrics = Metrics()
    metrics.watch(served.database, Sampler(served.database, 60.0))
    await caught_up(served)
    said = generate_latest(metrics.registry).decode()
    assert "weft_replica_ready 1.0" in said
    assert "weft_replica_lag_seconds " in said
    assert 'weft_replica_reads_total{answered_by="replica"}' in said
    assert 'weft_database_connections_awaited{pool="rooms"} 0.0' in said


def test_the_command_says_how_it_stands(
    both: Pair, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("WEFT_DATABASE_URL", both.primary)
    asyncio.run(both.level())
    assert command_line.run(["db", "replica"]) == 2
    assert "WEFT_DATABASE_REPLICA_URL" in capsys.readouterr().err
    monkeypatch.setenv("WEFT_DATABASE_REPLICA_URL", both.standby.app)
    assert command_line.run(["db", "replica", "--json"]) == 0
    told = json.loads(capsys.readouterr().out)
    assert told["state"] == "ready"
    assert told["lag_bytes"] is not None
    assert told["slots"][0]["active"] is True
    assert "password" not in told["address"]
    assert told["reads"] == reads_there()
    assert command_line.run(["db", "replica"]) == 0
    assert "GET /v1/executions" in capsys.readouterr().out
    monkeypatch.setenv("WEFT_DATABASE_REPLICA_URL", both.standby.admin)
    assert command_line.run(["db", "replica"]) == 6
    assert "unguarded" in capsys.readouterr().out


async def test_the_doctor_has_a_line_about_it(both: Pair, tmp_path: Path) -> None:
    settings = load_settings({"HOME": "/home", "WEFT_DATABASE_REPLICA_URL": both.standby.app}, directory=tmp_path)
    await both.level()
    (answer,) = await doctor.look(settings.database, both.primary)
    assert answer.verdict is Verdict.ok, answer
    wrong = load_settings({"HOME": "/home", "WEFT_DATABASE_REPLICA_URL": both.standby.admin}, directory=tmp_path)
    (answer,) = await doctor.look(wrong.database, both.primary)
    assert answer.verdict is Verdict.fail


def test_what_is_read_there_is_lists_and_sums() -> None:
    assert reads_there() == [
        "GET /v1/audit",
        "GET /v1/executions",
        "GET /v1/executions/counts",
        "GET /v1/usage/storage",
    ]


def test_a_lag_is_measured_by_the_log_and_not_by_clocks() -> None:
    lag = Lag(20)
    assert lag.seconds(10) is None
    lag.note(0, 100)
    assert (lag.seconds(100), lag.bytes(100)) == (0, 0)
    assert lag.seconds(99) is None, "it was never seen that far"
    for at in range(1, 30):
        lag.note(at, 100)  # the primary rests
    assert lag.seconds(100) == 0
    lag.note(30, 250)
    assert (lag.seconds(100), lag.bytes(100)) == (1, 150)
    lag.note(40, 300)
    assert (lag.seconds(100), lag.seconds(250), lag.seconds(300)) == (11, 10, 0)


def test_a_place_in_the_log_is_a_number() -> None:
    assert position_number("0/0") == 0
    assert position_number("1/0000000A") == (1 << 32) + 10
    assert position_number("16/B374D848") > position_number("16/B374D847")
    assert "flush_lsn" in POSITION


@pytest.mark.parametrize(
    ("header", "seconds"),
    [
        ("", 2.0),
        ("max-stale=7", 7.0),
        ("private, max-stale=0", 0.0),
        ("max-stale", 10.0),
        ("max-stale=soon", 2.0),
        ("max-stale=99999999999999999999", 2.0),
        ("no-cache", None),
        ("No-Store, max-stale=7", None),
    ],
)
def test_a_request_says_how_old_its_answer_may_be(header: str, seconds: float | None) -> None:
    assert replicas._max_stale(header, 2.0, 10.0) == seconds
