"""What has a time after which it goes: sessions that are over, old events, what became of old due times; and months.

Idempotency keys and simulations are executions, and go with them when retention says so.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from datetime import timedelta
from typing import Any, Final

from weft.domain.events.rules import KEPT as EVENTS_KEPT
from weft.ops.connections import connect
from weft.ops.retention import Sweep, bounds_of
from weft.ops.upkeep.tasks import Means, Step, counted

SESSIONS_KEPT: Final = timedelta(days=30)
"""How long a session stays in the list of sign-ins after it has ended."""
SCHEDULE_RUNS_KEPT: Final = timedelta(days=90)
MONTHS_AHEAD: Final = 3
AT_ONCE: Final = 2_000

_OVER: Final = "s.expires_at < $1 or s.revoked_at < $1"
_SESSIONS: Final = f"/* weft:upkeep.sessions */ select count(*) from weft.sessions s where {_OVER}"
_DELETE_SESSIONS: Final = f"""/* weft:upkeep.delete_sessions */
delete from weft.sessions d using (
  select s.tenant_id, s.id from weft.sessions s where {_OVER} limit {AT_ONCE} for update skip locked) s
 where d.tenant_id = s.tenant_id and d.id = s.id
"""
_EVENTS: Final = "/* weft:upkeep.events */ select weft.prune_events($1, $2)"
_RUNS: Final = "/* weft:upkeep.schedule_runs */ select weft.prune_schedule_runs($1, $2)"
_OLD_EVENTS: Final = "/* weft:upkeep.old_events */ select count(*) from weft.events e where e.received_at < $1"
_OLD_RUNS: Final = """/* weft:upkeep.old_runs */
select count(*) from weft.schedule_runs r where r.decided_at < $1 and not r.open
"""
_MISSING: Final = """/* weft:upkeep.missing_months */
select parent || '_' || to_char(month, 'YYYYMM') as name
  from generate_series(0, $1) as ahead
 cross join unnest(array['execution_logs', 'audit_logs']) as parent
 cross join lateral (select date_trunc('month', now() at time zone 'utc') + make_interval(months => ahead)) m (month)
 where to_regclass('weft.' || parent || '_' || to_char(month, 'YYYYMM')) is null order by 1
"""


async def partitions(means: Means) -> list[Step]:
    """Months ahead that are missing."""
    missing = [row["name"] for row in await means.owner.fetch(_MISSING, MONTHS_AHEAD)]

    async def make() -> str:
        made = await means.owner.fetchval("select weft.ensure_partitions($1)", MONTHS_AHEAD)
        return f"{counted(made, 'partition')} made"

    return [Step(", ".join(missing), "they will be needed", make)] if missing else []


async def expired(means: Means) -> list[Step]:
    owner = means.owner
    sessions, events, runs = (means.now - kept for kept in (SESSIONS_KEPT, EVENTS_KEPT, SCHEDULE_RUNS_KEPT))
    async with owner.transaction():
        await owner.execute("set local app.maintenance = 'on'")
        counts = {
            "sessions": await owner.fetchval(_SESSIONS, sessions),
            "events": await owner.fetchval(_OLD_EVENTS, events),
            "schedule_runs": await owner.fetchval(_OLD_RUNS, runs),
        }
    acts: dict[str, Callable[[], Awaitable[str]]] = {
        "sessions": _sessions(means, sessions),
        "events": _pruned(means, _EVENTS, events),
        "schedule_runs": _pruned(means, _RUNS, runs),
    }
    days = {"sessions": SESSIONS_KEPT.days, "events": EVENTS_KEPT.days, "schedule_runs": SCHEDULE_RUNS_KEPT.days}
    return [
        Step(name, f"{counted(count, 'row')} older than the {days[name]} days that they are kept", acts[name])
        for name, count in counts.items()
        if count
    ]


def _sessions(means: Means, before: Any) -> Callable[[], Awaitable[str]]:
    async def act() -> str:
        gone = 0
        while True:
            async with means.owner.transaction():
                await means.owner.execute(
                    "set local app.maintenance = 'on'; set local app.actor_kind = 'system';"
                    " set local app.actor_name = 'maintenance'"
                )
                said = await means.owner.execute(_DELETE_SESSIONS, before)
            now = int(said.rpartition(" ")[2])
            gone += now
            if now < AT_ONCE:
                return f"{counted(gone, 'row')} deleted"

    return act


def _pruned(means: Means, statement: str, before: Any) -> Callable[[], Awaitable[str]]:
    """By a function of the schema, which the application role may call and the owner may not."""

    async def act() -> str:
        connection = await connect(means.addresses.app, application="weft maintenance")
        try:
            gone = 0
            while True:
                now: int = await connection.fetchval(statement, before, AT_ONCE)
                gone += now
                if now < AT_ONCE:
                    return f"{counted(gone, 'row')} deleted"
        finally:
            await connection.close()

    return act


async def retention(means: Means) -> list[Step]:
    """One round of retention, for as long as a round may take; a worker's round goes first."""

    async def act() -> str:
        from weft.db.database import Database

        settings = means.settings
        database = await Database.open(means.addresses.app, application_name="weft maintenance", size=1, hot_size=2)
        try:
            sweep = Sweep(database, settings.archives, bounds_of(settings))
            done = await sweep.run(means.now, seconds=settings.retention.round_seconds)
        finally:
            await database.close()
        left = "" if done.is_done else "; more is left for the next round"
        failed = f"; of {counted(done.failures, 'tenant')} they had to stay" if done.failures else ""
        journals = f"; {counted(done.journals, 'journal')} of others deleted" if done.journals else ""
        gone = f"{counted(done.executions, 'execution')} deleted, {done.archived:,} of them archived"
        return f"{gone}{journals}{failed}{left}"

    return [Step("old executions", "as their tenants and this installation say", act)]
