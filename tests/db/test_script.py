"""Scripts are split where PostgreSQL ends a statement."""

from __future__ import annotations

from typing import Any

import asyncpg
import pytest
from tests.conftest import TestDatabase

from weft.db.script import statements

ATOMIC = """create or replace function weft.pick(n integer) returns text language sql
begin atomic
  select case when n > 0 then 'more;' else 'none' end;
  select case when n > 1 then t.end when n > 2 then case 2 when 2 then 'x' end end from (values ('e')) t ("end");
end"""
RULE = "create rule gone as on delete to weft.clients do instead (select 1; select 2)"

SPLIT = {
    "backslashes in an E string": [r"select E'it\'s; here', e'\\'", "select 2"],
    "no E string": [r"select type '\' from a", "select 2"],
    "a name that ends like an E string": [r"select date'\' from a", "select 2"],
    "the body of an SQL function": [ATOMIC, "select 2"],
    "begin and end outside of a body": ["begin", "select case when 1 > 0 then 1 end", "end", "select 2"],
    "a rule with two actions": [RULE, "select 2"],
    "dollars in a name": ["select a$b$c", "select d$b$"],
    "quotes of other alphabets": ["select $größe$ ; $größe$", "select 2"],
    "a bracket too many": ["select 1)", "select 2"],
}


@pytest.mark.parametrize("name", SPLIT)
def test_where_a_statement_ends(name: str) -> None:
    assert [found.text for found in statements(";\n".join(SPLIT[name]) + ";")] == SPLIT[name]


def test_what_is_not_closed_reaches_to_the_end() -> None:
    for text in ("select 'a; select 2", 'select "a; select 2', r"select E'a\'; select 2", "select (1; select 2"):
        assert [found.text for found in statements(text)] == [text]


def test_comments_go_and_strings_stay() -> None:
    [found] = statements("/* one; */ select -- two;\n '--  three'  /* four */, 5")
    assert found.bare() == "select  \n '--  three'   , 5"
    assert found.plain() == "select '-- three' , 5"


async def test_postgres_agrees(test_database: TestDatabase) -> None:
    """Each is one statement for the extended protocol, which takes no more than one."""
    connection: Any = await asyncpg.connect(test_database.owner)
    try:
        for text in (ATOMIC, RULE, r"select E'it\'s; here', e'\\'"):
            await connection.fetch(text)
    finally:
        await connection.close()
