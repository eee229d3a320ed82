"""Values of simple expressions and templates, and the sentences when there is none."""

from __future__ import annotations

import copy
import json
from datetime import UTC, datetime
from decimal import Decimal
from types import MappingProxyType
from typing import Any
from uuid import UUID

import pytest

from weft.expressions.compile import compile_expression, compile_template, compile_value
from weft.expressions.errors import ConditionNotBoolean, ExpressionFailed, ExpressionTooLarge
from weft.expressions.evaluate import evaluate_condition, evaluate_simple


def value(source: str, context: dict[str, Any]) -> Any:
    return evaluate_simple(compile_expression(source), context)


def failure(source: str, context: dict[str, Any]) -> ExpressionFailed:
    with pytest.raises(ExpressionFailed) as caught:
        value(source, context)
    return caught.value


@pytest.mark.parametrize(
    ("source", "expected"),
    [
        ("input.amount", 1500),
        ("input.customer", {"id": 7, "name": "Zoë", "tier": "gold", "keys": None}),
        ("input.lines.1.price", 1),
        ("input.lines.9", None),
        ("input.note.0", "h"),
        ("input.note.9", None),
        ("input.amount.unit", None),
        ("input.nothing.at", None),
        ("input.missing", None),
        ("missing", None),
        ("input.lines.price", None),
        ("input.customer.0", None),
        ("input.huge", 10**30),
        ("input.huge + 1", 10**30 + 1),
        ("input.größe * 2", 6),
        ("steps['a b'].output", 1),
        ("input.amount * 1.19", 1785),
        ("input.lines.0.price * 1.5", 3.75),
        ("-input.amount * -2", 3000),
        ("(input.amount + 1) * 2", 3002),
        ("2 * 3 * input.lines[0].price", 15),
        ("7 / 2", 3.5),
        ("-7 // 2", -4),
        ("-7 % 3", 2),
        ("1 < 2 < 3", True),
        ("'a' ~ 1 ~ 'b'", "a1b"),
        ("input.note + '!'", "hello!"),
        ("input.lines | map(attribute='price') | sum", 3.5),
        ("input.lines | sum(attribute='quantity')", 5),
        ("input.lines | map(attribute='missing', default=0) | sum if false else 3", 3),
        ("input.lines | length", 2),
        ("input.missing | default('none given')", "none given"),
        ("input.missing is defined", False),
        ("input.customer.tier in ['gold', 'silver']", True),
        ("'hell' in input.note", True),
        ("{'id': input.customer.id, 'tags': ['a', input.note]}", {"id": 7, "tags": ["a", "hello"]}),
        ("{1: 'one'}", {"1": "one"}),
        ("1234.5 | money", "1234.50"),
        ("1234567.005 | money(thousands=',')", "1,234,567.01"),
        ("2.675 | money", "2.68"),
        ("-0.5 | money(decimals=0)", "-1"),
        ("input.customer.name | tojson", '"Zoë"'),
        ("['<b>', none] | tojson", '["<b>",null]'),
        ("1 if false", None),
    ],
)
def test_values(source: str, expected: Any, context: dict[str, Any]) -> None:
    result = value(source, context)
    assert result == expected
    assert type(result) is type(expected)
    assert json.loads(json.dumps(result)) == result


@pytest.mark.parametrize(
    "name", ["items", "keys", "values", "get", "pop", "clear", "copy", "update", "setdefault", "popitem", "fromkeys"]
)
def test_a_missing_field_is_none_and_never_a_method(name: str, context: dict[str, Any]) -> None:
    context["input"]["customer"].pop("keys")
    for source in (f"input.{name}", f"input.customer.{name}", f"input['{name}']", f"[input.{name}][0]"):
        assert value(source, context) is None
    assert value(f"input.{name} is defined", context) is False
    assert value(f"[input.customer] | map(attribute='{name}') | first", context) is None
    assert "is not there" in failure(f"input.{name}.x", context).message
    assert "is not there" in failure(f"input['{name}']['x']", context).message
    context["input"][name] = [1, 2]
    assert value(f"input.{name}", context) == [1, 2]
    assert value(f"input.{name} | length", context) == 2


@pytest.mark.parametrize("name", ["append", "clear", "copy", "count", "extend", "index", "insert", "pop", "sort"])
def test_lists_show_no_methods(name: str, context: dict[str, Any]) -> None:
    assert value(f"input.lines.{name}", context) is None
    assert value(f"[input.lines][0].{name} is defined", context) is False
    assert value(f"input.lines['{name}']", context) is None


@pytest.mark.parametrize(
    "source",
    [
        "input.__class__",
        "input.__class__.__mro__",
        "input['__class__']",
        "input.lines.__len__",
        "input._data",
        "''.__class__",
        "input.note.__class__",
        "(1).__class__",
        "input.lines._data",
        "input['_missed']",
    ],
)
def test_attributes_of_python_are_out_of_reach(source: str, context: dict[str, Any]) -> None:
    if source.count("__") > 2:
        assert "is not there" in failure(source, context).message
    else:
        assert value(source, context) is None


