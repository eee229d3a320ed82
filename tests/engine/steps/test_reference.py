"""The page of step kinds says what the code says."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import yaml
from tests.engine.steps.calls import call_of

from weft.domain.workflows.validation import config_issues
from weft.engine.outcomes import Done
from weft.engine.registry import BUILT_IN
from weft.engine.steps.base import InstantStep
from weft.engine.steps_reference import EXAMPLES, reference

PAGE = Path(__file__).parents[3] / "docs" / "reference" / "steps.md"


def test_the_page_is_up_to_date() -> None:
    assert PAGE.read_text() == reference(), "python -m weft.engine.steps_reference > docs/reference/steps.md"


def test_every_field_of_every_kind_is_on_it() -> None:
    page = reference()
    for kind in BUILT_IN:
        _, _, section = page.partition(f"## `{kind.name}`\n")
        section = section.partition("\n## ")[0]
        assert section.count("\n| `") >= len(kind.config_schema["properties"])
        assert all(f"| `{field}` |" in section for field in kind.config_schema["properties"])


@pytest.mark.parametrize("kind", BUILT_IN, ids=lambda kind: kind.name)
def test_every_example_is_sound(kind: object) -> None:
    found = next(one for one in BUILT_IN if one is kind)
    if not found.config_schema["properties"]:
        assert found.name not in EXAMPLES
        return
    config = yaml.safe_load(EXAMPLES[found.name])
    assert config_issues(found, config, ()) == []
    assert found.check(config) == []


def test_the_kind_of_ones_own_works_as_it_is_printed() -> None:
    code = reference().partition("```python\n")[2].partition("```")[0]
    names: dict[str, Any] = {"__name__": "acme_steps"}
    exec(compile(code, "acme_steps.py", "exec"), names)  # noqa: S102  our own page
    kind = names["Shout"]()
    assert isinstance(kind, InstantStep)
    assert config_issues(kind, {"text": "hello"}, ()) == []
    assert kind.run(call_of({"text": "hello"})) == Done("HELLO")
