"""The page of scripts and assertions: `python -m weft.engine.simulation.reference > docs/reference/simulation.md`."""

from __future__ import annotations

import json
import sys
from collections.abc import Mapping
from typing import Final

from weft.engine.simulation.play import LONGEST_ERRAND, Limits
from weft.engine.simulation.report import NAMES
from weft.engine.simulation.routes import LIMITS, SECONDS
from weft.engine.simulation.runs import EPOCH
from weft.engine.simulation.schemas import MOST_RUNS
from weft.engine.simulation.script import SCHEMA
from weft.engine.simulation.stored import SLICE

_MEANINGS: Final[Mapping[str, str]] = {
    "runs": "how many runs there were",
    "completed": "their share that completed, from 0 to 1",
    "failed": "the share that failed",
    "cancelled": "the share that was cancelled",
    "unfinished": "the share in which something waited for ever, or that a limit stopped",
    "statuses": "runs by status: `statuses.COMPLETED`",
    "ends": "runs by the step at which they ended: `ends.paid`; a step at which none ended is missing",
    "errors": "a list of `{step, kind, runs, message}`, the most frequent first",
    "duration": "`min`, `mean`, `p50`, `p80`, `p95`, `max` in seconds, and a `histogram` of ten equal parts",
    "cost": "the same of what the answers cost",
    "coverage": "`steps` and `transitions` as shares, `steps_missed` and `transitions_missed` as lists",
    "steps": "by path: `attempts`, `failed`, `skipped`, `p50`, `p95`, and `answers` by source",
    "answered_by_default": "the steps that the script did not answer",
}

_HEAD: Final = """\
# Simulation: scripts, results, assertions

<!-- Written by `python -m weft.engine.simulation.reference`; a test fails when it is out of date. -->

[The guide](../guides/simulation.md) shows how to use them.

## Scripts

A script says what the world answers. It is YAML or JSON, and has three parts, each of which may be left out:

| part | what it holds |
|---|---|
| `steps` | answers by the step's path (`book`, `lines.price`); `*` and `?` match, an exact path goes first |
| `kinds` | answers by step kind, for steps that `steps` does not name |
| `workflows` | definitions of sub-workflows by name; for the command also files, named relative to the script |

Answers are one answer or a list. They are tried from the top: one whose `when` does not hold is passed over, one with
a `probability` is given in that share of the cases, one without is given always. What is left over, and every step
that no script names, is answered by default: by the step's kind, or with a sample of what its outputs' schema allows.
A default is always one that the step could give: a question's is among its choices. Defaults succeed, at once, and cost
nothing; only a config that the step itself would refuse fails here, too.

| field | what it says |
|---|---|
| `when` | a condition; it sees what the step sees, its evaluated `config`, and `attempt`, `visit`, `step`, `run` |
| `probability` | from 0 to 1, of all cases of this step |
| `output` | what the step puts out; expressions in it are evaluated |
| `fail` | instead of an output: `kind`, `message`, `retryable` (by itself true), `retry_after`, `data` |
| `duration` | how long it takes, on the simulated clock |
| `cost` | what it costs, in whatever unit you count in; a number or an expression |

| duration | means |
|---|---|
| `2s`, `1h30m`, `PT2S`, `2` | exactly so long |
| `{uniform: [1s, 3s]}` | evenly between the two |
| `{exponential: 4s}` | exponential, with this mean |
| `{normal: {mean: 10s, deviation: 2s}}` | normal, cut off at zero |
| `{p50: 120ms, p95: 900ms}` | log-normal, through these two percentiles |

An errand that takes longer than the step's `timeout` (by itself %(errand)d seconds) fails as `timeout`. A step that
waits for an event, a person or another workflow is answered in the same way: after its `duration` the answer is there.
A sub-workflow whose definition is known is played inside, under the same script, unless the script answers the step
itself.

The JSON Schema of scripts:

```json
%(schema)s
```

## Time and chance

A simulated clock stands still while something is computed and jumps to what is due next. Runs begin at
%(epoch)s unless told otherwise. Errands overlap as if there were a worker for each. Run number *i* has a
seed of its own, made of the simulation's seed and *i*; inputs, probabilities and durations are drawn from it, so the
same definition, inputs, script and seed give the same trace, byte for byte, on every machine. (An expression that is
stopped by the guard's time limit is the one exception.)

Percentiles are exact and by nearest rank: the percentile *p* of *n* values is the one at place ⌈*p*/100 · *n*⌉ in
order. Nothing is interpolated.

## Assertions

A condition over the result, in the language of conditions. It may name:

| name | what it is |
|---|---|
"""

_TAIL: Final = """
For instance `p95_duration < 3600 and completed >= 0.95 and coverage.steps == 1`. An assertion that names something
else, or gives neither true nor false, is refused before anything runs where that can be known.

## Traces

`--trace FILE` writes a line of JSON for each run's beginning, each attempt of a step and each end, in this order, run
by run: `run`, `what` (`began`, `step`, `ended`), and for steps `step`, `frame`, `visit`, `attempt`, `status`, `from`
and `to` in seconds since the run began, `answered_by` (`script`, `default`), `cost`, `output`, `error`, `message`.

## Limits

| where | limit |
|---|---|
| one run | %(visits)s visits of steps and %(bytes)d MB of outputs; beyond it is `UNFINISHED` |
| one run in a request | %(request_visits)s visits and %(request_bytes)d MB |
| one request | %(runs)s runs or past executions, %(seconds)g seconds |
| at the same time | one request of each tenant, two in each API process |
| a stored simulation | none; it goes on in slices of %(slice)d visits |
"""


def reference() -> str:
    """The page, `docs/reference/simulation.md`."""
    facts = {
        "errand": LONGEST_ERRAND,
        "schema": json.dumps(SCHEMA, indent=2),
        "epoch": EPOCH.isoformat().replace("+00:00", "Z"),
        "visits": f"{Limits().visits:,}",
        "bytes": Limits().bytes // 1_000_000,
        "request_visits": f"{LIMITS.visits:,}",
        "request_bytes": LIMITS.bytes // 1_000_000,
        "runs": f"{MOST_RUNS:,}",
        "seconds": SECONDS,
        "slice": SLICE,
    }
    return _HEAD % facts + "\n".join(_names()) + "\n" + _TAIL % facts


def _names() -> list[str]:
    lines = []
    for name in NAMES:
        figure, _, what = name.rpartition("_")
        meaning = _MEANINGS.get(name) or f"`{what}.{figure}`"
        lines.append(f"| `{name}` | {meaning} |")
    return lines


if __name__ == "__main__":
    sys.stdout.write(reference())
