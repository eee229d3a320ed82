"""Random definitions for property tests.

`sound` ones are composed of blocks with one way in and one way out, so that they cannot get stuck. `wild` ones are
any graph that compiles: they may starve or end early, but never hang.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

from hypothesis import note
from hypothesis import strategies as st

from weft.interpreter.compile import DefinitionFault, compile_definition
from weft.interpreter.definition import Definition

Block = tuple[str, str]
"""The keys of a block's first and last step."""

_PLAIN = ("task", "optional", "handled", "patient", "exclusive")
_COMPOSED = ("sequence", "choice", "fork", "for_each", "loop", "menu", "race", "stop", "turns")


class _Level:
    """One graph in the making. `names` is shared by all levels."""

    def __init__(self, draw: st.DrawFn, names: list[int], *, loops: bool) -> None:
        self.draw = draw
        self.names = names
        self.loops = loops
        self.steps: list[dict[str, Any]] = []
        self.transitions: list[dict[str, Any]] = []

    def number(self, least: int, most: int) -> int:
        return self.draw(st.integers(least, most))

    def step(self, kind: str = "set", **more: Any) -> str:
        key = f"{kind[:1]}{self.names[0]}"
        self.names[0] += 1
        self.steps.append({"key": key, "type": kind, **more})
        return key

    def lead(self, source: str, target: str, **more: Any) -> None:
        self.transitions.append({"from": source, "to": target, **more})

    @property
    def document(self) -> dict[str, Any]:
        return {"steps": self.steps, "transitions": self.transitions}

    # Blocks

    def block(self, depth: int) -> Block:
        kinds: tuple[str, ...] = _PLAIN if depth <= 0 or self.names[0] > 30 else (*_PLAIN, *_COMPOSED, *_COMPOSED)
        if not self.loops:
            kinds = tuple(kind for kind in kinds if kind not in ("loop", "menu", "turns"))
        kind = self.draw(st.sampled_from(kinds))
        build: Callable[[int], Block] = getattr(self, f"block_{kind}")
        return build(depth - 1)

    def block_task(self, _depth: int) -> Block:
        key = self.step(**({"timeout": "1m"} if self.draw(st.booleans()) else {}))
        return key, key

    def block_optional(self, _depth: int) -> Block:
        key = self.step(required=False, retry={"attempts": self.number(1, 2)})
        return key, key

    def block_patient(self, _depth: int) -> Block:
        key = self.step(retry={"attempts": self.number(2, 3), "initial": "1s"})
        return key, key

    def block_exclusive(self, _depth: int) -> Block:
        key = self.step(exclusive=self.draw(st.sampled_from(["till", "desk"])), retry={"attempts": self.number(1, 2)})
        return key, key

    def block_race(self, depth: int) -> Block:
        """A deferred choice: whoever is done first takes the others away."""
        split = self.step("parallel")
        racers = [self.step() for _ in range(self.number(2, 3))]
        merge = self.step()
        for racer in racers:
            step = next(one for one in self.steps if one["key"] == racer)
            step["cancels"] = [other for other in racers if other != racer]
            self.lead(split, racer)
            entry, last = self.block(depth)
            self.lead(racer, entry)
            self.lead(last, merge)
        return split, merge

    def block_stop(self, depth: int) -> Block:
        """A join that goes on with the first branch and cancels the beginning of the other."""
        split, slow = self.step("parallel"), self.step()
        merge = self.step("join", join="any", cancels=[slow])
        entry, last = self.block(depth)
        self.lead(split, entry)
        self.lead(split, slow)
        self.lead(last, merge)
        self.lead(slow, merge)
        return split, merge

    def block_handled(self, _depth: int) -> Block:
        risky, mend, merge = self.step(), self.step(), self.step()
        self.steps[-3]["on_error"] = mend
        self.lead(risky, merge)
        self.lead(mend, merge)
        return risky, merge

    def block_sequence(self, depth: int) -> Block:
        first, last = self.block(depth)
        for _ in range(self.number(0, 2)):
            entry, following = self.block(depth)
            self.lead(last, entry)
            last = following
        return first, last

    def block_choice(self, depth: int) -> Block:
        split = self.step("condition")
        merge = self.step()
        for index in range(self.number(2, 3)):
            entry, last = self.block(depth)
            self.lead(split, entry, **({"when": "input.x"} if index else {"default": True}))
            self.lead(last, merge)
        return split, merge

    def block_fork(self, depth: int) -> Block:
        """Parallel or inclusive, joined by all, any or at least so many of the branches that surely come."""
        inclusive = self.draw(st.booleans())
        split = self.step("parallel", split="any" if inclusive else "all")
        branches = self.number(2, 3)
        join: Any = self.draw(st.sampled_from(["all", "any", {"at_least": 1 if inclusive else branches - 1}]))
        merge = self.step("join", join=join)
        for index in range(branches):
            entry, last = self.block(depth)
            how: dict[str, Any] = {}
            if inclusive:
                how = {"when": "input.x"} if index else {"default": True}
            self.lead(split, entry, **how)
            self.lead(last, merge)
        return split, merge

    def block_for_each(self, depth: int) -> Block:
        body = _Level(self.draw, self.names, loops=self.loops)
        begin = body.step()
        body.lead(begin, body.block(depth)[0])
        body.shuffle()
        more: dict[str, Any] = {}
        if self.draw(st.booleans()):
            more["required"] = False
        if self.draw(st.booleans()):
            more["retry"] = {"attempts": 2, "initial": "1s"}
        config = {"concurrency": self.number(1, 3), "body": body.document}
        if self.draw(st.booleans()):
            config["on_item_error"] = "continue"
        key = self.step("for_each", config=config, **more)
        return key, key

    def block_turns(self, depth: int) -> Block:
        """A step of the kind loop. Its turns are always enough."""
        body = _Level(self.draw, self.names, loops=self.loops)
        begin = body.step()
        body.lead(begin, body.block(depth)[0])
        body.shuffle()
        more: dict[str, Any] = {}
        if self.draw(st.booleans()):
            more["required"] = False
        if self.draw(st.booleans()):
            more["retry"] = {"attempts": 2, "initial": "1s"}
        asks = {self.draw(st.sampled_from(["while", "until"])): "input.x"}
        config = {**asks, "max_iterations": self.number(1, 3), "on_max": "continue", "body": body.document}
        key = self.step("loop", config=config, **more)
        return key, key

    def block_loop(self, depth: int) -> Block:
        head, test, out = self.step(max_visits=self.number(1, 3)), self.step("condition"), self.step()
        self.steps[-3]["on_error"] = out
        entry, last = self.block(depth)
        self.lead(head, entry)
        self.lead(last, test)
        self.lead(test, head, when="input.x")
        self.lead(test, out, default=True)
        return head, out

    def block_menu(self, depth: int) -> Block:
        """A loop with several bodies, each of which leads back."""
        head, out = self.step("condition", max_visits=self.number(1, 3)), self.step()
        self.steps[-2]["on_error"] = out
        for _ in range(2):
            entry, last = self.block(depth)
            self.lead(head, entry, when="input.x")
            self.lead(last, head)
        self.lead(head, out, default=True)
        return head, out

    def shuffle(self) -> None:
        """The order in which steps are written must not matter where one step has no way into it."""
        self.steps = self.draw(st.permutations(self.steps))


