"""What becomes of due times: started, skipped, put in the queue, or missed. Pure; the scheduler obeys.

First *catching up* says which due times are to be run at all: normally there is one, but after a pause of the
scheduler there may be thousands. Then *overlap* says what each of them does while an earlier execution goes on.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Any, Final

from weft.domain.workflows.schedules.calendar import Calendar
from weft.interpreter.durations import parse_duration

PUNCTUAL: Final = timedelta(seconds=60)
"""A due time that is no older than this is not caught up with: it is simply run."""
LONGEST_QUEUE: Final = 100
LISTED: Final = 20
"""Missed due times that get a row each; more than these share one row."""

_SOONEST: Final = timedelta(milliseconds=500)
_LATEST: Final = timedelta(seconds=15)


class Overlap(StrEnum):
    skip = "skip"
    queue = "queue"
    cancel_previous = "cancel_previous"
    allow = "allow"


class CatchUp(StrEnum):
    none = "none"
    last = "last"
    all = "all"


class RunStatus(StrEnum):
    """PENDING is decided and about to be started; QUEUED waits for the execution before it."""

    pending = "PENDING"
    queued = "QUEUED"
    started = "STARTED"
    skipped = "SKIPPED"
    missed = "MISSED"
    failed = "FAILED"


@dataclass(frozen=True, slots=True)
class Policy:
    overlap: Overlap = Overlap.skip
    catch_up: CatchUp = CatchUp.last
    catch_up_limit: int = 100
    catch_up_window: timedelta | None = None


def policy_of(config: Mapping[str, Any]) -> Policy:
    """The policy of a trigger's config, which was checked when it was saved."""
    window = config.get("catch_up_window")
    return Policy(
        overlap=Overlap(config.get("overlap", Overlap.skip)),
        catch_up=CatchUp(config.get("catch_up", CatchUp.last)),
        catch_up_limit=int(config.get("catch_up_limit", 100)),
        catch_up_window=timedelta(seconds=parse_duration(window)) if window is not None else None,
    )


@dataclass(frozen=True, slots=True)
class Decided:
    """What became of a due time. A MISSED one may stand for `times` of them up to `until`; 0: nobody counted."""

    due_at: datetime
    status: RunStatus
    reason: str | None = None
    until: datetime | None = None
    times: int = 1


@dataclass(frozen=True, slots=True)
class ToRun:
    """Due times to run, oldest first, and those before them that are not run any more."""

    times: tuple[datetime, ...]
    missed: tuple[Decided, ...] = ()


def to_run(calendar: Calendar, policy: Policy, first: datetime, now: datetime) -> ToRun:
    """Due times from `first`, the one that was announced, to `now`, under the policy of catching up."""
    before = first - timedelta(microseconds=1)
    punctual = now - PUNCTUAL
    if first >= punctual:
        return ToRun(tuple(calendar.latest(before, now, int(PUNCTUAL.total_seconds()) + 1).times))
    past = calendar.latest(before, now, max(policy.catch_up_limit, LISTED) + int(PUNCTUAL.total_seconds()) + 1)
    times = past.times
    fresh = [due for due in times if due >= punctual]
    late = times[: len(times) - len(fresh)]
    caught = _caught_up(policy, late, now, bool(fresh))
    dropped = late[: len(late) - len(caught)]
    run = (*caught, *fresh)
    if not dropped and past.whole:
        return ToRun(run)
    return ToRun(run, _missed(policy, first, dropped, run, now, whole=past.whole))


def _caught_up(policy: Policy, late: Sequence[datetime], now: datetime, has_fresh: bool) -> Sequence[datetime]:
    """The newest of the late due times that are run all the same."""
    if policy.catch_up_window is not None:
        late = [due for due in late if due >= now - policy.catch_up_window]
    match policy.catch_up:
        case CatchUp.none:
            return ()
        case CatchUp.last:
            return () if has_fresh else late[-1:]
        case CatchUp.all:
            return late[-policy.catch_up_limit :]


def _missed(
    policy: Policy, first: datetime, dropped: Sequence[datetime], run: Sequence[datetime], now: datetime, *, whole: bool
) -> tuple[Decided, ...]:
    reason = f"Nothing ran when it was due, and the schedule catches up {_said(policy)}."
    if whole and len(dropped) <= LISTED:
        return tuple(Decided(due, RunStatus.missed, reason) for due in dropped)
    last = dropped[-1] if dropped else (run[0] - timedelta(seconds=1) if run else now)
    return (Decided(first, RunStatus.missed, reason, until=last, times=len(dropped) if whole else 0),)


def _said(policy: Policy) -> str:
    match policy.catch_up:
        case CatchUp.none:
            return "with nothing"
        case CatchUp.last:
            said = "with the last due time only"
        case _:
            said = f"with the newest {policy.catch_up_limit}"
    return f"{said} within its window" if policy.catch_up_window is not None else said


def overlapping(policy: Policy, times: Sequence[datetime], *, running: bool, queued: int) -> tuple[Decided, ...]:
    """What each due time does. `running`: an execution of the trigger has not ended, or is about to be started."""
    match policy.overlap:
        case Overlap.allow:
            return tuple(Decided(due, RunStatus.pending) for due in times)
        case Overlap.cancel_previous:
            superseded = "A later due time came at the same moment, and the schedule cancels what is before it."
            skipped = tuple(Decided(due, RunStatus.skipped, superseded) for due in times[:-1])
            return (*skipped, *(Decided(due, RunStatus.pending) for due in times[-1:]))
        case Overlap.skip:
            going_on = "The execution before it had not ended."
            skipped = tuple(Decided(due, RunStatus.skipped, going_on) for due in times)
            free = not running and not queued
            return (Decided(times[0], RunStatus.pending), *skipped[1:]) if free and times else skipped
        case Overlap.queue:
            decided = []
            for due in times:
                if not running and not queued:
                    decided.append(Decided(due, RunStatus.pending))
                    running = True
                elif queued < LONGEST_QUEUE:
                    decided.append(Decided(due, RunStatus.queued))
                    queued += 1
                else:
                    full = f"{LONGEST_QUEUE} due times wait in its queue already."
                    decided.append(Decided(due, RunStatus.skipped, full))
            return tuple(decided)


def look_again(since: datetime, now: datetime) -> datetime:
    """When to see whether the execution ended for which a queue waits: after a tenth of the time it has taken."""
    return now + min(max((now - since) / 10, _SOONEST), _LATEST)
