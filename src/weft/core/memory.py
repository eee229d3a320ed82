"""How a long-lived process looks for unreachable cycles."""

from __future__ import annotations

import gc

YOUNG = 10_000
"""Objects that are made before the youngest are looked through. A batch of turns makes thousands, nearly all of which
go when they are done with; Python's own 700 would look for cycles many times in each."""


def settle() -> None:
    """Call once, when everything that stays has been loaded.

    Modules, models and compiled routes are some hundred thousand objects. A full collection walks all of them and stops
    the process for 80 ms, about once a second under load; frozen they are left out, and it takes next to nothing.
    """
    gc.collect()
    gc.freeze()
    gc.set_threshold(YOUNG, 10, 10)
