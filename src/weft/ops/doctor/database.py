"""The database, asked as the application role: what it is, whether its promises hold, how much waits in it.

Row security shows that role one tenant at a time, on purpose. The two questions that go across tenants (dead jobs,
stored keys) are asked as the owner; without its address they are skipped, and the answer says so.
"""

from __future__ import annotations

from collections.abc import Awaitable, Sequence
from datetime import timedelta
from typing import TYPE_CHECKING

import asyncpg

from weft.core.clock import Clock
from weft.ops import preflight
from weft.ops.connections import ServerUnreachable, connect, database_of
from weft.ops.doctor import health
from weft.ops.doctor.answers import Answer, Verdict, fail, found, ok, refused, skipped, warning
from weft.ops.installation import Addresses
from weft.ops.preflight import Finding
from weft.ops.roles import APP, DEFINERS, OWNER

if TYPE_CHECKING:
    from weft.db.database import Connection
    from weft.settings import Settings

SKEW_WARNS, SKEW_FAILS = timedelta(seconds=2), timedelta(minutes=1)
"""Difference of clocks: timers are due by the worker's clock, leases end by the database's."""
MONTHS_AHEAD = 2  # fewer are a warning: a running worker makes one more than this
_MOST_MONTHS = 24
WAITING_WARNS, WAITING_FAILS = timedelta(minutes=1), timedelta(minutes=15)
"""How long the oldest job may have been ready."""
CONNECTIONS_WARN = 0.8
KEYS_TRIED = 1000

_TOPICS = {"server": "server", "role": "roles", "grants": "schema", "schema": "schema", "row": "row security"}

UNGUARDED = """
select c.relname from pg_class c
 where c.relnamespace = 'weft'::regnamespace and c.relkind in ('r', 'p') and c.relname <> 'alembic_version'
   and not (c.relrowsecurity and c.relforcerowsecurity)
 order by 1
"""
GUARDED = """
select count(*) from pg_class c
 where c.relnamespace = 'weft'::regnamespace and c.relkind in ('r', 'p') and c.relname <> 'alembic_version'
"""
LIFTED = """
select rolname from pg_roles
 where rolname = any($1) and (rolsuper or rolbypassrls or (rolcanlogin and rolname = any($2))) order by 1
"""
MISSING_MONTHS = """
select to_char(month, 'YYYYMM') as month, ahead, parent
  from generate_series(0, $1) as ahead
 cross join unnest(array['execution_logs', 'audit_logs']) as parent
 cross join lateral (select date_trunc('month', now() at time zone 'utc') + make_interval(months => ahead)) m (month)
 where to_regclass('weft.' || parent || '_' || to_char(month, 'YYYYMM')) is null
 order by ahead, parent
"""
QUEUE = """
select state, jobs, clock_timestamp() - oldest as waiting from weft.queue_depth()
"""
WORKERS = """
select count(*) filter (where application_name = 'weft worker listen') as listening,
       count(*) filter (where application_name = 'weft worker') as working
  from pg_stat_activity where datname = current_database()
"""
CONNECTIONS = """
select count(*) as used, current_setting('max_connections')::integer
       - current_setting('superuser_reserved_connections')::integer as allowed
  from pg_stat_activity where datid is not null
"""


async def look(
    addresses: Addresses, *, listen_dsn: str | None, running: bool, clock: Clock, settings: Settings | None = None
) -> list[Answer]:
    """Everything that the application role can see. `running`: a `weft up` keeps this database's processes."""
    findings = await preflight.check(addresses.app)
    if any(finding.code == preflight.DatabaseNotReachable.code for finding in findings):
        return [found("server", finding) for finding in findings]
    try:
        connection = await connect(addresses.app, application="weft doctor")
    except ServerUnreachable as error:
        return [refused("server", error)]
    try:
        answers = [await _asked("server", _server(connection, findings))]
        answers += await _safety(connection, findings)
        answers.append(await _asked("connections", _connections(connection)))
        answers.append(await _asked("clock", _clock(connection, clock)))
        if not any(finding.code.startswith(("schema_", "grants_")) for finding in findings):
            answers.append(await _asked("partitions", _partitions(connection)))
            answers += await _work(connection, running=running)
            answers += await health.answers(connection, settings, clock())
    finally:
        await connection.close()
    if listen_dsn is not None:
        answers.append(await _listening(listen_dsn))
    return answers


