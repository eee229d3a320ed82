"""A worker whose machine's clock can be set while it runs: `python -m tests.chaos.far_worker FILE`.

The file holds by how many seconds the wall clock is off. It is read each time somebody asks what time it is.
"""

from __future__ import annotations

import sys
from datetime import UTC, datetime, timedelta
from pathlib import Path

import weft.core.clock

OFF = Path(sys.argv[1])


def wrong_now() -> datetime:
    return datetime.now(UTC) + timedelta(seconds=float(OFF.read_text() or 0))


weft.core.clock.utc_now = wrong_now  # before anything else has taken it over

if __name__ == "__main__":
    from weft.cli import main

    sys.argv = ["weft", "worker"]
    main()
