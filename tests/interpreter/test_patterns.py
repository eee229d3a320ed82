"""The control-flow patterns on the pure interpreter; `tests/engine/test_patterns.py` plays the same on a database."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from tests.interpreter.pattern_files import Scenario, names, scenarios
from tests.interpreter.pattern_runs import play

from weft.domain.workflows.check import check
from weft.domain.workflows.document import accept
from weft.engine import registry

REFERENCE = Path(__file__).parents[2] / "docs" / "reference" / "patterns.md"
ALL = scenarios()


@pytest.mark.parametrize("scenario", ALL, ids=lambda s: f"{s.number:02d}-{s.name.lower().replace(' ', '-')}")
def test_the_interpreter_keeps_the_pattern(scenario: Scenario) -> None:
    run = play(scenario)
    assert run.finish is not None
    assert run.finish.status.value == scenario.status
    assert run.journal == list(scenario.journal)


def test_every_pattern_passes_the_check_at_save() -> None:
    registry.kinds()
    for scenario in ALL:
        for document in (scenario.document, *scenario.workflows.values()):
            report = check(accept({"name": scenario.name, **document}))
            assert report.errors == (), (scenario.number, report.errors)


def test_the_reference_lists_every_pattern_and_tells_the_truth() -> None:
    rows = re.findall(r"^\| (\d+) \| ([^|]+?) \| (yes|no) \|", REFERENCE.read_text("utf-8"), flags=re.MULTILINE)
    assert [int(number) for number, _, _ in rows] == list(range(1, 44))
    assert {int(number): name for number, name, answer in rows if answer == "yes"} == names()
