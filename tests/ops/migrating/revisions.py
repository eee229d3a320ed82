"""Revisions that tests write, and the ones in `tests/db/revisions`."""

from __future__ import annotations

from pathlib import Path

from weft.ops.preflight import newest_revision

REVISIONS = Path(__file__).parents[2] / "db" / "revisions"

_MODULE = '''"""{title}.

Kind: {kind}
"""

from alembic import op

from weft.db.concurrent import run_concurrently
from weft.db.migrate import run_script

revision = "{id}"
down_revision = "{before}"
kind = "{kind}"
{more}


def upgrade() -> None:
    {up}


def downgrade() -> None:
    {down}
'''


def write(
    folder: Path,
    id_: str,
    up: str,
    down: str = "",
    *,
    before: str | None = None,
    kind: str = "expand",
    more: str = "",
    title: str = "Made for a test",
) -> Path:
    """One revision in a folder. `up` and `down` are SQL, or Python when they begin with `python:`."""
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / f"r{id_}.py"
    path.write_text(
        _MODULE.format(
            title=title, kind=kind, id=id_, before=before or newest_revision(), more=more, up=_body(up),
            down=_body(down),
        )
    )  # fmt: skip
    return folder


def _body(text: str) -> str:
    if text.startswith("python:"):
        return text.removeprefix("python:").strip()
    return f"run_script(op.get_bind(), {text!r})" if text else "pass"
