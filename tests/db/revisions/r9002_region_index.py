"""Clients are found by region.

Kind: expand
"""

from __future__ import annotations

from weft.db.concurrent import run_concurrently

revision = "9002"
down_revision = "9001"
branch_labels = None
depends_on = None
kind = "expand"
concurrently = True


def upgrade() -> None:
    run_concurrently("create index concurrently if not exists clients_region_idx on weft.clients (tenant_id, region)")


def downgrade() -> None:
    run_concurrently("drop index concurrently if exists weft.clients_region_idx")
