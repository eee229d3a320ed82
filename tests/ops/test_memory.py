"""What a process does about cycles once it is set up."""

from __future__ import annotations

import subprocess
import sys

SCRIPT = """
import gc
from weft.core import memory

class Node:
    pass

kept = [Node() for _ in range(10_000)]
memory.settle()
assert gc.get_freeze_count() >= 10_000, "what stays is left out"
assert len(gc.get_objects()) < 10_000
lost = Node()
lost.me = lost
number = id(lost)
del lost
assert gc.collect() >= 1, "what is made later is still found"
"""


def test_what_stays_is_not_looked_through_again() -> None:
    """In a process of its own: freezing cannot be taken back for some objects."""
    subprocess.run([sys.executable, "-c", SCRIPT], check=True)
