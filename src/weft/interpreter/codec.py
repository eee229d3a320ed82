"""A state as JSON and back, exactly. Keys are short because a state is written after every step.

What is at its default is left out, and what is not known is passed over, so that a newer weft's states can be read
by the version before it. Times are microseconds since 1970 (UTC).
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from typing import Any, Final

from weft.interpreter.state import NEW, Ending, Frame, Phase, State, Status, Visit

_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
_MICROSECOND: Final = timedelta(microseconds=1)

_PHASES: Final = {
    Phase.queued: "q",
    Phase.running: "r",
    Phase.waiting: "w",
    Phase.retrying: "t",
    Phase.choosing: "c",
    Phase.iterating: "i",
    Phase.collecting: "o",
    Phase.held: "h",
    Phase.judging: "j",
    Phase.undoing: "u",
}
_LETTERS: Final = {letter: phase for phase, letter in _PHASES.items()}


def dump_state(state: State) -> dict[str, Any]:
    """JSON-ready. Times must be aware."""
    found: dict[str, Any] = {"s": state.status.value, "n": state.next_visit}
    if state.seed:
        found["d"] = state.seed
    if state.visits:
        found["v"] = [_dump_visit(state.visits[number]) for number in sorted(state.visits)]
    if state.frames:
        found["f"] = [_dump_frame(frame) for frame in state.frames.values()]
    if state.interrupted:
        found["i"] = [_dump_visit(visit) for visit in state.interrupted]
    if state.reason:
        found["r"] = state.reason
    if state.overdue:
        found["o"] = [list(timer) for timer in state.overdue]
    if state.undo:
        found["u"] = [list(entry) for entry in state.undo]
    if state.ending is not None:
        found["e"] = _dump_ending(state.ending)
    if state.compensated:
        found["k"] = 1
    return found


def load_state(document: Mapping[str, Any] | None) -> State:
    """The state that was dumped; None is an execution that nobody has taken up yet."""
    if not document:
        return NEW
    visits = [_load_visit(visit) for visit in document.get("v", ())]
    frames = [_load_frame(frame) for frame in document.get("f", ())]
    return State(
        status=Status(document["s"]),
        seed=document.get("d", 0),
        next_visit=document["n"],
        visits={visit.number: visit for visit in visits},
        frames={frame.id: frame for frame in frames},
        interrupted=tuple(_load_visit(visit) for visit in document.get("i", ())),
        reason=document.get("r", ""),
        overdue=tuple((number, attempt) for number, attempt in document.get("o", ())),
        undo=tuple((number, step) for number, step in document.get("u", ())),
        ending=_load_ending(document["e"]) if "e" in document else None,
        compensated=bool(document.get("k")),
    )


def _dump_ending(ending: Ending) -> dict[str, Any]:
    found: dict[str, Any] = {"s": ending.status.value}
    if ending.reason:
        found["r"] = ending.reason
    if ending.visit is not None:
        found["v"] = ending.visit
    if ending.unsettled:
        found["f"] = list(ending.unsettled)
    return found


def _load_ending(document: Mapping[str, Any]) -> Ending:
    return Ending(Status(document["s"]), document.get("r", ""), document.get("v"), tuple(document.get("f", ())))


def _dump_visit(visit: Visit) -> dict[str, Any]:
    found: dict[str, Any] = {
        "n": visit.number,
        "s": visit.step,
        "p": _PHASES[visit.phase],
        "t": (visit.entered_at - _EPOCH) // _MICROSECOND,
    }
    if visit.frame:
        found["f"] = visit.frame
    if visit.attempt != 1:
        found["a"] = visit.attempt
    if visit.origin[0]:
        found["y"] = list(visit.origin)
    if visit.reason:
        found["w"] = visit.reason
    if visit.settled:
        found["z"] = 1
    if visit.ordered_as:
        found["k"] = visit.ordered_as
    numbers = {"c": visit.count, "x": visit.next_item, "d": visit.done, "e": visit.failed, "u": visit.resumes}
    numbers |= {"l": visit.last, "b": visit.undoes, "o": visit.owner}
    return found | {key: number for key, number in numbers.items() if number}


def _load_visit(document: Mapping[str, Any]) -> Visit:
    return Visit(
        number=document["n"],
        step=document["s"],
        frame=document.get("f", ""),
        attempt=document.get("a", 1),
        phase=_LETTERS[document["p"]],
        entered_at=_EPOCH + timedelta(microseconds=document["t"]),
        count=document.get("c", 0),
        next_item=document.get("x", 0),
        done=document.get("d", 0),
        failed=document.get("e", 0),
        origin=tuple(document.get("y", (0, 0))),
        resumes=document.get("u", 0),
        last=document.get("l", 0),
        undoes=document.get("b", 0),
        owner=document.get("o", 0),
        reason=document.get("w", ""),
        settled=bool(document.get("z")),
        ordered_as=document.get("k", ""),
    )


def _dump_frame(frame: Frame) -> dict[str, Any]:
    found: dict[str, Any] = {}
    if frame.id:
        found["i"] = frame.id
    if frame.graph:
        found["g"] = frame.graph
    if frame.arrived:
        found["a"] = {join: list(sources) for join, sources in frame.arrived.items()}
    if frame.fired:
        found["x"] = dict(frame.fired)
    if frame.last:
        found["l"] = dict(frame.last)
    if frame.visits:
        found["v"] = dict(frame.visits)
    if frame.result is not None:
        found["r"] = frame.result
    return found


def _load_frame(document: Mapping[str, Any]) -> Frame:
    return Frame(
        id=document.get("i", ""),
        graph=document.get("g", ""),
        arrived={join: tuple(sources) for join, sources in document.get("a", {}).items()},
        fired=dict(document.get("x", {})),
        last=dict(document.get("l", {})),
        visits=dict(document.get("v", {})),
        result=document.get("r"),
    )
