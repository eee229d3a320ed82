"""What others' code may raise in our tasks. Step kinds are anybody's, and so are the libraries behind them."""

from __future__ import annotations

import asyncio

from weft.engine.outcomes import Failed


def is_own_end(error: BaseException) -> bool:
    """Whether the task that runs is itself being ended, so that `error` must go on its way.

    Everything else that derives from BaseException is a fault like any other. A panic of an extension in Rust arrives
    so, and `SystemExit`, `KeyboardInterrupt` and `CancelledError` too when the called code made them up: our processes
    hear of signals by handlers of the loop. Whoever lets one of them pass loses a task, and what it had in hand.
    """
    try:
        task = asyncio.current_task()
    except RuntimeError:  # no loop runs any more: the coroutine is being thrown away
        return True
    return task is None or (isinstance(error, asyncio.CancelledError) and task.cancelling() > 0)


def broken(kind: str, error: BaseException) -> Failed:
    """A step kind raised what it may not: that is its own failure, and nobody else's."""
    return Failed("internal", f"The step kind '{kind}' broke: {type(error).__name__}.", retryable=False)
