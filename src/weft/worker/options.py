"""How much one worker does at once, and for how long."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class WorkerOptions:
    """`concurrency`: jobs in hand at once, and a quarter more for tenants that have none of them.

    `batch`: jobs of one claim. Times in seconds.
    """

    concurrency: int = 200
    batch: int = 100
    lease: float = 30.0
    poll: float = 1.0
    drain: float = 20.0
