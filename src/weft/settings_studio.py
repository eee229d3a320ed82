"""The settings of `weft db studio`."""

from __future__ import annotations

from pydantic import Field

from weft.settings_sections import Port, Section


class StudioSettings(Section):
    """The browser of tables, `weft db studio`."""

    port: Port = Field(default=5555, description="The port of `weft db studio` on 127.0.0.1.")
    statement_seconds: float = Field(
        default=5.0, ge=0.1, le=60, description="How long one look at a table may take before it is stopped."
    )
    export_rows: int = Field(
        default=100_000, ge=1, le=10_000_000, description="Rows that one export from the studio holds at most."
    )
