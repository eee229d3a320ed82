"""The checks of `GET /v1/system/health` as answers of the check-up, without those that it asks more closely itself."""

from __future__ import annotations

from datetime import datetime
from typing import TYPE_CHECKING, Final

import asyncpg

from weft.ops.doctor.answers import Answer, Verdict, fail
from weft.ops.monitoring import checks, facts
from weft.ops.monitoring.checks import Looking, State
from weft.settings_upkeep import MonitorSettings

if TYPE_CHECKING:
    from weft.db.database import Connection
    from weft.settings import Settings

ASKED_MORE_CLOSELY: Final = frozenset({"database", "migration", "row security", "partitions", "worker", "queue"})
_VERDICTS: Final = {State.ok: Verdict.ok, State.warn: Verdict.warning, State.red: Verdict.fail}


async def answers(connection: Connection, settings: Settings | None, now: datetime) -> list[Answer]:
    """On a connection of the application role."""
    limits = settings.monitor if settings is not None else MonitorSettings()
    maintains = settings is not None and settings.maintain.schedule is not None
    try:
        looking = Looking(await facts.look(connection), now, limits, connection, maintains)
        found = await checks.run(looking)
    except (asyncpg.PostgresError, asyncpg.InterfaceError, OSError) as error:
        return [fail("health", f"The database did not answer this: {error}.", "`weft db check` says what differs.")]
    return [
        Answer(one.name, _VERDICTS[one.state], one.sentence, one.next_step)
        for one in found
        if one.name not in ASKED_MORE_CLOSELY
    ]
