"""The items of a for-each and what came of them, kept so that a turn costs the same however many there are.

A short list lies in the journal row of the attempt that found it, and the visits that have its results in the
execution's state. A long one lies in `item_chunks`, of which a turn reads those whose items it works on, and each save
adds one row to `item_results` with the items that ended in it.
"""

from __future__ import annotations

import asyncio
from bisect import bisect_right
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final, TypeAlias
from uuid import UUID

from weft.core.actor import system_actor
from weft.db.database import Connection, Database, Encoded
from weft.db.hot import transaction
from weft.engine.outcomes import Failed
from weft.interpreter.state import State, Visit

SHORT: Final = 256
"""Items; as many are kept with the execution itself."""
SHORT_BYTES: Final = 128 * 1024

CHUNK: Final = 200
CHUNK_BYTES: Final = 128 * 1024
AHEAD: Final = 5
"""Chunks read at once: the items that one turn goes through when nothing holds it up."""
_REMEMBERED: Final = 16

Origin: TypeAlias = tuple[int, int]

READ: Final = """/* weft:engine.item_chunks */
select c.first, c.items from weft.item_chunks c
 where c.tenant_id = $1 and c.execution_id = $2 and c.visit = $3 and c.attempt = $4
   and c.first >= (select max(f.first) from weft.item_chunks f
                    where f.tenant_id = $1 and f.execution_id = $2 and f.visit = $3 and f.attempt = $4
                      and f.first <= $5)
 order by c.first limit $6
"""

RESULTS: Final = """/* weft:engine.item_results */
select r.indexes, r.results from weft.item_results r
 where r.tenant_id = $1 and r.execution_id = $2 and r.visit = $3 and r.attempt = $4
"""

KEEP: Final = """/* weft:engine.keep_chunks */
insert into weft.item_chunks (tenant_id, execution_id, visit, attempt, first, count, items)
select $1, c.* from unnest($2::uuid[], $3::integer[], $4::integer[], $5::integer[], $6::integer[], $7::jsonb[])
         as c (execution_id, visit, attempt, first, count, items)
"""

END: Final = """/* weft:engine.keep_results */
insert into weft.item_results (tenant_id, execution_id, visit, attempt, first, indexes, results)
select $1, r.execution_id, r.visit, r.attempt, min(r.index), array_agg(r.index), array_agg(r.result)
  from unnest($2::uuid[], $3::integer[], $4::integer[], $5::integer[], $6::integer[])
         as r (execution_id, visit, attempt, index, result)
 group by r.execution_id, r.visit, r.attempt
"""

FORGET_CHUNKS: Final = """/* weft:engine.forget_chunks */
delete from weft.item_chunks c
 using unnest($2::uuid[], $3::integer[], $4::integer[]) as f (execution_id, visit, attempt)
 where c.tenant_id = $1 and c.execution_id = f.execution_id and c.visit = f.visit and c.attempt = f.attempt
"""

FORGET_RESULTS: Final = """/* weft:engine.forget_results */
delete from weft.item_results r
 using unnest($2::uuid[], $3::integer[], $4::integer[]) as f (execution_id, visit, attempt)
 where r.tenant_id = $1 and r.execution_id = f.execution_id and r.visit = f.visit and r.attempt = f.attempt
"""


@dataclass(slots=True)
class ChunkRow:
    execution_id: UUID
    visit: int
    attempt: int
    first: int
    count: int
    items: Encoded


@dataclass(slots=True)
class ResultRow:
    """Items that ended in one turn, and beside each the visit that has its output."""

    execution_id: UUID
    origin: Origin
    indexes: list[int]
    results: list[int]


class Chunks:
    """A long list of which some pieces are in memory."""

    def __init__(self, attempt: int, count: int) -> None:
        self.attempt = attempt
        self.count = count
        self.reading = asyncio.Lock()
        self._firsts: list[int] = []
        self._pieces: list[Sequence[Any]] = []

    def __contains__(self, index: int) -> bool:
        place = bisect_right(self._firsts, index) - 1
        return place >= 0 and index - self._firsts[place] < len(self._pieces[place])

    def get(self, index: int) -> Any:
        """The item; None when it is not in memory."""
        if index not in self:
            return None
        place = bisect_right(self._firsts, index) - 1
        return self._pieces[place][index - self._firsts[place]]

    def add(self, first: int, items: Sequence[Any]) -> None:
        """Remember a piece, and forget the earliest when there are many."""
        place = bisect_right(self._firsts, first)
        if place and self._firsts[place - 1] == first:
            return
        self._firsts.insert(place, first)
        self._pieces.insert(place, items)
        if len(self._firsts) > _REMEMBERED:
            gone = 0 if place else -1
            del self._firsts[gone], self._pieces[gone]


ItemList: TypeAlias = list[Any] | range | Chunks


def written(execution_id: UUID, visit: int, attempt: int, items: list[Any] | range, most: int) -> Written | Failed:
    """How a list that was found is kept. `most`: bytes of all items as JSON."""
    if isinstance(items, range):
        return Written(Encoded.of({"count": len(items)}), items, [])
    if len(items) <= SHORT:
        text = Encoded.of(items)
        if len(text) <= SHORT_BYTES:
            return Written(Encoded(b'{"items":' + text.text + b"}"), items, [])
    chunks = []
    size = 0
    for first, count, text in _pieces(items):
        size += len(text)
        if size > most:
            return Failed(
                "output_too_large",
                f"config.items has more than {most:,} bytes as JSON (WEFT_OUTPUT_LIMIT). Go through less at once: the "
                "fields that the body uses, or batches of the list, each in a sub-workflow.",
                retryable=False,
            )
        chunks.append(ChunkRow(execution_id, visit, attempt, first, count, text))
    return Written(Encoded.of({"chunks": attempt, "count": len(items)}), items, chunks)


