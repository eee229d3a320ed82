"""What an expression sees, and how conditions, configurations and outputs are evaluated against it.

Simple expressions are evaluated in this process; all others, in one call, by the guard child, which is bounded in
time and memory. Only the paths that an expression names are ever looked up or sent.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence
from datetime import datetime
from typing import Any, TypeAlias
from uuid import UUID

from weft.db.database import Database
from weft.domain.executions.payloads import Reference
from weft.engine.items import Chunks, ItemStore
from weft.engine.limits import USUAL
from weft.engine.payloads import Payloads
from weft.engine.plans import Condition, StepPlan, Structured
from weft.engine.run import Run
from weft.expressions.compile import Compiled, Expression, Literal
from weft.expressions.context import MISSING, lookup, safe_matches
from weft.expressions.errors import ExpressionFailed
from weft.expressions.evaluate import evaluate_condition, evaluate_simple
from weft.expressions.guard import Guard
from weft.interpreter.comparison import MISSING as ABSENT
from weft.interpreter.conditions import Trace
from weft.interpreter.conditions import evaluate as evaluate_structured
from weft.interpreter.definition import Split
from weft.interpreter.state import item_of

Fetch = Callable[[Run, Sequence[int]], Awaitable[None]]
"""Loads the results of visits that the run does not have in memory."""


Own: TypeAlias = tuple[str, int]
"""A step's key and the number of its visit."""

NOT_RUN = {"output": None, "status": None, "error": None}


