"""kill -9 of backup, verify and restore, at every moment that matters: what stands afterwards is whole."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path

import asyncpg
import pytest
from tests.conftest import TestDatabase
from tests.ops.backup.conftest import MASTER_KEY, House
from tests.ops.backup.test_making import lived_in
from tests.ops.backup.test_restoring import admin, kept
from tests.ops.waiting import until

from weft.core.clock import utc_now
from weft.db.database import Database
from weft.ops.backup import catalogue, restoring, upkeep
from weft.ops.backup.errors import NoBackupYet
from weft.ops.private_folders import sweep
from weft.ops.processes import is_alive

__all__ = ["admin"]
"""A fixture that is written elsewhere."""

CHILD = """
import os, signal, sys
import asyncpg
from weft.ops.backup import making, manifest, proving, restoring
from weft.ops.installation import Addresses
from weft.settings import load_settings

what, moment, backup, *dsns = sys.argv[1:]
settings, addresses = load_settings(os.environ), Addresses(*dsns, embedded=False)

def die():
    print("dies", flush=True)
    os.kill(os.getpid(), signal.SIGKILL)

def tell(said, done=None, total=None):
    if said == moment and (done is None or done):
        die()

if moment == "before its manifest":
    manifest.write = lambda *_: die()
if moment == "while nobody may connect":
    execute = asyncpg.Connection.execute
    async def executed(self, query, *args, **options):
        done = await execute(self, query, *args, **options)
        if query.endswith("allow_connections false"):
            die()
        return done
    asyncpg.Connection.execute = executed

if what == "backup":
    making.make(settings, addresses, tell=tell)
elif what == "verify":
    proving.prove(settings, backup, tell=tell)
else:
    restoring.restore(settings, addresses, backup, replace=True, tell=tell)
"""
"""One command that kills itself at a moment: what it tells its user is where it is."""


async def killed(house: House, what: str, moment: str, backup: str = "", *, temporary: Path) -> None:
    """Run it until it has killed itself."""
    environ = {name: value for name, value in os.environ.items() if not name.startswith("WEFT_")}
    environ |= {"WEFT_HOME": str(house.settings.home), "WEFT_MASTER_KEY": MASTER_KEY.hex(), "TMPDIR": str(temporary)}
    dsns = (house.addresses.app, house.addresses.owner, house.addresses.admin)
    command = [sys.executable, "-c", CHILD, what, moment, backup, *(dsn or "" for dsn in dsns)]
    done = await asyncio.to_thread(
        subprocess.run, command, env=environ, capture_output=True, text=True, timeout=120, check=False
    )
    assert (done.returncode, done.stdout) == (-signal.SIGKILL, "dies\n"), done.stderr


@pytest.fixture
def temporary() -> Iterator[Path]:
    """Where the child unpacks; short, for a server's socket is in it."""
    with tempfile.TemporaryDirectory(prefix="weft-kill-") as directory:
        yield Path(directory)


@pytest.mark.parametrize("moment", ["dumping", "before its manifest"])
async def test_a_backup_that_was_killed_is_not_there_and_holds_up_nobody(
    house: House, database: Database, temporary: Path, moment: str
) -> None:
    await lived_in(database)
    await killed(house, "backup", moment, temporary=temporary)
    assert catalogue.listed(house.settings) == []
    with pytest.raises(NoBackupYet):
        catalogue.named(house.settings, catalogue.LATEST)
    made = await house.backup()
    assert [one.id for one in catalogue.listed(house.settings)] == [made.id]
    assert (await house.prove(made.id)).ok
    await asyncio.to_thread(upkeep.prune, house.settings, utc_now() + timedelta(days=2))
    left = [path for path in (house.settings.home / "backups").rglob("*") if path.is_file()]
    assert {path.parent.name for path in left} == {made.id}, "what was begun is swept"


@pytest.mark.parametrize("moment", ["decrypting", "restoring", "comparing"])
async def test_a_proof_that_was_killed_says_nothing_and_leaves_no_server(
    house: House, database: Database, temporary: Path, moment: str
) -> None:
    await lived_in(database, executed=20)
    made = await house.backup()
    await killed(house, "verify", moment, made.id, temporary=temporary)
    (listed,) = catalogue.listed(house.settings)
    assert (listed.proof, listed.failure) == (None, None)
    await asyncio.to_thread(_swept, temporary, servers=0 if moment == "decrypting" else 1)
    assert (await house.prove(made.id)).ok


def _swept(temporary: Path, *, servers: int) -> None:
    """Its server has ended, and the next proof removes what it unpacked: that is plain."""
    pids = []
    for file in temporary.rglob("postmaster.pid"):
        with contextlib.suppress(FileNotFoundError):  # it has ended this moment
            pids.append(int(file.read_text().split()[0]))
    until(lambda: not any(is_alive(pid) for pid in pids), what="the throw-away server's end")
    assert len(pids) <= servers
    assert len(list(temporary.iterdir())) == 1
    sweep(temporary)
    assert list(temporary.iterdir()) == []


@pytest.mark.parametrize("moment", ["restoring", "comparing", "exchanging", "while nobody may connect"])
async def test_a_restore_that_was_killed_leaves_the_database_and_is_done_again(
    house: House,
    database: Database,
    test_database: TestDatabase,
    admin: asyncpg.Connection,
    temporary: Path,
    moment: str,
) -> None:
    await lived_in(database, executed=20)
    made = await house.backup()
    await lived_in(database, "bob", executed=1)
    await database.close()
    await killed(house, "restore", moment, made.id, temporary=temporary)
    found = await asyncio.to_thread(restoring.look, house.settings, house.addresses, made.id)
    assert found.tenants == 2, "the old one, whole, and open again"
    done = await asyncio.to_thread(
        restoring.restore, house.settings, house.addresses, made.id, replace=True, drop_old=True
    )
    assert done.rows == made.rows
    assert await kept(admin, test_database) == [], "nothing of the first attempt is left"
