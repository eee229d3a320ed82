"""`python -m weft.migrations.freeze`: writes what the models emit as the SQL of the foundation revision.

Only until the first release: from then on a revision never changes, and a new one is added.
"""

from __future__ import annotations

from pathlib import Path

from weft.db import emit
from weft.db.base import SCHEMA
from weft.domain.identity.rules import PERMISSIONS
from weft.migrations.models import METADATA

FOUNDATION = Path(__file__).parent / "versions" / "2026_11_21_foundation.sql"
FOUNDATION_DOWN = FOUNDATION.with_suffix(".down.sql")


def permission_rows() -> str:
    rows = ",\n  ".join(
        f"('{resource}', '{action}', '{description}')"
        for (resource, action), description in sorted(PERMISSIONS.items())
    )
    return (
        "select set_config('app.maintenance', 'on', true);\n"
        f"insert into weft.permissions (resource, action, description) values\n  {rows}"
    )


def foundation() -> str:
    statements = [*emit.create_all(METADATA), permission_rows()]
    body = ";\n\n".join(statement.strip().rstrip(";") for statement in statements)
    return f"-- Written by weft.migrations.freeze from the models' markers.\n\n{body};\n"


def foundation_down() -> str:
    """The exact reverse: references go with their tables, functions when nothing uses them any more."""
    tables = ",\n  ".join(f"{SCHEMA}.{table.name}" for table in reversed(emit.tables_of(METADATA)))
    functions = ",\n  ".join(f"{SCHEMA}.{signature}" for signature in reversed(emit.FUNCTIONS))
    return (
        "-- Written by weft.migrations.freeze from the models' markers.\n\n"
        f"drop table\n  {tables};\n\ndrop function\n  {functions};\n\n"
        f"revoke usage on schema {SCHEMA} from weft_app, {emit.DEFINERS};\n"
    )


if __name__ == "__main__":
    FOUNDATION.write_text(foundation(), encoding="utf-8")
    FOUNDATION_DOWN.write_text(foundation_down(), encoding="utf-8")
