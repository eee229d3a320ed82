"""Opens the secrets that a call needs, in the process that makes the call, and records that they were read.

What was opened stays in memory for some seconds: a loop over a thousand items asks once. A new value is therefore
used within `KEPT` seconds everywhere. A read is recorded in the audit log once for each execution and process, not for
each call, so that an execution of a thousand calls does not write a thousand lines that say the same.
"""

from __future__ import annotations

import time
from collections import OrderedDict
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Final, TypeVar
from uuid import UUID

from weft.core.actor import system_actor
from weft.db.database import Database, DatabaseUnavailable
from weft.db.hot import AWAY
from weft.db.scope import Scope, enter
from weft.domain.secrets import service as secrets

KEPT: Final = 5.0
"""Seconds that an opened secret is used without asking whether there is a newer one."""
MOST: Final = 2_000
"""Secrets, and reads already recorded, that a process remembers."""

Key = TypeVar("Key")
Value = TypeVar("Value")


@dataclass(frozen=True, slots=True)
class _Opened:
    id: UUID
    version: int
    at: float
    value: str = field(repr=False)


class Vault:
    """One per process. Fulfils `weft.core.ports.SecretStore`."""

    def __init__(self, database: Database, *, monotonic: Callable[[], float] = time.monotonic) -> None:
        self._database = database
        self._monotonic = monotonic
        self._opened: OrderedDict[tuple[UUID, str], _Opened] = OrderedDict()
        self._recorded: OrderedDict[tuple[UUID, UUID], None] = OrderedDict()

    async def reveal(
        self, tenant_id: UUID, execution_id: UUID, names: Sequence[str], *, correlation_id: str
    ) -> dict[str, str]:
        """The values of those that exist. Raises `SecretsUnreadable` or `DatabaseUnavailable`."""
        found = {name: known for name in names if (known := self._known(tenant_id, name)) is not None}
        missing = [name for name in names if name not in found]
        if missing or any((execution_id, known.id) not in self._recorded for known in found.values()):
            try:
                async with enter(self._database, system_actor(tenant_id, correlation_id=correlation_id)) as scope:
                    found |= await self._read(scope, missing)
                    await self._record(scope, execution_id, found)
            except AWAY as error:
                raise DatabaseUnavailable from error
            for known in found.values():
                _remember(self._recorded, (execution_id, known.id), None)
        return {name: known.value for name, known in found.items()}

    def _known(self, tenant_id: UUID, name: str) -> _Opened | None:
        known = self._opened.get((tenant_id, name))
        return known if known is not None and self._monotonic() - known.at < KEPT else None

    async def _read(self, scope: Scope, names: Sequence[str]) -> dict[str, _Opened]:
        found: dict[str, _Opened] = {}
        now = self._monotonic()
        for cell in await secrets.stored(scope, names) if names else ():
            known = self._opened.get((scope.tenant_id, cell.name))
            if known is not None and (known.id, known.version) == (cell.id, cell.version):
                value = known.value
            else:
                value = await secrets.opened(scope, cell)
            found[cell.name] = _Opened(cell.id, cell.version, now, value)
            _remember(self._opened, (scope.tenant_id, cell.name), found[cell.name])
        for name in names:
            if name not in found:
                self._opened.pop((scope.tenant_id, name), None)
        return found

    async def _record(self, scope: Scope, execution_id: UUID, found: dict[str, _Opened]) -> None:
        for name, known in found.items():
            if (execution_id, known.id) not in self._recorded:
                details = {"name": name, "version": known.version, "execution_id": str(execution_id)}
                await scope.record("read", "secrets", known.id, details)


def _remember(into: OrderedDict[Key, Value], key: Key, value: Value) -> None:
    into[key] = value
    into.move_to_end(key)
    while len(into) > MOST:
        into.popitem(last=False)
