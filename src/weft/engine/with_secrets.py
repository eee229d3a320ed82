"""Performs a step whose config refers to secrets: they are opened for the call, and hidden in what comes of it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any, Protocol

from weft.engine.kinds import Call, Errand, Ports
from weft.engine.masking import Mask
from weft.engine.outcomes import Failed, Outcome
from weft.engine.secret_places import SecretPlaces


class Performer(Protocol):
    async def perform(self, call: Call, ports: Ports) -> Outcome: ...


@dataclass(frozen=True, slots=True)
class _Opened:
    """The errand with its secrets in hand."""

    errand: Errand
    places: SecretPlaces
    values: Mapping[str, str] = field(repr=False)

    async def perform(self, call: Call, ports: Ports) -> Outcome:
        mask = Mask(self.values.values())
        config = self.places.filled(call.config, self.values)
        return mask.outcome(await self.errand.perform(replace(call, config=config), ports))


@dataclass(frozen=True, slots=True)
class _Refused:
    failed: Failed

    async def perform(self, call: Call, ports: Ports) -> Outcome:
        del call, ports
        return self.failed


async def opened(errand: Errand, call: Call, ports: Ports, places: SecretPlaces) -> Performer:
    """Raises `Unavailable` when the secrets cannot be opened now; the step has not failed then."""
    if ports.secrets is None:
        return _Refused(Failed("secret_missing", "This process has no way to open secrets.", retryable=False))
    values = await ports.secrets.reveal(
        call.tenant_id, call.execution_id, places.names, correlation_id=call.correlation_id
    )
    missing = [name for name in places.names if name not in values]
    if missing:
        return _Refused(Failed("secret_missing", _sentence(missing), retryable=False))
    return _Opened(errand, places, values)


def config_of(performer: Performer, config: Mapping[str, Any]) -> Mapping[str, Any]:
    """The config as it will be performed. It may hold secrets: for what is asked of it at once, and not to be kept."""
    return performer.places.filled(config, performer.values) if isinstance(performer, _Opened) else config


def _sentence(names: list[str]) -> str:
    said = " and ".join(f"'{name}'" for name in names[:5])
    return f"There is no secret {said} in this tenant. Set it with `weft secret set {names[0]}`, then retry."
