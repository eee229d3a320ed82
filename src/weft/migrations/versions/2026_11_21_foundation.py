"""The house: identity, clients, workflows, executions, journal, audit, dispatch.

Kind: expand
"""

from __future__ import annotations

from pathlib import Path

from alembic import op

from weft.db.migrate import run_script

revision = "0001"
down_revision = None
branch_labels = None
depends_on = None
kind = "expand"

HERE = Path(__file__).parent


def upgrade() -> None:
    run_script(op.get_bind(), (HERE / "2026_11_21_foundation.sql").read_text(encoding="utf-8"))


def downgrade() -> None:
    run_script(op.get_bind(), (HERE / "2026_11_21_foundation.down.sql").read_text(encoding="utf-8"))
