"""Clients have a region.

Kind: expand
"""

from __future__ import annotations

from alembic import op

from weft.db.migrate import run_script
from weft.ops.preflight import newest_revision

revision = "9001"
down_revision = newest_revision()
branch_labels = None
depends_on = None
kind = "expand"


def upgrade() -> None:
    run_script(op.get_bind(), "alter table weft.clients add column region text;")


def downgrade() -> None:
    run_script(op.get_bind(), "alter table weft.clients drop column region;")
