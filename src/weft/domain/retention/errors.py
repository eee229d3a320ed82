"""Every way this room says no."""

from __future__ import annotations

from uuid import UUID

from weft.core.errors import Invalid, NotFound


class RetentionOutOfBounds(Invalid):
    code = "retention_out_of_bounds"

    def __init__(self, days: int | None, shortest: int, longest: int | None) -> None:
        bounds = f"at least {shortest}" + (f" and at most {longest}" if longest is not None else "")
        said = "forever" if days is None else f"{days} days"
        super().__init__(
            f"They cannot be kept {said}: this installation keeps executions and journals {bounds} days. Choose a "
            "number of days within these bounds, or leave it to the installation."
        )


class ArchiveNotFound(NotFound):
    code = "archive_not_found"

    def __init__(self, archive_id: UUID) -> None:
        super().__init__(f"There is no archive {archive_id} in this tenant. `weft archive list` lists them.")
