"""Proving a backup: opened, restored into a throw-away server, and counted again. Only that shows that it is one."""

from __future__ import annotations

import asyncio
import contextlib
import errno
import os
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Final

from weft import __version__
from weft.core.clock import Clock, utc_now
from weft.core.errors import WeftError
from weft.db import fingerprint, migrate
from weft.db.keyring import Keyring, SecretsUnreadable
from weft.ops.backup import catalogue, counting, manifest, programs
from weft.ops.backup.errors import (
    ArtefactCut,
    ArtefactDamaged,
    ArtefactMissing,
    BackupKindDiffers,
    ManifestDamaged,
    MasterKeyDiffers,
    RestoreDiffers,
    RestoreFailed,
    RoomMissing,
    SealBroken,
    SignatureWrong,
)
from weft.ops.backup.manifest import Manifest, Part, checked
from weft.ops.backup.proofs import Proof, read_proof, write_proof
from weft.ops.backup.sealing import ReadersKeys, decrypt, readers_keys, signing_key
from weft.ops.backup.targets import Target
from weft.ops.backup.telling import Tell, silent
from weft.ops.connections import connect
from weft.ops.keys import present_master_key
from weft.ops.postgres import ConnectionFacts, ephemeral_cluster
from weft.ops.private_folders import private_folder
from weft.ops.roles import OWNER, bootstrap
from weft.settings import Settings

if TYPE_CHECKING:
    from weft.db.database import Connection

DATABASE: Final = "weft_proof"
EXPECTED: Final = "weft_expected"
LOGICAL: Final = "logical"
JOBS: Final = max(1, min(4, os.cpu_count() or 1))
BUILDING: Final = "-c maintenance_work_mem=256MB"

DAMAGED: Final = (
    ArtefactCut,
    ArtefactDamaged,
    ArtefactMissing,
    ManifestDamaged,
    RestoreDiffers,
    SealBroken,
    SignatureWrong,
)
"""What says something about the backup, not about who looks at it: written down beside it."""
BAD: Final = (*DAMAGED, RestoreFailed)
"""Why there was nothing to look at after a restore. That pg_restore stopped may be this machine's fault: a full disk,
no memory. The dump was compared with its checksum before, so nothing of that is held against the backup."""


@dataclass(frozen=True, slots=True)
class Restored:
    """A backup in a throw-away server, for as long as it runs."""

    facts: ConnectionFacts
    manifest: Manifest

    @property
    def admin(self) -> str:
        return self.facts.dsn("postgres", None, DATABASE)

    @property
    def owner(self) -> str:
        return self.facts.dsn(OWNER, None, DATABASE)


def prove(
    settings: Settings,
    backup: str,
    *,
    target: Target | None = None,
    identity: Path | None = None,
    tell: Tell = silent,
    clock: Clock = utc_now,
) -> Proof:
    """Restore a backup into a throw-away server and compare everything; write down beside it what came of it.

    Blocking, and not inside an event loop. `backup` is its whole name. Raises what it found wrong; what says nothing
    about the backup, such as `RestoreFailed` on a full disk, is raised and not written down.
    """
    began = time.monotonic()
    target = target or catalogue.find(settings, backup)
    keys = readers_keys(settings, identity)
    key = signing_key(settings)
    try:
        proof = _prove(settings, backup, target, keys, tell, clock, began)
    except DAMAGED as error:
        before = read_proof(target, backup, keys.signers)
        failed = Proof(
            backup, clock(), time.monotonic() - began, 0, 0, __version__, "not here", error.message,
            before.agreed_at if before is not None else None,
        )  # fmt: skip
        with contextlib.suppress(WeftError):
            write_proof(target, failed, key)
        raise
    write_proof(target, proof, key)
    return proof


def _prove(
    settings: Settings, backup: str, target: Target, keys: ReadersKeys, tell: Tell, clock: Clock, began: float
) -> Proof:
    master = present_master_key(settings)
    with restored(target, backup, keys, master, tell=tell) as there:
        tell("comparing")
        if found := asyncio.run(_all_differences(there, tell)):
            raise RestoreDiffers(backup, found)
        opens = asyncio.run(_opens(there, master))
    made = there.manifest
    return Proof(backup, clock(), time.monotonic() - began, len(made.tables), made.rows, __version__, opens)


@contextlib.contextmanager
def restored(
    target: Target, backup: str, keys: ReadersKeys, master_key: bytes | None, *, tell: Tell = silent
) -> Iterator[Restored]:
    """The backup, checked, decrypted and put into a throw-away server. Not inside an event loop."""
    made = logical(target, backup, keys)
    same_master_key(made, master_key)
    with (
        private_folder() as directory,
        unpacked(target, made, keys, directory, tell=tell) as dump,
        ephemeral_cluster(directory / "server") as facts,
    ):
        asyncio.run(bootstrap(facts.superuser_dsn, DATABASE))
        there = Restored(facts, made)
        tell("restoring")
        to = programs.login(there.admin, options=BUILDING)
        clients = programs.embedded()
        programs.restore(clients, to, dump, jobs=JOBS, server_major=clients.major())
        yield there


