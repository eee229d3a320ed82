"""Large values on their way into the database and back: measured once, compressed, counted against the quota.

A value is measured when it is made (`Room.admit`), by writing it as JSON; that text is what the save sends. What is
large becomes a payload, and its place is taken by a reference (`weft.domain.executions.payloads`). Whatever reads a
reference opens it with `Payloads.open`, and only if its value is asked for.

The quota is kept by the save: it adds to the tenant's counter only what still fits, in the transaction that writes the
payloads, and is not made otherwise. Before that a turn asks what is left, so that the step which is too much fails with
a sentence. A turn that was told a number which others have used up meanwhile is computed again.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from hashlib import blake2b
from typing import Any, Final
from uuid import UUID

import msgspec

from weft.core.actor import system_actor
from weft.core.ids import new_id
from weft.db.database import Connection, Database, Encoded
from weft.db.hot import transaction
from weft.domain.executions.errors import InputTooLarge, InputUnfit, PayloadNotFound, PayloadQuotaReached, quota_reached
from weft.domain.executions.payloads import (
    LARGE,
    ZLIB,
    PayloadRow,
    Reference,
    compress,
    packed,
    stored,
    unpacked,
    value_of,
)
from weft.engine.limits import Limits
from weft.engine.outcomes import Done, Failed
from weft.engine.run import Run

_WORTH_A_THREAD: Final = 1_000_000

_QUOTA: Final = """
       coalesce((select case when jsonb_typeof(t.limits -> 'payload_bytes') = 'number'
                             then (t.limits ->> 'payload_bytes')::numeric::bigint end
                   from weft.tenants t where t.id = $1), {default}) as quota"""

USED: Final = f"""/* weft:engine.payload_room */
select coalesce(u.payloads, 0) as payloads, coalesce(u.size, 0) as size, coalesce(u.stored_size, 0) as stored_size,
{_QUOTA.format(default="$2::bigint")}
  from (select) as one left join weft.payload_usage u on u.tenant_id = $1
"""

KEEP: Final = """/* weft:engine.payloads */
insert into weft.payloads (tenant_id, execution_id, id, size, stored_size, encoding, data)
select $1, p.* from unnest($2::uuid[], $3::uuid[], $4::bigint[], $5::bigint[], $6::text[], $7::bytea[])
         as p (execution_id, id, size, stored_size, encoding, data)
"""

COUNT: Final = f"""/* weft:engine.payload_usage */
with allowed as (select {_QUOTA.format(default="$5::bigint")})
insert into weft.payload_usage as u (tenant_id, payloads, size, stored_size)
select $1, $2::bigint, $3::bigint, $4::bigint from allowed where $4 <= allowed.quota
on conflict (tenant_id) do update
   set payloads = u.payloads + excluded.payloads, size = u.size + excluded.size,
       stored_size = u.stored_size + excluded.stored_size
 where u.stored_size + excluded.stored_size <= (select a.quota from allowed a)
"""


COPY: Final = """/* weft:engine.copy_payloads */
insert into weft.payloads (tenant_id, execution_id, id, size, stored_size, encoding, data)
select p.tenant_id, $3, p.id, p.size, p.stored_size, p.encoding, p.data from weft.payloads p
 where p.tenant_id = $1 and p.execution_id = $2 and p.id = any($4::uuid[])
on conflict do nothing
returning size, stored_size
"""


SAME_INPUT: Final = "e.input is not distinct from $4::jsonb as same_input"
"""For statements that look for an earlier execution `e`; $4 is `in_row` of the new one's input."""


def in_row(kept: Encoded | Reference | None) -> Encoded | None:
    """What of an input stands in the row itself, when it is no reference."""
    return None if isinstance(kept, Reference) else kept


class RoomLost(Exception):
    """Somebody else has used up the tenant's room since this turn looked: it is computed again."""

    def __init__(self, size: int) -> None:
        super().__init__(size)
        self.size = size