async def across_tenants(addresses: Addresses, master: bytes | None) -> list[Answer]:
    """What only the owner sees: jobs that were given up, and whether the master key opens what is stored."""
    topics = ("dead jobs", "master key") if master is not None else ("dead jobs",)
    if addresses.owner is None:
        return [skipped(t, "The application role sees one tenant at a time.", _SET_OWNER) for t in topics]
    if database_of(addresses.owner) != database_of(addresses.app):
        sentence = "WEFT_DATABASE_OWNER_URL and WEFT_DATABASE_URL name different databases."
        return [fail("owner", sentence, "Make them agree.")]
    try:
        connection = await connect(addresses.owner, application="weft doctor")
    except ServerUnreachable as error:
        return [refused("owner", error)]
    try:
        async with connection.transaction(readonly=True):
            await connection.execute("set local app.maintenance = 'on'")
            answers = [await _dead(connection)]
            if master is not None:
                answers.append(await _stored_keys(connection, master))
        return answers
    except asyncpg.PostgresError as error:
        return [_unasked("owner", error)]
    finally:
        await connection.close()


_SET_OWNER = "Set WEFT_DATABASE_OWNER_URL for this command to have it checked."


async def _asked(topic: str, question: Awaitable[Answer]) -> Answer:
    """An answer in any case: a database that refuses one question is asked the next."""
    try:
        return await question
    except (asyncpg.PostgresError, asyncpg.InterfaceError, OSError) as error:
        return _unasked(topic, error)


def _unasked(topic: str, error: Exception) -> Answer:
    return fail(topic, f"The database did not answer this: {error}.", "`weft db check` says what differs.")


async def _server(connection: Connection, findings: Sequence[Finding]) -> Answer:
    row = await connection.fetchrow(
        "select current_setting('server_version') as version, current_database() as name,"
        " pg_size_pretty(pg_database_size(current_database())) as size"
    )
    about = next((finding for finding in findings if finding.code.startswith("server_")), None)
    if about is not None:
        return found("server", about)
    version = row["version"].partition(" ")[0]
    return ok("server", f"PostgreSQL {version} answers; the database '{row['name']}' holds {row['size']}.")


async def _safety(connection: Connection, findings: Sequence[Finding]) -> list[Answer]:
    """Roles, schema and row security: what the preflight found, and where it found nothing, more closely."""
    answers = []
    for topic, question in (("roles", _roles), ("schema", _schema), ("row security", _row_security)):
        about = [finding for finding in findings if _TOPICS.get(finding.code.partition("_")[0]) == topic]
        answers += [found(topic, finding) for finding in about] or [await _asked(topic, question(connection))]
    if any(answer.topic == "schema" and answer.verdict is Verdict.fail for answer in answers):
        answers = [answer for answer in answers if answer.topic != "row security"]
    return answers


async def _roles(connection: Connection) -> Answer:
    lifted = [row[0] for row in await connection.fetch(LIFTED, [OWNER, *DEFINERS], list(DEFINERS))]
    if lifted:
        sentence = f"{', '.join(lifted)} may more than it should (superuser, BYPASSRLS, or LOGIN)."
        return fail("roles", sentence, "`weft db init --admin-url ...` sets the roles right.")
    return ok("roles", f"'{APP}' is an ordinary role, a member of nothing; row security binds every role of weft.")


async def _schema(connection: Connection) -> Answer:
    revision = await connection.fetchval("select version_num from weft.alembic_version")
    return ok("schema", f"At revision {revision}, the one that this weft was written for.")


async def _row_security(connection: Connection) -> Answer:
    bare = [row[0] for row in await connection.fetch(UNGUARDED)]
    if bare:
        sentence = f"Row security is not enabled and forced on {', '.join(bare)}: tenants could see each other."
        return fail("row security", sentence, "`weft db check` says what else differs; mend it before you go on.")
    count = await connection.fetchval(GUARDED)
    return ok("row security", f"Enabled and forced on all {count} tables and partitions.")


async def _connections(connection: Connection) -> Answer:
    row = await connection.fetchrow(CONNECTIONS)
    sentence = f"{row['used']} of {row['allowed']} connections of the server are in use."
    if row["used"] >= CONNECTIONS_WARN * row["allowed"]:
        advice = "Raise max_connections, lower WEFT_DATABASE_POOL_SIZE, or put a pooler in front."
        return warning("connections", sentence, advice)
    return ok("connections", sentence)


async def _clock(connection: Connection, clock: Clock) -> Answer:
    before = clock()
    there = await connection.fetchval("select clock_timestamp()")
    after = clock()
    # Anything within the question's own duration is not a difference.
    skew = max(before - there, there - after, timedelta())
    sentence = f"The clocks here and of the database differ by {skew.total_seconds():.1f} s."
    advice = "Let both machines keep the time (chrony, systemd-timesyncd): timers and leases compare the two."
    if skew >= SKEW_FAILS:
        return fail("clock", sentence, advice)
    if skew >= SKEW_WARNS:
        return warning("clock", sentence, advice)
    return ok("clock", "The clocks here and of the database agree.")


