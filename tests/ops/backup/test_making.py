"""Making and proving: one moment, whole, whatever is written meanwhile; and every damage refused in its own words."""

from __future__ import annotations

import asyncio
import errno
import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any
from uuid import UUID

import asyncpg
import pyrage
import pytest
from tests.conftest import TestDatabase, make_tenant
from tests.factories import executions
from tests.ops.backup.conftest import House
from tests.ops.store import Store

from weft.core.actor import Actor
from weft.core.clock import utc_now
from weft.core.errors import WeftError
from weft.db.database import Database
from weft.db.scope import enter
from weft.domain.secrets import service as secrets
from weft.domain.secrets.schemas import SecretPut
from weft.ops.backup import catalogue, counting, health, making, manifest, programs, proving, records
from weft.ops.backup.counting import Access
from weft.ops.backup.errors import (
    ArtefactCut,
    ArtefactDamaged,
    ArtefactMissing,
    BackupNotFound,
    BackupRunning,
    DumpFailed,
    IdentityMissing,
    IdentityWrong,
    ManifestDamaged,
    MasterKeyDiffers,
    NoBackupYet,
    NothingToBackUp,
    ProgramsMissing,
    RestoreDiffers,
    RestoreFailed,
    RoomMissing,
    RowsHidden,
    SealBroken,
    SignatureWrong,
    SignerUnknown,
)
from weft.ops.backup.manifest import MANIFEST, Part
from weft.ops.backup.programs import Clients, clients_for, login
from weft.ops.backup.sealing import KeyFiles, Sum, makers_keys, readers_keys
from weft.ops.backup.targets import Folder
from weft.ops.installation import Addresses
from weft.ops.roles import bootstrap


async def lived_in(database: Database, slug: str = "ada", executed: int = 200) -> tuple[Actor, UUID]:
    """A tenant with a secret and executions."""
    actor = await make_tenant(database, slug)
    workflow_id = await executions.workflow(database, actor)
    await executions.fill(database, actor, workflow_id, executed)
    async with enter(database, actor) as scope:
        await secrets.put(scope, "pay", SecretPut(value="s3cret"))
    return actor, workflow_id


async def test_a_backup_is_one_moment_and_a_restore_proves_it(
    house: House, database: Database, monkeypatch: pytest.MonkeyPatch, real_server: None
) -> None:
    actor, workflow_id = await lived_in(database)
    counted = counting.count_tables

    async def disturbed(connection: Any, told: Callable[[int, int], None]) -> Any:
        # While the dump runs and before anything is counted, somebody goes on working.
        await asyncio.to_thread(lambda: asyncio.run(_more(house, actor, workflow_id)))
        return await counted(connection, told)

    with monkeypatch.context() as patched:
        patched.setattr(counting, "count_tables", disturbed)
        made = await house.backup()
    read = manifest.read(house.target, made.id, [made.signer])
    assert read.tables["workflow_executions"].rows == 200, "those of the moment, not the one that came later"
    assert (read.kind, read.reason, read.revision, read.database) == ("logical", "manual", "0001", read.database)
    assert made.new_identity is not None
    assert not made.verified
    proof = await house.prove(made.id)
    assert proof.ok
    assert (proof.tables, proof.rows, proof.master_key) == (made.tables, made.rows, "opens")
    listed = catalogue.listed(house.settings)
    assert [(one.id, one.verified_at, one.failure) for one in listed] == [(made.id, proof.at, None)]


async def _more(house: House, actor: Actor, workflow_id: UUID) -> None:
    opened = await Database.open(house.addresses.app, size=1, hot_size=1, master_key=bytes(32))
    try:
        await executions.fill(opened, actor, workflow_id, 1)
    finally:
        await opened.close()


async def test_the_owner_alone_dumps_everything_too(house: House, database: Database) -> None:
    """Without an administrator: row security binds the owner, and a dump must not be silently empty."""
    await lived_in(database)
    as_owner = replace(house, addresses=replace(house.addresses, admin=None))
    made = await as_owner.backup(prove=True)
    assert made.verified
    read = manifest.read(house.target, made.id, [made.signer])
    assert read.tables["workflow_executions"].rows == 200
    assert read.tables["audit_logs"].rows > 0, "partitions too"


