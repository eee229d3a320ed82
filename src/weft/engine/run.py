"""One execution in memory, for the length of one turn: where it stands, what it knows, what must be written."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import TYPE_CHECKING, Any
from uuid import UUID

from weft.core.ids import new_id
from weft.db.database import Encoded
from weft.domain.executions.payloads import PayloadRow, Reference, unpacked
from weft.engine.items import ChunkRow, ItemList, Origin, kept_results, loaded_results
from weft.engine.outcomes import Done, Failed, Outcome
from weft.engine.plans import Plan
from weft.engine.records import AuditRow, ExecutionRow, JobRow, LogRow, NewExecution
from weft.interpreter.advance import advance
from weft.interpreter.codec import dump_state, load_state
from weft.interpreter.definition import LOOP
from weft.interpreter.events import Abandoned
from weft.interpreter.state import NEW, ROOT, Phase, State, Status, Visit

if TYPE_CHECKING:
    from weft.engine.events.hearing import Hearing

HeldJob = tuple[str, int, int]
"""Kind, visit and attempt of a job."""

_LIVE = frozenset({Phase.running, Phase.waiting, Phase.iterating, Phase.collecting, Phase.judging, Phase.undoing})


@dataclass(frozen=True, slots=True)
class Facts:
    """What does not change while an execution runs."""

    tenant_id: UUID
    id: UUID
    workflow_id: UUID
    version_id: UUID
    client_id: UUID | None
    number: int | None  # None until a new execution is saved
    input: Any
    metadata: Mapping[str, Any]
    trigger: str
    correlation_id: str
    parent_id: UUID | None
    parent_visit: int | None
    depth: int
    created_at: datetime
    simulation: bool = False  # nothing of it may reach the world outside
    priority: int = 0
    place_key: str | None = None  # set when it needs a place to run
    journal_gone: bool = False  # retention has taken the results of its steps


@dataclass(frozen=True, slots=True)
class Result:
    """What is known of a settled visit."""

    status: str
    output: Any = None
    error: Mapping[str, Any] | None = None


@dataclass(slots=True)
class Run:
    facts: Facts
    plan: Plan
    base: int | None  # row version that was read; None for a new execution
    state: State = NEW
    before: State = NEW  # the state that was read
    variables: dict[str, Any] = field(default_factory=dict)
    results: dict[int, Result] = field(default_factory=dict)
    items: dict[int, ItemList] = field(default_factory=dict)
    outcomes: dict[tuple[int, int], Outcome] = field(default_factory=dict)
    rows: dict[tuple[int, int], LogRow] = field(default_factory=dict)  # journal rows made in this turn
    settled: list[LogRow] = field(default_factory=list)
    resumed: dict[tuple[int, int], LogRow] = field(default_factory=dict)  # of `settled`: those that go on
    jobs: list[JobRow] = field(default_factory=list)
    notes: list[LogRow] = field(default_factory=list)  # journal rows of the execution itself
    audits: list[AuditRow] = field(default_factory=list)
    held: tuple[HeldJob, ...] = ()  # jobs that were claimed while it is paused: put again when it goes on
    is_touched: bool = False  # something other than the interpreter's state is to be written
    moved_to: UUID | None = None  # another version
    messages: dict[int, str] = field(default_factory=dict)  # visit -> what its conditions had to say
    output: Any = None
    error: dict[str, Any] | None = None
    started_at: datetime | None = None
    completed_at: datetime | None = None
    turns: int = 0
    simulated: dict[str, Any] | None = None  # the clock and the agenda of a simulated execution
    hearing: Hearing | None = None  # what is to be written about events
    asks_for_place: bool = False  # it was retried, and its jobs are parked until it has a place again
    weight: int = 0  # bytes of what this turn has put out
    stored: dict[tuple[int, int], Encoded | Reference] = field(default_factory=dict)  # outputs as the journal has them
    opened: dict[UUID, Any] = field(default_factory=dict)  # payloads that are in memory
    same: dict[bytes, Reference] = field(default_factory=dict)  # digest -> the payload of this turn that it is of
    payloads: list[PayloadRow] = field(default_factory=list)
    chunks: list[ChunkRow] = field(default_factory=list)
    gathered: dict[Origin, dict[int, int]] = field(default_factory=dict)  # item -> the visit with its output
    gone_chunks: list[tuple[int, int]] = field(default_factory=list)
    gone_results: list[Origin] = field(default_factory=list)

    @property
    def id(self) -> UUID:
        return self.facts.id

    @property
    def is_changed(self) -> bool:
        """Whether there is anything to write."""
        return self.state is not self.before or self.is_touched or bool(self.notes) or bool(self.jobs)

    def frames(self, frame: str) -> list[str]:
        """The frame and those around it, innermost first."""
        chain = [frame]
        while chain[-1] != ROOT:
            parent = self.state.visits.get(int(chain[-1].partition(".")[0]))
            chain.append(parent.frame if parent is not None else ROOT)
        return chain

    def is_turn(self, frame: str) -> bool:
        """Whether the frame is a turn of a loop, and no item of a for-each."""
        known = self.state.frames.get(frame)
        return known is not None and bool(known.graph) and self.plan.steps[known.graph].step.kind == LOOP

    def awaits(self, number: int, attempt: int) -> bool:
        """Whether the end of this attempt would still be news."""
        visit = self.state.visits.get(number)
        return visit is not None and visit.attempt == attempt and visit.phase in _LIVE

    def path_of(self, visit: Visit) -> str:
        """The step's path in the definition."""
        graph = self.state.frames[visit.frame].graph
        return f"{graph}.{visit.step}" if graph else visit.step

    def note(self, status: str, message: str, at: datetime, data: Any = None) -> None:
        """A journal row of the execution itself: it was cancelled, retried, given up."""
        self.notes.append(
            LogRow(
                execution_id=self.id, id=new_id(), step_id=None, step_key=None, frame=ROOT, visit=0, attempt=0,
                status=status, started_at=at, completed_at=at, message=message, data=data,
            )
        )  # fmt: skip

    def put_job(
        self,
        kind: str,
        *,
        visit: int = 0,
        attempt: int = 0,
        run_at: datetime | None = None,
        detail: dict[str, Any] | None = None,
        about: UUID | None = None,
        parked: bool = False,
    ) -> None:
        self.jobs.append(
            JobRow(
                owner=self.id, kind=kind, execution_id=about or self.id, id=new_id(), visit=visit, attempt=attempt,
                detail=detail, run_at=run_at, priority=self.facts.priority, parked=parked,
            )
        )  # fmt: skip

    def row(self) -> ExecutionRow:
        """What the execution's own row becomes. A completed or cancelled one needs its state no more."""
        over = self.state.status in (Status.completed, Status.cancelled)
        return ExecutionRow(
            id=self.id,
            base=self.base,
            status=self.state.status.value,
            state=None if over else self.stored_state(),
            output=self.output,
            error=self.error,
            started_at=self.started_at,
            completed_at=self.completed_at,
            version_id=self.moved_to,
        )

    def stored_state(self) -> dict[str, Any] | None:
        if self.state.status is Status.pending and not self.state.frames:
            return None
        stored: dict[str, Any] = {"i": dump_state(self.state)}
        if self.held and self.state.status is Status.paused:
            stored["h"] = self.held
        if self.variables:
            stored["v"] = self.variables
        if self.simulated is not None:
            stored["s"] = self.simulated
        if results := kept_results(self.state, self.gathered):
            stored["r"] = results
        return stored


