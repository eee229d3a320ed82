"""The check at save, rule by rule."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import pytest
from tests.factories import workflows as make
from tests.factories.workflows import KINDS, chain, definition, step

from weft.core.errors import Issue
from weft.domain.workflows import certainty, readings
from weft.domain.workflows import check as checking
from weft.domain.workflows.check import Report, check
from weft.domain.workflows.kinds import KindRegistry
from weft.engine import registry
from weft.expressions.compile import compile_value

CLOSED = {
    "type": "object",
    "additionalProperties": False,
    "properties": {
        "amount": {"type": "number"},
        "customer": {"type": "object", "properties": {"name": {"type": "string"}}},
        "lines": {
            "type": "array",
            "items": {"type": "object", "additionalProperties": False, "properties": {"price": {"type": "number"}}},
        },
    },
}


def codes(issues: Sequence[Issue]) -> list[str]:
    return [issue.code for issue in issues]


def report(document: Mapping[str, Any]) -> Report:
    return check(document, KINDS)


def reading(text: str, **more: Any) -> Report:
    """A definition whose second step reads `text`."""
    steps = [step("first", "call"), step("second", config={"data": text})]
    return report(definition(steps=steps, **{"input": CLOSED, **more}))


def test_a_sound_definition() -> None:
    found = report(
        definition(
            steps=[step("first", config={"text": "Dear {{ input.customer.name }}"}), step("second", "end")],
            input=CLOSED,
            output={"a": "{{ steps.first.output }}", "b": "{{ input.lines | sort }}"},
        )
    )
    assert found.sound
    assert found.errors == found.warnings == ()
    assert (found.stats.steps, found.stats.transitions) == (2, 1)
    assert found.stats.simple == 2
    assert found.stats.guarded == 1


# --- shape, kinds, graph


def test_a_wrong_shape_is_said_alone() -> None:
    found = report({"name": "x", "steps": [{"key": "A"}]})
    assert codes(found.errors) == ["field_missing", "value_invalid"]


def test_an_unknown_kind_is_named_with_the_one_that_was_meant() -> None:
    (error,) = report(definition(steps=[step("a", "nope"), step("b", "notte")])).errors[1:]
    assert error.path == ("steps", 1, "type")
    assert error.message == "Step 'b': there is no type 'notte'. Did you mean 'note'?"


def test_a_kind_that_cannot_be_loaded_says_why() -> None:
    registry = KindRegistry([make.Note()])
    registry.broken["fancy"] = "ImportError: no module named fancy"
    (error,) = check(definition(steps=[step("a", "fancy")]), registry).errors
    assert "cannot be loaded (ImportError: no module named fancy)" in error.message


def test_the_config_is_checked_by_its_kind() -> None:
    found = report(
        definition(steps=[step("a", config={"amount": -1, "txt": "x"}), step("b", config={"text": "forbidden"})])
    )
    assert [(issue.path[-1], issue.message) for issue in found.errors] == [
        ("amount", "Step 'a': Expected at least 0, found -1."),
        ("txt", "Step 'a': The field `txt` is not known here. Did you mean `text`?"),
        ("text", "Step 'b': This text is forbidden."),
    ]


def test_configs_in_bodies_are_checked() -> None:
    body = {"steps": [step("inner", config={"amount": "many"})]}
    found = report(definition(steps=[step("each", "for_each", config={"items": [1], "body": body})]))
    (error,) = found.errors
    assert error.path == ("steps", 0, "config", "body", "steps", 0, "config", "amount")
    assert error.message.startswith("Step 'each.inner': ")


@pytest.mark.parametrize(
    ("steps", "transitions", "code", "path"),
    [
        ([step("a"), step("b")], chain("a", "c"), "transition_target_unknown", ("transitions", 0, "to")),
        ([step("a"), step("a")], [], "step_key_taken", ("steps", 1, "key")),
        ([step("a"), step("b")], [], "start_ambiguous", ("steps", 1)),
        ([step("a"), step("b")], [*chain("a", "b"), *chain("b", "a")], "cycle_unbounded", ("steps", 0)),
        (
            [step("a"), step("b"), step("c")],
            [{"from": "a", "to": "b", "default": True}, {"from": "a", "to": "c", "default": True}],
            "default_repeated",
            ("transitions", 1),
        ),
        ([step("a", timeout="20y")], [], "value_invalid", ("steps", 0, "timeout")),
        ([step("a", timeout="9999999d")], [], "duration_invalid", ("steps", 0, "timeout")),
    ],
)
def test_faults_of_the_graph_are_located(
    steps: list[dict[str, Any]], transitions: list[dict[str, Any]], code: str, path: tuple[str | int, ...]
) -> None:
    (error,) = report(definition(steps=steps, transitions=transitions)).errors
    assert (error.code, error.path) == (code, path)


def test_what_only_shows_in_walking_is_located_in_the_document() -> None:
    """Only one of two ways is taken, and the step waits for both."""
    body = {
        "steps": [step("a", "condition"), step("b"), step("c"), step("d", join={"at_least": 2})],
        "transitions": [
            {"from": "a", "to": "b", "when": "input.x > 1"},
            {"from": "a", "to": "c", "default": True},
            *chain("b", "d"),
            *chain("c", "d"),
        ],
    }
    found = report(definition(steps=[step("each", "for_each", config={"items": [1], "body": body})]))
    assert found.errors
    assert {error.path for error in found.errors} == {("steps", 0, "config", "body", "steps", 3)}
    assert "'each.d'" in found.errors[0].message


def test_too_many_steps() -> None:
    body = {"steps": [step(f"s{n}") for n in range(1000)], "transitions": []}
    found = report(definition(steps=[step("each", "for_each", config={"items": [1], "body": body})]))
    assert codes(found.errors) == ["steps_exceeded"]


# --- expressions


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("{{ input.amount + }}", "This cannot be read"),
        ("{{ input.amount | uper }}", "no filter `uper`. Did you mean `upper`?"),
        ("{{ input.amount", "second"),
        ("{% if input.amount %}x", "second"),
    ],
)
def test_an_expression_that_cannot_be_read(text: str, words: str) -> None:
    (error,) = reading(text).errors
    assert error.code == "expression_invalid"
    assert error.path == ("steps", 1, "config", "data")
    assert error.message.startswith("Step 'second': ")
    assert words in error.message
    assert error.extra["line"] == 1


@pytest.mark.parametrize(
    ("text", "code", "words"),
    [
        ("{{ inptu.amount }}", "reference_unknown", "there is nothing called `inptu`. Did you mean `input`?"),
        ("{{ first.output }}", "reference_unknown", "written `steps.first.output`"),
        ("{{ amount }}", "reference_unknown", "Write `input.amount`: names are written in full."),
        ("{{ input.amuont }}", "field_unknown", "`input` has no field `amuont`. Did you mean `input.amount`?"),
        ("{{ input.zzz }}", "field_unknown", "There are `amount`, `customer`, `lines`."),
        ("{{ input.amount.x }}", "field_unknown", "`input.amount` has no field `x`: it is a number."),
        ("{{ input.lines.price }}", "field_unknown", "it is a list"),
        ("{{ input.lines.0.prize }}", "field_unknown", "Did you mean `input.lines.0.price`?"),
        ("{{ steps.frist.output }}", "step_unknown", "there is no step 'frist'. Did you mean `steps.first`?"),
        ("{{ steps.first.status_code }}", "field_unknown", "Write `steps.first.output.status_code`."),
        ("{{ steps.first.output.stattus }}", "field_unknown", "Did you mean `steps.first.output.status`?"),
        ("{{ item.price }}", "item_outside_for_each", "only inside the body of a for-each"),
        ("{{ index }}", "item_outside_for_each", "only inside the body of a for-each"),
        ("{{ execution.nubmer }}", "field_unknown", "Did you mean `execution.number`?"),
        ("{{ secrets.token }}", "secret_misplaced", "steps that call other systems"),
        ("{{ steps.second.output }}", "step_may_not_have_run", "the step 'second' may not have run"),
    ],
)
def test_a_reference_to_what_is_not_there(text: str, code: str, words: str) -> None:
    (error,) = reading(text).errors
    assert error.code == code
    assert words in error.message
    assert error.message.startswith("Step 'second': ")


@pytest.mark.parametrize(
    "text",
    [
        "{{ input.customer.name }}",
        "{{ input.lines.0.price + input.lines[1].price }}",
        "{{ steps.first.output.status }}",
        "{{ steps.first.output.body.anything.at_all }}",
        "{{ steps.first.status }} {{ steps.first.error }} {{ steps.first }}",
        "{{ execution.id }} {{ execution.metadata.anything }} {{ now }}",
        "{{ input }} {{ execution }}",
        "{% for line in input.lines %}{{ line.price }}{{ loop.index }}{% endfor %}",
        "{% set total = 3 %}{{ total }}",
        "{{ input.lines | map(attribute='price') | sum }}",
        "no expression: input.zzz",
    ],
)
def test_a_reference_to_what_is_there(text: str) -> None:
    found = reading(text)
    assert found.errors == found.warnings == ()


@pytest.mark.parametrize(
    ("text", "code"),
    [
        ("{{ input.customer.age }}", "field_unknown"),  # the schema lists names, but is open
        ("{{ steps['first'].output }}", "reference_unclear"),
        ("{{ vars.total }}", "variable_unknown"),
    ],
)
def test_what_is_doubtful_is_a_warning(text: str, code: str) -> None:
    found = reading(text)
    assert found.sound
    assert codes(found.warnings) == [code]


@pytest.mark.parametrize(
    ("schema", "errors", "warnings"),
    [
        (None, 0, 0),
        (True, 0, 0),
        ({"type": "object"}, 0, 0),
        ({"properties": {"a": {}}}, 0, 1),
        ({"properties": {"a": {}}, "additionalProperties": False}, 1, 0),
        ({"properties": {"a": {}}, "additionalProperties": {"type": "string"}}, 0, 0),
        ({"properties": {"a": {}}, "patternProperties": {"^b": {}}}, 0, 0),
        ({"properties": {"a": {}}, "anyOf": [{"required": ["b"]}]}, 0, 0),
        ({"properties": {"a": {}}, "allOf": [{"properties": {"b": {}}}]}, 0, 0),
        ({"$ref": "#/$defs/x", "$defs": {"x": {"properties": {"a": {}}, "additionalProperties": False}}}, 1, 0),
        ({"$ref": "#/$defs/x", "$defs": {"x": {"$ref": "#/$defs/x"}}}, 0, 0),
        ({"type": "string"}, 1, 0),
        ({"type": ["object", "null"], "properties": {"a": {}}}, 0, 1),
    ],
)
def test_only_what_the_input_schema_says_for_sure(schema: Any, errors: int, warnings: int) -> None:
    more = {} if schema is None else {"input": schema}
    found = report(definition(steps=[step("a", config={"data": "{{ input.b }}"})], **more))
    assert (len(found.errors), len(found.warnings)) == (errors, warnings)


def test_variables_that_a_step_sets_are_known() -> None:
    steps = [
        step("a", "set", config={"vars": {"total": 1}}),
        step("b", config={"data": "{{ vars.total + vars.totl }}"}),
    ]
    (warning,) = report(definition(steps=steps)).warnings
    assert "`totl`. Did you mean `vars.total`?" in warning.message
    steps[0]["config"]["vars"] = "{{ input }}"
    assert report(definition(steps=steps)).warnings == ()


def test_secrets_in_the_config_of_a_step_that_calls() -> None:
    steps = [step("a", "call", config={"url": "https://example.com", "headers": {"x": "{{ secrets.token }}"}})]
    assert report(definition(steps=steps)).sound


# --- what may not have run

BRANCHES: list[dict[str, Any]] = [
    {"from": "a", "to": "b", "when": "input.x > 1"},
    {"from": "a", "to": "c", "default": True},
    *chain("b", "d"),
    *chain("c", "d"),
]


def branches(text: Any, **more: Any) -> Report:
    steps = [step("a", "condition"), step("b"), step("c"), step("d", config={"data": text}, **more)]
    return report(definition(steps=steps, transitions=BRANCHES))


def test_a_step_of_one_branch_may_not_have_run() -> None:
    (error,) = branches("{{ steps.b.output }}").errors
    assert error.code == "step_may_not_have_run"
    assert error.extra["reference"] == "steps.b.output"
    assert branches("{{ steps.a.output }}").sound


@pytest.mark.parametrize(
    "text",
    [
        "{{ steps.b.output | default(0) }}",
        "{{ steps.b.output.x.y | d(0) }}",
        "{{ steps.b.output is none }}",
        "{{ steps.b.output or steps.c.output }}",
        "{{ steps.b.output.x if steps.b.status == 'COMPLETED' else 0 }}",
        "{% if steps.b.output %}{{ steps.b.output.x }}{% endif %}",
    ],
)
def test_an_expression_may_provide_for_absence(text: str) -> None:
    found = branches(text)
    assert found.sound
    assert set(codes(found.warnings)) == {"step_may_not_have_run"}


@pytest.mark.parametrize("text", ["{{ steps.b.status }}", "{{ steps.b.error }}", "{{ steps.b }}"])
def test_status_and_error_may_be_asked_of_any_step(text: str) -> None:
    found = branches(text)
    assert found.errors == found.warnings == ()


@pytest.mark.parametrize("text", ["{{ steps.b.output == steps.c.output }}", "{{ steps.b.outputs | default(1) }}"])
def test_other_words_beside_it_are_no_provision(text: str) -> None:
    assert not branches(text).sound


def test_a_join_waits_for_both_branches() -> None:
    def parallel(**join: Any) -> Report:
        steps = [
            step("a", "parallel"),
            step("b"),
            step("c"),
            step("d", config={"data": "{{ steps.b.output }}"}, **join),
        ]
        arrows = [*chain("a", "b"), *chain("a", "c"), *chain("b", "d"), *chain("c", "d")]
        return report(definition(steps=steps, transitions=arrows))

    assert parallel(join="all").sound
    assert parallel(join={"at_least": 2}).sound
    assert codes(parallel(join="any").errors) == ["step_may_not_have_run"]
    assert codes(parallel().errors) == ["step_may_not_have_run"]


def test_an_error_route_knows_the_error_but_no_output() -> None:
    def caught(text: str) -> Report:
        steps = [step("a", on_error="c"), step("b"), step("c", config={"data": text})]
        return report(definition(steps=steps, transitions=[*chain("a", "b"), *chain("b", "c")]))

    assert codes(caught("{{ steps.a.output }}").errors) == ["step_may_have_failed"]
    assert codes(caught("{{ steps.b.output }}").errors) == ["step_may_not_have_run"]
    assert caught("{{ steps.a.error }}").warnings == ()


def test_a_step_that_may_be_skipped_is_a_warning() -> None:
    steps = [step("a", required=False), step("b", config={"data": "{{ steps.a.output }}"})]
    found = report(definition(steps=steps))
    assert found.sound
    assert codes(found.warnings) == ["step_may_be_skipped"]


def test_a_loop_knows_only_what_came_before_it() -> None:
    def loop(text: str) -> Report:
        steps = [
            step("first"),
            step("head", max_visits=3, on_error="out", config={"data": text}),
            step("work", "condition"),
            step("out"),
        ]
        arrows: list[dict[str, Any]] = [
            *chain("first", "head", "work"),
            {"from": "work", "to": "head", "when": "input.again"},
            {"from": "work", "to": "out", "default": True},
        ]
        return report(definition(steps=steps, transitions=arrows))

    assert loop("{{ steps.first.output }}").sound
    assert codes(loop("{{ steps.work.output }}").errors) == ["step_may_not_have_run"]
    assert loop("{{ steps.work.output | default(0) }}").sound


def each(outer: str = "x", inner: str = "x", after: str = "x", **more: Any) -> Report:
    body = {
        "steps": [step("p", config={"data": outer}), step("q", config={"data": inner})],
        "transitions": chain("p", "q"),
    }
    steps = [
        step("first"),
        step("lines", "for_each", config={"items": "input.lines", "body": body}),
        step("last", config={"data": after}),
    ]
    return report(definition(steps=steps, input=CLOSED, **more))


@pytest.mark.parametrize(
    "texts",
    [
        {"outer": "{{ item.price }} {{ index }} {{ steps.first.output }}"},
        {"inner": "{{ steps.p.output }}"},
        {"after": "{{ steps.lines.output }}"},
        {"after": "{{ steps.lines.output.0 }}"},
    ],
)
def test_a_body_sees_its_own_steps_and_those_around_it(texts: dict[str, str]) -> None:
    found = each(**texts)
    assert found.errors == found.warnings == ()


@pytest.mark.parametrize(
    ("texts", "code", "words"),
    [
        ({"outer": "{{ steps.q.output }}"}, "step_may_not_have_run", "'q'"),
        ({"outer": "{{ steps.lines.output }}"}, "step_may_not_have_run", "'lines'"),
        ({"outer": "{{ steps.last.output }}"}, "step_may_not_have_run", "'last'"),
        ({"outer": "{{ item.prize }}"}, "field_unknown", "Did you mean `item.price`?"),
        ({"outer": "{{ index.x }}"}, "field_unknown", "`index` is a whole number"),
        ({"after": "{{ steps.p.output }}"}, "step_out_of_reach", "in `steps.lines.output`"),
        ({"after": "{{ item }}"}, "item_outside_for_each", "for-each"),
    ],
)
def test_what_a_body_and_its_surroundings_do_not_see(texts: dict[str, str], code: str, words: str) -> None:
    (error,) = each(**texts).errors
    assert error.code == code
    assert words in error.message


def test_items_are_an_expression_without_braces() -> None:
    body = {"steps": [step("p")]}
    found = report(
        definition(steps=[step("l", "for_each", config={"items": "input.lins", "body": body})], input=CLOSED)
    )
    (error,) = found.errors
    assert error.path == ("steps", 0, "config", "items")
    assert "Did you mean `input.lines`?" in error.message


def test_an_inner_step_that_hides_an_outer_one_is_a_warning() -> None:
    body = {"steps": [step("first")]}
    found = report(definition(steps=[step("first"), step("l", "for_each", config={"items": [1], "body": body})]))
    (warning,) = found.warnings
    assert warning.code == "step_key_hidden"
    assert warning.path == ("steps", 1, "config", "body", "steps", 0, "key")


def test_the_output_knows_what_every_way_leads_over() -> None:
    def answering(text: str) -> Report:
        steps = [step("a", "condition"), step("b"), step("c"), step("d")]
        return report(definition(steps=steps, transitions=BRANCHES, output={"x": text}))

    assert answering("{{ steps.d.output }}").sound
    (error,) = answering("{{ steps.b.output }}").errors
    assert error.path == ("output", "x")
    assert error.message.startswith("The workflow's output: ")


# --- conditions


def conditional(when: Any) -> Report:
    steps = [step("a", "call"), step("b"), step("c")]
    arrows: list[dict[str, Any]] = [{"from": "a", "to": "b", "when": when}, {"from": "a", "to": "c", "default": True}]
    return report(definition(steps=steps, transitions=arrows, input=CLOSED))


@pytest.mark.parametrize(
    "when",
    [
        {"field": "steps.a.output.status", "operator": "equals", "value": 200},
        {"field": "steps.b.status", "operator": "exists"},
        {"all": [{"field": "input.amount", "operator": "greater_than", "value": "{{ input.lines.0.price }}"}]},
        "steps.a.output.status == 200",
        "{{ steps.a.output.status == 200 }}",
        {"not": {"any": ["input.amount > 3", {"field": "input.lines", "operator": "is_empty"}]}},
    ],
)
def test_conditions_that_can_be_judged(when: Any) -> None:
    found = conditional(when)
    assert found.errors == found.warnings == ()


@pytest.mark.parametrize(
    ("when", "code", "path"),
    [
        ({"field": "approved", "operator": "equals", "value": True}, "reference_unknown", ("field",)),
        ({"field": "steps.a.output.stats", "operator": "exists"}, "field_unknown", ("field",)),
        ({"field": "steps.b.output", "operator": "equals", "value": 1}, "step_may_not_have_run", ("field",)),
        ({"field": "input.amount", "operator": "equals"}, "condition_value_missing", ("value",)),
        ({"field": "input.amount", "operator": "in", "value": 3}, "condition_value_invalid", ("value",)),
        ({"any": ["input.amuont > 3"]}, "field_unknown", ("any", 0)),
        ({"not": {"field": "input.x", "operator": "exists"}}, "field_unknown", ("not", "field")),
        (
            {"field": "input.amount", "operator": "equals", "value": "{{ input.x }}"},
            "field_unknown",
            ("value",),
        ),
        ("input.amount >", "expression_invalid", ()),
    ],
)
def test_conditions_that_cannot(when: Any, code: str, path: tuple[str | int, ...]) -> None:
    (error,) = conditional(when).errors
    assert error.code == code
    assert error.path == ("transitions", 0, "when", *path)
    assert error.message.startswith("The transition from 'a' to 'b': ")


def bare(name: str, source: dict[str, Any]) -> str:
    """What is said of a condition on a name alone, in the words of other tools."""
    when = {"field": name, "operator": "equals", "value": True}
    steps = [step("first", "set", config={"vars": {"seen": 1}}), source, step("b", "end"), step("c", "end")]
    arrows: list[dict[str, Any]] = [
        {"from": "first", "to": "a"},
        {"from": "a", "to": "b", "when": when},
        {"from": "a", "to": "c", "default": True},
    ]
    registry.kinds()
    (error,) = check(definition(steps=steps, transitions=arrows, input=CLOSED)).errors
    return error.message


def test_a_bare_name_is_told_where_it_stands() -> None:
    decides = step("a", "transform", config={"output": {"approved": True, "amount": 2}})
    assert "Write `steps.a.output.approved`: names" in bare("approved", decides)
    assert "Write `input.amount` or `steps.a.output.amount`: names" in bare("amount", decides)
    assert "Write `vars.seen` or " in bare("seen", decides)


def test_a_bare_name_that_nobody_is_known_to_give_is_told_where_it_could_stand() -> None:
    anything = step("a", "code", config={"code": "1"})
    assert "`input.approved`, `vars.approved`, or what a step gave, `steps.a.output.approved`." in bare(
        "approved", anything
    )
    assert "`steps.<key>.output.approved`." in bare("approved", step("a", "condition"))


def test_conditions_and_bare_expressions_in_a_config() -> None:
    config = {"when": {"field": "input.x", "operator": "exists"}, "rule": "input.y > 1", "text": "input.z"}
    found = report(definition(steps=[step("a", config=config)], input=CLOSED))
    assert [error.path[2:] for error in found.errors] == [("config", "rule"), ("config", "when", "field")]


# --- size


def long(count: int) -> dict[str, Any]:
    texts = [f"{{{{ steps.s{n - 1}.output.x + input.amount }}}}" for n in range(1, count)]
    followers = [step(f"s{n}", config={"data": text}) for n, text in enumerate(texts, 1)]
    return definition(steps=[step("s0"), *followers], input=CLOSED)


def test_three_hundred_steps_are_checked_in_few_passes(monkeypatch: pytest.MonkeyPatch) -> None:
    """Every expression is compiled once and every level analysed once, whatever the number of steps."""
    counted = {"compile": 0, "analyse": 0}

    def counting(name: str, function: Any) -> Any:
        def counted_call(*arguments: Any, **named: Any) -> Any:
            counted[name] += 1
            return function(*arguments, **named)

        return counted_call

    monkeypatch.setattr(checking, "analyse", counting("analyse", certainty.analyse))
    monkeypatch.setattr(readings, "compile_value", counting("compile", compile_value))
    found = report(long(300))
    assert found.sound
    assert found.warnings == ()
    assert found.stats.steps == 300
    assert found.stats.simple == 299
    assert counted == {"compile": 299, "analyse": 1}


def test_issues_are_bounded_and_in_order() -> None:
    steps = [step(f"s{n}", config={"data": "{{ nothing }} {{ nowhere }}"}) for n in range(150)]
    found = report(definition(steps=steps))
    assert len(found.errors) == checking.MAX_ISSUES
    places = [int(error.path[1]) for error in found.errors]
    assert places == sorted(places)
