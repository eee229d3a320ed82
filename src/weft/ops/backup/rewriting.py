"""Making a tenant's rows ready in the throw-away server, where nobody sees it: what must not come along, and what must
be sealed anew. Its triggers are off, so nothing is counted or logged that did not happen.
"""

from __future__ import annotations

import os
from datetime import datetime
from typing import TYPE_CHECKING, Final
from uuid import UUID

from weft.core.ids import new_id
from weft.db import secrets
from weft.db.keyring import Keyring, SecretsUnreadable
from weft.ops.backup import schedules
from weft.ops.backup.errors import MasterKeyDiffers

if TYPE_CHECKING:
    from weft.db.database import Connection
    from weft.ops.backup.tenants import Plan, Wanted

CELLS: Final = (("secrets", "value"), ("workflow_triggers", "secret"), ("workflow_triggers", "previous_secret"))
"""Columns that `weft.db.secrets` writes: bound to tenant and row."""
CREDENTIALS: Final = (
    "api_keys.secret_hash",
    "sessions.secret_hash",
    "tenant_keys.wrapped",
    "users.password_hash",
    "workflow_triggers.previous_token_hash",
    "workflow_triggers.token_hash",
)
"""The other secret columns, which this module or `moving` deal with. A test fails for one that is in neither."""

HELD: Final = "It came from a backup and waits until somebody says that it may go on."

_NOT_FOR_COPIES: Final = ("api_key_uses", "api_keys", "sessions", "archives")
"""Credentials of the original, and files that are the original's."""

_HOLD: Final = """/* weft:restore.hold */
insert into weft.dispatch_dead (tenant_id, id, kind, reason, created_at, execution_id, visit, attempt, detail, claims,
                                lapses, last_error, died_at)
select tenant_id, id, kind, 'restored', created_at, execution_id, visit, attempt, detail, 0, 0, $2, $3
  from weft.dispatch_jobs where tenant_id = $1
"""
_LET_GO: Final = """/* weft:restore.let_go */
update weft.dispatch_jobs set state = 'ready', lease_owner = null, lease_until = null, capped = false, epoch = epoch + 1
 where tenant_id = $1 and state in ('leased', 'suspect')
"""
_TRIGGERS_OFF: Final = """/* weft:restore.triggers */
update weft.workflow_triggers
   set enabled = false, token_hash = null, previous_token_hash = null, token_grace_until = null,
       secret = null, previous_secret = null, signing_grace_until = null
 where tenant_id = $1
"""


class Rewriting:
    """One tenant of the throw-away server."""

    def __init__(self, source: Connection, plan: Plan, wanted: Wanted, master_key: bytes | None) -> None:
        self._source = source
        self._plan = plan
        self._wanted = wanted
        self._master_key = master_key
        self._tenant = plan.tenant_id

    async def run(self, now: datetime) -> None:
        """Everything, in one transaction. Raises `MasterKeyDiffers`."""
        async with self._source.transaction():
            await self._source.execute("set local session_replication_role = replica")
            await self._jobs(now)
            if self._plan.is_copy or not self._wanted.run:
                self._plan.held_schedules = await schedules.hold(self._source, self._tenant)
            # Whoever signed in then signs in again: sessions are no data.
            await self._source.execute("delete from weft.sessions where tenant_id = $1", self._tenant)
            await self._source.execute("delete from weft.rate_limit_states where tenant_id = $1", self._tenant)
            if self._plan.is_copy:
                await self._as_copy()
            elif self._master_key is not None:
                await self._keys_open(Keyring(self._master_key))

    async def _jobs(self, now: datetime) -> None:
        if self._wanted.run:
            await self._source.execute(_LET_GO, self._tenant)
            return
        done = await self._source.execute(_HOLD, self._tenant, HELD, now)
        self._plan.held_jobs = int(done.rpartition(" ")[2])
        await self._source.execute("delete from weft.dispatch_jobs where tenant_id = $1", self._tenant)

    async def _as_copy(self) -> None:
        for table in _NOT_FOR_COPIES:
            await self._source.execute(f"delete from weft.{table} where tenant_id = $1", self._tenant)
        await self._source.execute(_TRIGGERS_OFF, self._tenant)
        await self._source.execute(
            "update weft.tenants set slug = $2, deleted_at = null where id = $1", self._tenant, self._plan.slug
        )
        await self._reseal()

    async def _keys_open(self, keyring: Keyring) -> dict[int, bytes]:
        rows = await self._source.fetch(
            "select number, wrapped from weft.tenant_keys where tenant_id = $1 and purpose = $2",
            self._tenant,
            secrets.PURPOSE,
        )
        try:
            return {row["number"]: keyring.unwrap(row["wrapped"]) for row in rows}
        except SecretsUnreadable as error:
            raise MasterKeyDiffers(self._plan.backup) from error

    async def _reseal(self) -> None:
        """A data key of the copy's own, and every cell under it, bound to the new tenant."""
        cells = [
            (table, column, row["id"], row["cell"])
            for table, column in CELLS
            for row in await self._source.fetch(
                f"select id, {column} as cell from weft.{table} where tenant_id = $1 and {column} is not null",
                self._tenant,
            )
        ]
        if cells and self._master_key is None:
            raise MasterKeyDiffers(self._plan.backup)
        keyring = Keyring(self._master_key) if self._master_key is not None else None
        keys = await self._keys_open(keyring) if keyring is not None else {}
        await self._source.execute("delete from weft.tenant_keys where tenant_id = $1", self._tenant)
        if not cells or keyring is None:
            return
        fresh = os.urandom(32)
        await self._source.execute(
            "insert into weft.tenant_keys (tenant_id, id, purpose, number, wrapped) values ($1, $2, $3, 1, $4)",
            self._tenant,
            new_id(),
            secrets.PURPOSE,
            keyring.wrap(fresh),
        )
        for table, column, row_id, cell in cells:
            moved = self._moved(keys, fresh, table, column, UUID(int=row_id.int), cell)
            await self._source.execute(
                f"update weft.{table} set {column} = $3 where tenant_id = $1 and id = $2", self._tenant, row_id, moved
            )

    def _moved(self, keys: dict[int, bytes], fresh: bytes, table: str, column: str, row_id: UUID, cell: bytes) -> bytes:
        key = keys.get(secrets.key_number(cell))
        if key is None:
            raise MasterKeyDiffers(self._plan.backup)
        plain = secrets.opened(key, self._tenant, table, column, row_id, cell)
        return secrets.sealed(1, fresh, self._plan.new_id, table, column, row_id, plain)
