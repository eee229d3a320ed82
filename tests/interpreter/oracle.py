"""What may happen in a small workflow, found out by trying everything: the rules once more, written independently.

Only what the documentation promises is used (`docs/reference/definition.md`), nothing of the interpreter: tokens are
counted by step, arrivals by source, and "can still come" is asked of the plain graph every time. Slow on purpose: it
is what the check at save is compared with. Graphs without cycles, one level, no failures.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from itertools import chain, combinations, product
from typing import Any

Counts = tuple[tuple[str, int], ...]
Arrivals = tuple[tuple[str, str, int], ...]


@dataclass(frozen=True)
class Situation:
    """`tokens`: how many stay at a step. `arrived`: join, source, how often. `fired`: join, waves still arriving."""

    tokens: Counts = ()
    arrived: Arrivals = ()
    fired: Counts = ()


@dataclass
class Verdict:
    entered: set[str] = field(default_factory=set)
    starved: set[str] = field(default_factory=set)
    situations: int = 0
    complete: bool = True


class Oracle:
    """Reads the document as it is written."""

    def __init__(self, document: Mapping[str, Any]) -> None:
        self.steps: dict[str, dict[str, Any]] = {step["key"]: step for step in document["steps"]}
        self.out: dict[str, list[dict[str, Any]]] = {key: [] for key in self.steps}
        for transition in document["transitions"]:
            self.out[transition["from"]].append(transition)
        into = {transition["to"] for transition in document["transitions"]}
        (self.start,) = [key for key in self.steps if key not in into]
        self.sources = {
            key: [source for source in self.steps if any(t["to"] == key for t in self.out[source])]
            for key in self.steps
        }

    def judge(self, most: int = 20_000) -> Verdict:
        verdict = Verdict()
        waiting = [self._settled({self.start: 1}, {}, {}, verdict)]
        seen = set(waiting)
        verdict.entered.add(self.start)
        while waiting:
            situation = waiting.pop()
            verdict.situations += 1
            if verdict.situations > most:
                verdict.complete = False
                return verdict
            if situation is None:
                continue
            for after in self._moves(situation, verdict):
                if after not in seen:
                    seen.add(after)
                    waiting.append(after)
        return verdict

    def _moves(self, situation: Situation, verdict: Verdict) -> Iterator[Situation | None]:
        for key, _ in situation.tokens:
            for targets, cancelled in product(self._ways_on(key), self._cancelled(key)):
                tokens, fired = dict(situation.tokens), dict(situation.fired)
                arrived: dict[str, dict[str, int]] = {}
                for join, source, times in situation.arrived:
                    arrived.setdefault(join, {})[source] = times
                tokens[key] -= 1
                for other in cancelled:
                    tokens.pop(other, None)
                    arrived.pop(other, None)
                    fired.pop(other, None)
                for target in targets:
                    if self._join(target) is None:
                        tokens[target] = tokens.get(target, 0) + 1
                        verdict.entered.add(target)
                    else:
                        of = arrived.setdefault(target, {})
                        of[key] = of.get(key, 0) + 1
                yield self._settled(tokens, arrived, fired, verdict)

    def _cancelled(self, key: str) -> list[list[str]]:
        """Whom it cancels when it completes; nobody when it is skipped."""
        named = self.steps[key].get("cancels", [])
        others = [other for other in self.steps if other != key] if named == "all" else list(named)
        return [others] if self.steps[key].get("required", True) else [others, []]

    def _ways_on(self, key: str) -> Iterator[tuple[str, ...]]:
        """The sets of steps that may come next, for every outcome of the conditions."""
        conditional = [t["to"] for t in self.out[key] if "when" in t]
        outcomes = chain.from_iterable(combinations(conditional, size) for size in range(len(conditional) + 1))
        found = set()
        for holds in outcomes:
            held = [t["to"] for t in self.out[key] if not t.get("default") and ("when" not in t or t["to"] in holds)]
            if self.steps[key].get("split", "one") == "one":
                held = held[:1]
            found.add(tuple(held) or tuple(t["to"] for t in self.out[key] if t.get("default")))
        yield from sorted(found)

    # Joins

    def _join(self, key: str) -> int | str | None:
        """How many sources it needs, `all`, or None when every arrival enters."""
        written = self.steps[key].get("join", "each")
        if written == "each":
            return None
        if written == "any":
            return 1
        return "all" if written == "all" else int(written["at_least"])

    def _settled(
        self, tokens: dict[str, int], arrived: dict[str, dict[str, int]], fired: dict[str, int], verdict: Verdict
    ) -> Situation | None:
        """Let joins fire until none can; None when one has starved: the execution has failed."""
        again = True
        while again:
            again = False
            for join in self.steps:
                if not arrived.get(join):
                    continue
                present = self._present(join, arrived, fired)
                missing = self._may_come(join, present, tokens, arrived, fired)
                needs = self._join(join)
                if needs == "all":
                    if present and not missing:
                        for source in present:
                            arrived[join][source] -= 1
                        self._enter(join, tokens, verdict)
                        again = True
                elif isinstance(needs, int) and len(present) >= needs:
                    fired[join] = fired.get(join, 0) + 1
                    self._enter(join, tokens, verdict)
                    again = True
                elif isinstance(needs, int) and present and len(present) + len(missing) < needs:
                    verdict.starved.add(join)
                    return None
                elif not present and not missing:
                    arrived.pop(join)
                    fired.pop(join, None)
        return _situation(tokens, arrived, fired)

    def _enter(self, join: str, tokens: dict[str, int], verdict: Verdict) -> None:
        tokens[join] = tokens.get(join, 0) + 1
        verdict.entered.add(join)

    def _present(self, join: str, arrived: Mapping[str, Mapping[str, int]], fired: Mapping[str, int]) -> list[str]:
        of = arrived.get(join, {})
        return [source for source in self.sources[join] if of.get(source, 0) > fired.get(join, 0)]

    def _may_come(
        self,
        join: str,
        present: list[str],
        tokens: Mapping[str, int],
        arrived: Mapping[str, Mapping[str, int]],
        fired: Mapping[str, int],
    ) -> list[str]:
        """Sources that have not arrived in this wave, and from which a token can still come."""
        places = {key for key, count in tokens.items() if count}
        places |= {key for key in arrived if self._present(key, arrived, fired)}
        reach = self._reachable_without(join, places)
        return [source for source in self.sources[join] if source not in present and source in reach]

    def _reachable_without(self, join: str, places: set[str]) -> set[str]:
        found = {place for place in places if place != join}
        work = list(found)
        while work:
            for transition in self.out[work.pop()]:
                target = transition["to"]
                if target != join and target not in found:
                    found.add(target)
                    work.append(target)
        return found


def _situation(
    tokens: Mapping[str, int], arrived: Mapping[str, Mapping[str, int]], fired: Mapping[str, int]
) -> Situation:
    return Situation(
        tuple(sorted((key, count) for key, count in tokens.items() if count)),
        tuple(sorted((join, s, n) for join, of in arrived.items() for s, n in of.items() if n)),
        tuple(sorted((join, waves) for join, waves in fired.items() if waves)),
    )
