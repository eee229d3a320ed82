"""The schema as the catalogue has it, object by object, as facts that two servers agree on.

Unlike a comparison with the models it sees row security flags, policies, triggers, functions, grants, partial
predicates and validity: what a hand-made change leaves behind. What is read is in `weft.db.catalogue` and
`weft.db.server_catalogue`. Names of monthly partitions are left out, because
how many there are depends on the date; what they must be is checked by rule. So is the order of columns, which
depends on when they came.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from weft.db.base import SCHEMA
from weft.db.catalogue import OBJECTS
from weft.db.server_catalogue import SERVER_OBJECTS

Facts = Mapping[str, Any]
"""What is known of one object. `name` and `table` say which; `definition` is its SQL where PostgreSQL has it."""

Key = tuple[str, str]
"""Kind and name, as people read them: `("policy", "clients.tenant_rw")`."""

Fingerprint = dict[Key, Facts]

_PERMISSIONS = """
    select format('%s:%s', resource, action), row_to_json(p)::text from weft.permissions p
    /* weft:fingerprint.permission */"""
"""The catalogue of permissions: rows, but of the schema's making, and changed by revisions only."""

_MAY_READ = "select coalesce(has_table_privilege(to_regclass('weft.permissions'), 'select'), false)"


@dataclass(frozen=True, slots=True)
class Difference:
    """One object that is not as it should be. `expected` or `found` is None when it is missing on that side."""

    kind: str
    name: str
    expected: Facts | None
    found: Facts | None

    @property
    def key(self) -> Key:
        return self.kind, self.name

    def changed(self) -> list[str]:
        """Which facts differ, in the order of the catalogue; empty when a side is missing."""
        if self.expected is None or self.found is None:
            return []
        return [fact for fact, value in self.expected.items() if self.found.get(fact) != value]

    def sentence(self) -> str:
        if self.found is None:
            return f"The {self.kind} {self.name} is missing."
        if self.expected is None:
            return f"The {self.kind} {self.name} should not be there."
        return f"The {self.kind} {self.name} differs in: {', '.join(self.changed())}."


async def take(connection: Any) -> Fingerprint:
    """Every object of the schema, by kind and name; empty when there is no schema. Any login will do.

    Within the transaction that is open, however it was begun (a backup's has its snapshot), or in one of its own.
    """
    if connection.is_in_transaction():
        return await _read(connection)
    async with connection.transaction():
        return await _read(connection)


async def _read(connection: Any) -> Fingerprint:
    found: Fingerprint = {}
    # Names are qualified in what PostgreSQL prints, whoever asks.
    path = await connection.fetchval("select current_setting('search_path')")
    await connection.execute("set local search_path = pg_catalog")
    maintained = await connection.fetchval("select coalesce(current_setting('app.maintenance', true), '')")
    await connection.execute("set local app.maintenance = 'on'")  # the owner, too, sees rows
    exists = await connection.fetchval("select to_regnamespace($1) is not null", SCHEMA)
    for kind, query in (OBJECTS | SERVER_OBJECTS if exists else {}).items():
        for name, facts in await connection.fetch(f"{query} /* weft:fingerprint.{kind.replace(' ', '_')} */", SCHEMA):
            found[kind, name] = json.loads(facts)
    if exists and await connection.fetchval(_MAY_READ):
        for name, facts in await connection.fetch(_PERMISSIONS):
            found["permission", name] = json.loads(facts)
    await connection.execute(f"set local search_path = {path}; set local app.maintenance = '{maintained}'")
    return found


def compare(expected: Fingerprint, found: Fingerprint) -> list[Difference]:
    """What differs, sorted by kind and name; empty when the schemas are the same."""
    return [
        Difference(*key, expected.get(key), found.get(key))
        for key in sorted(expected.keys() | found.keys())
        if expected.get(key) != found.get(key)
    ]


def unexpected_tables(expected: Fingerprint, found: Fingerprint) -> list[str]:
    """Tables that are only in `found`: whoever drops them asks first what is in them."""
    return sorted(name for kind, name in found.keys() - expected.keys() if kind == "table")


def without_server(fingerprint: Fingerprint) -> Fingerprint:
    """Only what lives in the database itself: what a dump holds, and another server can have in the same way."""
    return {key: facts for key, facts in fingerprint.items() if key[0] not in SERVER_OBJECTS}


def digest(fingerprint: Fingerprint) -> str:
    """The whole in one word, to be kept with a release or a backup."""
    lines = [[*key, dict(facts)] for key, facts in sorted(fingerprint.items())]
    return hashlib.sha256(json.dumps(lines, sort_keys=True).encode()).hexdigest()
