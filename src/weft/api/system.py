"""How the installation is, for those who may know: the checks that `weft doctor` asks too, over HTTP."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Annotated, Final

from fastapi import APIRouter, Depends
from pydantic import Field

from weft.core.actor import Actor
from weft.db.database import Database
from weft.http.bodies import Output
from weft.http.scope import acting
from weft.http.state import RequestServices, Slot
from weft.ops.monitoring import checks
from weft.ops.monitoring.checks import Looking, Result, State
from weft.ops.monitoring.facts import AWAY, Sampler
from weft.settings_upkeep import MonitorSettings

router = APIRouter(prefix="/system", tags=["system"])


@dataclass(frozen=True, slots=True)
class Health:
    """What the route decides from: one for each process."""

    sampler: Sampler
    limits: MonitorSettings
    maintains: bool = False

    @classmethod
    def of(cls, database: Database) -> Health:
        """As an installation has it that says nothing else."""
        limits = MonitorSettings()
        return cls(Sampler(database, limits.every_seconds), limits)

    async def results(self, now: datetime) -> list[Result]:
        """The answer of every check; of a database that does not answer, just that."""
        facts = await self.sampler.fresh()
        if facts is None:
            sentence = "The database does not answer."
            return [Result("database", State.red, sentence, "`weft doctor` says more, where the database is.")]
        try:
            async with self.sampler.database.pool.acquire() as connection:
                looking = Looking(facts, now, self.limits, connection, self.maintains)
                return await checks.run(looking)
        except AWAY:
            return [Result("database", State.red, "The database has just gone.", "Try again in a moment.")]


HEALTH: Final = Slot[Health]("health")


class CheckRead(Output):
    """One question, answered."""

    name: str
    state: State = Field(
        description="`ok`; `warn`: it works, but look at it; `red`: it does not work, or soon will not."
    )
    sentence: str = Field(description="The fact.")
    next: str | None = Field(description="What to do about it.")


class HealthRead(Output):
    """How the installation is."""

    state: State = Field(description="The worst of all answers.")
    checks: list[CheckRead]


@router.get("/health", response_model=HealthRead)
async def show_health(
    _actor: Annotated[Actor, acting("system:read")],
    services: RequestServices,
    health: Annotated[Health, Depends(HEALTH.wanted)],
) -> HealthRead:
    """Ask how the installation is: database, workers, queue, partitions, maintenance and what else there is to check.

    The numbers behind it are at most WEFT_MONITOR_EVERY_SECONDS old. Nothing of any tenant stands in the answer.
    """
    results = await health.results(services.clock())
    return HealthRead(
        state=checks.worst(results),
        checks=[
            CheckRead(name=one.name, state=one.state, sentence=one.sentence, next=one.next_step or None)
            for one in results
        ],
    )
