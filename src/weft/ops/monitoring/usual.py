"""The checks that every installation has: what the design calls health."""

from __future__ import annotations

from datetime import timedelta
from typing import Final

from weft.ops import preflight
from weft.ops.monitoring.checks import Looking, Result, State, check
from weft.ops.monitoring.runs import MAINTENANCE

FREEZE_WARNS: Final = 500_000_000
FREEZE_RED: Final = 1_500_000_000
"""Transactions since the oldest row was frozen; at two thousand million the server stops."""
RUNWAY_WARNS: Final = 45.0
RUNWAY_RED: Final = 3.0
"""Days until the last partition ends."""
SILENCE: Final = 60.0
"""Seconds without a word of a connected worker."""
QUEUE_WARNS: Final = 60.0
QUEUE_RED: Final = 900.0
"""Seconds that the oldest job has been ready."""
CONNECTIONS_WARN: Final = 0.8
DEAD_WARNS: Final = 0.5
DEAD_LEAST: Final = 100_000
MAINTENANCE_WARNS: Final = timedelta(days=8)


@check("database")
async def database(looking: Looking) -> Result:
    used, allowed = sum(looking.facts.connections.values()), looking.facts.connections_allowed
    sentence = f"It answers; {used} of {allowed} connections are in use."
    if used >= CONNECTIONS_WARN * allowed:
        step = "Raise max_connections, lower WEFT_DATABASE_POOL_SIZE, or put a pooler in front."
        return Result("database", State.warn, sentence, step)
    return Result("database", State.ok, sentence)


@check("migration")
async def migration(looking: Looking) -> Result:
    finding = preflight.revision_finding(looking.facts.revision)
    if finding is not None and finding.code == "schema_newer":
        finding = await preflight.schema_finding(looking.connection)  # the database says what its revisions need
    if finding is None:
        return Result("migration", State.ok, f"At revision {looking.facts.revision}, as this weft needs it.")
    fact, _, step = finding.sentence.partition(". ")
    return Result("migration", State.warn if finding.warning else State.red, f"{fact}.", step)


@check("row security")
async def row_security(looking: Looking) -> Result:
    if looking.facts.is_row_security_active:
        return Result("row security", State.ok, "It binds the application.")
    sentence = "It does not bind the application: tenants could see each other."
    return Result("row security", State.red, sentence, "Stop weft; `weft db check` says what was changed.")


@check("oldest transaction")
async def oldest_transaction(looking: Looking) -> Result:
    age, limit = looking.facts.oldest_transaction, looking.limits.transaction_warns_seconds
    sentence = f"The oldest open transaction is {age:.0f} s old."
    step = "`weft db stats` names it; end it with: select pg_terminate_backend(PID)"
    if age >= 6 * limit:
        return Result("oldest transaction", State.red, sentence, step)
    if age >= limit:
        return Result("oldest transaction", State.warn, sentence, step)
    return Result("oldest transaction", State.ok, sentence)


@check("transaction ids")
async def transaction_ids(looking: Looking) -> Result:
    age = looking.facts.xid_age
    sentence = f"The oldest unfrozen row is {age:,} transactions old."
    step = "Run `weft db maintain --task vacuum`, and look for what holds old transactions open."
    if age >= FREEZE_RED:
        return Result("transaction ids", State.red, sentence, step)
    if age >= FREEZE_WARNS:
        return Result("transaction ids", State.warn, sentence, step)
    return Result("transaction ids", State.ok, sentence)


@check("replication slots")
async def replication_slots(looking: Looking) -> Result | None:
    slots = looking.facts.slots
    if not slots:
        return None
    lost = [slot.name for slot in slots if slot.wal_status == "lost"]
    if lost:
        sentence = f"The server gave up on {', '.join(lost)}: the log that its reader needs is gone."
        return Result("replication slots", State.red, sentence, "Drop the slot, and make its replica or archive anew.")
    late = [f"{slot.name} ({slot.lag:,} bytes)" for slot in slots if slot.lag >= looking.limits.slot_lag_bytes]
    if late:
        sentence = f"Log is held back for {', '.join(late)}."
        return Result("replication slots", State.warn, sentence, "Start its reader again, or drop the slot.")
    return Result("replication slots", State.ok, f"{len(slots)}, none far behind.")


@check("partitions")
async def partitions(looking: Looking) -> Result:
    if not looking.facts.runway:
        sentence = "Journal and audit log have no partitions: nothing can be written."
        return Result("partitions", State.red, sentence, "Run `weft db maintain --task partitions`.")
    table, days = min(looking.facts.runway.items(), key=lambda item: item[1])
    sentence = f"Those of {table} last {max(0, int(days))} more days."
    step = "A running worker makes them; by hand: weft db maintain --task partitions"
    if days < RUNWAY_RED:
        return Result("partitions", State.red, sentence, step)
    if days < RUNWAY_WARNS:
        return Result("partitions", State.warn, sentence, step)
    return Result("partitions", State.ok, sentence)


@check("worker")
async def worker(looking: Looking) -> Result:
    silence = looking.facts.worker_silence
    step = "`weft up` starts one together with the API; alone: weft worker"
    if silence is None:
        return Result("worker", State.red, "None is connected: nothing runs, no timer fires.", step)
    if silence > SILENCE:
        return Result("worker", State.red, f"None has been heard of for {silence:.0f} s.", step)
    return Result("worker", State.ok, "At least one is connected and at work.")


@check("queue")
async def queue(looking: Looking) -> Result:
    jobs, age = looking.facts.queue.get("ready", (0, 0.0))
    sentence = f"{jobs} jobs are ready" + (f", the oldest for {age:.0f} s." if jobs else ".")
    step = "See the worker's log; start more workers, or raise WEFT_WORKER_CONCURRENCY."
    if age >= QUEUE_RED:
        return Result("queue", State.red, sentence, step)
    if age >= QUEUE_WARNS:
        return Result("queue", State.warn, sentence, step)
    return Result("queue", State.ok, sentence)


@check("dead rows")
async def dead_rows(looking: Looking) -> Result:
    facts = looking.facts
    bad = [
        f"{table} ({dead:,})"
        for table, dead in facts.dead_rows.items()
        if dead >= DEAD_LEAST and dead >= DEAD_WARNS * max(1, facts.live_rows.get(table, 0))
    ]
    if bad:
        sentence = f"Many dead rows are left in {', '.join(bad)}."
        return Result("dead rows", State.warn, sentence, "Run `weft db maintain --task vacuum`.")
    return Result("dead rows", State.ok, "No table has many.")


@check("maintenance")
async def maintenance(looking: Looking) -> Result | None:
    last = looking.facts.runs.get(MAINTENANCE)
    step = "`weft db maintain` does it; WEFT_MAINTAIN_SCHEDULE does it every night."
    if last is None:
        if not looking.maintains:
            return None
        return Result("maintenance", State.warn, "It is planned, and has not been done yet.", step)
    when = f"{last.ended_at:%Y-%m-%d %H:%M} UTC"
    if not last.is_ok:
        advice = "`weft db maintain --status` says what."
        return Result("maintenance", State.warn, f"On {when} some of it failed.", advice)
    if looking.maintains and looking.now - last.ended_at > MAINTENANCE_WARNS:
        return Result("maintenance", State.warn, f"It was last done on {when}.", step)
    return Result("maintenance", State.ok, f"It was last done on {when}.")
