"""Backups by the clock: whether one is due is asked of the places, so it does not matter who asks, or how often.

`weft db backup --due` makes one if a time of the schedule has passed since the last one began; `weft up` asks it, and
so can any timer of a system. Times that were missed are caught up with by one backup. Two that ask at once: the
database's lock lets one of them work.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import Any

from weft.core.clock import Clock, utc_now
from weft.ops.backup import catalogue, copying, making, sealing, upkeep
from weft.ops.backup.due import calendar, is_due
from weft.ops.backup.errors import BackupRunning
from weft.ops.backup.making import KIND, Made
from weft.ops.backup.targets import targets_of
from weft.ops.backup.telling import Tell, silent
from weft.ops.backup.upkeep import Pruned
from weft.ops.installation import Addresses
from weft.settings import Settings


@dataclass(frozen=True, slots=True)
class Done:
    """What a look came to. `made` None: nothing was due, or somebody else is at it."""

    due: bool
    next_at: datetime | None
    made: Made | None = None
    pruned: Pruned | None = None
    warnings: list[str] = field(default_factory=list)

    def as_json(self) -> dict[str, Any]:
        return {
            "due": self.due,
            "next_at": self.next_at,
            "made": self.made.as_json() if self.made else None,
            "pruned": self.pruned.as_json() if self.pruned else None,
            "warnings": self.warnings,
        }


def waiting(settings: Settings, now: datetime) -> Done | None:
    """What to say when nothing is due; None when something is. Asks the places, not the database."""
    when = calendar(settings, now)
    newest = catalogue.newest(catalogue.listed(settings), KIND, now)
    if is_due(when, newest.at if newest else None, now):
        return None
    return Done(due=False, next_at=when.next_after(now))


def run_due(settings: Settings, addresses: Addresses, *, tell: Tell = silent, clock: Clock = utc_now) -> Done:
    """Make a backup if one is due, copy what is missing elsewhere, prove it if the key is here, and prune.

    Blocking, and not inside an event loop. A proof that fails is raised at the end: the rest is done all the same.
    """
    now = clock()
    if (nothing := waiting(settings, now)) is not None:
        return nothing
    next_at = calendar(settings, now).next_after(now)
    warnings = []
    keys = sealing.makers_keys(settings)  # the very first makes the key that the proof needs
    prove = settings.backup.verify and sealing.can_open(settings)
    if settings.backup.verify and not prove:
        warnings.append("Not proved: the key that opens backups is not here. Run `weft db verify` where it is.")
    try:
        made = making.make(settings, addresses, reason="schedule", tell=tell, clock=clock)
    except BackupRunning:
        return Done(due=True, next_at=next_at, warnings=["Another process makes one at this moment."])
    if keys.made is not None:
        made = replace(made, new_identity=keys.made)  # made a moment before: somebody must be told all the same
    warnings += _catch_up(settings, made, clock(), tell)
    failure: Exception | None = None
    try:
        if prove:
            made = making.proved(settings, addresses, made, tell=tell, clock=clock)
    except Exception as error:
        failure = error
    pruned = upkeep.prune(settings, clock())
    if failure is not None:
        raise failure
    return Done(due=True, next_at=next_at, made=made, pruned=pruned, warnings=warnings + pruned.failures)


def _catch_up(settings: Settings, made: Made, now: datetime, tell: Tell) -> list[str]:
    """Copies that earlier backups lack: a place may have been away. What fails again is told, and tried next time."""
    failures = [f"Not copied: {copy.failure}" for copy in made.copies if copy.failure is not None]
    first, *others = targets_of(settings)
    kept = [one for one in upkeep.listed(settings, now=now) if one.keeps and one.id != made.id]
    for place in others:
        if place.address in {copy.place for copy in made.copies if copy.failure is not None}:
            continue
        missing = [one.id for one in kept if first.address in one.places and place.address not in one.places]
        failures += [f"Not copied: {c.failure}" for c in copying.copy(first, [place], missing, tell=tell) if c.failure]
    return failures
