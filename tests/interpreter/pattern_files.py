"""The control-flow patterns as files: a definition and what must happen to it, for the interpreter and for the engine.

    name, notes           the pattern, and how it is expressed when that is not plain
    steps, transitions    the definition; an `http` step stands for anything that somebody outside has to do
    workflows             definitions that it starts by name
    scenarios             `input`, then a `script`, and the `journal` and `status` (COMPLETED) that it must lead to

A script's lines: `answer STEP [JSON]` (the oldest open call of the step is answered, with this body), `live STEPS`
(these, and no others, are live), `running STEPS` (these, and no others, are under way; what queues is only live),
`event TYPE [JSON]`, `cancel`. The journal lists steps in the order of their visits, with `:STATUS` when they did not
complete.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import yaml

FOLDER: Final = Path(__file__).parent / "patterns"


@dataclass(frozen=True)
class Line:
    """One line of a script."""

    verb: str
    words: tuple[str, ...]
    body: Any


@dataclass(frozen=True)
class Scenario:
    number: int  # of the pattern
    name: str
    document: dict[str, Any]
    workflows: Mapping[str, dict[str, Any]]
    input: Any
    script: tuple[Line, ...]
    journal: tuple[tuple[str, str], ...]
    status: str


def scenarios() -> list[Scenario]:
    return [scenario for path in sorted(FOLDER.glob("wcp_*.yaml")) for scenario in _read(path)]


def names() -> dict[int, str]:
    """The patterns that have a file, by number."""
    return {scenario.number: scenario.name for scenario in scenarios()}


def _read(path: Path) -> list[Scenario]:
    written = yaml.safe_load(path.read_text("utf-8"))
    return [
        Scenario(
            number=int(path.stem.split("_")[1]),
            name=written["name"],
            document=_document(written),
            workflows={name: _document(inner) for name, inner in written.get("workflows", {}).items()},
            input=scenario.get("input", {}),
            script=tuple(_line(line) for line in scenario["script"]),
            journal=tuple(_row(word) for word in scenario["journal"].split()),
            status=scenario.get("status", "COMPLETED"),
        )
        for scenario in written["scenarios"]
    ]


def _document(written: Mapping[str, Any]) -> dict[str, Any]:
    document = {"steps": written["steps"], "transitions": written.get("transitions", [])}
    _address(document["steps"])
    return document


def _address(steps: Sequence[dict[str, Any]], prefix: str = "") -> None:
    """Every call goes to an address that names its step."""
    for step in steps:
        if step["type"] == "http":
            step["config"] = {"url": f"http://stub.example/{prefix}{step['key']}"}
        body = step.get("config", {}).get("body") if step["type"] in ("for_each", "loop") else None
        if body is not None:
            _address(body["steps"], f"{prefix}{step['key']}.")


def _line(text: str) -> Line:
    words, brace, rest = text.partition("{")
    verb, *others = words.split()
    return Line(verb, tuple(others), json.loads(brace + rest) if brace else None)


def _row(word: str) -> tuple[str, str]:
    step, _, status = word.partition(":")
    return step, status or "COMPLETED"
