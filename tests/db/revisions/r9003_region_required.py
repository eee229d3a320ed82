"""Every client has a region.

Kind: contract
"""

from __future__ import annotations

from alembic import op

from weft.db.migrate import run_script

revision = "9003"
down_revision = "9002"
branch_labels = None
depends_on = None
kind = "contract"
needs = "0.1"
requires_data = ("fill_region",)
accepts = {
    "constraint-missing-not-valid": "A few thousand clients are read in a moment.",
    "ban-drop-constraint": "It served only to make NOT NULL cheap.",
}

UP = """
alter table weft.clients add constraint clients_region_check check (region is not null) not valid;
alter table weft.clients validate constraint clients_region_check;
alter table weft.clients alter column region set not null;
alter table weft.clients drop constraint clients_region_check;
"""


def upgrade() -> None:
    run_script(op.get_bind(), UP)


def downgrade() -> None:
    run_script(op.get_bind(), "alter table weft.clients alter column region drop not null;")
