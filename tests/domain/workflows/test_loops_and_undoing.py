"""What the check at save knows of loops, of steps that undo others, and of the names that only some places see."""

from __future__ import annotations

from typing import Any

import pytest

from weft.domain.workflows.check import check
from weft.engine import registry

registry.kinds()


def transform(key: str, output: Any = 1, **more: Any) -> dict[str, Any]:
    return {"key": key, "type": "transform", "config": {"output": output}, **more}


def loop(body: list[dict[str, Any]], **config: Any) -> dict[str, Any]:
    return {"key": "turns", "type": "loop", "config": {"max_iterations": 3, "body": {"steps": body}, **config}}


def codes(*steps: dict[str, Any], transitions: list[tuple[str, str]] | None = None, **more: Any) -> list[str]:
    arrows = [{"from": source, "to": target} for source, target in transitions or []]
    report = check({"name": "w", "steps": list(steps), "transitions": arrows, **more})
    return [issue.code for issue in report.errors]


@pytest.mark.parametrize(
    ("condition", "found"),
    [
        ("steps.page.output == 3", []),
        ("index >= 3 or last == 2", []),
        ({"field": "steps.page.output.next", "operator": "is_empty"}, []),
        ("steps.nothing.output", ["step_unknown"]),
        ("item", ["item_outside_for_each"]),
        ("event.payload", ["reference_unknown"]),
        ("steps.page.", ["expression_invalid"]),
    ],
)
def test_until_sees_the_turn_s_steps(condition: Any, found: list[str]) -> None:
    assert [code for code in codes(loop([transform("page")], until=condition)) if code in found] == found
    if not found:
        assert codes(loop([transform("page")], until=condition)) == []


def test_while_is_asked_before_the_steps_have_run() -> None:
    asks = {"while": "steps.page.output < 3"}
    assert codes(loop([transform("page")], **asks)) == ["step_may_not_have_run"]
    assert codes(loop([transform("page")], **{"while": "(steps.page.output | default(0)) < 3"})) == []


def test_a_turn_sees_its_number_and_what_the_turn_before_gave_but_no_item() -> None:
    assert codes(loop([transform("page", "{{ index }} {{ last }}")], until="true")) == []
    assert codes(loop([transform("page", "{{ item }}")], until="true")) == ["item_outside_for_each"]
    assert codes(transform("page", "{{ last }}")) == ["last_outside_loop"]
    each = {"key": "each", "type": "for_each", "config": {"items": [1], "body": {"steps": [
        loop([transform("page", "{{ item }} {{ index }} {{ last }}")], until="true")]}}}  # fmt: skip
    assert codes(each) == []


def test_a_step_of_a_body_cannot_be_read_from_outside() -> None:
    assert codes(loop([transform("page")], until="true"), transform("after", "{{ steps.page.output }}"),
                 transitions=[("turns", "after")]) == ["step_out_of_reach"]  # fmt: skip
    assert codes(loop([transform("page")], until="true"), transform("after", "{{ steps.turns.output.last }}"),
                 transitions=[("turns", "after")]) == []  # fmt: skip


def test_a_step_that_undoes_knows_what_it_undoes_and_what_came_before() -> None:
    car = transform("car", compensate="undo")
    assert codes(car, transform("undo", "{{ compensating.output }} {{ steps.car.output }}")) == []
    assert codes(transform("car", "{{ compensating.output }}", compensate="undo"), transform("undo")) == [
        "compensating_misplaced"
    ]
    later = codes(
        car, transform("later"), transform("undo", "{{ steps.later.output }}"), transitions=[("car", "later")]
    )
    assert later == ["step_may_not_have_run"]


def test_a_step_that_undoes_is_no_end_and_no_second_start() -> None:
    car = transform("car", compensate="undo")
    assert codes(transform("undo"), car, output="{{ steps.car.output }}") == []
    assert codes(transform("undo"), car, output="{{ steps.undo.output }}") == ["step_may_not_have_run"]
    assert codes(car) == ["compensate_unknown"]


def test_a_filter_sees_the_event_and_nothing_else_does() -> None:
    wait = {"key": "w", "type": "wait_for_event", "config": {"event": "a.b", "filter": "event.payload.x == input.y"}}
    assert codes(wait) == []
    assert codes(transform("t", "{{ event.payload }}")) == ["reference_unknown"]
    assert codes({**wait, "config": {"event": "a.b", "filter": "nothing.x"}}) == ["reference_unknown"]