async def test_rows_that_are_hidden_are_noticed(house: House, test_database: TestDatabase, database: Database) -> None:
    await lived_in(database, executed=1)
    admin = await asyncpg.connect(test_database.admin)
    try:
        for row in await admin.fetch(
            "select relname from pg_class where relname like 'audit_logs_2%' and relkind = 'r'"
        ):
            await admin.execute(f"drop policy owner_maint on weft.{row[0]}")
    finally:
        await admin.close()
    as_owner = replace(house, addresses=replace(house.addresses, admin=None))
    with pytest.raises(RowsHidden, match="audit_logs 0 rows"):
        await as_owner.backup()
    assert house.target.listed() == []


async def test_nothing_in_it_is_readable_without_the_key_and_no_key_is_in_it(house: House, database: Database) -> None:
    await lived_in(database, slug="quite-recognisable")
    made = await house.backup()
    names = [one.name for one in house.target.listed()]
    assert names == [f"{made.id}/{making.DUMP}", f"{made.id}/{MANIFEST}"]
    for name in names:
        content = b"".join(house.target.get(name))
        for word in (b"quite-recognisable", b"s3cret", bytes(32).hex().encode(), b"AGE-SECRET-KEY"):
            assert word not in content, name


async def test_what_fails_leaves_nothing(house: House, monkeypatch: pytest.MonkeyPatch) -> None:
    as_owner = replace(house, addresses=replace(house.addresses, admin=None))
    with monkeypatch.context() as patched:
        patched.setattr(Access, "options", "-c nobody_knows_this=1")
        with pytest.raises(DumpFailed, match="nobody_knows_this"):
            await as_owner.backup()
    with monkeypatch.context() as patched:
        patched.setattr(manifest, "write", _full)
        with pytest.raises(OSError, match="No space"):
            await house.backup()
    assert house.target.listed() == []
    with pytest.raises(NoBackupYet):
        catalogue.named(house.settings, "latest")


def _full(*_: object) -> None:
    raise OSError(28, "No space left on device")


async def test_one_at_a_time(house: House, test_database: TestDatabase) -> None:
    other = await asyncpg.connect(test_database.owner)
    try:
        await other.fetchval("select pg_advisory_lock($1)", making.LOCK)
        with pytest.raises(BackupRunning):
            await house.backup()
    finally:
        await other.close()


async def test_a_database_without_a_schema_is_said(house: House, test_database: TestDatabase) -> None:
    name = f"{test_database.name[:20]}_empty"
    await bootstrap(test_database.cluster.dsn("postgres"), name)  # where its lock is everybody's
    try:
        empty = test_database.cluster.dsn(name)
        with pytest.raises(NothingToBackUp, match="weft db migrate"):
            await replace(house, addresses=Addresses(empty, empty, empty, embedded=False)).backup()
    finally:
        admin = await asyncpg.connect(test_database.admin)
        await admin.execute(f'drop database "{name}"')
        await admin.close()


def test_a_server_that_is_newer_than_our_programs_is_refused() -> None:
    with pytest.raises(ProgramsMissing, match="PostgreSQL 99 or newer"):
        clients_for(99)
    with pytest.raises(ProgramsMissing, match="speaks TLS"):
        clients_for(99, "postgresql://x@db.example/weft?sslmode=verify-full")


@pytest.mark.parametrize(
    ("said", "major"),
    [
        ("pg_dump (PostgreSQL) 18.0", 18),
        ("pg_dump (PostgreSQL) 15.18 (Debian 15.18-0+deb12u1)", 15),
        ("pg_dump (PostgreSQL) 19beta1 (Homebrew)", 19),
        ("something else (1.2)", 0),
    ],
)
def test_the_version_of_a_distribution_s_programs(tmp_path: Path, said: str, major: int) -> None:
    program = tmp_path / "pg_dump"
    program.write_text(f"#!/bin/sh\necho '{said}'\n")
    program.chmod(0o755)
    assert Clients(tmp_path).major() == major


def test_other_programs_are_told_passwords_where_nobody_looks() -> None:
    to = login("postgresql+asyncpg://weft_owner:s%3Acret@db.example:5432/weft?sslmode=disable", options="-c a.b=on")
    assert to.address == "postgresql://weft_owner@db.example:5432/weft?sslmode=disable"
    assert (to.environment["PGPASSWORD"], to.environment["PGOPTIONS"]) == ("s:cret", "-c a.b=on")
    hidden = login("postgresql://weft_owner@/weft?host=/run/weft&password=s%3Acret")
    assert "cret" not in hidden.address
    assert hidden.environment["PGPASSWORD"] == "s:cret"
    spaced = login("postgresql://weft_owner@/weft?host=/a%20h%C3%B3me/run")
    assert spaced.address == "postgresql://weft_owner@/weft?host=%2Fa%20h%C3%B3me%2Frun", "libpq takes a + for itself"