@pytest.mark.parametrize(
    ("source", "named"),
    [
        ("input.missing.deeper", "input.missing"),
        ("missing.deeper", "missing"),
        ("input.customer.address.city.zip", "input.customer.address"),
        ("input.lines.9.price", "input.lines[9]"),
        ("input.missing > 1", "input.missing"),
        ("input.missing == none", "input.missing"),
        ("not input.missing", "input.missing"),
        ("input.missing + 1", "input.missing"),
        ("input.missing.deeper is defined", "input.missing"),
        ("input['missing'].deeper", "input['missing']"),
    ],
)
def test_going_on_from_a_missing_field_names_it(source: str, named: str, context: dict[str, Any]) -> None:
    error = failure(source, context)
    assert error.code == "expression_failed"
    assert f"`{named}` is not there." in error.message
    assert f"`{named} | default(none)`" in error.message


@pytest.mark.parametrize(
    ("source", "sentence"),
    [
        ("input.note * 3", "`*` multiplies numbers, and this is text."),
        ("3 * input.lines", "`*` multiplies numbers, and this is a list."),
        ("input.missing * 3", "this is none (or a missing field)"),
        ("input.customer * input.customer", "this is an object"),
        ("1 / 0", "Unable to calculate 1 / 0."),
        ("'a' + 1", "Tried to use + operator on unsupported types string and number."),
        ("'x' | int", "Invalid float literal."),
        ("1e308 * 10", "not a finite number"),
        ("1e308 * 10 - 1e308 * 10", "not a finite number"),
        ("'nan' | float", "not a finite number"),
        ("{none: 1}", "keys of an object are text"),
        ("'x' | money", "`money` formats numbers, and this is text."),
        ("true | money", "`money` formats numbers"),
        ("1 | money(decimals=400)", "0 to 12 decimals"),
        ("1 | money(thousands='xx')", "one character"),
        ("1e300 | money", "cannot round"),
        ("input | tojson(indent=3000000000)", "0 to 8 spaces"),
        ("1 | round(99999999999)", "Cannot convert number to i32."),
        ("input.lines | sum(attribute='sku')", "Can only sum numbers"),
    ],
)
def test_failures_say_what_is_wrong(source: str, sentence: str, context: dict[str, Any]) -> None:
    assert sentence in failure(source, context).message


def test_places_of_failures_survive_inserted_checks_and_wide_letters() -> None:
    source = "input.größe * 2 + input.größe * input.größe + input.fehlt"
    error = failure(source, {"input": {"größe": 2}})
    place = error.issues[0].extra
    assert source[place["start"] : place["end"]].endswith("input.fehlt")
    written = "é😀{{ input.größe * input.größe }}ß\nü {{ input.fehlt.x }} x"
    with pytest.raises(ExpressionFailed) as caught:
        evaluate_simple(compile_template(written), {"input": {"größe": 2}})
    place = caught.value.issues[0].extra
    assert "input.fehlt.x".endswith(written[place["start"] : place["end"]])
    assert place["line"] == 2
    assert (
        written.split("\n")[1][place["column"] - 1 : place["end_column"] - 1] == written[place["start"] : place["end"]]
    )


def test_a_condition_is_true_or_false(context: dict[str, Any]) -> None:
    assert evaluate_condition(compile_expression("input.amount > 1000"), context) is True
    assert evaluate_condition(compile_expression("input.paid"), context) is False
    for source, said in (
        ("input.amount", "gave a number"),
        ("input.note", "gave text"),
        ("input.missing", "gave none"),
        ("input.lines", "gave a list"),
        ("input.customer", "gave an object"),
        ("input.note and true and 'false'", "gave text"),
    ):
        with pytest.raises(ConditionNotBoolean) as caught:
            evaluate_condition(compile_expression(source), context)
        assert said in caught.value.message
        assert caught.value.code == "condition_not_boolean"
    with pytest.raises(ConditionNotBoolean, match="default"):
        evaluate_condition(compile_expression("input.missing"), context)


@pytest.mark.parametrize(
    ("source", "expected"),
    [
        ("Dear {{ input.customer.name }}!", "Dear Zoë!"),
        ("{{ input.nothing }}|{{ input.paid }}|{{ true }}|{{ 1.0 }}|{{ 5 }}", "|false|true|1.0|5"),
        ("= {{ input.lines[0] }} {{ ['a', none] }}", '= {"price":2.5,"quantity":2,"sku":"b"} ["a",null]'),
        ("a{% if input.paid %}paid{% else %}due{% endif %}\n", "adue\n"),
        ("{% raw %}{{ x }}{% endraw %}", "{{ x }}"),
        ("{{ input.amount * 2 }} EUR", "3000 EUR"),
        ("<b>{{ '<i>' }}</b>", "<b><i></b>"),
        ("x {{- ' y ' -}} z", "x y z"),
        ("{{ input.huge }}!", "1000000000000000000000000000000!"),
    ],
)
def test_texts(source: str, expected: str, context: dict[str, Any]) -> None:
    assert evaluate_simple(compile_template(source), context) == expected


