"""Where an execution stands. Small, frozen, and storable as JSON: outputs live in the journal, not here."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum

ROOT = ""
"""The frame of the workflow's own steps. The frame of an item is `<visit of the for-each>.<index>`."""


class Status(StrEnum):
    """The execution's status, in the words of `workflow_executions.status`."""

    pending = "PENDING"
    running = "RUNNING"
    waiting = "WAITING"  # every live visit waits for a time, a person, an event or a child
    paused = "PAUSED"
    completed = "COMPLETED"
    failed = "FAILED"
    cancelled = "CANCELLED"

    @property
    def is_final(self) -> bool:
        return self in (Status.completed, Status.failed, Status.cancelled)


class Phase(StrEnum):
    """What a live visit is doing."""

    queued = "queued"  # another step with the same `exclusive` is under way
    running = "running"  # RunStep was ordered
    waiting = "waiting"  # it said StepWaiting
    retrying = "retrying"  # the attempt failed, a retry timer runs
    choosing = "choosing"  # it is done, its transitions are being evaluated
    iterating = "iterating"  # a for-each whose items run, or a loop whose turn runs
    collecting = "collecting"  # a for-each whose items are done, or a loop after its last turn
    judging = "judging"  # a loop after a turn: is there another?
    undoing = "undoing"  # a `compensate` step whose handlers run
    held = "held"  # its attempt has not been ordered yet: the execution is paused, or not taken up


@dataclass(frozen=True, slots=True)
class Visit:
    """A token: one live stay at one step."""

    number: int
    step: str  # the step's key within its graph
    frame: str
    attempt: int
    phase: Phase
    entered_at: datetime  # when this attempt began
    # for-each only
    count: int = 0
    next_item: int = 0
    done: int = 0  # items that have ended
    failed: int = 0  # those of them that failed and were passed over
    # Visit and attempt under which the results of its items are kept. An attempt that takes over keeps the first one's.
    origin: tuple[int, int] = (0, 0)
    resumes: int = 0  # the interrupted visit whose unfinished items it takes over when its items are found again
    # loop only: `done` counts its turns
    last: int = 0  # the visit whose output is that of the last turn
    # handlers only
    undoes: int = 0  # the visit that is undone
    owner: int = 0  # the visit of the `compensate` step that wants it; 0 when the execution is ending
    # choosing only
    reason: str = ""  # why the step is skipped; empty when it succeeded
    settled: bool = False  # its journal row is written already: the execution failed before the choice was made
    # moved to another version only
    ordered_as: str = ""  # the path that the step had when this attempt was ordered; empty when it has it still


@dataclass(frozen=True, slots=True)
class Frame:
    """One run of one graph: the workflow itself, or one item of a for-each."""

    id: str
    graph: str  # path of the for-each step whose body runs here; "" for the workflow
    arrived: Mapping[str, tuple[str, ...]] = field(default_factory=dict)  # join -> sources, in order of arrival
    fired: Mapping[str, int] = field(default_factory=dict)  # join -> waves it has fired that are still arriving
    last: Mapping[str, int] = field(default_factory=dict)  # step key -> its newest settled visit
    visits: Mapping[str, int] = field(default_factory=dict)  # step key -> visits begun; only with max_visits
    result: int | None = None  # the visit whose output is this frame's output


@dataclass(frozen=True, slots=True)
class Ending:
    """The execution will end like this when what can be undone has been. `unsettled`: steps that could not be."""

    status: Status
    reason: str = ""
    visit: int | None = None  # the one that failed
    unsettled: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class State:
    status: Status = Status.pending
    seed: int = 0
    next_visit: int = 1
    visits: Mapping[int, Visit] = field(default_factory=dict)
    frames: Mapping[str, Frame] = field(default_factory=dict)
    # what was live when the execution failed (the failed visit included), for RetryRequested
    interrupted: tuple[Visit, ...] = ()
    reason: str = ""
    # paused only: the visits and attempts whose timeout fell due meanwhile
    overdue: tuple[tuple[int, int], ...] = ()
    undo: tuple[tuple[int, str], ...] = ()  # completed visits that can be undone, with their steps, as they completed
    ending: Ending | None = None  # the execution has failed or was cancelled, and its steps are being undone
    compensated: bool = False  # they have been: the execution cannot go on any more


NEW = State()


def item_frame(visit: int, index: int) -> str:
    """The frame in which a for-each's visit runs its item."""
    return f"{visit}.{index}"


def item_of(frame: str) -> tuple[int, int]:
    """The for-each's visit and the item's index of an item frame. The root frame has neither: `ValueError`."""
    visit, _, index = frame.partition(".")
    return int(visit), int(index)
