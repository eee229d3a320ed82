"""Evaluation of what is not simple, in child processes with a memory limit, a time limit and nothing to steal.

    guard = Guard()
    await guard.start()
    results = await guard.evaluate([compiled, ...], context, tenant=tenant_id)
    await guard.close()

One call is one batch: everything a step wants to know travels together, with only those parts of the context that it
reads. A batch that takes more processor time or memory than its limit, or that brings the engine down
costs one child process; the next one is forked within some milliseconds and the others never notice. Tenants take
turns when all children are busy.

A guard belongs to the event loop and the process that started it.
"""

from __future__ import annotations

import asyncio
import os
from collections.abc import Coroutine, Hashable, Iterator, Mapping, Sequence
from types import TracebackType
from typing import Any, Self

import msgspec

from weft.expressions import sandbox
from weft.expressions.compile import Compiled, Expression
from weft.expressions.context import project
from weft.expressions.errors import ExpressionFailed, GuardBusy, GuardUnavailable
from weft.expressions.evaluate import RESULT_LIMIT, boolean, evaluate_simple
from weft.expressions.fair_queue import FairQueue
from weft.expressions.forker import Forker
from weft.expressions.guard_child import LENGTH
from weft.expressions.guard_link import Link
from weft.expressions.results import (
    DATA_TOO_LARGE,
    NOT_JSON,
    Assembly,
    Leaf,
    Result,
    befell,
    cause_of_death,
    guarded_leaves,
)
from weft.expressions.views import CRASHED, TOO_SLOW

__all__ = ["Guard", "Result"]

CHILDREN = 2
CPU_SECONDS = 1.0
WALL_SECONDS = 10.0
"""A machine that has no time for a child is no fault of the expression: what was computed counts, within this."""
MEMORY_LIMIT = 400 * 2**20
ANSWER_LIMIT = 8 * 2**20
QUESTION_LIMIT = 32 * 2**20
MAX_WAITING = 1_000
MAX_WAITING_BYTES = 128 * 2**20
START_ATTEMPTS = 3

_CLOSED = "The guard is closed."
_ENDED = "The guard's process ended. Try again."
_CANNOT_START = "The guard's processes cannot be started. See whether this machine has memory and process ids left."


class _Job:
    """One batch on its way. `answer` gives a list of results, or the code of what befell the whole batch."""

    __slots__ = ("answer", "question")

    def __init__(self, question: bytes, answer: asyncio.Future[list[Any] | str]) -> None:
        self.question = question
        self.answer = answer

    def settle(self, answer: list[Any] | str) -> None:
        if not self.answer.done():  # whoever asked may have been cancelled
            self.answer.set_result(answer)

    def refuse(self, reason: str) -> None:
        if not self.answer.done():
            self.answer.set_exception(GuardUnavailable(reason))


