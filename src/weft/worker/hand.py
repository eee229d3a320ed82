"""What a worker has in hand: claimed jobs, their epochs, and how many tenants they belong to."""

from __future__ import annotations

from collections import Counter
from uuid import UUID

from weft.engine.queue import Job


class Hand:
    """The claimed jobs of one worker that have not been answered, put off or lost."""

    def __init__(self) -> None:
        self._jobs: dict[UUID, Job] = {}
        self._tenants: Counter[UUID] = Counter()

    def __len__(self) -> int:
        return len(self._jobs)

    def __contains__(self, job_id: UUID) -> bool:
        return job_id in self._jobs

    @property
    def tenants(self) -> list[UUID]:
        """Whoever has at least one job in hand."""
        return list(self._tenants)

    def take(self, job: Job) -> None:
        self._jobs[job.id] = job
        self._tenants[job.tenant_id] += 1

    def epoch(self, job_id: UUID) -> int | None:
        job = self._jobs.get(job_id)
        return None if job is None else job.epoch

    def drop(self, job_id: UUID) -> bool:
        """It is no longer ours; whether it was."""
        job = self._jobs.pop(job_id, None)
        if job is None:
            return False
        self._tenants[job.tenant_id] -= 1
        if not self._tenants[job.tenant_id]:
            del self._tenants[job.tenant_id]
        return True

    def leases(self) -> list[tuple[UUID, int]]:
        return [(job.id, job.epoch) for job in self._jobs.values()]
