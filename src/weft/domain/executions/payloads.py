"""Values that are too large for their row: what stands there instead, and how the value is found again.

A column of documents (`input`, `output`, `data`) holds a value, or a *reference* to a payload:

    {"$payload": "0198...", "size": 700123}

Nobody can write a reference but weft: a document of a tenant that has a field `$payload` is stored as
`{"$payload": null, "value": <the document>}` and read back as it was. And a reference leads nowhere but to a payload
of the same tenant and the same execution: all three are asked for.
"""

from __future__ import annotations

import zlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Final
from uuid import UUID

from weft.db.database import Connection, loads
from weft.domain.executions.errors import PayloadNotFound

LARGE: Final = 256 * 1024
"""Bytes of JSON. What is larger does not lie in its row."""

WRITTEN: Final = "$payload"
ZLIB: Final = "zlib"
_PIECE: Final = 64 * 1024


@dataclass(frozen=True, slots=True)
class Reference:
    """Stands for a value that lies among the payloads of the same execution."""

    id: UUID
    size: int


@dataclass(frozen=True, slots=True)
class PayloadRow:
    """A payload to be stored; `data` is compressed."""

    execution_id: UUID
    id: UUID
    size: int
    data: bytes


def packed(value: Any) -> Any:
    """What is written into a column of documents."""
    if type(value) is Reference:
        return {WRITTEN: str(value.id), "size": value.size}
    if type(value) is dict and WRITTEN in value:
        return {WRITTEN: None, "value": value}
    return value


def unpacked(stored: Any) -> Any:
    """What was written: the value, or the reference to it."""
    if type(stored) is not dict or WRITTEN not in stored:
        return stored
    written = stored[WRITTEN]
    return stored.get("value") if written is None else Reference(UUID(written), int(stored["size"]))


def compress(text: bytes) -> bytes:
    """Level 1: most of the gain for a tenth of the time."""
    return zlib.compress(text, 1)


def inflated(data: bytes) -> Iterator[bytes]:
    """The JSON of a payload, in pieces: it need not be in memory whole."""
    unpacker = zlib.decompressobj()
    while data:
        yield unpacker.decompress(data, _PIECE)
        data = unpacker.unconsumed_tail


def value_of(data: bytes) -> Any:
    return loads(zlib.decompress(data))


READ: Final = """/* weft:executions.payloads */
select p.id, p.data from weft.payloads p
 where p.tenant_id = $1 and p.execution_id = $2 and p.id = any($3::uuid[])
"""


async def stored(connection: Connection, tenant_id: UUID, execution_id: UUID, ids: Sequence[UUID]) -> dict[UUID, bytes]:
    """The compressed payloads of an execution, by id. Raises `PayloadNotFound` when one is not there."""
    found = {row["id"]: row["data"] for row in await connection.fetch(READ, tenant_id, execution_id, list(ids))}
    for one in ids:
        if one not in found:
            raise PayloadNotFound(one)
    return found