class Guard:
    """A pool of confined children. Sizes in bytes, times in seconds."""

    def __init__(
        self,
        *,
        children: int = CHILDREN,
        wall_limit: float = WALL_SECONDS,
        cpu_limit: float = CPU_SECONDS,
        memory_limit: int = MEMORY_LIMIT,
        answer_limit: int = ANSWER_LIMIT,
        result_limit: int = RESULT_LIMIT,
        max_waiting: int = MAX_WAITING,
    ) -> None:
        self._slots = range(children)
        self._wall_limit = wall_limit
        self._cpu_limit = cpu_limit
        self._memory_limit = memory_limit
        self._answer_limit = answer_limit
        self._result_limit = result_limit
        self._max_waiting = max_waiting
        self._links: dict[int, Link] = {}
        self._idle: list[Link] = []
        self._jobs: dict[Link, _Job] = {}
        self._waiting: FairQueue[_Job] = FairQueue()
        self._waiting_bytes = 0
        self._forker: Forker | None = None
        self._tasks: set[asyncio.Task[None]] = set()
        self._running = False
        self._recovering = False
        self._process_id = 0

    # --- life --------------------------------------------------------------------------------------------------

    async def start(self) -> None:
        """Start the children and wait until they are warm. Raises GuardUnavailable."""
        if self._running:
            return
        self._process_id = os.getpid()
        self._running = True
        try:
            await self._begin()
        except BaseException:
            await self.close()
            raise

    async def close(self) -> None:
        """End all children. What is under way or waits gets GuardUnavailable."""
        self._running = False
        for task in list(self._tasks):
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        self._refuse_waiting(_CLOSED)
        await self._end(_CLOSED)

    async def __aenter__(self) -> Self:
        await self.start()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        await self.close()

    async def _begin(self) -> None:
        self._forker = Forker(
            memory_limit=self._memory_limit,
            answer_limit=self._answer_limit,
            cpu_limit=self._cpu_limit,
            lost=self._forker_lost,
        )
        self._forker.start()
        for slot in self._slots:
            await self._open(slot)

    async def _end(self, reason: str) -> None:
        """Stop every process and refuse what is under way."""
        for link in self._links.values():
            link.cut()
        self._links.clear()
        self._idle.clear()
        jobs, self._jobs = list(self._jobs.values()), {}
        for job in jobs:
            job.refuse(reason)
        forker, self._forker = self._forker, None
        if forker is not None:
            await forker.stop()

    def _refuse_waiting(self, reason: str) -> None:
        while (waiting := self._waiting.pop()) is not None:
            waiting.refuse(reason)
        self._waiting_bytes = 0

    # --- asking ------------------------------------------------------------------------------------------------

    async def evaluate(
        self, batch: Sequence[Compiled], context: Mapping[str, Any], *, tenant: Hashable = None
    ) -> list[Result]:
        """One result for each compiled value, in order.

        Raises GuardBusy when too many batches wait already, and GuardUnavailable when the guard is closed.
        """
        leaves = guarded_leaves(batch)
        answers: Iterator[list[Any]] | ExpressionFailed = iter(())
        if leaves:
            question = self._question(leaves, context)
            answer = question if isinstance(question, str) else await self.ask(question, tenant)
            if isinstance(answer, str) or len(answer) != len(leaves):
                code = answer if isinstance(answer, str) else CRASHED
                answers = befell(code, leaves, cpu=self._cpu_limit, wall=self._wall_limit, memory=self._memory_limit)
            else:
                answers = iter(answer)
        assembly = Assembly(context, answers, self._result_limit)
        return [assembly.result(compiled) for compiled in batch]

    async def value(self, compiled: Compiled, context: Mapping[str, Any], *, tenant: Hashable = None) -> Any:
        """The value of one, in this process when it is simple. Raises what went wrong."""
        if compiled.is_simple:
            return evaluate_simple(compiled, context, limit=self._result_limit)
        (result,) = await self.evaluate([compiled], context, tenant=tenant)
        return result.unwrap()

    async def condition(self, condition: Expression, context: Mapping[str, Any], *, tenant: Hashable = None) -> bool:
        """Whether a condition holds. Raises what went wrong, ConditionNotBoolean among it."""
        return boolean(await self.value(condition, context, tenant=tenant), condition)

    def _question(self, leaves: Sequence[Leaf], context: Mapping[str, Any]) -> bytes | str:
        paths = frozenset().union(*(leaf.paths for leaf in leaves))
        try:
            question = msgspec.json.encode(
                {
                    "context": project(context, paths),
                    "leaves": [
                        (sandbox.EXPRESSION if isinstance(leaf, Expression) else sandbox.TEMPLATE, leaf.run)
                        for leaf in leaves
                    ],
                    "limit": self._result_limit,
                }
            )
        except (UnicodeEncodeError, TypeError, ValueError, RecursionError):
            return NOT_JSON
        return question if len(question) <= QUESTION_LIMIT else DATA_TOO_LARGE

    async def ask(self, question: bytes, tenant: Hashable) -> list[Any] | str:
        """The answers to a question in the words of `guard_child`, or the code of what befell all of it."""
        if not self._running or self._process_id != os.getpid():
            raise GuardUnavailable("The guard is not started in this process. Start one.")
        loop = asyncio.get_running_loop()
        job = _Job(question, loop.create_future())
        if self._idle:
            self._give(self._idle.pop(), job)
        else:
            self._queue(job, tenant)
        return await job.answer

    def _queue(self, job: _Job, tenant: Hashable) -> None:
        size = self._waiting_bytes + len(job.question)
        share = max(1, self._max_waiting // 2)  # of one tenant: another's first must find a place
        full = len(self._waiting) >= self._max_waiting or self._waiting.count(tenant) >= share
        if full or size > MAX_WAITING_BYTES:
            raise GuardBusy(f"{len(self._waiting)} evaluations wait already. Try again in a moment.", retry_after=1.0)
        self._waiting.push(tenant, job)
        self._waiting_bytes = size
        if self._forker is None and not self._recovering:  # the last attempts to start it were in vain
            self._recover()

    # --- children ----------------------------------------------------------------------------------------------

    def _give(self, link: Link, job: _Job) -> None:
        self._jobs[link] = job
        link.send(LENGTH.pack(len(job.question)) + job.question, self._wall_limit)

    def _free(self, link: Link) -> None:
        while (job := self._waiting.pop()) is not None:
            self._waiting_bytes -= len(job.question)
            if not job.answer.done():
                self._give(link, job)
                return
        self._idle.append(link)

    def _answered(self, link: Link, body: bytes, retire: bool) -> None:
        job = self._jobs.pop(link)
        try:
            job.settle(msgspec.json.decode(body, type=list[list[Any]] | str))
        except (msgspec.DecodeError, RecursionError):
            job.settle(CRASHED)
            retire = True
        if retire:
            self._replace(link, None)
        else:
            self._free(link)

    def _late(self, link: Link) -> None:
        self._jobs.pop(link).settle(TOO_SLOW)
        self._replace(link, None)

    def _gone(self, link: Link) -> None:
        """The child ended by itself; the forker will say how."""
        if link in self._idle:
            self._idle.remove(link)
        self._replace(link, self._jobs.pop(link, None))

    def _replace(self, link: Link, job: _Job | None) -> None:
        link.cut()
        if self._links.get(link.slot) is link and self._running:
            del self._links[link.slot]
            opening = self._spawn(self._open(link.slot, job))
            if job is not None:
                # A task that is cancelled before its first step runs nothing of its own.
                opening.add_done_callback(lambda _: job.settle(CRASHED))
        elif job is not None:
            job.settle(CRASHED)

    async def _open(self, slot: int, job: _Job | None = None) -> None:
        """A fresh child in the slot. `job` is the batch under which the one before ended."""
        forker = self._forker
        try:
            if forker is None:
                raise GuardUnavailable(_ENDED)
            connection, status = await forker.child(slot)
        except BaseException:  # the guard may be closing
            if job is not None:
                job.settle(CRASHED)
            raise
        if job is not None:
            job.settle(cause_of_death(status))
        link = Link(slot, self._answer_limit, answered=self._answered, late=self._late, gone=self._gone)
        try:
            await asyncio.get_running_loop().create_unix_connection(lambda: link, sock=connection)
        except BaseException:
            link.cut()
            connection.close()
            raise
        if self._forker is not forker:  # everything was started anew meanwhile
            link.cut()
            return
        self._links[slot] = link
        self._free(link)

    # --- when the forker itself is lost ------------------------------------------------------------------------

    def _forker_lost(self) -> None:
        if self._running and not self._recovering:
            self._recover()

    def _recover(self) -> None:
        self._recovering = True
        self._spawn(self._restart())

    async def _restart(self) -> None:
        """Start anew. What was under way is lost; what waits goes on waiting, unless nothing can be started."""
        try:
            for _ in range(START_ATTEMPTS):
                await self._end(_ENDED)
                try:
                    await self._begin()
                except GuardUnavailable:
                    continue
                return
            await self._end(_CANNOT_START)
            self._refuse_waiting(_CANNOT_START)
        finally:
            self._recovering = False

    def _spawn(self, work: Coroutine[Any, Any, None]) -> asyncio.Task[None]:
        task = asyncio.get_running_loop().create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._finished)
        return task

    def _finished(self, task: asyncio.Task[None]) -> None:
        self._tasks.discard(task)
        error = None if task.cancelled() else task.exception()
        if isinstance(error, GuardUnavailable):
            if self._running and not self._recovering:
                self._recover()
        elif error is not None:
            loop = task.get_loop()
            loop.call_exception_handler({"message": "guard: a child was not replaced", "exception": error})
