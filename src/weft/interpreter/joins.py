"""When a join fires.

Arrivals are kept per join, in order, with the step they came from. The first arrival from each source belongs to
the first wave, the second to the second, and so on: a branch that is in its next turn already does not complete
the wave of a slower one.

- `all` fires when every source has arrived, or can no longer arrive: no token stays where one could still come
  from. A join that itself still waits counts as such a place. Firing takes one arrival of each source.
- `any` and `at_least` fire at the n-th source of a wave and count the wave in `fired`; what arrives later of the
  same wave is swallowed. When nothing more can arrive, the join forgets: the next arrival opens a new wave.

Joins never wait for each other in a circle. Such a circle would be a closed walk through the graph; of its steps,
the one that the depth-first walk of `graphs.back_edges` met first is the head of a loop around all of them, so every
edge of the circle into it begins another wave for each of the joins, and `graphs.feeders` follows none of those.
Hence when nothing is live in a frame, the joins that still wait go on one after the other.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from weft.interpreter.definition import JoinKind, Step
from weft.interpreter.flow import begin
from weft.interpreter.work import FrameDraft, Trouble, Work

JOIN_STARVED: Final = "join_starved"


def fire_next(work: Work, draft: FrameDraft) -> bool:
    """Fire, starve or reset the first join of the frame that is ready. False when none is."""
    places = {visit.step for visit in work.visits.values() if visit.frame == draft.id}
    places.update(key for key in draft.arrived if _present(draft, key))
    return any(_look(work, draft, key, places) for key in draft.graph.feeders if key in draft.arrived)


def _present(draft: FrameDraft, key: str) -> list[str]:
    """The sources that have arrived in the wave that is being collected."""
    arrived = draft.arrived[key]
    fired = draft.fired.get(key, 0)
    return [source for source in draft.graph.feeders[key] if arrived.count(source) > fired]


def _look(work: Work, draft: FrameDraft, key: str, places: set[str]) -> bool:
    step = draft.graph.steps[key]
    feeders = draft.graph.feeders[key]
    present = _present(draft, key)
    missing = [source for source in feeders if source not in present and not places.isdisjoint(feeders[source])]
    if step.join.kind is JoinKind.all:
        if missing or not present:
            return False
        _take(draft, key, present)
        begin(work, draft, step)
        return True
    needed = step.join.count if step.join.kind is JoinKind.at_least else 1
    if len(present) >= needed:
        _fire(work, draft, step)
        return True
    if present and len(present) + len(missing) < needed:
        work.troubles.append(Trouble(draft.id, None, JOIN_STARVED, step.path))
        return True
    if not present and all(places.isdisjoint(feeder) for feeder in feeders.values()):
        _forget(draft, key)
    return False


def _take(draft: FrameDraft, key: str, sources: list[str]) -> None:
    """Remove one arrival of each of these sources."""
    left = list(draft.arrived[key])
    for source in sources:
        left.remove(source)
    draft.arrived = _with(draft.arrived, key, tuple(left))


def _fire(work: Work, draft: FrameDraft, step: Step) -> None:
    key = step.key
    draft.fired = {**draft.fired, key: draft.fired.get(key, 0) + 1}
    begin(work, draft, step)


def _forget(draft: FrameDraft, key: str) -> None:
    draft.arrived = _with(draft.arrived, key, ())
    draft.fired = {join: waves for join, waves in draft.fired.items() if join != key}


def _with(arrived: Mapping[str, tuple[str, ...]], key: str, sources: tuple[str, ...]) -> dict[str, tuple[str, ...]]:
    rest = {join: others for join, others in arrived.items() if join != key}
    if sources:
        rest[key] = sources
    return rest
