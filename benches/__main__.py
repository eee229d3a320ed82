"""`weft bench [SCENARIO ...] [--quick]`: runs scenarios, prints one line of JSON for each."""

from __future__ import annotations

import argparse
import importlib
import json
import sys
import time

from benches.lab import surroundings

SCENARIOS = {
    "B1": ("benches.b1", "five steps by webhook with a synchronous answer"),
    "B2": ("benches.b2", "queued executions drained by workers"),
    "B3": ("benches.b3", "a hundred thousand executions that wait for an event"),
    "B4": ("benches.b4", "the same questions with little and with much history"),
    "B5": ("benches.b5", "one tenant's flood and another's starts"),
    "B6": ("benches.b6", "simulated runs and a backtest of the showcase"),
    "B7": ("benches.b7", "with and without row security and audit"),
    "B8": ("benches.b8", "forty steps that each call another system"),
    "B9": ("benches.b9", "the API's reads and writes against the same SQL"),
    "B10": ("benches.b10", "load while a column, an index and a backfill come to a large table"),
    "B11": ("benches.b11", "backup, proof and restore of a million executions"),
    "B12": ("benches.b12", "the check at save of definitions of three hundred steps"),
    "B13": ("benches.b13", "the studio's pages on a table of ten million rows"),
}


def main() -> int:
    parser = argparse.ArgumentParser(prog="weft bench", description=__doc__)
    parser.add_argument("scenarios", nargs="*", help="; ".join(f"{k}: {v}" for k, (_, v) in SCENARIOS.items()))
    parser.add_argument("--quick", action="store_true", help="shorter rounds: for a look, not for a record")
    given = parser.parse_args()
    unknown = [name for name in given.scenarios if name.upper() not in SCENARIOS]
    if unknown:
        parser.error(f"there is no scenario {', '.join(unknown)}; there are {', '.join(SCENARIOS)}")
    for name in [name.upper() for name in given.scenarios] or list(SCENARIOS):
        module, title = SCENARIOS[name]
        print(f"{name}: {title} ...", file=sys.stderr, flush=True)
        begun = time.monotonic()
        figures = importlib.import_module(module).run(quick=given.quick)
        line = {"scenario": name, "quick": given.quick, **figures, "seconds": round(time.monotonic() - begun)}
        print(json.dumps(line | surroundings()), flush=True)
    return 0


if __name__ == "__main__":
    sys.exit(main())
