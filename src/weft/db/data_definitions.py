"""What a data migration is: rows of every tenant changed in batches, while traffic goes on.

A module in `weft.migrations.data` (or in the folder `data` of a directory of more revisions) holds one, as `MIGRATION`.
`batched_update` writes the SQL of the usual case.
"""

from __future__ import annotations

import importlib.util
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final, Literal, TypedDict

from weft.core.errors import Invalid, NotFound
from weft.db.base import SCHEMA
from weft.db.revisions import MIGRATIONS

SHIPPED = MIGRATIONS / "data"

FIRST: Final[Mapping[str, str]] = {
    "uuid": "00000000-0000-0000-0000-000000000000",
    "timestamptz": "-infinity",
    "integer": "-2147483648",
    "bigint": "-9223372036854775808",
    "text": "",
}
"""Of the types that a key may have, the least value: a row may have it, too."""


class DataMigrationUnknown(NotFound):
    code = "data_migration_unknown"

    def __init__(self, name: str) -> None:
        super().__init__(f"There is no data migration '{name}'. `weft db data list` shows those there are.")


class DataMigrationInvalid(Invalid):
    code = "data_migration_invalid"


@dataclass(frozen=True, slots=True)
class DataMigration:
    """`pending` tells, for the owner who sees all tenants, what is left: rows of (tenant_id, count), tenants with
    nothing left out.

    `batch` does some of it in one tenant: $1 is the tenant, $2 where to go on (JSON, null at first), $3 how many rows.
    It gives one row: how many rows were `seen`, how many were `changed`, and `next`, where to go on.

    As "app" it runs under row security like every request; "owner" is for tables that the application may not update,
    and then nothing but the statement's own `tenant_id = $1` keeps tenants apart.
    """

    name: str
    title: str
    pending: str
    batch: str
    rows: int = 1000
    after: str | None = None
    """The revision it needs; None: any."""
    role: Literal["app", "owner"] = "app"


class Statements(TypedDict):
    """The two statements of a `DataMigration`."""

    pending: str
    batch: str


def batched_update(table: str, key: Mapping[str, str], assign: str, where: str, *, among: str = "") -> Statements:
    """SQL that sets `assign` on the rows of `table` for which `where` is true, by `key` (column: type, in its order).

    `among` narrows what is walked through, where an index serves it. In `assign`, `where` and `among` the table is `t`:
    `"region = lower(t.country)"`, `"t.region is null"`. Hand it on: `DataMigration(..., **batched_update(...))`.
    """
    for kind in key.values():
        if kind not in FIRST:
            raise DataMigrationInvalid(f"A key cannot have the type '{kind}'; it can have {', '.join(FIRST)}.")
    columns = ", ".join(f"t.{name}" for name in key)
    # After the row of the cursor; at first also a row whose key is the least one. One comparison of rows is served by
    # an index, an `or` is not; nor is a `coalesce`, which row security takes for something that could leak rows.
    said = {name: f"$2::jsonb ->> '{name}'" for name in key}
    start = ", ".join(
        f"(case when {said[name]} is null then '{FIRST[kind]}' else {said[name]} end)::{kind}"
        for name, kind in key.items()
    )
    is_first = f"case when {said[next(iter(key))]} is null then 0 else 1 end"
    same = " and ".join(f"t.{name} = b.{name}" for name in key)
    last = ", ".join(f"'{name}', {name}" for name in key)
    backwards = ", ".join(f"{name} desc" for name in key)
    full = f"{SCHEMA}.{table}"
    narrowed = f" and ({among})" if among else ""
    return {
        "pending": f"select t.tenant_id, count(*) from {full} t where {where} group by t.tenant_id",
        "batch": f"""with batch as (
  select {columns} from {full} t
   where t.tenant_id = $1 and ({columns}, 1) > ({start}, {is_first}){narrowed}
   order by {columns} limit $3
), done as (
  update {full} t set {assign} from batch b
   where t.tenant_id = $1 and {same} and ({where})
  returning 1
)
select (select count(*) from batch) as seen, (select count(*) from done) as changed,
       (select jsonb_build_object({last}) from batch order by {backwards} limit 1) as next /* weft:data.batch */""",
    }


def load(directories: Sequence[Path] = ()) -> dict[str, DataMigration]:
    """All data migrations, by name. Raises `DataMigrationInvalid` for a module that does not hold one."""
    found: dict[str, DataMigration] = {}
    for folder in (SHIPPED, *(directory / "data" for directory in directories)):
        for path in sorted(folder.glob("*.py")):
            if path.name.startswith("_"):
                continue
            migration = _read(path)
            if migration.name in found:
                raise DataMigrationInvalid(f"Two data migrations are called '{migration.name}'; the second is {path}.")
            found[migration.name] = migration
    return found


def _read(path: Path) -> DataMigration:
    specification = importlib.util.spec_from_file_location(f"weft_data_migration_{path.stem}", path)
    if specification is None or specification.loader is None:
        raise DataMigrationInvalid(f"{path} is not a Python module.")
    module = importlib.util.module_from_spec(specification)
    specification.loader.exec_module(module)
    migration = getattr(module, "MIGRATION", None)
    if not isinstance(migration, DataMigration):
        raise DataMigrationInvalid(f"{path} has no MIGRATION, a weft.db.data_definitions.DataMigration.")
    if not re.fullmatch(r"[a-z][a-z0-9_]{0,62}", migration.name):
        raise DataMigrationInvalid(f"{path}: the name '{migration.name}' must be lower case words joined by _.")
    if "$1" not in migration.batch or "tenant_id" not in migration.batch:
        raise DataMigrationInvalid(f"{path}: the batch must say tenant_id = $1, also where row security says it too.")
    return migration
