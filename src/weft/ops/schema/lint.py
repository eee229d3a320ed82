"""What is wrong with SQL that changes the schema: `squawk` for locks and compatibility, our own rules for tenants."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from weft.core.errors import Unavailable
from weft.ops.schema import sql_rules
from weft.ops.schema.finding import Finding
from weft.ops.schema.script import Statement, statements

__all__ = ["Finding", "LinterMissing", "review"]

OLDEST_SERVER = "15"
EXCLUDED = (
    "prefer-robust-stmts",  # a revision is one transaction: it is there as a whole or not at all
    "transaction-nesting",  # Alembic writes begin and commit around it
    "prefer-bigint-over-int",  # our integers count attempts and places, keys are UUIDs
    "prefer-bigint-over-smallint",
    "require-lock-timeout",  # `weft.db.migrate` opens every connection with one
    "require-statement-timeout",  # said in each revision that `weft db generate` writes
)
_SECONDS = 30.0


class LinterMissing(Unavailable):
    code = "linter_missing"

    def __init__(self) -> None:
        super().__init__(
            "The program 'squawk' is not beside this Python. It comes with weft: install the package anew "
            "(`squawk-cli`), or put a squawk of your own on the PATH."
        )


def review(sql: str) -> list[Finding]:
    """Everything that a reviewer should look at in this script, by line. Blocking (some 30 ms); needs no database."""
    script = list(statements(sql))
    return sorted([*_squawk(sql, script), *sql_rules.findings(script)])


def _program() -> str:
    beside = Path(sys.executable).parent / "squawk"
    found = str(beside) if beside.exists() else shutil.which("squawk")
    if found is None:
        raise LinterMissing
    return found


def _squawk(sql: str, script: Sequence[Statement]) -> Iterator[Finding]:
    done = subprocess.run(  # noqa: S603  our own program; the script is its input, never an argument
        [
            _program(), "--reporter=json", f"--pg-version={OLDEST_SERVER}", f"--exclude={','.join(EXCLUDED)}",
            "--stdin-filepath=revision.sql",
        ],
        input=sql, capture_output=True, text=True, timeout=_SECONDS, check=False,
    )  # fmt: skip
    try:
        said: list[dict[str, Any]] = json.loads(done.stdout or "[]")
    except ValueError as error:
        raise Unavailable(f"squawk did not answer in JSON: {(done.stderr or done.stdout).strip()[:500]}") from error
    for item in said:
        line = item["line"] + 1
        around = max((s for s in script if s.line <= line), key=lambda s: s.line, default=None)
        if around is not None and "alembic_version" in around.text:
            continue  # Alembic's table is as Alembic makes it
        yield Finding(
            line=line, rule=item["rule_name"], level=str(item["level"]).lower(),
            message=item["message"], help=item["help"] or "",
        )  # fmt: skip
