"""What several tests of operations need."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.ops.bare import bare_server, shared_bare_server
from tests.ops.store import store

__all__ = ["bare_server", "shared_bare_server", "store"]
"""Fixtures that are written elsewhere."""


@pytest.fixture
def place() -> Iterator[Path]:
    """A directory for servers. Not pytest's own: every pytest that starts closes that one to the server's account."""
    with tempfile.TemporaryDirectory(prefix="weft-ops-") as directory:
        yield Path(directory)
