"""A database without the schema is told from a bug."""

from __future__ import annotations

import asyncpg
import pytest
from tests.conftest import TestDatabase

from weft.db.missing import SchemaMissing, schema_missing
from weft.http.refusals import refusal


@pytest.mark.parametrize(
    "statement",
    ["select 1 from weft.missing", "select weft.missing()", "set role weft_app; select 1 from weft.tenants"],
)
async def test_what_is_missing_of_weft_is_the_schema(statement: str, test_database: TestDatabase) -> None:
    connection = await asyncpg.connect(test_database.admin)
    await connection.execute("revoke usage on schema weft from weft_app, public")
    try:
        with pytest.raises(asyncpg.PostgresError) as refused:
            await connection.execute(statement)
    finally:
        await connection.close()
    found = schema_missing(ExceptionGroup("several", [ValueError("x"), refused.value]))
    assert isinstance(found, SchemaMissing)
    assert "`weft db migrate`" in found.message
    assert isinstance(refusal(refused.value), SchemaMissing)


async def test_what_is_missing_of_others_is_not(test_database: TestDatabase) -> None:
    connection = await asyncpg.connect(test_database.app)
    try:
        for statement in ("select 1 from other.missing", "select missing()", "delete from weft.permissions"):
            with pytest.raises(asyncpg.PostgresError) as refused:
                await connection.execute(statement)
            assert schema_missing(refused.value) is None
    finally:
        await connection.close()
    assert schema_missing(ValueError("schema weft")) is None