@st.composite
def sound_document(draw: st.DrawFn, *, loops: bool = True, depth: int = 3) -> dict[str, Any]:
    """A document that must come to an end under every order of news. It has one last step."""
    level = _Level(draw, [1], loops=loops)
    begin = level.step()
    entry, last = level.block(depth)
    level.lead(begin, entry)
    if draw(st.booleans()):
        level.lead(last, level.step("end"))
    level.shuffle()
    return level.document


@st.composite
def sound(draw: st.DrawFn, *, loops: bool = True, depth: int = 3) -> Definition:
    """A definition that must come to an end under every order of news."""
    return _compiled(draw(sound_document(loops=loops, depth=depth)))


@st.composite
def wild_document(draw: st.DrawFn, *, most_visits: int = 3, cycles: bool = True) -> dict[str, Any]:
    """Any graph at all: choices, joins, bounded loops in any disorder. It may lack what the compiler asks for."""
    keys = [f"s{number}" for number in range(draw(st.integers(2, 8 if cycles else 7)))]
    steps: list[dict[str, Any]] = []
    for key in keys:
        step: dict[str, Any] = {"key": key, "type": "set", "split": draw(st.sampled_from(["one", "any", "all"]))}
        step["join"] = draw(st.sampled_from(["each", "all", "any", {"at_least": 1}, {"at_least": 2}]))
        if cycles:
            step["max_visits"] = draw(st.integers(1, most_visits))
        if draw(st.integers(0, 4)) == 0:
            step["required"] = False
        if cycles and draw(st.integers(0, 3)) == 0:
            step["exclusive"] = "till"
        if draw(st.integers(0, 4)) == 0:
            others = [other for other in keys if other != key]
            some = st.lists(st.sampled_from(others), min_size=1, unique=True)
            step["cancels"] = "all" if draw(st.booleans()) else draw(some)
        steps.append(step)
    spine = [(keys[draw(st.integers(0, place - 1))], keys[place]) for place in range(1, len(keys))]
    pairs = [(a, b) for a in keys for b in keys[1:] if a != b and (cycles or a < b)]
    chosen = dict.fromkeys([*spine, *draw(st.lists(st.sampled_from(pairs), unique=True, max_size=2 * len(keys)))])
    transitions = [transition for step in steps for transition in _conditions(draw, step, list(chosen))]
    return {"steps": steps, "transitions": transitions}


@st.composite
def wild(draw: st.DrawFn, *, most_visits: int = 3) -> Definition:
    """Any graph at all, if it compiles: choices, joins, error routes and bounded loops in any disorder."""
    return _compiled(draw(wild_document(most_visits=most_visits)))


def _conditions(draw: st.DrawFn, step: dict[str, Any], pairs: list[tuple[str, str]]) -> list[dict[str, Any]]:
    """The step's transitions: all, some or none of them conditional, as its split allows."""
    targets = [target for source, target in pairs if source == step["key"]]
    conditional = len(targets) - 1 if step["split"] == "one" else draw(st.integers(0, len(targets)))
    written: list[dict[str, Any]] = [{"from": step["key"], "to": target} for target in targets]
    for transition in written[: max(conditional, 0)]:
        transition["when"] = "input.x"
    if written and conditional >= len(written) - 1:
        written[-1].pop("when", None)
        written[-1]["default"] = True
    return written


def _compiled(document: dict[str, Any]) -> Definition:
    note(json.dumps(document))
    try:
        return compile_definition(document)
    except DefinitionFault as fault:
        if {issue.code for issue in fault.issues} != {"join_count_impossible"}:
            raise
        for issue in fault.issues:
            document["steps"][int(issue.path[1])]["join"] = "all"
        return compile_definition(document)