def logical(target: Target, backup: str, keys: ReadersKeys) -> Manifest:
    """The manifest of a backup that a dump is in. Raises whatever is wrong with it."""
    made = manifest.read(target, backup, keys.signers)
    if made.kind != LOGICAL or len(made.artefacts) != 1:
        raise BackupKindDiffers(backup, made.kind)
    return made


def same_master_key(made: Manifest, master_key: bytes | None) -> None:
    """Refuse early what could be restored but not be read. Raises `MasterKeyDiffers`."""
    if made.master_key is not None and master_key is not None and manifest.master_key_id(master_key) != made.master_key:
        raise MasterKeyDiffers(made.id)


@contextlib.contextmanager
def unpacked(
    target: Target, made: Manifest, keys: ReadersKeys, directory: Path, *, tell: Tell = silent
) -> Iterator[Path]:
    """The plain dump, in a file that is gone afterwards. Nothing of it is used before its SHA-256 was compared."""
    part = made.artefacts[0]
    with _sealed(target, made, part, directory, tell) as sealed:
        tell("decrypting")
        dump = directory / "database.dump"
        name = f"{made.id}/{part.name}"
        with (
            sealed.open("rb") as source,
            _room(directory),
            os.fdopen(os.open(dump, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as sink,
        ):
            decrypt(source, sink, keys.identities, name=name, written_for=", ".join(made.recipients))
    try:
        yield dump
    finally:
        dump.unlink(missing_ok=True)


@contextlib.contextmanager
def _room(directory: Path) -> Iterator[None]:
    """Say what a full disk is about. Raises `RoomMissing`."""
    try:
        yield
    except OSError as error:
        if error.errno not in (errno.ENOSPC, errno.EDQUOT):
            raise
        raise RoomMissing(str(directory.parent)) from error


@contextlib.contextmanager
def _sealed(target: Target, made: Manifest, part: Part, directory: Path, tell: Tell) -> Iterator[Path]:
    """The encrypted artefact in a file, its length and hash compared."""
    path = target.local(f"{made.id}/{part.name}")
    read = 0
    if path is not None:
        for chunk in checked(target, made, part):
            tell("checking", read := read + len(chunk), part.bytes)
        yield path
        return
    path = directory / "sealed"
    with _room(directory), path.open("wb") as file:
        for chunk in checked(target, made, part):
            file.write(chunk)
            tell("fetching", read := read + len(chunk), part.bytes)
    try:
        yield path
    finally:
        path.unlink(missing_ok=True)


async def differences(connection: Connection, made: Manifest, tell: Tell) -> list[str]:
    """What does not agree with the manifest, a sentence each: tables, and the schema. In a transaction of its own.

    Another major version words the same schema otherwise; from such a server only the tables are compared.
    """
    async with connection.transaction(isolation="repeatable_read", readonly=True):
        await connection.execute(counting.TEXT_SETTINGS)
        found = await counting.count_tables(connection, lambda done, total: tell("comparing", done, total))
        said = counting.differing(made.tables, found)
        schema, revision = await counting.schema_of(connection)
        if revision != made.revision:
            said.append(f"the revision is {revision} and should be {made.revision}")
        if schema != made.fingerprint and await _words_alike(connection, made):
            said.append("the schema differs")
    return said


async def _words_alike(connection: Connection, made: Manifest) -> bool:
    return str(connection.get_server_version().major) == made.server_version.partition(".")[0]


async def _all_differences(there: Restored, tell: Tell) -> list[str]:
    """Those, and the schema of a server of another version: compared with one that migrations make here."""
    made = there.manifest
    connection = await connect(there.admin, application="weft db verify")
    try:
        said = await differences(connection, made, tell)
        if not await _words_alike(connection, made) and not await _is_as_migrated(connection, there):
            said.append("the schema is not what the migrations make")
        return said
    finally:
        await connection.close()


async def _is_as_migrated(connection: Connection, there: Restored) -> bool:
    revision = there.manifest.revision
    if revision is None or not migrate.knows(revision):
        return False
    await bootstrap(there.facts.superuser_dsn, EXPECTED)
    owner = there.facts.dsn(OWNER, None, EXPECTED)
    await migrate.upgrade(owner, revision)
    other = await connect(owner, application="weft db verify")
    try:
        expected = await fingerprint.take(other)
    finally:
        await other.close()
    async with connection.transaction(readonly=True):
        await connection.execute(counting.TEXT_SETTINGS)
        return counting.hash_of(expected) == counting.hash_of(await fingerprint.take(connection))


async def _opens(there: Restored, master_key: bytes | None) -> str:
    """Whether the master key opens what the tenants' keys are wrapped with. Raises `MasterKeyDiffers`."""
    if master_key is None:
        return "not here"
    connection = await connect(there.admin, application="weft db verify")
    try:
        await keys_open(connection, there.manifest.id, master_key)
    finally:
        await connection.close()
    return "opens"


async def keys_open(connection: Connection, backup: str, master_key: bytes) -> None:
    """Try every tenant's key. Raises `MasterKeyDiffers`."""
    keyring = Keyring(master_key)
    rows = await connection.fetch("select wrapped from weft.tenant_keys")
    try:
        for row in rows:
            keyring.unwrap(row["wrapped"])
    except SecretsUnreadable as error:
        raise MasterKeyDiffers(backup) from error