@dataclass(slots=True)
class Written:
    """What the journal row says of the items, the items themselves, and the chunks in which they are kept."""

    data: Encoded
    items: list[Any] | range
    chunks: list[ChunkRow]


def _pieces(items: Sequence[Any]) -> Iterator[tuple[int, int, Encoded]]:
    first, size, texts = 0, 0, list[bytes]()
    for index, item in enumerate(items):
        text = Encoded.of(item).text
        if texts and (len(texts) >= CHUNK or size + len(text) > CHUNK_BYTES):
            yield first, len(texts), _list_of(texts)
            first, size, texts = index, 0, []
        texts.append(text)
        size += len(text) + 1
    yield first, len(texts), _list_of(texts)


def _list_of(texts: Sequence[bytes]) -> Encoded:
    return Encoded(b"[" + b",".join(texts) + b"]")


def found_in(data: Any) -> ItemList | None:
    """The items that a journal row tells of; None when it tells of none."""
    if not isinstance(data, dict):
        return None
    if "items" in data:
        items: list[Any] = data["items"]
        return items
    if "chunks" in data:
        return Chunks(data["chunks"], data["count"])
    return range(data["count"]) if "count" in data else None


# -- results -----------------------------------------------------------------------------------------------------


def owners(state: State) -> dict[Origin, Visit]:
    """The for-each visits whose items have results to be kept, by where these are."""
    return {visit.origin: visit for visit in (*state.visits.values(), *state.interrupted) if visit.origin[0]}


def kept_results(state: State, gathered: Mapping[Origin, Mapping[int, int]]) -> list[Any]:
    """The results of short lists, as the state keeps them."""
    if not gathered:
        return []
    alive = owners(state)
    return [
        [*origin, [number for pair in results.items() for number in pair]]
        for origin, results in gathered.items()
        if results and origin in alive and alive[origin].count <= SHORT
    ]


def loaded_results(kept: Sequence[Any]) -> dict[Origin, dict[int, int]]:
    return {(visit, attempt): dict(zip(numbers[::2], numbers[1::2], strict=True)) for visit, attempt, numbers in kept}


def result_rows(execution_id: UUID, state: State, gathered: Mapping[Origin, Mapping[int, int]]) -> Iterator[ResultRow]:
    """The results of long lists that this turn adds."""
    if not gathered:
        return
    alive = owners(state)
    for origin, results in gathered.items():
        if results and origin in alive and alive[origin].count > SHORT:
            yield ResultRow(execution_id, origin, list(results), list(results.values()))


class ItemStore:
    """Reads what a turn needs of long lists."""

    def __init__(self, database: Database | None) -> None:
        """Without a database there is nothing but what the run has in memory."""
        self._database = database

    async def fetch(self, tenant_id: UUID, execution_id: UUID, visit: int, chunks: Chunks, index: int) -> None:
        """The chunk with this item, and those after it. Steps that are worked on side by side read it once."""
        async with chunks.reading:
            if index not in chunks:
                await self._read(tenant_id, execution_id, visit, chunks, index)

    async def _read(self, tenant_id: UUID, execution_id: UUID, visit: int, chunks: Chunks, index: int) -> None:
        if self._database is None:
            return
        async with transaction(self._database, system_actor(tenant_id), read_only=True) as connection:
            rows = await connection.fetch(READ, tenant_id, execution_id, visit, chunks.attempt, index, AHEAD)
        for row in rows:
            chunks.add(row["first"], row["items"])

    async def results(self, tenant_id: UUID, execution_id: UUID, origin: Origin) -> dict[int, int]:
        """The visits that have the results of a long list, by item, as far as they are saved."""
        if self._database is None:
            return {}
        async with transaction(self._database, system_actor(tenant_id), read_only=True) as connection:
            rows = await connection.fetch(RESULTS, tenant_id, execution_id, *origin)
        return {index: visit for row in rows for index, visit in zip(row["indexes"], row["results"], strict=True)}


async def keep(connection: Connection, tenant_id: UUID, chunks: Sequence[ChunkRow], ended: Sequence[ResultRow]) -> None:
    """Write inside the save's transaction: a statement for all chunks, and one for all results."""
    if chunks:
        await connection.execute(
            KEEP,
            tenant_id,
            [row.execution_id for row in chunks],
            [row.visit for row in chunks],
            [row.attempt for row in chunks],
            [row.first for row in chunks],
            [row.count for row in chunks],
            [row.items for row in chunks],
        )
    if ended:
        await connection.execute(
            END,
            tenant_id,
            [row.execution_id for row in ended for _ in row.indexes],
            [row.origin[0] for row in ended for _ in row.indexes],
            [row.origin[1] for row in ended for _ in row.indexes],
            [index for row in ended for index in row.indexes],
            [result for row in ended for result in row.results],
        )


async def forget(
    connection: Connection,
    tenant_id: UUID,
    chunks: Sequence[tuple[UUID, int, int]],
    results: Sequence[tuple[UUID, int, int]],
) -> None:
    """Delete what an attempt that is over leaves behind. Each is `(execution, visit, attempt)`."""
    for statement, gone in ((FORGET_CHUNKS, chunks), (FORGET_RESULTS, results)):
        if gone:
            columns = [list(column) for column in zip(*gone, strict=True)]
            await connection.execute(statement, tenant_id, *columns)
