"""Runs and checks tenants' Python in Monty: the only module that knows it. Imported by workers, and by whoever checks
a definition that holds code; Monty itself is loaded when it is first needed.

Monty is an interpreter of its own (no CPython inside) in processes of its own, with limits on time, heap, recursion
and output, and nothing to reach: no files, no network, no environment, no clock but the one that it is given. Its
worker processes are shared, sessions never are: each run has a fresh one, which is thrown away after it.
"""

from __future__ import annotations

import asyncio
import os
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Any, Final, Literal

from weft.core.ports import CodeError, CodeRequest, CodeResult
from weft.engine.code_values import NotJson, plain
from weft.expressions.fair_queue import FairQueue

if TYPE_CHECKING:
    import pydantic_monty

RECURSION: Final = 500
PRINTED: Final = 4_000
"""Characters of printed text that are kept."""
MOST_PRINTED: Final = 1_000_000
"""Characters that may be printed at all."""
LARGEST_OUTPUT: Final = 1_000_000
"""Bytes of the result as JSON."""
RUNS_PER_PROCESS: Final = 500
LOST: Final = 1.0
"""Seconds past its limit after which a process that does not stop by itself is killed."""
SHOWN: Final = 500
"""Characters of an exception's own text that a message repeats."""


class CodeSandbox:
    """Fulfils `weft.core.ports.CodeRunner`. One per process and event loop; `close` it at the end."""

    def __init__(self, *, processes: int | None = None) -> None:
        self._processes = processes or min(8, max(2, os.cpu_count() or 2))
        self._pool: pydantic_monty.Monty | None = None
        self._threads: ThreadPoolExecutor | None = None
        self._free = self._processes
        self._waiting: FairQueue[asyncio.Future[None]] = FairQueue()
        self._closed = False

    async def run(self, request: CodeRequest) -> CodeResult:
        """Waits for a free process; tenants take turns. Raises `CodeError`."""
        await self._enter(request)
        try:
            running = asyncio.get_running_loop().run_in_executor(self._ready(), self._run, request)
        except BaseException:
            self._hand_on()
            raise
        # A cancelled caller leaves its run to end by its own limits: the place is free only then.
        running.add_done_callback(self._leave)
        return await asyncio.shield(running)

    async def close(self) -> None:
        """End the processes. Runs under way fail."""
        self._closed = True
        pool, threads = self._pool, self._threads
        self._pool = self._threads = None
        if pool is not None:
            await asyncio.to_thread(pool.__exit__, None, None, None)
        if threads is not None:
            await asyncio.to_thread(threads.shutdown, wait=True, cancel_futures=True)

    async def _enter(self, request: CodeRequest) -> None:
        if self._free > 0 and not self._waiting:
            self._free -= 1
            return
        turn: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._waiting.push(request.tenant, turn)
        try:
            await turn
        except asyncio.CancelledError:
            if turn.done() and not turn.cancelled():
                self._hand_on()
            raise

    def _leave(self, done: asyncio.Future[CodeResult]) -> None:
        if not done.cancelled():
            done.exception()  # looked at, also where the caller has gone
        self._hand_on()

    def _hand_on(self) -> None:
        """A place is free: the next in line has it."""
        while (turn := self._waiting.pop()) is not None:
            if not turn.done():
                turn.set_result(None)
                return
        self._free += 1

    def _ready(self) -> ThreadPoolExecutor:
        if self._closed:
            raise CodeError("code_crashed", "The worker is stopping.")
        if self._threads is None:
            import pydantic_monty

            # The library's asynchronous pool can abort the interpreter at its exit; threads and the plain one do not.
            self._pool = pydantic_monty.Monty(
                min_processes=0,
                max_processes=self._processes,
                max_checkouts_per_worker=RUNS_PER_PROCESS,
                feed_duration_limit_grace=LOST,
            )
            self._pool.__enter__()
            self._threads = ThreadPoolExecutor(self._processes, thread_name_prefix="weft-code")
        return self._threads

    def _run(self, request: CodeRequest) -> CodeResult:
        """In a thread that waits for the process."""
        import pydantic_monty

        pool = self._pool
        if pool is None:
            raise CodeError("code_crashed", "The worker is stopping.")
        printed = _Printed()
        try:
            with pool.checkout(script_name="code", limits=_limits(request), os_policy=_policy(request)) as session:
                value = session.feed_run(request.code, inputs=dict(request.inputs), print_callback=printed)
        except pydantic_monty.MontyError as error:
            raise _failure(error, request, printed) from None
        except (ValueError, TypeError, RuntimeError) as error:
            raise CodeError("code_error", f"The inputs cannot be handed over: {str(error)[:SHOWN]}.") from None
        try:
            return CodeResult(plain(value, LARGEST_OUTPUT), printed.text)
        except NotJson as wrong:
            raise CodeError("code_output", wrong.sentence, printed=printed.text) from None


class _Printed:
    """Keeps the beginning of what is printed. A run that prints far too much fails, at its time limit at the latest."""

    def __init__(self) -> None:
        self.text = ""
        self.total = 0

    @property
    def too_much(self) -> bool:
        return self.total > MOST_PRINTED

    def __call__(self, stream: Literal["stdout", "stderr"], text: str) -> None:
        del stream
        self.total += len(text)
        if len(self.text) < PRINTED:
            self.text = (self.text + text.replace("\0", "\N{REPLACEMENT CHARACTER}"))[:PRINTED]
        if self.too_much:
            raise ValueError("too much was printed")


def _limits(request: CodeRequest) -> pydantic_monty.ResourceLimits:
    return {
        "max_feed_duration_secs": request.seconds,
        "max_memory": request.memory,
        "max_recursion_depth": RECURSION,
        "max_total_sleep_secs": 0.0,
    }


def _policy(request: CodeRequest) -> pydantic_monty.OSPolicy:
    return {
        "datetime": request.now,
        "timezone": "utc",
        "sleep": "zero",
        "process_time": "zero",
        "random_start": {"seed": request.seed},
    }


def _failure(error: pydantic_monty.MontyError, request: CodeRequest, printed: _Printed) -> CodeError:
    """What happened, in our words."""
    import pydantic_monty

    said = printed.text
    if printed.too_much:
        return CodeError("code_output", f"The code printed more than {MOST_PRINTED:,} characters.", printed=said)
    if isinstance(error, pydantic_monty.MontyCrashedError):
        if error.timed_out:
            return _too_long(request, said)
        return CodeError("code_crashed", "The sandbox's process ended while it ran the code.", printed=said)
    text, inner = str(error), error.exception()
    if isinstance(inner, TimeoutError) and "time limit exceeded" in text:
        return _too_long(request, said)
    if isinstance(inner, MemoryError):
        sentence = f"The code needs more than {request.memory // 1_000_000:,} MB of memory."
        return CodeError("code_memory", sentence, printed=said)
    line, column = _place(error)
    where = f" in line {line}, column {column}" if line is not None else ""
    return CodeError("code_error", f"{_shown(text)}{where}", line=line, column=column, printed=said)


def _too_long(request: CodeRequest, printed: str) -> CodeError:
    return CodeError("code_timeout", f"The code took longer than {request.seconds:g} seconds.", printed=printed)


def _place(error: Any) -> tuple[int | None, int | None]:
    """The innermost line of the code that was under way."""
    frames = error.traceback() if hasattr(error, "traceback") else []
    return (frames[-1].line, frames[-1].column) if frames else (None, None)


def _shown(text: str) -> str:
    text = text.replace("\0", "\N{REPLACEMENT CHARACTER}").rstrip(".")
    return text if len(text) <= SHOWN else text[:SHOWN] + "…"
