"""What people change by hand is found, named, and repaired by the SQL that is printed; and the page says so."""

from __future__ import annotations

from typing import Any

import asyncpg
import pytest
from tests.conftest import Cluster, TestDatabase
from tests.docs.documents import DOCS
from tests.ops.schema import drifts
from tests.ops.schema.conftest import alone_with_roles
from tests.ops.schema.drifts import DRIFTS

from weft.db import fingerprint
from weft.db.fingerprint import Fingerprint
from weft.ops.schema import authoring, generate, sql
from weft.ops.schema.words import Sides, report

PAGE = (DOCS / "reference" / "drift.md").read_text(encoding="utf-8")
AGAIN = "run: python -m tests.ops.schema.drifts > docs/reference/drift.md"


@pytest.fixture
async def clean(migrated: TestDatabase) -> Fingerprint:
    """The schema as the migrations make it; read once."""
    if migrated.name not in _READ:
        connection = await asyncpg.connect(migrated.admin)
        _READ[migrated.name] = await fingerprint.take(connection)
        await connection.close()
    return _READ[migrated.name]


_READ: dict[str, Fingerprint] = {}


@pytest.mark.parametrize("drift", [drift for drift in DRIFTS if drift not in drifts.OF_ROLES | drifts.ALONE])
async def test_a_planted_drift_is_found_and_repaired(drift: str, admin: Any, clean: Fingerprint) -> None:
    await found_and_repaired(drift, admin, clean)


@pytest.mark.parametrize("drift", sorted(drifts.OF_ROLES))
async def test_a_drift_of_roles_is_found_and_repaired(
    drift: str, admin: Any, clean: Fingerprint, cluster: Cluster
) -> None:
    async with alone_with_roles(cluster):
        await found_and_repaired(drift, admin, clean)


async def found_and_repaired(drift: str, admin: Any, clean: Fingerprint) -> None:
    found = await drifts.planted(admin, clean, drift)
    assert found.differences, drift
    assert drifts.row(drift, found) in PAGE, AGAIN
    assert any(object_["sql"] for object_ in found.as_json())
    await drifts.repaired(admin, found)
    left = await drifts.compared(admin, clean)
    assert left.differences == (found.differences if drift in drifts.LEFT else []), report(left.differences)


@pytest.mark.parametrize("drift", sorted(drifts.ALONE))
async def test_a_drift_that_is_repaired_outside_a_transaction(
    drift: str, test_database: TestDatabase, clean: Fingerprint
) -> None:
    admin = await asyncpg.connect(test_database.admin)
    owner = await asyncpg.connect(test_database.owner)
    try:
        found = await drifts.planted(admin, clean, drift)
        assert drifts.row(drift, found) in PAGE, AGAIN
        assert "outside a transaction" in found.script()
        await generate.run(owner, sql.script(found.steps), concurrently=True)
        assert report(fingerprint.compare(clean, await fingerprint.take(admin))) == []
    finally:
        await admin.close()
        await owner.close()


def test_the_page_has_a_line_for_each_and_no_other() -> None:
    lines = [line for line in PAGE.splitlines() if line.startswith("| ") and "what somebody did" not in line]
    assert [line.split(" | ")[0].removeprefix("| ") for line in lines] == list(DRIFTS), AGAIN
    assert PAGE.startswith(drifts.HEAD), AGAIN


async def test_a_printed_repair_says_who_runs_what(admin: Any, clean: Fingerprint) -> None:
    await admin.execute("alter table weft.clients owner to postgres; drop trigger audit on weft.tenants")
    found = authoring.compared(clean, await fingerprint.take(admin), Sides())
    first, second = found.script().split("-- As weft_owner:")
    assert first == "-- As an administrator of the server:\nalter table weft.clients owner to weft_owner;\n\n"
    assert second.startswith("\nbegin;\nset local lock_timeout = '2s';\n")
    assert second.endswith("commit;\n")
    assert "CREATE TRIGGER audit" in second


async def test_a_schema_that_is_not_there_is_all_missing(nursery: TestDatabase, clean: Fingerprint) -> None:
    connection = await asyncpg.connect(nursery.owner)
    try:
        transaction = connection.transaction()
        await transaction.start()
        await connection.execute("drop schema if exists weft cascade")
        nothing = await fingerprint.take(connection)
        assert nothing == {}
        await transaction.rollback()
    finally:
        await connection.close()
    told = authoring.compared(clean, nothing, Sides()).sentences()
    assert "The table clients is missing." in "\n".join(told)
    assert not any(line.startswith("The column") for line in told)


async def test_one_word_stands_for_the_whole(admin: Any, clean: Fingerprint) -> None:
    word = fingerprint.digest(clean)
    assert fingerprint.digest(await fingerprint.take(admin)) == word
    await admin.execute("alter table weft.clients no force row level security")
    assert fingerprint.digest(await fingerprint.take(admin)) != word
