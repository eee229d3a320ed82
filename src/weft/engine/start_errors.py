"""Every way a start is refused."""

from __future__ import annotations

from weft.core.errors import Conflict, NotFound, Unavailable

DEEPEST = 16
"""So deep may sub-workflows be nested."""


class WorkflowUnknown(NotFound):
    code = "workflow_not_found"

    def __init__(self, workflow: object) -> None:
        super().__init__(
            f"There is no workflow '{workflow}' in this tenant. `weft workflow list` shows those there are."
        )


class VersionUnknown(NotFound):
    code = "version_not_found"

    def __init__(self, number: int) -> None:
        super().__init__(f"The workflow has no version {number}. `weft workflow versions` lists them.")


class VersionNotPublished(Conflict):
    """Somebody who may only draw has saved it, and nobody has let it run."""

    code = "version_not_published"

    def __init__(self, number: int) -> None:
        super().__init__(
            f"Version {number} was never the current one of the active workflow, so nobody has let it run yet. "
            "Somebody with the permission 'workflows:publish' can, by activating the workflow while it is current, "
            f"or by rolling back to it (`weft workflow rollback WORKFLOW {number}`)."
        )


class WorkflowNotActive(Conflict):
    code = "workflow_not_active"

    def __init__(self, name: str, status: str) -> None:
        super().__init__(
            f"The workflow '{name}' is {status} and cannot be started. Activate it first "
            f"(`weft workflow activate {name}`)."
        )


class TriggerChanged(Unavailable):
    code = "trigger_changed"

    def __init__(self) -> None:
        super().__init__("The trigger was changed or disabled while the request was on its way. Try again.")


class IdempotencyKeyReused(Conflict):
    code = "idempotency_key_reused"

    def __init__(self) -> None:
        super().__init__(
            "This Idempotency-Key was used for a start with another input. Use a new key for a new request."
        )


class StartsTooDeep(Conflict):
    code = "sub_workflow_too_deep"

    def __init__(self) -> None:
        super().__init__(f"Sub-workflows are nested more than {DEEPEST} deep: does a workflow start itself?")
