"""Every way the audit log says no."""

from __future__ import annotations

from weft.core.errors import NotFound


class EntryNotFound(NotFound):
    code = "audit_entry_not_found"

    def __init__(self) -> None:
        super().__init__("There is no such entry in the audit log of this tenant. `weft audit list` shows the entries.")