def test_printing_a_missing_field_is_an_error(context: dict[str, Any]) -> None:
    with pytest.raises(ExpressionFailed, match=r"`input.missing` is not there"):
        evaluate_simple(compile_template("Dear {{ input.missing }}"), context)
    assert evaluate_simple(compile_template("Dear {{ input.missing | default('you') }}"), context) == "Dear you"


def test_a_tree_keeps_its_shape_and_its_types(context: dict[str, Any]) -> None:
    configuration = {
        "url": "https://example.org/{{ input.customer.id }}",
        "body": {"amount": "{{ input.amount }}", "lines": ["{{ input.lines }}", {"fixed": [1, None]}]},
        "flag": True,
    }
    result = evaluate_simple(compile_value(configuration), context)
    assert result == {
        "url": "https://example.org/7",
        "body": {"amount": 1500, "lines": [context["input"]["lines"], {"fixed": [1, None]}]},
        "flag": True,
    }


def test_results_share_nothing_with_data_or_configuration(context: dict[str, Any]) -> None:
    before = copy.deepcopy(context)
    configuration = {"fixed": {"list": [1]}, "all": "{{ input }}", "some": "{{ [input.lines, input.customer] }}"}
    compiled = compile_value(configuration)
    result = evaluate_simple(compiled, context)
    result["fixed"]["list"].append(2)
    result["all"]["customer"].clear()
    result["some"][0].clear()
    result["some"][1]["name"] = "changed"
    assert context == before
    assert configuration["fixed"] == {"list": [1]}
    assert evaluate_simple(compiled, context)["fixed"] == {"list": [1]}


def test_data_that_is_nearly_json_is_read_as_json_writes_it() -> None:
    context = {
        "input": MappingProxyType(
            {
                "at": datetime(2026, 1, 2, tzinfo=UTC),
                "id": UUID(int=1),
                "price": Decimal("1.50"),
                "pair": (1, 2),
                "inner": MappingProxyType({"a": 1}),
            }
        )
    }
    assert value("input", context) == {
        "at": "2026-01-02T00:00:00Z",
        "id": "00000000-0000-0000-0000-000000000001",
        "price": "1.50",
        "pair": [1, 2],
        "inner": {"a": 1},
    }
    assert value("input.at == '2026-01-02T00:00:00Z' and input.inner.a == 1 and input.pair[1] == 2", context) is True
    assert evaluate_simple(compile_template("{{ input.inner }} {{ input.pair }}"), context) == '{"a":1} [1,2]'
    assert "which is not JSON" in failure("input.x", {"input": {"x": object()}}).message
    assert "which is not JSON" in failure("[input.x]", {"input": {"x": object()}}).message


def test_numbers_beyond_128_bits_pass_through_but_do_not_compute() -> None:
    context = {"input": {"n": 2**127 - 1, "too_big": 2**127, "low": -(2**127) + 1}}
    assert value("input.too_big", context) == 2**127
    assert value("input.n - 1", context) == 2**127 - 2
    assert value("input.low + 1", context) == -(2**127) + 2
    assert "38 digits" in failure("input.too_big + 1", context).message


def test_results_are_limited_in_size_and_depth() -> None:
    context = {"input": {"text": "é" * 300_000, "list": [0] * 400_000}}
    assert value("input.text", context) == "é" * 300_000
    for source in ("[input.text, input.text]", "input.text ~ input.text", "[input.list]"):
        error = failure(source, context)
        assert isinstance(error, ExpressionTooLarge)
        assert error.code == "expression_too_large"
    with pytest.raises(ExpressionTooLarge, match="text grows too large"):
        evaluate_simple(compile_template("{{ input.text }}" * 4), context)
    assert value("input.text | length", context) == 300_000
    nested: Any = 1
    for _ in range(120):
        nested = [nested]
    assert "nests deeper" in failure("input.deep", {"input": {"deep": nested}}).message
    small = compile_value({"a": "{{ input.a }}"})
    with pytest.raises(ExpressionTooLarge, match="larger than 10 bytes"):
        evaluate_simple(small, {"input": {"a": "x" * 20}}, limit=10)


def test_half_characters_in_the_data_are_refused() -> None:
    context = {"input": {"s": "a\ud800"}}
    for source in ("input.s", "[input.s]", "input | tojson"):
        assert "half a character" in failure(source, context).message
    assert value("input.s.upper", context) is None
