"""Every way this room says no."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any
from uuid import UUID

from weft.core.errors import Conflict, Forbidden, Invalid, Issue, NotFound


class WorkflowNotFound(NotFound):
    code = "workflow_not_found"

    def __init__(self, workflow: UUID | str) -> None:
        super().__init__(
            f"There is no workflow '{workflow}' here. `weft workflow list` shows those of this "
            "tenant; a deleted one can be restored with `weft workflow restore`."
        )


class VersionNotFound(NotFound):
    code = "version_not_found"

    def __init__(self, number: int) -> None:
        super().__init__(f"The workflow has no version {number}. `weft workflow versions` lists them.")


class TriggerNotFound(NotFound):
    code = "trigger_not_found"

    def __init__(self, trigger_id: UUID) -> None:
        super().__init__(f"The workflow has no trigger {trigger_id}. `weft workflow trigger list` shows them.")


class NameMissing(Invalid):
    code = "workflow_name_missing"

    def __init__(self) -> None:
        super().__init__(
            "The workflow needs a name of at most 200 characters. Send `name`, or a definition that has one.",
            issues=[Issue("Give the workflow a name.", ("name",), "workflow_name_missing")],
        )


class ClientUnknown(Invalid):
    code = "client_unknown"

    def __init__(self, client_id: UUID) -> None:
        super().__init__(
            f"There is no client {client_id} in this tenant. Send the id of one, or none.",
            issues=[Issue("This client does not exist.", ("client_id",), "client_unknown")],
        )


class TriggerNameTaken(Conflict):
    code = "trigger_name_taken"

    def __init__(self, name: str) -> None:
        super().__init__(
            f"The workflow has a trigger called '{name}' already. Choose another name, or change that one.",
            issues=[Issue("is taken", ("name",), "trigger_name_taken")],
        )


class WorkflowNameTaken(Conflict):
    code = "workflow_name_taken"

    def __init__(self, name: str) -> None:
        super().__init__(
            f"There is a workflow called '{name}' already. Choose another name, or import the definition "
            "to make a new version of that workflow."
        )


class RestoredNameTaken(Conflict):
    code = "restored_name_taken"

    def __init__(self, name: str) -> None:
        super().__init__(
            f"Another workflow is called '{name}' by now. Delete that one, or give it another name "
            "(`weft workflow apply FILE --workflow NAME`), and restore this one again."
        )


class WorkflowArchived(Conflict):
    code = "workflow_archived"

    def __init__(self) -> None:
        super().__init__("The workflow is archived and can only be read. Unarchive it first.")


class WorkflowHasNoVersion(Conflict):
    code = "workflow_has_no_version"

    def __init__(self) -> None:
        super().__init__("The workflow has no version yet. Save its draft as a version first.")


class PublisherNeeded(Forbidden):
    """What would run at once is for those who may publish."""

    code = "publisher_needed"

    def __init__(self, name: str) -> None:
        super().__init__(
            f"The workflow '{name}' is ACTIVE, so this would take effect at once. That needs the permission "
            "'workflows:publish', which you do not have here. Store the definition as the draft, under the same name "
            "(`PUT /v1/workflows/{id}/draft`), and ask somebody who may publish to save it as a version."
        )


class DraftMissing(Conflict):
    code = "draft_missing"

    def __init__(self) -> None:
        super().__init__("The workflow has no draft. Store one with `PUT /v1/workflows/{id}/draft`.")


class MoveRefused(Conflict):
    """A change of status that the life of a workflow does not know."""

    code = "status_move_refused"

    def __init__(self, now: str, verb: str, allowed: Sequence[str]) -> None:
        may = ", ".join(allowed) or "nothing"
        super().__init__(f"A workflow that is {now} cannot be {verb}. From here one may: {may}.")


class WebhookUnknown(NotFound):
    """Says the same for a wrong address, a disabled trigger and a deleted workflow: a stranger learns nothing."""

    code = "webhook_unknown"

    def __init__(self) -> None:
        super().__init__("There is no webhook at this address. Copy it again from the trigger, or rotate it there.")


class WebhookOnly(Conflict):
    code = "trigger_not_webhook"

    def __init__(self) -> None:
        super().__init__("Only a webhook trigger has an address and a signing secret; this trigger has neither.")


class ScheduleOnly(Conflict):
    code = "trigger_not_schedule"

    def __init__(self) -> None:
        super().__init__("Only a schedule has due times and runs; this trigger is of another kind.")


class TriggerConfigMismatched(Invalid):
    """The config is that of another kind of trigger."""

    code = "trigger_config_mismatched"

    def __init__(self, kind: str) -> None:
        super().__init__(
            f"This trigger is of the kind {kind}, and the config is that of another kind. Send a config of its kind."
        )


class DocumentUnreadable(Invalid):
    """The text is not YAML or JSON, or not one that weft takes."""

    code = "document_unreadable"

    def __init__(self, issues: Sequence[Issue]) -> None:
        super().__init__(
            f"The document cannot be read: {issues[0].message}"
            + (f" (and {len(issues) - 1} more)" if len(issues) > 1 else ""),
            issues=issues,
        )

    @property
    def line(self) -> int | None:
        found: Any = self.issues[0].extra.get("line")
        return found if isinstance(found, int) else None


class DefinitionUnsound(Invalid):
    """A version is not made of a definition that could get stuck or go wrong; every reason is listed."""

    code = "definition_unsound"

    def __init__(self, issues: Sequence[Issue]) -> None:
        count = len(issues)
        first = issues[0].message if issues else "it has faults."
        more = "" if count <= 1 else f" There are {count - 1} more faults; all are listed in `errors`."
        super().__init__(f"The definition cannot become a version: {first}{more}", issues=issues)


class TriggerConfigInvalid(Invalid):
    code = "trigger_config_invalid"
