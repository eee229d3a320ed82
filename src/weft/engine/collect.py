"""What a turn does for a for-each: its items are put away when they are found, and its results gathered at the end."""

from __future__ import annotations

from itertools import islice
from typing import Any, Final

from weft.db.database import Encoded
from weft.domain.executions.payloads import Reference
from weft.engine.evaluate import Evaluator
from weft.engine.items import SHORT, Chunks, written
from weft.engine.limits import USUAL, Limits
from weft.engine.outcomes import Done, Failed, Items
from weft.engine.payloads import Room, too_large
from weft.engine.plans import StepPlan
from weft.engine.run import Run
from weft.interpreter.commands import Collect, ItemEnded

FIRST_PAGE: Final = 200
LARGEST_PAGE: Final = 5_000
PAGE_BYTES: Final = 4_000_000


def begin(run: Run, visit: int, attempt: int, found: Items, room: Room | None) -> Encoded | Failed:
    """Put the items away; what the journal row says of them."""
    limits = _limits(room)
    count = len(found.items)
    if count > limits.items:
        return Failed(
            "too_many_items",
            f"config.items has {count:,} items; at most {limits.items:,} fit into one for-each (WEFT_MAX_ITEMS). "
            "Cut the list into batches and give each to a sub-workflow.",
            retryable=False,
        )
    try:
        kept = written(run.id, visit, attempt, found.items, limits.output)
    except (TypeError, ValueError, OverflowError) as error:
        return Failed("invalid", f"config.items cannot be written as JSON: {str(error)[:200]}.", retryable=False)
    if isinstance(kept, Failed):
        return kept
    run.items[visit] = kept.items
    run.chunks += kept.chunks
    return kept.data


def forget_items(run: Run, visit: int, attempt: int) -> None:
    """The attempt is over: its chunks are needed no more. An attempt to come puts its items away anew."""
    items = run.items.get(visit)
    if items is None:
        return
    if any(row.visit == visit for row in run.chunks):
        run.chunks = [row for row in run.chunks if row.visit != visit]
    elif isinstance(items, Chunks):
        run.gone_chunks.append((visit, attempt))
    del run.items[visit]


def keep_result(run: Run, ended: ItemEnded) -> None:
    """Remember what an item came to, if anybody will ask."""
    if _mode(run.plan.steps[ended.step]) == "all":
        run.gathered.setdefault(ended.origin, {})[ended.index] = ended.result


async def collect(run: Run, command: Collect, step: StepPlan, evaluator: Evaluator, room: Room | None) -> Done | Failed:
    """The output of a for-each whose items are all done."""
    mode = _mode(step)
    if mode == "none":
        numbers = {"count": command.count, "failed": command.failed}
        return Done(numbers if step.step.enough is None else {**numbers, "left": command.left})
    if mode == "count":
        return Done(command.count - command.failed - command.left)
    named = dict(run.gathered.get(command.origin, ()))
    if command.count > SHORT:
        named |= await evaluator.item_store.results(run.facts.tenant_id, run.id, command.origin)
    return await _Gathering(run, evaluator, _limits(room).output).all(command.count, named)


class _Gathering:
    """Reads results in pages, and stops when they are more than may be kept."""

    def __init__(self, run: Run, evaluator: Evaluator, most: int) -> None:
        self._run = run
        self._evaluator = evaluator
        self._most = most
        self._size = 0

    async def all(self, count: int, named: dict[int, int]) -> Done | Failed:
        output: list[Any] = [None] * count
        waiting = iter(sorted(named.items()))
        page, read = FIRST_PAGE, 0
        while pairs := list(islice(waiting, page)):
            await self._page(output, pairs, measured=count > SHORT)
            if self._size > self._most:
                return Failed(
                    "output_too_large",
                    f"What the {count:,} items came to is too much. {too_large(self._size, self._most)} Or write "
                    "`collect: none` or `collect: count` where it is not needed.",
                    retryable=False,
                )
            read += len(pairs)
            page = min(LARGEST_PAGE, max(FIRST_PAGE, PAGE_BYTES * read // max(self._size, 1)))
        return Done(output)

    async def _page(self, output: list[Any], pairs: list[tuple[int, int]], *, measured: bool) -> None:
        """Results that were not in memory before are not kept there."""
        results = self._run.results
        strange = [visit for _, visit in pairs if visit not in results]
        await self._evaluator.fetch_missing(self._run, strange)
        for index, visit in pairs:
            value = results[visit].output if visit in results else None
            if type(value) is Reference:
                self._size += value.size
                if self._size > self._most:
                    return
                value = await self._evaluator.payloads.open(self._run, value)
            elif measured:
                self._size += len(Encoded.of(value)) + 1
            output[index] = value
        for visit in strange:
            results.pop(visit, None)


def _mode(step: StepPlan) -> str:
    return str(step.raw.get("collect", "all"))


def _limits(room: Room | None) -> Limits:
    return room.limits if room is not None else USUAL