class Room:
    """What a tenant has left, for the turns of one batch. Nothing is asked until there is a large value."""

    def __init__(self, database: Database, tenant_id: UUID, limits: Limits) -> None:
        self.limits = limits
        self.quota = limits.payloads
        self._database = database
        self._tenant_id = tenant_id
        self._left: int | None = None
        self._asking = asyncio.Lock()

    async def take(self, size: int) -> bool:
        """Whether so many bytes more still fit."""
        if self._left is None:
            await self._ask()
        left = self._left or 0
        if size > left:
            return False
        self._left = left - size
        return True

    async def _ask(self) -> None:
        async with self._asking:
            if self._left is not None:
                return
            async with transaction(self._database, system_actor(self._tenant_id), read_only=True) as connection:
                used = await usage(connection, self._tenant_id, self.limits)
            self.quota = used["quota"]
            self._left = max(0, used["quota"] - used["stored_size"])


async def usage(connection: Connection, tenant_id: UUID, limits: Limits) -> dict[str, int]:
    """How much a tenant's payloads are (`payloads`, `size`, `stored_size`), and how much they may be (`quota`)."""
    return dict(await connection.fetchrow(USED, tenant_id, limits.payloads))


async def put_away(run: Run, value: Any, text: Encoded, room: Room) -> Reference | None:
    """Make a payload of a large value; None when the tenant has no room for it.

    What is put out again as it was, as outputs often are, is stored once in a turn.
    """
    digest = blake2b(text.text, digest_size=32).digest()
    if digest in run.same:
        return run.same[digest]
    data = await _in_thread(len(text), compress, text.text)
    if not await room.take(len(data)):
        return None
    reference = Reference(new_id(), len(text))
    run.payloads.append(PayloadRow(run.id, reference.id, reference.size, data))
    run.opened[reference.id] = value
    run.same[digest] = reference
    return reference


async def admit(run: Run, visit: int, attempt: int, outcome: Done, room: Room) -> Done | Failed:
    """Measure a step's output. What is too large, or cannot be kept, is the step's failure."""
    if outcome.output is None:
        return outcome
    stored_as = await measure(run, outcome.output, room)
    if isinstance(stored_as, Failed):
        return stored_as
    run.stored[visit, attempt] = stored_as
    return outcome


async def measure(run: Run, value: Any, room: Room) -> Encoded | Reference | Failed:
    """How a value will be stored."""
    limits = room.limits
    try:
        text = Encoded.of(packed(value))
    except (TypeError, ValueError, OverflowError, msgspec.EncodeError) as error:
        return Failed("invalid", f"The output cannot be written as JSON: {str(error)[:200]}.", retryable=False)
    run.weight += len(text)
    if len(text) > limits.output:
        return Failed("output_too_large", too_large(len(text), limits.output), retryable=False)
    if len(text) <= LARGE:
        return text
    reference = await put_away(run, value, text, room)
    if reference is None:
        return Failed("payload_quota", quota_reached(len(text), room.quota), retryable=False)
    return reference


async def keep_input(run: Run, room: Room) -> Encoded | Reference | None:
    """How the input of a new execution is stored. Raises `InputTooLarge`, `InputUnfit` and `PayloadQuotaReached`."""
    value = run.facts.input
    if value is None:
        return None
    try:
        text = Encoded.of(packed(value))
    except (TypeError, ValueError, OverflowError, msgspec.EncodeError) as error:
        raise InputUnfit(str(error)) from error
    if len(text) > room.limits.output:
        raise InputTooLarge(len(text), room.limits.output)
    if len(text) <= LARGE:
        return text
    reference = await put_away(run, value, text, room)
    if reference is None:
        raise PayloadQuotaReached(len(text), room.quota)
    return reference


async def keep_output(run: Run, value: Any, room: Room | None) -> Any:
    """An execution's output as its row has it, or the failure that it is."""
    kept = None if value is None or room is None else await measure(run, value, room)
    return kept if isinstance(kept, Reference | Failed) else value


def result_as_stored(run: Run, visit: int) -> Any:
    """The output of a step as the execution's own: a payload is not stored a second time."""
    for (number, _), stored_as in run.stored.items():
        if number == visit and type(stored_as) is Reference:
            return stored_as
    return run.results[visit].output