async def _partitions(connection: Connection) -> Answer:
    absent = await connection.fetch(MISSING_MONTHS, _MOST_MONTHS)
    missing = [row for row in absent if row["ahead"] <= MONTHS_AHEAD]
    if not missing:
        months = absent[0]["ahead"] - 1 if absent else _MOST_MONTHS
        return ok("partitions", f"Journal and audit log have their partitions for {months} months ahead.")
    names = ", ".join(f"{row['parent']}_{row['month']}" for row in missing)
    advice = "A running worker makes them; by hand: select weft.ensure_partitions(3)"
    if missing[0]["ahead"] == 0:
        return fail("partitions", f"Missing: {names}. What belongs there is refused.", advice)
    return warning("partitions", f"Missing: {names}.", advice)


async def _work(connection: Connection, *, running: bool) -> list[Answer]:
    try:
        workers = await connection.fetchrow(WORKERS)
        queue = {row["state"]: row for row in await connection.fetch(QUEUE)}
    except asyncpg.PostgresError as error:
        return [_unasked("queue", error)]
    ready = queue["ready"]["jobs"] if "ready" in queue else 0
    oldest: timedelta = queue["ready"]["waiting"] if ready else timedelta()
    counts = [f"{row['jobs']} {state}" for state, row in sorted(queue.items())]
    sentence = f"Jobs: {', '.join(counts) or 'none'}." + (
        f" The oldest has been ready for {_span(oldest)}." * bool(ready)
    )
    advice = "See the worker's log; start more workers, or raise WEFT_WORKER_CONCURRENCY."
    if oldest >= WAITING_FAILS:
        depth = fail("queue", sentence, advice)
    elif oldest >= WAITING_WARNS:
        depth = warning("queue", sentence, advice)
    else:
        depth = ok("queue", sentence)
    return [_worker(workers["listening"], workers["working"], running=running, waiting=ready > 0), depth]


def _worker(listening: int, working: int, *, running: bool, waiting: bool) -> Answer:
    if listening:
        return ok("worker", f"{listening} {'is' if listening == 1 else 'are'} connected.")
    if working:
        return warning(
            "worker",
            "One is connected but not listening: it finds jobs by looking only, up to WEFT_WORKER_POLL_SECONDS late.",
            "Give it a direct address in WEFT_DATABASE_LISTEN_URL if a pooler stands between.",
        )
    advice = "`weft up` starts one together with the API; alone: weft worker"
    if running or waiting:
        return fail("worker", "None is connected: nothing runs, no timer fires.", advice)
    return warning("worker", "None is connected.", advice)


def _span(time: timedelta) -> str:
    seconds = max(0, int(time.total_seconds()))
    if seconds < 120:
        return f"{seconds} s"
    return f"{seconds // 60} min" if seconds < 7200 else f"{seconds // 3600} h"


async def _listening(dsn: str) -> Answer:
    try:
        connection = await connect(dsn, application="weft doctor")
    except ServerUnreachable as error:
        return refused("notifications", error)
    await connection.close()
    return ok("notifications", "WEFT_DATABASE_LISTEN_URL answers.")


async def _dead(connection: Connection) -> Answer:
    row = await connection.fetchrow(
        "select count(*) as jobs, max(died_at) as last, count(distinct tenant_id) as tenants from weft.dispatch_dead"
    )
    if not row["jobs"]:
        return ok("dead jobs", "None: no job was ever given up.")
    sentence = (
        f"{row['jobs']} jobs of {row['tenants']} tenants were given up, the last on {row['last']:%Y-%m-%d %H:%M} UTC."
    )
    return warning("dead jobs", sentence, "`weft dead list` explains those of a tenant; `weft dead retry` helps.")


async def _stored_keys(connection: Connection, master: bytes) -> Answer:
    from weft.db.keyring import Keyring, SecretsUnreadable

    keyring = Keyring(master)
    wrapped = await connection.fetch(
        "select wrapped from weft.tenant_keys order by created_at desc limit $1", KEYS_TRIED
    )
    closed = 0
    for row in wrapped:
        try:
            keyring.unwrap(row[0])
        except SecretsUnreadable:
            closed += 1
    if closed:
        sentence = f"{closed} of {len(wrapped)} stored tenant keys do not open with this master key."
        return fail("master key", sentence, "Set WEFT_MASTER_KEY_FILE to the key that this database was made with.")
    if not wrapped:
        return ok("master key", "It is there; no tenant has stored a secret yet.")
    return ok("master key", f"It opens the stored keys of every tenant ({len(wrapped)} tried).")
