"""What the reference and the guide say is true."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest
import yaml

from weft.cli import command_line
from weft.domain.workflows import building, parsing
from weft.domain.workflows.check import check
from weft.domain.workflows.kinds import installed
from weft.domain.workflows.parsing import parse
from weft.domain.workflows.references import EXECUTION, ROOTS
from weft.domain.workflows.schema import definition_schema
from weft.engine import registry
from weft.interpreter.conditions import OPERATORS

DOCS = Path(__file__).parents[3] / "docs"
REFERENCE = (DOCS / "reference" / "definition.md").read_text(encoding="utf-8")
GUIDE = (DOCS / "guides" / "workflows.md").read_text(encoding="utf-8")
EXAMPLES: list[dict[str, Any]] = [
    parse(text).document for text in re.findall(r"```yaml\n(.*?)```", REFERENCE, re.DOTALL)
]


def completed(example: dict[str, Any]) -> dict[str, Any]:
    """A part of a definition, in a definition."""
    if "steps" in example:
        return example
    if "when" in example:
        steps = [{"key": "check", "type": "http", "config": {"url": "https://example.com"}}]
        steps += [{"key": key, "type": "end"} for key in ("yes", "no")]
        arrows = [{"from": "check", "to": "yes", **example}, {"from": "check", "to": "no", "default": True}]
        return {"name": "part", "steps": steps, "transitions": arrows}
    return {"name": "part", "steps": [example]}


@pytest.mark.parametrize("example", EXAMPLES)
def test_examples_are_sound(example: dict[str, Any]) -> None:
    registry.kinds()
    report = check(completed(example), installed())
    assert report.errors == report.warnings == ()


def test_every_field_is_explained() -> None:
    schema = definition_schema()
    fields = [*schema["properties"], *schema["$defs"]["step"]["properties"], *schema["$defs"]["retry"]["properties"]]
    fields += [*schema["$defs"]["transition"]["properties"], *OPERATORS, *EXECUTION]
    assert [field for field in fields if f"`{field}`" not in REFERENCE] == []
    assert [root for root in ROOTS if f"`{root}" not in REFERENCE] == []


def test_limits_are_those_of_the_code() -> None:
    words = " ".join(REFERENCE.split())
    assert f"{parsing.MAX_BYTES:,} bytes and {building.MAX_DEPTH} levels" in words
    assert f"{building.MAX_ALIASES:,} aliases and {building.MAX_NODES:,} values" in words


def test_commands_in_the_guide_exist() -> None:
    group: Any = command_line.load("workflow")
    said = set(re.findall(r"weft workflow ([a-z-]+)", GUIDE))
    assert said <= set(group.commands)
    assert {"check", "apply", "diff", "rollback", "export", "trigger"} <= said


def test_the_mapping_in_the_guide_is_one() -> None:
    (text,) = [block for block in re.findall(r"```yaml\n(.*?)```", GUIDE, re.DOTALL) if "body.data" in block]
    assert list(yaml.safe_load(text)) == ["order", "shop"]
