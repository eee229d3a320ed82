"""Every way this room says no."""

from __future__ import annotations

from collections.abc import Sequence
from uuid import UUID

from weft.core.errors import Conflict, Invalid, Issue, NotFound


class ExecutionNotFound(NotFound):
    code = "execution_not_found"

    def __init__(self, execution_id: UUID) -> None:
        super().__init__(f"There is no execution {execution_id} in this tenant. `weft execution list` shows them.")


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


class ExecutionNotPausable(Conflict):
    code = "execution_not_pausable"

    def __init__(self, status: str) -> None:
        super().__init__(f"The execution has ended as {status}: there is nothing left to pause.")


class ExecutionNotPaused(Conflict):
    code = "execution_not_paused"

    def __init__(self, status: str) -> None:
        super().__init__(f"The execution is {status}, not PAUSED: there is nothing to resume.")


class ReplayStepUnknown(Invalid):
    code = "replay_step_unknown"

    def __init__(self, step: str, version: int, around: str | None) -> None:
        advice = (
            f"It is inside of '{around}'; replay from there."
            if around
            else f"Name one of the workflow's own steps (`weft workflow export NAME --version {version}` shows them)."
        )
        super().__init__(f"Version {version} has no step '{step}' to begin at. {advice}")


class ReplayInputsMissing(Conflict):
    code = "replay_inputs_missing"

    def __init__(self, step: str, missing: Sequence[str]) -> None:
        super().__init__(
            f"Step '{step}' builds on results that the execution does not have: {_names(missing)}. Replay from the "
            "first of these, or from the start (`before: recompute`)."
        )


class ReplayUndone(Conflict):
    code = "replay_undone"

    def __init__(self, undone: Sequence[str], unknown: Sequence[str] = ()) -> None:
        said = []
        if undone:
            said.append(f"What these steps had done was undone, or is being undone: {_names(undone)}.")
        if unknown:
            said.append(
                f"Whether what these steps had done was undone is not known any more, as the execution that did it is "
                f"gone: {_names(unknown)}."
            )
        super().__init__(
            f"{' '.join(said)} Their results cannot be kept: replay from the first of them, or from the start "
            "(`before: recompute`)."
        )


def _names(steps: Sequence[str]) -> str:
    return ", ".join(f"'{one}'" for one in steps)


class MappingInvalid(Invalid):
    code = "mapping_invalid"

    def __init__(self, problems: Sequence[str]) -> None:
        super().__init__(
            f"The mapping does not fit the two versions: {' '.join(problems[:5])}",
            issues=[Issue(problem, ("mapping",), "mapping_invalid") for problem in problems],
        )


class MigrationToItself(Invalid):
    code = "migration_to_itself"

    def __init__(self) -> None:
        super().__init__("`from_version` and `to_version` are the same; name the version to move to.")


class ExecutionCompensated(Conflict):
    code = "execution_compensated"

    def __init__(self) -> None:
        super().__init__(
            "What the execution had done was undone when it failed, so it cannot go on from there. Replay it from the "
            "start instead (`before: recompute`): that is a new execution with the same input."
        )


class JournalGone(Conflict):
    code = "journal_gone"

    def __init__(self) -> None:
        super().__init__(
            "The journal of this execution has gone (retention): what its steps had found is not known any more, and "
            "it cannot go on from there. Start a new execution with the same input; `weft archive list` names the file "
            "that holds the journal, if it was archived."
        )


class PeriodInvalid(Invalid):
    code = "period_invalid"

    def __init__(self) -> None:
        super().__init__("`created_to` must be later than `created_from`.")


class WaitUnclear(Invalid):
    code = "wait_unclear"

    def __init__(self, reason: str) -> None:
        super().__init__(f"`wait`: {reason}.")


class EventIdUnclear(Invalid):
    code = "event_id_unclear"

    def __init__(self, event_id: str) -> None:
        super().__init__(
            f"'{event_id[:60]}' is no id of an event of an execution. Send the `id` of the last event that you got, or "
            "none to begin with a snapshot."
        )


class PayloadNotFound(NotFound):
    code = "payload_not_found"

    def __init__(self, payload_id: UUID) -> None:
        super().__init__(
            f"The execution has no payload {payload_id}. `weft execution show` and `logs` name those it has."
        )


class PayloadQuotaReached(Conflict):
    code = "payload_quota"

    def __init__(self, size: int, quota: int) -> None:
        super().__init__(quota_reached(size, quota))


def quota_reached(size: int, quota: int) -> str:
    """The same words for a start and for a step."""
    return (
        f"The value ({size:,} bytes as JSON) does not fit into what is left of the tenant's {quota:,} bytes for large "
        "values. Delete executions that are no longer needed, hand on less (a link, or the fields that are used), or "
        "ask the operator for more (`weft tenant limits --payload-bytes`); `weft tenant usage` shows what is used."
    )


class InputTooLarge(Invalid):
    code = "input_too_large"

    def __init__(self, size: int, limit: int) -> None:
        super().__init__(
            f"The input has {size:,} bytes as JSON; at most {limit:,} are taken (WEFT_OUTPUT_LIMIT). Hand on less, "
            "such as a link to it; nothing was started."
        )


class InputUnfit(Invalid):
    code = "input_unfit"

    def __init__(self, reason: str) -> None:
        super().__init__(f"The input cannot be written as JSON: {reason[:200]}. Correct it; nothing was started.")
