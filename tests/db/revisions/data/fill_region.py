"""Clients without a region are in Europe."""

from __future__ import annotations

from weft.db.data_definitions import DataMigration, batched_update

MIGRATION = DataMigration(
    name="fill_region",
    title="Clients without a region are in Europe",
    rows=100,
    after="9001",
    **batched_update("clients", {"id": "uuid"}, "region = 'europe'", "t.region is null"),
)