def too_large(size: int, limit: int) -> str:
    return (
        f"The value has {size:,} bytes as JSON; at most {limit:,} are kept (WEFT_OUTPUT_LIMIT). Hand on less: the "
        "fields that are used, or a link to where it lies."
    )


class Payloads:
    """Opens references, whoever made them."""

    def __init__(self, database: Database | None) -> None:
        """Without a database there is nothing but what the run has in memory."""
        self._database = database

    async def open(self, run: Run, value: Any) -> Any:
        """The value behind a reference; anything else is the value already."""
        if type(value) is not Reference:
            return value
        if value.id not in run.opened:
            run.opened[value.id] = await self.read(run.facts.tenant_id, run.id, value)
        return run.opened[value.id]

    async def read(self, tenant_id: UUID, execution_id: UUID, reference: Reference) -> Any:
        if self._database is None:
            raise PayloadNotFound(reference.id)
        async with transaction(self._database, system_actor(tenant_id), read_only=True) as connection:
            found = await stored(connection, tenant_id, execution_id, [reference.id])
        return await _in_thread(reference.size, value_of, found[reference.id])

    async def is_same(self, tenant_id: UUID, row: Any, kept: Encoded | Reference | None, value: Any) -> bool:
        """Whether the stored input of `row` is `value`, which would be kept as `kept`.

        The statement that read the row has compared (`SAME_INPUT`): jsonb gives some numbers back otherwise than they
        came, 1e23 as an integer. What lies among the payloads is text as it came, and is compared here.
        """
        if type(kept) is Reference:
            return bool(await self.whole(tenant_id, row["id"], row["input"]) == value)
        return bool(row["same_input"])

    async def whole(self, tenant_id: UUID, execution_id: UUID, written: Any) -> Any:
        """The value of a column of documents, as it was read."""
        value = unpacked(written)
        return await self.read(tenant_id, execution_id, value) if type(value) is Reference else value


async def _in_thread(size: int, work: Any, data: bytes) -> Any:
    """Megabytes are packed and unpacked beside the event loop."""
    return await asyncio.to_thread(work, data) if size >= _WORTH_A_THREAD else work(data)


async def keep(connection: Connection, tenant_id: UUID, rows: Sequence[PayloadRow], default_quota: int) -> None:
    """Write payloads inside the save's transaction and count them. Raises `RoomLost` when they do not all fit."""
    sizes, packed_sizes = [row.size for row in rows], [len(row.data) for row in rows]
    await connection.execute(
        KEEP,
        tenant_id,
        [row.execution_id for row in rows],
        [row.id for row in rows],
        sizes,
        packed_sizes,
        [ZLIB] * len(rows),
        [row.data for row in rows],
    )
    await _count(connection, tenant_id, sizes, packed_sizes, default_quota)


async def copy(
    connection: Connection, tenant_id: UUID, source: UUID, target: UUID, ids: Sequence[UUID], default_quota: int
) -> None:
    """Give an execution the payloads of another, under the same ids. Raises `RoomLost` when they do not all fit."""
    rows = await connection.fetch(COPY, tenant_id, source, target, list(ids))
    await _count(
        connection, tenant_id, [row["size"] for row in rows], [row["stored_size"] for row in rows], default_quota
    )


async def _count(
    connection: Connection, tenant_id: UUID, sizes: Sequence[int], stored_sizes: Sequence[int], default_quota: int
) -> None:
    done = await connection.execute(COUNT, tenant_id, len(sizes), sum(sizes), sum(stored_sizes), default_quota)
    if done.endswith(" 0"):
        raise RoomLost(sum(sizes))


async def opened(
    connection: Connection, tenant_id: UUID, execution_id: UUID, written: Mapping[str, Any]
) -> dict[str, Any]:
    """Columns of documents of one execution, as they were read, with every reference opened."""
    values = {name: unpacked(value) for name, value in written.items()}
    references = {name: value for name, value in values.items() if type(value) is Reference}
    if references:
        data = await stored(connection, tenant_id, execution_id, [one.id for one in references.values()])
        values |= {name: value_of(data[one.id]) for name, one in references.items()}
    return values
