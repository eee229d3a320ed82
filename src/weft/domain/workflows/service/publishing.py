"""What decides which definition runs: who may, and the record of what was let run."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from weft.db.scope import Scope
from weft.domain.workflows import rules
from weft.domain.workflows.errors import PublisherNeeded
from weft.domain.workflows.models import Workflow
from weft.domain.workflows.service import rows

PERMISSION: Final = "workflows:publish"

_PUBLISH: Final = """/* weft:workflows.publish */
insert into weft.workflow_publications (tenant_id, version_id, published_by) values ($1, $2, $3) on conflict do nothing
"""


def require_publisher(scope: Scope, workflow: Workflow) -> None:
    """For changes that take effect at once where the workflow is active: a new current version, another name.

    Saving to what is not active is open to whoever may write: there the review is the activation.
    """
    if workflow.status == rules.ACTIVE and not scope.actor.may(PERMISSION):
        raise PublisherNeeded(workflow.name)


async def follow(scope: Scope, workflow: Workflow) -> None:
    """Record that the current version was let run, if the workflow is active."""
    if workflow.status == rules.ACTIVE and workflow.current_version_id is not None:
        await scope.raw.execute(_PUBLISH, scope.tenant_id, workflow.current_version_id, rows.author(scope))


def take_over(scope: Scope, workflow: Workflow, document: Mapping[str, Any]) -> None:
    """Let the row say what the document says of itself. A half-drawn document may say nothing sensible of a word;
    the row's word then stays.

    Starts and sub-workflows find a workflow by its name: another name is another thing that runs under it.
    """
    name, description, tags = document.get("name"), document.get("description"), document.get("tags") or []
    if isinstance(name, str) and name.strip() and len(name) <= rules.MAX_NAME:
        if (key := rules.name_key(name)) != workflow.name_key:
            require_publisher(scope, workflow)
        workflow.name = " ".join(name.split())
        workflow.name_key = key
    if description is None or (isinstance(description, str) and len(description) <= rules.MAX_DESCRIPTION):
        workflow.description = description
    if rules.are_tags(tags):
        workflow.tags = tags
