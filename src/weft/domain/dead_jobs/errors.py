"""Every way this room says no."""

from __future__ import annotations

from uuid import UUID

from weft.core.errors import Conflict, NotFound


class DeadJobNotFound(NotFound):
    code = "dead_job_not_found"

    def __init__(self, job_id: UUID) -> None:
        super().__init__(
            f"There is no dead job {job_id} in this tenant: it was retried or dropped, or never was. "
            "`weft dead list` shows those there are."
        )


class ExecutionUnreadable(Conflict):
    code = "execution_unreadable"

    def __init__(self, execution_id: UUID, error: BaseException) -> None:
        super().__init__(
            f"This version of weft still cannot go on with the execution {execution_id} ({type(error).__name__}; the "
            "log has the whole of it). Nothing was changed. Mend the cause, or drop the dead job."
        )
