"""Making a backup: one moment of the whole database, counted and dumped at once, encrypted on its way to its place.

The counting connection exports its snapshot and pg_dump reads the same one, so the numbers in the manifest are those of
the dump whatever is written meanwhile. The manifest is written last: a backup that was not finished is not there.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from weft import __version__
from weft.core.clock import Clock, utc_now
from weft.core.errors import WeftError
from weft.ops.backup import catalogue, copying, counting, manifest, proving, records
from weft.ops.backup.copying import Copied
from weft.ops.backup.counting import Access, full_access
from weft.ops.backup.errors import BackupRunning, SealFailed
from weft.ops.backup.manifest import Count, Manifest, Part
from weft.ops.backup.programs import Dump, clients_for, login
from weft.ops.backup.sealing import MakersKeys, Sum, as_file, encrypted, makers_keys, readers_keys, summed
from weft.ops.backup.targets import PARTS_KEPT, Target, targets_of
from weft.ops.backup.telling import Tell, silent
from weft.ops.connections import connect, database_of
from weft.ops.installation import Addresses
from weft.ops.keys import present_master_key
from weft.settings import Settings

if TYPE_CHECKING:
    import asyncpg

DUMP: Final = "database.dump.age"
KIND: Final = "logical"
LOCK: Final = 0x77656674_6261636B
"""One backup at a time over all processes; the server frees it when its holder dies."""


@dataclass(frozen=True, slots=True)
class Made:
    """A backup that is there."""

    id: str
    place: str
    """The address of its place."""
    path: str
    """Where it lies: the place and its folder."""
    bytes: int
    rows: int
    tables: int
    seconds: float
    revision: str | None
    signer: str
    verified: bool
    """Whether a restore of it was made and agreed."""
    new_identity: Path | None = None
    """The file with the secret key, when it was made just now: somebody must be told."""
    copies: list[Copied] = field(default_factory=list)

    def as_json(self) -> dict[str, Any]:
        return {
            "id": self.id,
            "place": self.place,
            "path": self.path,
            "bytes": self.bytes,
            "rows": self.rows,
            "tables": self.tables,
            "seconds": round(self.seconds, 3),
            "revision": self.revision,
            "signer": self.signer,
            "verified": self.verified,
            "new_identity": str(self.new_identity) if self.new_identity else None,
            "copies": [copy.as_json() for copy in self.copies],
        }


def make(
    settings: Settings,
    addresses: Addresses,
    *,
    reason: str = "manual",
    prove: bool = False,
    identity: Path | None = None,
    tell: Tell = silent,
    clock: Clock = utc_now,
) -> Made:
    """Back up the whole database to the first place, copy it to the others, and prove it by a restore if asked to.

    Blocking, and not inside an event loop. `prove` needs the key that opens backups (`identity`, else the settings',
    else the home's) and raises `IdentityMissing` before anything begins. Whatever is refused leaves nothing behind.
    A copy that fails is told in the result and tried again with the next backup: the backup itself is there. So is one
    that could not be proved, and so are its copies: what came of the proof is raised.
    """
    keys = makers_keys(settings)
    if prove:
        readers_keys(settings, identity)
    first, *others = targets_of(settings)
    first.sweep(clock() - PARTS_KEPT)
    access = asyncio.run(full_access(addresses))
    master = present_master_key(settings)
    work = _Making(access, first, keys, manifest.master_key_id(master) if master else None, reason, tell, clock)
    made = asyncio.run(work.run())
    copies = copying.copy(first, others, [made.id], tell=tell)
    result = Made(
        id=made.id,
        place=first.address,
        path=f"{first.address}/{made.id}",
        bytes=made.bytes,
        rows=made.rows,
        tables=len(made.tables),
        seconds=(made.finished_at - made.started_at).total_seconds(),
        revision=made.revision,
        signer=keys.signer,
        verified=False,
        new_identity=keys.made,
        copies=copies,
    )
    if prove:
        return proved(settings, addresses, result, identity=identity, tell=tell, clock=clock)
    _tell_database(settings, addresses, identity)
    return result


def proved(
    settings: Settings,
    addresses: Addresses,
    made: Made,
    *,
    identity: Path | None = None,
    tell: Tell = silent,
    clock: Clock = utc_now,
) -> Made:
    """Prove a backup that was just made, and tell the other places and the database of it, whatever comes of it."""
    first, *others = targets_of(settings)
    there = {copy.place for copy in made.copies if copy.failure is None}
    try:
        proving.prove(settings, made.id, target=first, identity=identity, tell=tell, clock=clock)
    except BaseException:
        with contextlib.suppress(WeftError):
            _tell_database(settings, addresses, identity)
        raise
    copies = copying.copy(first, [place for place in others if place.address in there], [made.id], tell=tell)
    _tell_database(settings, addresses, identity)
    return replace(made, verified=True, copies=[*(copy for copy in made.copies if copy.place not in there), *copies])


def _tell_database(settings: Settings, addresses: Addresses, identity: Path | None) -> None:
    access = asyncio.run(full_access(addresses))
    asyncio.run(records.save(access, catalogue.listed(settings, identity)))


class _Making:
    """One backup being made."""

    def __init__(
        self,
        access: Access,
        target: Target,
        keys: MakersKeys,
        master_key: str | None,
        reason: str,
        tell: Tell,
        clock: Clock,
    ) -> None:
        self._access = access
        self._target = target
        self._keys = keys
        self._master_key = master_key
        self._reason = reason
        self._tell = tell
        self._clock = clock

    async def run(self) -> Manifest:
        self._tell("connecting")
        connection = await connect(self._access.dsn, application="weft db backup")
        try:
            if not await connection.fetchval("select pg_try_advisory_lock($1)", LOCK):
                raise BackupRunning
            await counting.open_snapshot(connection, as_owner=self._access.as_owner)
            return await self._from(connection, self._clock())
        finally:
            await connection.close()

    async def _from(self, connection: asyncpg.Connection, started_at: datetime) -> Manifest:
        fingerprint, revision = await counting.schema_of(connection)
        server = connection.get_server_version()
        clients = clients_for(server.major, self._access.dsn)
        backup_id = manifest.new_id(started_at)
        name = f"{backup_id}/{DUMP}"
        snapshot = await connection.fetchval("select pg_export_snapshot()")
        to = login(self._access.dsn, options=self._access.options)
        dump = Dump(clients, to, snapshot=snapshot, as_owner=self._access.as_owner)
        try:
            part, tables = await self._both(connection, dump, name)
            made = Manifest(
                id=backup_id,
                kind=KIND,
                reason=self._reason,
                weft=__version__,
                database=database_of(self._access.dsn),
                revision=revision,
                server_version=await connection.fetchval("show server_version"),
                fingerprint=fingerprint,
                master_key=self._master_key,
                started_at=started_at,
                finished_at=self._clock(),
                recipients=self._keys.recipients,
                artefacts=[part],
                tables=tables,
            )
            manifest.write(self._target, made, self._keys.signing_key)
            return made
        except BaseException:
            with contextlib.suppress(WeftError):
                self._target.delete([name])
            raise
        finally:
            dump.end()

    async def _both(self, connection: asyncpg.Connection, dump: Dump, name: str) -> tuple[Part, dict[str, Count]]:
        """Dump and count at the same time. What fails ends the other."""
        writing = asyncio.create_task(asyncio.to_thread(self._write, dump, name))
        try:
            tables = await counting.count_tables(
                connection, lambda done, total: self._tell("counting tables", done, total)
            )
            return await writing, tables
        except BaseException:
            dump.end()
            with contextlib.suppress(Exception):
                await writing
            raise

    def _write(self, dump: Dump, name: str) -> Part:
        total = Sum()
        failed: list[WeftError] = []

        def watched() -> Iterator[bytes]:
            # The encryption reports what its source raises as its own failure: kept here, to be raised as it was.
            written = 0
            try:
                for chunk in dump.chunks():
                    written += len(chunk)
                    self._tell("dumping", written)
                    yield chunk
            except WeftError as error:
                failed.append(error)
                raise

        source = as_file(watched())
        try:
            self._target.put(name, summed(encrypted(source, self._keys.recipients), total))
        except SealFailed as error:
            raise (failed[0] if failed else error) from error
        return Part(DUMP, total.bytes, total.sha256)