def flipped(content: bytes) -> bytes:
    middle = len(content) // 2
    return content[:middle] + bytes([content[middle] ^ 1]) + content[middle + 1 :]


async def test_every_damage_is_refused_in_its_own_words_and_written_down(house: House, database: Database) -> None:
    await lived_in(database, executed=1)
    made = await house.backup()
    dump, described = Path(made.path) / making.DUMP, Path(made.path) / MANIFEST
    sound, told = dump.read_bytes(), described.read_bytes()

    def resigned(content: bytes) -> bytes:
        """A manifest that fits damaged content: only the seal itself can tell."""
        total = Sum()
        total.add(content)
        read = manifest.read(house.target, made.id, [made.signer])
        part = Part(making.DUMP, total.bytes, total.sha256)
        return manifest.sign(replace(read, artefacts=[part]).as_json(), makers_keys(house.settings).signing_key)

    document = json.loads(told)
    document["document"]["revision"] = "9999"
    cases: list[tuple[bytes | None, bytes, type[WeftError]]] = [
        (flipped(sound), told, ArtefactDamaged),
        (sound[:-100], told, ArtefactCut),
        (sound + b"x", told, ArtefactCut),
        (None, told, ArtefactMissing),
        (flipped(sound), resigned(flipped(sound)), SealBroken),
        (sound, json.dumps(document).encode(), SignatureWrong),
        (sound, told[: len(told) // 2], ManifestDamaged),
    ]
    seen = set()
    for content, described_as, refusal in cases:
        if content is None:
            dump.unlink()
        else:
            dump.write_bytes(content)
        described.write_bytes(described_as)
        with pytest.raises(refusal) as refused:
            await house.prove(made.id)
        seen.add(refused.value.code)
        described.write_bytes(told)
        assert catalogue.listed(house.settings)[0].failure == refused.value.message, "the next one who looks sees it"
    assert len(seen) == len(cases) - 1, "only cut and lengthened share a sentence"
    dump.write_bytes(sound)
    assert (await house.prove(made.id)).ok
    assert catalogue.listed(house.settings)[0].failure is None


async def test_foreign_backups_and_wrong_keys_are_refused(house: House, database: Database, tmp_path: Path) -> None:
    await lived_in(database, executed=1)
    made = await house.backup()
    stranger = tmp_path / "stranger"
    stranger.write_text(f"{pyrage.x25519.Identity.generate()}\n")
    with pytest.raises(IdentityWrong, match="encrypted for age1"):
        await house.prove(made.id, identity=stranger)
    assert catalogue.listed(house.settings)[0].failure is None, "the backup is not to blame"
    other = house.with_settings(
        WEFT_HOME=str(tmp_path / "other"), WEFT_BACKUP_PLACE=str(house.settings.home / "backups")
    )
    with pytest.raises(IdentityMissing):
        await other.prove(made.id)
    with pytest.raises(SignerUnknown, match=made.signer):
        await other.prove(made.id, identity=stranger)
    # The key file that was kept offline says whose signature counts: nothing else is needed on a new machine.
    assert (await other.prove(made.id, identity=made.new_identity)).ok
    wrong = house.with_settings(WEFT_MASTER_KEY="11" * 32)
    with pytest.raises(MasterKeyDiffers, match="WEFT_MASTER_KEY_FILE"):
        await wrong.prove(made.id)


async def test_what_the_machine_lacks_is_not_held_against_the_backup(
    house: House, monkeypatch: pytest.MonkeyPatch
) -> None:
    made = await house.backup(prove=True)
    (before,) = catalogue.listed(house.settings)

    def full(*_: Any, **__: Any) -> None:
        raise RestoreFailed("could not extend file: No space left on device")

    with monkeypatch.context() as patched:
        patched.setattr(programs, "restore", full)
        with pytest.raises(RestoreFailed):
            await house.prove(made.id)
    assert catalogue.listed(house.settings) == [before]

    def no_room(*_: Any, **__: Any) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    with monkeypatch.context() as patched:
        patched.setattr(proving, "decrypt", no_room)
        with pytest.raises(RoomMissing, match="TMPDIR"):
            await house.prove(made.id)
    assert catalogue.listed(house.settings) == [before]


async def test_a_failure_stands_beside_the_last_good_proof(house: House, database: Database) -> None:
    made = await house.backup(prove=True)
    (before,) = catalogue.listed(house.settings)
    dump = house.settings.home / "backups" / made.id / "database.dump.age"
    sound = dump.read_bytes()
    dump.write_bytes(sound[:-1])
    for _ in range(2):
        with pytest.raises(ArtefactCut):
            await house.prove(made.id)
        (listed,) = catalogue.listed(house.settings)
        assert listed.failure is not None
        assert listed.verified_at == before.verified_at is not None
    access = await counting.full_access(house.addresses)
    await records.save(access, catalogue.listed(house.settings))
    async with database.pool.acquire() as connection:
        assert (await health.newest(connection, utc_now()))[1] is None, "it cannot be restored any more"
    dump.write_bytes(sound)
    await house.prove(made.id)
    assert catalogue.listed(house.settings)[0].failure is None


async def test_a_machine_that_only_proves_keeps_its_only_key(house: House, tmp_path: Path) -> None:
    made = await house.backup()
    there = house.with_settings(WEFT_HOME=str(tmp_path / "there"), WEFT_BACKUP_PLACE=made.place)
    files = KeyFiles.of(there.settings)
    files.directory.mkdir(parents=True)
    given = KeyFiles.of(house.settings).identity.read_text()
    files.identity.write_text(given)
    for _ in range(2):
        assert (await there.prove(made.id)).ok
        assert files.identity.read_text() == given
    assert not files.recipient.exists(), "proving makes no keys to encrypt with"


async def test_a_restore_that_differs_is_no_proof(house: House, database: Database) -> None:
    await lived_in(database, executed=3)
    made = await house.backup()
    read = manifest.read(house.target, made.id, [made.signer])
    wrong = dict(read.tables)
    wrong["workflow_executions"] = replace(wrong["workflow_executions"], rows=4)
    wrong["secrets"] = replace(wrong["secrets"], checksum="1")
    changed = replace(read, tables=wrong, fingerprint="0" * 64)
    manifest.write(house.target, changed, makers_keys(house.settings).signing_key)
    with pytest.raises(RestoreDiffers) as refused:
        await house.prove(made.id)
    for fact in ("workflow_executions has 3 rows and should have 4", "rows of secrets differ", "the schema differs"):
        assert fact in refused.value.message


async def test_a_real_store_holds_it_and_a_second_place_gets_a_copy(
    house: House, store: Store, database: Database, tmp_path: Path
) -> None:
    await lived_in(database, executed=1)
    second = tmp_path / "second"
    cloud = house.with_settings(
        WEFT_BACKUP_PLACE=f"s3://backups/{tmp_path.name}", WEFT_BACKUP_COPIES=str(second), **store.environ
    )
    made = await cloud.backup()
    assert made.path == f"s3://backups/{tmp_path.name}/{made.id}"
    assert [(copy.place, copy.failure) for copy in made.copies] == [(str(second), None)]
    assert {one.name for one in Folder(second).listed()} == {one.name for one in cloud.target.listed()}
    assert catalogue.listed(cloud.settings)[0].places == [f"s3://backups/{tmp_path.name}", str(second)]
    keys, read = readers_keys(cloud.settings), manifest.read(cloud.target, made.id, [made.signer])
    with proving.unpacked(cloud.target, read, keys, tmp_path) as dump:
        assert dump.read_bytes().startswith(b"PGDMP"), "fetched, compared, decrypted"
    assert not dump.exists()
    # The first place lost it: the copy serves.
    cloud.target.delete([one.name for one in cloud.target.listed()])
    assert catalogue.named(cloud.settings, "latest") == made.id
    assert catalogue.find(cloud.settings, made.id).address == str(second)


async def test_the_database_remembers_what_the_places_know(house: House, database: Database) -> None:
    made = await house.backup()
    async with database.pool.acquire() as connection:
        at, verified = await health.newest(connection, utc_now())
        assert verified is None
        assert at is not None
        row = await connection.fetchrow("select * from weft.backups")
        assert (row["id"], row["bytes"], row["places"]) == (made.id, made.bytes, [made.place])
        with pytest.raises(asyncpg.InsufficientPrivilegeError):
            await connection.execute("delete from weft.backups")


async def test_names_may_be_short_if_they_are_clear(house: House) -> None:
    first = await house.backup()
    second = await house.backup(reason="before the upgrade")
    assert catalogue.named(house.settings, "latest") == max(first.id, second.id)
    assert catalogue.named(house.settings, first.id) == first.id
    for wanted in ("2", "19990101"):
        with pytest.raises(BackupNotFound, match="weft db backups"):
            catalogue.named(house.settings, wanted)
