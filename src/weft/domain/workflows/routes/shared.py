"""What the routers of this room have in common."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Annotated

from weft.core.errors import Issue
from weft.db.scope import Scope
from weft.domain.workflows import service as workflows
from weft.domain.workflows.models import Workflow
from weft.domain.workflows.schemas import IssueRead, VersionSaved, VersionSummary, WorkflowRead, WorkflowSummary
from weft.domain.workflows.service import Saved
from weft.http.scope import allowed

Reader = Annotated[Scope, allowed("workflows:read")]
Writer = Annotated[Scope, allowed("workflows:write")]
Publisher = Annotated[Scope, allowed("workflows:publish")]


async def shown(scope: Scope, workflow: Workflow) -> WorkflowRead:
    """The workflow as its own page shows it."""
    summary = WorkflowSummary.model_validate(workflow)
    return WorkflowRead(**summary.model_dump(), draft_differs=await workflows.differs(scope, workflow))


def listed_issues(issues: Iterable[Issue]) -> list[IssueRead]:
    return [IssueRead.model_validate(issue.as_json()) for issue in issues]


def shown_saved(saved: Saved) -> VersionSaved:
    return VersionSaved(
        created=saved.created,
        version=VersionSummary.model_validate(saved.version),
        warnings=listed_issues(saved.warnings),
    )
