"""A seed file into a database: first everything is looked at, then what is missing is made."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Final

from weft.ops.seeds import people, running, things
from weft.ops.seeds.ground import Ground, Run
from weft.ops.seeds.reading import Loaded

ORDER: Final[tuple[Callable[[Ground], Awaitable[None]], ...]] = (
    people.tenant,
    people.tenant_roles,
    people.members,
    people.api_keys,
    things.policies,
    things.tenant_clients,
    things.tenant_secrets,
    things.message_templates,
    things.rate_limits,
    things.tenant_workflows,
    running.executions,
)
"""What comes later may refer to what comes before."""


async def sow(run: Run, loaded: Loaded) -> None:
    """Go through the file. With `run.dry` nothing is changed; what cannot be made is told with `SeedInvalid`."""
    for place, tenant in enumerate(loaded.file.tenants):
        ground = Ground(run, loaded, tenant, ("tenants", place))
        for step in ORDER:
            await step(ground)
    loaded.require_sound()
