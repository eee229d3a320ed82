"""Which tables belong to the whole installation: the models say so by their scope."""

from __future__ import annotations

from functools import cache


@cache
def shared_tables() -> frozenset[str]:
    """Tables without a `tenant_id`, Alembic's own included."""
    from weft.migrations.models import METADATA

    return frozenset({"alembic_version"} | {t.name for t in METADATA.sorted_tables if t.info["scope"] != "tenant"})
