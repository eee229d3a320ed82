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

TABLES = (
    "archives",
    "schedule_runs", "workflow_schedules",
    "rate_limit_states", "rate_limits", "execution_places", "workflow_limits", "tenant_limits",
    "dispatch_dead", "dispatch_limits", "dispatch_jobs", "audit_logs", "execution_logs", "workflow_executions",
    "workflow_triggers", "workflow_transitions", "workflow_steps", "workflow_versions", "workflow_counters",
    "workflows", "message_templates", "secrets", "clients", "api_key_uses", "api_keys", "sessions",
    "user_permissions", "tenant_users", "role_permissions", "roles", "permissions", "users", "tenant_keys", "tenants",
)  # fmt: skip

FUNCTIONS = (
    "drop_empty_partitions", "retention_tenants", "delete_executions",
    "prune_schedule_runs", "next_schedule", "claim_schedules",
    "sweep_places", "free_places", "take_places", "admit", "lock_limits", "tenants_with_places",
    "ensure_partitions", "queue_depth", "release_jobs", "extend_leases", "promote_jobs", "claim_suspect", "claim_jobs",
    "mark_sign_in", "set_password", "ensure_user", "create_tenant", "find_tenant", "memberships_of",
    "find_user", "audit_is_append_only", "audit_event", "audit_row", "touch_versioned", "touch",
)  # fmt: skip


def upgrade() -> None:
    run_script(op.get_bind(), (HERE / "2026_11_21_foundation.sql").read_text(encoding="utf-8"))


def downgrade() -> None:
    bind = op.get_bind()
    run_script(bind, ";".join(f"drop table weft.{name}" for name in TABLES))
    run_script(bind, ";".join(f"drop function weft.{name}" for name in FUNCTIONS))
    run_script(bind, "revoke usage on schema weft from weft_app, weft_auth, weft_audit, weft_dispatch, weft_retention")