def from_row(tenant_id: UUID, row: Mapping[str, Any], plan: Plan) -> Run:
    """The run of a loaded execution."""
    stored = row["state"] or {}
    state = load_state(stored.get("i")) if stored else State(status=Status(row["status"]))
    if row["status"] == Status.failed.value and not state.status.is_final:
        # Its job was buried (`weft.worker.burial`): the row was failed by somebody who could not read the state.
        state, _ = advance(plan.definition, state, Abandoned(row["completed_at"] or row["created_at"]))
    return Run(
        facts=Facts(
            tenant_id=tenant_id,
            id=row["id"],
            workflow_id=row["workflow_id"],
            version_id=row["version_id"],
            client_id=row["client_id"],
            number=row["number"],
            input=unpacked(row["input"]),
            metadata=row["metadata"],
            trigger=row["trigger"],
            correlation_id=row["correlation_id"] or str(row["id"]),
            parent_id=row["parent_id"],
            parent_visit=row["parent_visit"],
            depth=row["depth"],
            created_at=row["created_at"],
            simulation=row["simulation"],
            priority=row["priority"],
            place_key=row["place_key"],
            journal_gone=row["journal_gone"],
        ),
        plan=plan,
        base=row["row_version"],
        state=state,
        before=state,
        variables=dict(stored.get("v") or {}),
        held=tuple((kind, visit, attempt) for kind, visit, attempt in stored.get("h", ())),
        simulated=stored.get("s"),
        gathered=loaded_results(stored.get("r") or ()),
        output=unpacked(row["output"]),
        error=row["error"],
        started_at=row["started_at"],
        completed_at=row["completed_at"],
    )


def from_start(new: NewExecution, execution_id: UUID, tenant_id: UUID, plan: Plan, number: int | None) -> Run:
    """The run of an execution that is about to be stored for the first time."""
    return Run(
        facts=Facts(
            tenant_id=tenant_id,
            id=execution_id,
            workflow_id=new.workflow_id,
            version_id=new.version_id,
            client_id=new.client_id,
            number=number,
            input=new.input,
            metadata=new.metadata,
            trigger=new.trigger,
            correlation_id=new.correlation_id,
            parent_id=new.parent_id,
            parent_visit=new.parent_visit,
            depth=new.depth,
            created_at=new.created_at,
            simulation=new.simulation,
            priority=new.priority,
            place_key=new.place_key,
        ),
        plan=plan,
        base=None,
    )


def result_of(outcome: Outcome) -> Result:
    match outcome:
        case Done(output=output):
            return Result("COMPLETED", output)
        case Failed():
            return Result("FAILED", None, error_of(outcome))
        case _:
            return Result("RUNNING")


def error_of(failure: Failed) -> dict[str, Any]:
    error: dict[str, Any] = {"kind": failure.kind, "message": failure.message}
    if failure.data is not None:
        error["data"] = failure.data
    return error
