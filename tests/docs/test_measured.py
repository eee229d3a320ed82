"""The page of what was measured: its scenarios are those there are, and its commands do what it says."""

from __future__ import annotations

import importlib
import re

import pytest
from benches.__main__ import SCENARIOS
from tests.docs.documents import DOCS, ROOT

PAGE = (DOCS / "guides" / "measured.md").read_text(encoding="utf-8")
COMMANDS = [line for block in re.findall(r"```sh\n(.*?)```", PAGE, re.DOTALL) for line in block.splitlines()]


def test_every_scenario_has_a_line_and_no_other() -> None:
    assert re.findall(r"^\| (B\d+) \|", PAGE, re.MULTILINE) == list(SCENARIOS)
    said = {name for command in COMMANDS if "weft bench" in command for name in re.findall(r"\bB\d+\b", command)}
    assert said <= SCENARIOS.keys()


@pytest.mark.parametrize("name", SCENARIOS)
def test_a_scenario_can_be_run(name: str) -> None:
    """That it is there to be run and says what it is; running it is for benches."""
    module = importlib.import_module(SCENARIOS[name][0])
    assert str(module.__doc__).startswith(f"{name}: ")
    assert callable(module.run)


@pytest.mark.parametrize("command", [command for command in COMMANDS if "weft bench" not in command])
def test_a_variable_of_a_command_is_read_by_the_test_that_it_names(command: str) -> None:
    paths = re.findall(r"tests/[\w/.]+", command) or ["tests/chaos/test_chaos.py"]
    assert "just chaos" in command or "./weft test" in command
    for variable in re.findall(r"WEFT_\w+", command):
        assert all(f'"{variable}"' in (ROOT / path).read_text(encoding="utf-8") for path in paths), variable


def test_just_chaos_takes_the_number_of_rounds() -> None:
    assert "WEFT_CHAOS_ROUNDS={{rounds}} ./weft test tests/chaos" in (ROOT / "justfile").read_text(encoding="utf-8")


def test_newer_figures_have_a_place() -> None:
    assert "<!-- newer figures:" in PAGE
    assert "2 shared cores" in PAGE
