"""What several tests of operations need."""

from tests.ops.bare import bare_server, shared_bare_server
from tests.ops.store import store

__all__ = ["bare_server", "shared_bare_server", "store"]
"""Fixtures that are written elsewhere."""
