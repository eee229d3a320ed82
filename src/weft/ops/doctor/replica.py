"""The replica, if there is one: does it follow, and does row security hold there?"""

from __future__ import annotations

from weft.db.replica import State
from weft.ops.connections import ServerUnreachable
from weft.ops.doctor.answers import Answer, fail, ok, refused, warning
from weft.ops.scale.replica import status
from weft.settings_scale import ScaledDatabaseSettings

TOPIC = "replica"


async def look(database: ScaledDatabaseSettings, direct: str) -> list[Answer]:
    if database.replica_url is None:
        return []
    try:
        found = await status(direct, database.replica_url, max_lag=database.replica_max_lag_seconds)
    except ServerUnreachable as error:
        return [refused(TOPIC, error)]
    idle = [slot.name for slot in found.slots if not slot.active]
    if idle:
        kept = f"Nobody reads the slots {', '.join(idle)}, and the server keeps its log for them."
        return [warning(TOPIC, kept, "Start their replica, or drop them: select pg_drop_replication_slot('...')")]
    match found.state:
        case State.ready:
            return [ok(TOPIC, found.sentence)]
        case State.unguarded:
            return [fail(TOPIC, found.sentence, "`weft db replica` says more.")]
        case _:
            return [warning(TOPIC, found.sentence, "The primary answers meanwhile. `weft db replica` says more.")]
