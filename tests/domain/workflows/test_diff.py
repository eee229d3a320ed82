"""What changed between two definitions, in words and for programs."""

from __future__ import annotations

import copy
from collections.abc import Callable
from typing import Any

import jsonpatch
import pytest
from hypothesis import given
from hypothesis import strategies as st
from inline_snapshot import snapshot
from tests.factories.workflows import chain, definition, step

from weft.domain.workflows.diff import compare, lines

BODY = {"steps": [step("price", config={"text": "x"}), step("sum")], "transitions": chain("price", "sum")}
BASE = definition(
    name="invoice",
    description="pays",
    input={"type": "object", "properties": {"amount": {"type": "number"}}},
    steps=[
        step("score", config={"text": "rate", "amount": 3}),
        step("pay", "call", config={"url": "https://a"}, timeout="30s"),
        step("lines", "for_each", config={"items": "input.lines", "body": BODY}),
        step("done", "end"),
    ],
    transitions=[
        {"from": "score", "to": "pay", "when": {"field": "input.amount", "operator": "less_than", "value": 10}},
        {"from": "score", "to": "done", "default": True},
        *chain("pay", "lines", "done"),
    ],
)
Edit = Callable[[dict[str, Any]], object]


def changed(edit: Edit) -> list[str]:
    new = copy.deepcopy(BASE)
    edit(new)
    return lines(compare(BASE, new))


def test_the_same_definition() -> None:
    assert compare(BASE, copy.deepcopy(BASE)) == []


def rename(new: dict[str, Any]) -> None:
    new["steps"][1]["key"] = "settle"
    for arrow in new["transitions"]:
        for end in ("from", "to"):
            arrow[end] = "settle" if arrow[end] == "pay" else arrow[end]


@pytest.mark.parametrize(
    ("edit", "expected"),
    [
        (lambda new: new.update(name="bills"), ['~ name: "invoice" -> "bills"']),
        (lambda new: new.pop("description"), ['- workflow description: "pays"']),
        (lambda new: new.update(tags=["a"]), ['+ workflow tags: ["a"]']),
        (
            lambda new: new["input"]["properties"].update(vat={"type": "number"}),
            ['~ input.properties.vat: (nothing) -> {"type": "number"}'],
        ),
        (
            lambda new: new["steps"][0]["config"].update(text="judge"),
            ['~ step score: config.text: "rate" -> "judge"'],
        ),
        (lambda new: new["steps"][1].pop("timeout"), ['~ step pay: timeout: "30s" -> (nothing)']),
        (
            lambda new: new["steps"][2]["config"]["body"]["steps"][0]["config"].update(text="y"),
            ['~ step lines.price: config.text: "x" -> "y"'],
        ),
        (
            lambda new: new["steps"][2]["config"].update(concurrency=3),
            ["~ step lines: config.concurrency: (nothing) -> 3"],
        ),
        (
            lambda new: new["transitions"][0]["when"].update(value=20),
            ["~ transition score -> pay: when.value: 10 -> 20"],
        ),
        (
            lambda new: new["transitions"].pop(0),
            ['- transition score -> pay when {"field": "input.amount", "operator": "less_than", "value": 10}'],
        ),
        (
            lambda new: (new["steps"].append(step("audit")), new["transitions"].extend(chain("pay", "audit"))),
            ["+ step audit (note)", "+ transition pay -> audit"],
        ),
        (rename, ["> step pay is now settle"]),
        (
            lambda new: new["transitions"].insert(0, new["transitions"].pop(1)),
            ["~ transition score -> pay: place: 1 -> 2", "~ transition score -> done: place: 2 -> 1"],
        ),
        (lambda new: new["steps"].insert(0, new["steps"].pop()), ["~ the steps are in another order"]),
        (
            lambda new: new["transitions"].insert(0, new["transitions"].pop()),
            ["~ the transitions are in another order"],
        ),
    ],
)
def test_lines_for_people(edit: Edit, expected: list[str]) -> None:
    assert changed(edit) == expected


def test_a_rename_among_equals_is_not_guessed() -> None:
    old = definition(name="x", steps=[step("a", config={"text": "t"}), step("b", config={"text": "t"})])
    new = definition(name="x", steps=[step("c", config={"text": "t"}), step("d", config={"text": "t"})])
    assert {change.how for change in compare(old, new) if change.what == "step"} == {"added", "removed"}


def test_a_rename_in_a_body_keeps_its_level() -> None:
    new = copy.deepcopy(BASE)
    body = new["steps"][2]["config"]["body"]
    body["steps"][0]["key"] = "cost"
    body["transitions"] = chain("cost", "sum")
    assert lines(compare(BASE, new)) == ["> step lines.price is now lines.cost"]


def test_for_programs() -> None:
    new = copy.deepcopy(BASE)
    new["steps"][0]["config"]["amount"] = 4
    new["transitions"].append({"from": "pay", "to": "done", "when": "input.x"})
    found = [(c.what, c.how, c.name, c.before, c.after, list(c.patch)) for c in compare(BASE, new)]
    assert found == snapshot(
        [
            (
                "step",
                "changed",
                "score",
                {"key": "score", "type": "note", "config": {"text": "rate", "amount": 3}},
                {"key": "score", "type": "note", "config": {"text": "rate", "amount": 4}},
                [{"op": "replace", "path": "/config/amount", "value": 4}],
            ),
            ("transition", "added", "pay -> done", None, {"when": "input.x"}, []),
        ]
    )


@given(st.data())
def test_patches_make_the_new_part_of_the_old_one(data: st.DataObject) -> None:
    values = st.dictionaries(
        st.sampled_from(["text", "amount", "data"]), st.integers() | st.lists(st.integers(), max_size=3)
    )
    old = definition(name="x", steps=[step("a", config=data.draw(values))])
    new = definition(name="x", steps=[step("a", config=data.draw(values))])
    changes = compare(old, new)
    assert bool(changes) == (old != new)
    for change in changes:
        assert jsonpatch.apply_patch(change.before, list(change.patch)) == change.after
        assert lines([change])
