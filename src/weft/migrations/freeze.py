"""`python -m weft.migrations.freeze`: writes what the models emit as the SQL of the foundation revision.

Only until the first release: from then on a revision never changes, and a new one is added.
"""

from __future__ import annotations

from pathlib import Path

from weft.db import emit
from weft.domain.identity.rules import PERMISSIONS
from weft.migrations.models import METADATA

FOUNDATION = Path(__file__).parent / "versions" / "2026_11_21_foundation.sql"


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


if __name__ == "__main__":
    FOUNDATION.write_text(foundation(), encoding="utf-8")
