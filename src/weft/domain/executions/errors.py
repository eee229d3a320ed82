"""Every way this room says no."""

from __future__ import annotations

from uuid import UUID

from weft.core.errors import Conflict, Invalid, NotFound


class ExecutionNotFound(NotFound):
    code = "execution_not_found"

    def __init__(self, execution_id: UUID) -> None:
        super().__init__(f"There is no execution {execution_id} in this tenant. `GET /v1/executions` lists them.")


class ExecutionFinal(Conflict):
    code = "execution_final"

    def __init__(self, status: str) -> None:
        again = " It can be retried." if status == "FAILED" else " Start a new one to run the workflow again."
        super().__init__(f"The execution has ended as {status}: there is nothing left to cancel.{again}")


class ExecutionNotFailed(Conflict):
    code = "execution_not_failed"

    def __init__(self, status: str) -> None:
        ended = status in ("COMPLETED", "CANCELLED")
        advice = "Start a new one to run the workflow again." if ended else "Cancel it, or wait for its end."
        super().__init__(f"The execution is {status}; only a FAILED one can be retried. {advice}")


class PeriodInvalid(Invalid):
    code = "period_invalid"

    def __init__(self) -> None:
        super().__init__("`created_to` must be later than `created_from`.")


class WaitUnclear(Invalid):
    code = "wait_unclear"

    def __init__(self, reason: str) -> None:
        super().__init__(f"`wait`: {reason}.")