class Evaluator:
    """Evaluates for runs. `fetch` reads the journal when a result is not in memory.

    `database` has what does not lie with the run: None when everything is in memory. `limit`: bytes of what a plain
    path or template gives; what needs the guard is bounded there, and lower.
    """

    def __init__(
        self, guard: Guard, fetch: Fetch, database: Database | None = None, *, limit: int = USUAL.output
    ) -> None:
        self.guard = guard
        self._fetch = fetch
        self.payloads = Payloads(database)
        self.item_store = ItemStore(database)
        self._limit = limit

    async def context(
        self,
        run: Run,
        frame: str,
        paths: Iterable[str],
        now: datetime,
        own: Own | None = None,
        *,
        visit: int | None = None,
        extra: Mapping[str, Any] | None = None,
    ) -> dict[str, Any]:
        """The values behind `paths`, as seen from a frame: inner steps hide outer ones of the same key.

        `own` is the visit that is just ending: its conditions may ask for its output before it is settled. `visit` is
        the one that is about to run. `extra` are values that only this place knows; they go before all others.
        """
        roots, with_output = _roots(paths)
        context: dict[str, Any] = {}
        for root, names in roots.items():
            if extra is not None and root in extra:
                context[root] = extra[root]
                continue
            match root:
                case "input":
                    context["input"] = await self.payloads.open(run, run.facts.input)
                case "steps":
                    context["steps"] = await self._steps(run, frame, names, own)
                    await self._open(run, context["steps"], with_output)
                case "vars":
                    context["vars"] = run.variables
                case "execution":
                    context["execution"] = execution_facts(run)
                case "now":
                    context["now"] = now.isoformat()
                case "item" | "index":
                    await self._item(run, frame, context, with_item=root == "item")
                case "last":
                    context["last"] = await self._last(run, frame)
                case "compensating":
                    context["compensating"] = await self._compensating(run, visit)
                case _:
                    pass
        return context

    async def _steps(self, run: Run, frame: str, keys: set[str], own: Own | None) -> dict[str, Any]:
        visits: dict[str, int] = {}
        for one in reversed(run.frames(frame)):
            known = run.state.frames.get(one)
            if known is None:
                continue
            visits |= {key: visit for key, visit in known.last.items() if "" in keys or key in keys}
        if own is not None:
            visits |= dict([own])
        await self.fetch_missing(run, list(visits.values()))
        # A step that has not run is there, with nothing in it: asking for its status is no mistake.
        known_steps: dict[str, Any] = {key: NOT_RUN for key in keys if key}
        return known_steps | {
            key: {
                "output": run.results[visit].output,
                "status": run.results[visit].status,
                "error": run.results[visit].error,
            }
            for key, visit in visits.items()
            if visit in run.results
        }

    async def _item(self, run: Run, frame: str, context: dict[str, Any], *, with_item: bool) -> None:
        """The number of the innermost item or turn, and the item of the innermost for-each."""
        for one in run.frames(frame):
            if not one:
                return
            visit, index = item_of(one)
            context.setdefault("index", index)
            if not with_item:
                return
            if run.is_turn(one):
                continue  # of a loop: a for-each may lie around it
            context["item"] = await self._item_of(run, visit, index)
            return

    async def _item_of(self, run: Run, visit: int, index: int) -> Any:
        if visit not in run.items:
            await self._fetch(run, [visit])
        items = run.items.get(visit)
        if isinstance(items, Chunks):
            if index not in items:
                await self.item_store.fetch(run.facts.tenant_id, run.id, visit, items, index)
            return items.get(index)
        return items[index] if items is not None and index < len(items) else None

    async def _open(self, run: Run, steps: dict[str, Any], wanted: set[str]) -> None:
        """Read the large outputs that are asked for; of the others nobody sees more than that they are there."""
        for key, seen in steps.items():
            if type(seen["output"]) is Reference and (key in wanted or "" in wanted):
                seen["output"] = await self.payloads.open(run, seen["output"])

    async def _last(self, run: Run, frame: str) -> Any:
        """What the turn before this one gave, in the innermost loop; null in its first."""
        turn = next((one for one in run.frames(frame) if one and run.is_turn(one)), None)
        loop = run.state.visits.get(item_of(turn)[0]) if turn is not None else None
        return await self.output(run, loop.last) if loop is not None and loop.last else None

    async def _compensating(self, run: Run, number: int | None) -> dict[str, Any] | None:
        """The visit that a handler undoes."""
        handler = run.state.visits.get(number) if number is not None else None
        if handler is None or not handler.undoes:
            return None
        step = next((step for visit, step in run.state.undo if visit == handler.undoes), None)
        return {"step": step, "visit": handler.undoes, "output": await self.output(run, handler.undoes)}

    async def output(self, run: Run, visit: int) -> Any:
        """What a settled visit gave."""
        await self.fetch_missing(run, [visit])
        found = run.results.get(visit)
        return await self.payloads.open(run, found.output) if found is not None else None

    async def fetch_missing(self, run: Run, visits: Sequence[int]) -> None:
        """Make sure that the results of these visits are in memory."""
        missing = [visit for visit in visits if visit not in run.results]
        if missing:
            await self._fetch(run, missing)

    async def value(self, run: Run, frame: str, compiled: Compiled, now: datetime, visit: int | None = None) -> Any:
        """A configuration or output with every expression replaced by what it says. Raises `ExpressionFailed`."""
        if isinstance(compiled, Literal):
            return compiled.value
        context = await self.context(run, frame, compiled.paths, now, visit=visit)
        if compiled.is_simple:
            return evaluate_simple(compiled, context, limit=self._limit)
        return await self.guard.value(compiled, context, tenant=run.facts.tenant_id)

    async def of_input(self, compiled: Compiled, value: Any, tenant_id: UUID) -> Any:
        """The same for what reads nothing but an input, before there is a run."""
        context = {"input": value}
        if compiled.is_simple:
            return evaluate_simple(compiled, context, limit=self._limit)
        return await self.guard.value(compiled, context, tenant=tenant_id)

    async def config(self, run: Run, frame: str, step: StepPlan, now: datetime, visit: int | None = None) -> Any:
        return await self.value(run, frame, step.config, now, visit)

    async def holds(
        self,
        run: Run,
        frame: str,
        condition: Condition,
        now: datetime,
        said: list[str],
        own: Own | None = None,
        extra: Mapping[str, Any] | None = None,
    ) -> bool:
        """Whether a condition holds. What is missing or does not work out is false, and is said for the journal."""
        try:
            context = await self.context(run, frame, condition.paths, now, own, extra=extra)
            if isinstance(condition, Structured):
                return await self._structured(run.facts.tenant_id, condition, context, said)
            return await self._expressed(run.facts.tenant_id, condition, context)
        except ExpressionFailed as error:
            said.append(error.message.rstrip("."))
            return False

    async def plain(self, compiled: Compiled, context: Mapping[str, Any], tenant_id: UUID) -> Any:
        """A value for which there is no run: what a trigger makes of an event. Raises `ExpressionFailed`."""
        if isinstance(compiled, Literal):
            return compiled.value
        if compiled.is_simple:
            return evaluate_simple(compiled, context)
        return await self.guard.value(compiled, context, tenant=tenant_id)

    async def plain_condition(self, condition: Condition, context: Mapping[str, Any], tenant_id: UUID) -> bool:
        """Whether a condition for which there is no run holds. What does not work out is false."""
        try:
            if isinstance(condition, Structured):
                return await self._structured(tenant_id, condition, context, [])
            return await self._expressed(tenant_id, condition, context)
        except ExpressionFailed:
            return False

    async def _expressed(self, tenant_id: UUID, condition: Expression, context: Mapping[str, Any]) -> bool:
        if condition.is_simple:
            return evaluate_condition(condition, context)
        return await self.guard.condition(condition, context, tenant=tenant_id)

    async def _structured(
        self, tenant_id: UUID, condition: Structured, context: Mapping[str, Any], said: list[str]
    ) -> bool:
        answers = {
            source: await self._expressed(tenant_id, compiled, context)
            for source, compiled in condition.expressions.items()
        }
        trace: Trace = []
        verdict = evaluate_structured(
            condition.written,
            lambda path: _found(lookup(context, path)),
            trace,
            matcher=safe_matches,
            expression=answers.__getitem__,
        )
        said.extend(f"'{line['field']}' is missing" for line in trace if line["missing"] and not line["result"])
        return verdict

    async def choose(
        self, run: Run, frame: str, step: StepPlan, visit: int, now: datetime
    ) -> tuple[tuple[int, ...], list[str]]:
        """Indexes of the outgoing transitions that hold; with `split: one` no further than the first."""
        own = (step.step.key, visit)
        holding: list[int] = []
        said: list[str] = []
        for transition in step.outgoing:
            if transition.default:
                continue
            guard = step.guards[transition.index]
            if guard is None or await self.holds(run, frame, guard, now, said, own):
                holding.append(transition.index)
                if step.step.split is Split.one:
                    break
        return tuple(holding), said


def _roots(paths: Iterable[str]) -> tuple[dict[str, set[str]], set[str]]:
    """What is asked for at each root, and the steps whose output is asked for; empty words stand for all."""
    roots: dict[str, set[str]] = {}
    with_output: set[str] = set()
    for path in paths:
        root, _, rest = path.partition(".")
        key, _, field = rest.partition(".")
        roots.setdefault(root, set()).add(key)
        if field.partition(".")[0] in ("", "output"):
            with_output.add(key)
    return roots, with_output


def _found(value: Any) -> Any:
    """What is missing has a word of its own on either floor."""
    return ABSENT if value is MISSING else value


def execution_facts(run: Run) -> dict[str, Any]:
    facts = run.facts
    return {
        "id": str(facts.id),
        "number": facts.number,
        "workflow_id": str(facts.workflow_id),
        "client_id": str(facts.client_id) if facts.client_id else None,
        "correlation_id": facts.correlation_id,
        "trigger": facts.trigger,
        "started_at": (run.started_at or facts.created_at).isoformat(),
        "metadata": dict(facts.metadata),
    }
