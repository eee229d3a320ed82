"""What a step is answered with when no script speaks: only what its kind could give, and workflows go through."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import jsonschema_rs
import pytest
from tests.engine.conftest import PATIENCE
from tests.engine.documents import step

from weft.domain.workflows.parsing import parse
from weft.engine import registry
from weft.engine.simulation.runs import Played, Simulation, Wanted, compiled
from weft.engine.steps.base import ErrandStep, Step
from weft.expressions.guard import Guard

ROOT = Path(__file__).parents[3]
FILES = sorted(
    path
    for folder in ("src/weft/ops/seeds/systems", "examples/workflows", "examples/seeds/workflows")
    for path in (ROOT / folder).glob("*.yaml")
    if "\nsteps:" in path.read_text(encoding="utf-8")
)

WEBHOOK = {"channel": "webhook", "url": "https://a.test/", "secret": "secret://signing"}
CONFIGS: list[tuple[str, dict[str, Any]]] = [
    ("question", {"question": "Well?", "choices": ["approve", "reject"]}),
    ("question", {"question": "Well?", "choices": "{{ ['approve', 'reject'] }}"}),
    ("question", {"question": "Well?"}),
    ("question", {"question": "Well?", "on_timeout": "continue"}),
    ("wait_for_event", {"event": "order.paid", "correlation": "{{ 7 }}"}),
    ("wait_for_event", {"event": ["order.paid", "order.lost"], "on_timeout": "continue"}),
    ("http", {"url": "https://a.test/"}),
    ("http", {"url": "https://a.test/", "response": "text", "expect": ["4xx"]}),
    ("http", {"url": "https://a.test/", "response": "base64", "expect": ["404", 200]}),
    ("http", {"url": "https://a.test/", "response": "none", "expect": [201]}),
    ("http", {"url": "https://a.test/", "response": "json"}),
    ("notification", {"channel": "email", "to": "a@x.test, B <b@x.test>", "subject": "s", "text": "t"}),
    ("notification", {"notificationType": "mail", "recipients": ["a@x.test"], "template": "welcome"}),
    ("notification", {"channel": "email", "to": "secret://oncall", "subject": "s", "text": "t"}),
    ("notification", WEBHOOK),
    ("notification", {"channel": "chat", "url": "secret://chat", "text": "t"}),
    ("code", {"code": "{'total': 1}"}),
    ("sub_workflow", {"workflow": "elsewhere"}),
]
"""Every kind that asks a stage, in each of its shapes."""


@pytest.fixture
async def guard() -> AsyncIterator[Guard]:
    registry.kinds()
    async with Guard(children=1, wall_limit=PATIENCE) as opened:
        yield opened


def document_of(path: Path) -> dict[str, Any]:
    return dict(parse(path.read_text(encoding="utf-8")).document)


async def played(guard: Guard, document: dict[str, Any], runs: int) -> list[Played]:
    simulation = Simulation(compiled(document), Wanted(runs=runs), guard)
    return [each async for each in simulation.played()]


@pytest.mark.parametrize(("kind", "config"), CONFIGS)
async def test_a_default_is_what_the_kind_could_give(guard: Guard, kind: str, config: dict[str, Any]) -> None:
    found = registry.kind(kind)
    assert isinstance(found, Step)
    outputs = found.outputs(config) or found.outputs_schema
    for one in await played(guard, {"name": "w", "steps": [step("a", kind, config)], "transitions": []}, 30):
        assert (one.status, one.error) == ("COMPLETED", None)
        (answered,) = [each for each in one.steps if each.path == "a"]
        if outputs is not None:
            jsonschema_rs.validate(dict(outputs), answered.data)
        if kind == "question" and "choices" in config:
            assert answered.data["answer"] in ("approve", "reject")
        if kind == "wait_for_event":
            assert answered.data["type"] in config["event"]


def test_every_kind_that_asks_the_world_is_tried() -> None:
    asking = {kind.name for kind in registry.kinds() if isinstance(kind, ErrandStep) or getattr(kind, "hears", False)}
    assert asking <= {name for name, _ in CONFIGS}


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
async def test_the_workflows_that_come_with_weft_go_through_by_default(guard: Guard, path: Path) -> None:
    """They fail only where they say so themselves, in a `fail` step."""
    document = document_of(path)
    runs = await played(guard, document, 60)
    assert {one.error and one.error["kind"] for one in runs} <= {None, "fail"}
    assert any(one.status == "COMPLETED" for one in runs)


async def test_a_default_decision_goes_either_way(guard: Guard) -> None:
    path = ROOT / "src/weft/ops/seeds/systems/document-approval.yaml"
    runs = await played(guard, document_of(path), 60)
    assert {one.ends for one in runs} == {("welcome",), ("reject",)}


async def test_a_config_with_which_the_step_would_fail_fails_here_too(guard: Guard) -> None:
    channel = {"channel": "{{ input.way }}", "to": "a@x.test", "subject": "s", "text": "t"}
    document = {"name": "w", "steps": [step("a", "notification", channel)], "transitions": []}
    simulation = Simulation(compiled(document), Wanted(inputs=[{"way": "pigeon"}]), guard)
    (one,) = [each async for each in simulation.played()]
    assert one.status == "FAILED"
    assert "channel" in str(one.error)
