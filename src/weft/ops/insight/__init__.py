"""Looking into the database for an operator: sizes, slow statements and their plans, indexes, who takes the room."""

from __future__ import annotations

from weft.ops.connections import database_of, with_database
from weft.ops.installation import Addresses


def widest(addresses: Addresses) -> str:
    """The address that sees most: the server shows the sessions of other roles to administrators only."""
    if addresses.admin is not None:
        return with_database(addresses.admin, database_of(addresses.app))
    return addresses.owner or addresses.app
