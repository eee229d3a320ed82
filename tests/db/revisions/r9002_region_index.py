"""Clients are found by region.

Kind: expand
"""

from __future__ import annotations

from weft.db.indexes import build_index, drop_index

revision = "9002"
down_revision = "9001"
branch_labels = None
depends_on = None
kind = "expand"
concurrently = True


def upgrade() -> None:
    build_index("clients_region_idx", "clients", "(tenant_id, region)")


def downgrade() -> None:
    drop_index("clients_region_idx")
