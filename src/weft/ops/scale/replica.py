"""How a replica stands, looked at from both ends; for `weft db replica` and `weft doctor`."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from datetime import datetime
from typing import Any, Final

from weft.core.errors import Invalid
from weft.db.database import Connection
from weft.db.replica import State, position_number
from weft.ops.connections import ServerUnreachable, connect, without_password

WRITTEN: Final = """/* weft:replica.written */
select case when pg_is_in_recovery() then pg_last_wal_replay_lsn() else pg_current_wal_lsn() end::text
"""
THERE: Final = """/* weft:replica.there */
select pg_is_in_recovery() as following, pg_last_wal_receive_lsn()::text as received,
       pg_last_wal_replay_lsn()::text as replayed, pg_last_xact_replay_timestamp() as replayed_until,
       to_regclass('weft.workflows') is not null as has_schema,
       current_setting('hot_standby_feedback') = 'on' as feedback, current_user::text as role
"""
GUARDED: Final = "select row_security_active('weft.workflows')"
SLOTS: Final = """/* weft:replica.slots */
select slot_name::text as name, active, wal_status,
       case when not pg_is_in_recovery()
            then pg_wal_lsn_diff(pg_current_wal_lsn(), restart_lsn)::bigint end as kept_bytes
  from pg_replication_slots where slot_type = 'physical' order by slot_name
"""


class ReplicaMissing(Invalid):
    code = "replica_missing"

    def __init__(self) -> None:
        super().__init__("No replica is named. Set WEFT_DATABASE_REPLICA_URL (role 'weft_app') to a streaming replica.")


@dataclass(frozen=True, slots=True)
class Slot:
    """What the primary keeps of its log for somebody who reads it."""

    name: str
    active: bool
    wal_status: str | None
    kept_bytes: int | None


@dataclass(frozen=True, slots=True)
class Status:
    """`lag_seconds` is by the clocks of both servers, and 0 where everything is replayed."""

    address: str
    state: State
    sentence: str
    lag_bytes: int | None = None
    lag_seconds: float | None = None
    replayed_until: datetime | None = None
    feedback: bool | None = None
    slots: Sequence[Slot] = ()
    reads: Sequence[str] = ()
    """What the API reads there."""

    def as_json(self) -> dict[str, Any]:
        return asdict(self) | {"state": self.state.value, "reads": list(self.reads)}


async def status(primary: str, replica: str, *, max_lag: float, reads: Sequence[str] = ()) -> Status:
    """Look at both ends once. `primary` is the application's address (or the owner's) without a pooler.

    Raises `ServerUnreachable` only when the primary does not answer: a replica that does not is a finding.
    """
    address = without_password(replica)
    here = await connect(primary, application="weft db replica")
    try:
        slots = [Slot(**dict(row)) for row in await here.fetch(SLOTS)]
        try:
            there = await connect(replica, application="weft db replica")
        except ServerUnreachable as error:
            return Status(address, State.away, error.message, slots=slots, reads=reads)
        return await _compared(here, there, Status(address, State.unknown, "", slots=slots, reads=reads), max_lag)
    finally:
        await here.close()


async def _compared(here: Connection, there: Connection, known: Status, max_lag: float) -> Status:
    """Closes the connection to the replica."""
    try:
        written = await here.fetchval(WRITTEN)
        row = await there.fetchrow(THERE)
        now = await here.fetchval("select clock_timestamp()")
        guarded = row["has_schema"] and await there.fetchval(GUARDED)
    finally:
        await there.close()
    behind = max(0, position_number(written) - position_number(row["replayed"])) if row["replayed"] else None
    seconds = _seconds(behind, row["replayed_until"], now)
    state = _state(row, bool(guarded), seconds, max_lag)
    return replace(
        known,
        state=state,
        sentence=_sentence(state, row["role"], behind, seconds, max_lag),
        lag_bytes=behind,
        lag_seconds=seconds,
        replayed_until=row["replayed_until"],
        feedback=row["feedback"],
    )


def _seconds(behind: int | None, replayed_until: datetime | None, now: datetime) -> float | None:
    if behind == 0:
        return 0.0
    return max(0.0, (now - replayed_until).total_seconds()) if replayed_until is not None else None


def _state(row: Any, guarded: bool, seconds: float | None, max_lag: float) -> State:
    if not row["following"]:
        return State.promoted
    if not guarded:
        return State.unguarded
    return State.lagging if seconds is not None and seconds > max_lag else State.ready


def _sentence(state: State, role: str, behind: int | None, seconds: float | None, max_lag: float) -> str:
    match state:
        case State.promoted:
            return "It follows nobody: it was promoted, or is another server. Nothing is read there; name the new pair."
        case State.unguarded:
            return (
                f"Row security does not bind '{role}' there, or weft's schema is missing. Nothing is read there; "
                "use the role 'weft_app' in WEFT_DATABASE_REPLICA_URL."
            )
        case State.lagging:
            return (
                f"It is {seconds:.0f} s behind, more than WEFT_DATABASE_REPLICA_MAX_LAG_SECONDS ({max_lag:g}): "
                "the primary answers until it has caught up."
            )
        case _:
            if behind == 0:
                return "It follows, and has everything."
            since = f", up to {seconds:.1f} s" if seconds is not None else ""
            return f"It follows, {behind} bytes behind{since}."
