"""Every way clients say no."""

from __future__ import annotations

from weft.core.errors import Conflict, NotFound


class ClientNotFound(NotFound):
    code = "client_not_found"

    def __init__(self, client: object) -> None:
        super().__init__(f"There is no client {client} in this tenant. `weft client list` shows those that exist.")


class ClientNotDeleted(Conflict):
    code = "client_not_deleted"

    def __init__(self, name: str) -> None:
        super().__init__(f"The client '{name}' is not deleted; there is nothing to restore.")
