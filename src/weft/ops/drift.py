"""Is the live schema the one that the migrations make? Compared with a throw-away server migrated just now."""

from __future__ import annotations

import asyncio

from weft.core.errors import Conflict
from weft.db import fingerprint, migrate
from weft.db.fingerprint import Difference
from weft.ops.schema import source
from weft.ops.schema.authoring import Comparison, compared
from weft.ops.schema.source import throwaway
from weft.ops.schema.words import Sides


class NeverMigrated(Conflict):
    code = "never_migrated"

    def __init__(self) -> None:
        super().__init__(
            "This database has no tables of weft: it was never migrated, so there is nothing to compare. "
            "Run `weft db migrate` first."
        )


def comparison(dsn: str) -> Comparison:
    """What is not as this version's migrations would have made it, up to the revision that the database is at, in
    words, and the SQL that repairs it.

    Blocking; starts and stops a server of its own in a temporary directory (about two seconds).
    """
    found, revision = asyncio.run(source.read(dsn)), asyncio.run(migrate.current(dsn))
    if revision is None and not any(kind == "table" for kind, _ in found):
        raise NeverMigrated
    with throwaway() as server:
        address = asyncio.run(server.migrations(revision or "head"))
        expected = asyncio.run(source.read(address))
    left = asyncio.run(source.holding(dsn, fingerprint.unexpected_tables(expected, found)))
    return compared(expected, found, Sides(), left)


def differences(dsn: str) -> list[Difference]:
    """Only what differs, object by object."""
    return comparison(dsn).differences
