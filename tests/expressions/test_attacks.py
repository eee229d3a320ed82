"""What tenants might write to hurt us: our process survives, the data is unchanged, the next call is answered.

The list is the one of `libraries.md`, section 1, and what was found while building this.
"""

from __future__ import annotations

import copy
import subprocess
import sys
import time
from collections.abc import AsyncIterator
from contextlib import suppress
from typing import Any

import pytest
import pytest_asyncio
from tests.expressions.conftest import PATIENCE

from weft.expressions.compile import compile_expression, compile_value
from weft.expressions.errors import ExpressionFailed, ExpressionInvalid, ExpressionTooLarge
from weft.expressions.evaluate import evaluate_simple
from weft.expressions.guard import Guard, Result

DOUBLING = (
    "{% set ns = namespace(s='x' ~ input.note) %}{% for i in range(99) %}{% set ns.s = ns.s ~ ns.s %}{% endfor %}"
)
FILTER_WORK = (
    "{% set l = range(9999) | list %}{% for i in range(5000) %}{{ l | sort | unique | join | length }}{% endfor %}"
)
NESTED_LOOPS = "{% for i in range(9999) %}{% for j in range(9999) %}{% endfor %}{% endfor %}"
PRINTING = "{% set s = input.long %}{% for i in range(9999) %}{{ s }}{% endfor %}"
LITERAL_TEXT = "{% for i in range(9999) %}" + "x" * 16_000 + "{% endfor %}"
MACRO = "{% macro m() %}{{ m() }}{% endmacro %}{{ m() }}"
GROWING_LIST = (
    "{% set ns = namespace(l=[0]) %}{% for i in range(40) %}{% set ns.l = ns.l + ns.l %}{% endfor %}{{ ns.l | length }}"
)

TOO_SLOW = ["expression_too_slow"]
HASTE = 0.4


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def victim() -> AsyncIterator[Guard]:
    """One guard takes all attacks, one after the other."""
    async with Guard() as started:
        yield started


EITHER = ["expression_too_large", "expression_too_slow"]
FAILED = ["expression_failed"]


@pytest.mark.parametrize(
    ("source", "codes"),
    [
        pytest.param("{{ range(10) | slice(1000000000) | list }}", EITHER, id="slice"),
        pytest.param("{{ '%1000000000s' | format('a') }}", EITHER, id="format width"),
        pytest.param("{{ '%.1000000000f' | format(1.5) }}", EITHER + FAILED, id="format precision"),
        pytest.param("{{ 'a' | indent(1000000000) }}", EITHER, id="indent"),
        pytest.param("{{ [1] | batch(1000000000, 'x') | list }}", EITHER, id="batch"),
        pytest.param("{{ 'x' | replace('', input.long) | replace('', input.long) }}", EITHER, id="replace"),
        pytest.param("{{ range(9999) | join(input.long) | replace('0', input.long) }}", EITHER, id="join"),
        pytest.param(DOUBLING, EITHER, id="doubling"),
        pytest.param(GROWING_LIST, EITHER, id="growing list"),
        pytest.param(PRINTING, EITHER, id="printing"),
        pytest.param(LITERAL_TEXT, EITHER, id="literal text"),
        pytest.param(FILTER_WORK, TOO_SLOW, id="work inside filters"),
        pytest.param(NESTED_LOOPS, TOO_SLOW, id="nested loops"),
        pytest.param(MACRO, FAILED, id="macro recursion"),
        pytest.param("{{ range(100000000) }}", FAILED, id="range"),
        pytest.param("{{ 2 ** 100000 }}", FAILED, id="power"),
        pytest.param("{{ 9 ** 9 ** 9 }}", FAILED, id="power of power"),
        pytest.param("{{ (range(9999) | list) * 10000 }}", FAILED, id="repeated list"),
        pytest.param("{{ range(9) * input.number }}", FAILED, id="repeated range"),
        pytest.param("{{ (input.note | list) * input.number }}", FAILED, id="repeated letters"),
        pytest.param("{{ 5 is divisibleby 0 }}", FAILED, id="panic"),
        pytest.param("{{ input | tojson(indent=3000000000) | sort }}", FAILED, id="json indent"),
        pytest.param("{{ input.clear() }}", FAILED, id="clear"),
        pytest.param("{{ input.pop('note') }}", FAILED, id="pop"),
        pytest.param("{{ input.update(a=1) }}", FAILED, id="update"),
        pytest.param("{{ input.list.append(5) }}", FAILED, id="append"),
        pytest.param("{{ input.list.sort() }}", FAILED, id="sort in place"),
        pytest.param("{% do input.list.clear() %}", FAILED, id="do clear"),
        pytest.param("{{ input.__class__.__mro__ | list }}", FAILED, id="mro"),
        pytest.param("{{ ''.__class__.__base__.__subclasses__() }}", FAILED, id="subclasses"),
        pytest.param("{{ input.items.__globals__() }}", FAILED, id="globals"),
        pytest.param("{{ input.get.__func__.__globals__['os'].system('id') }}", FAILED, id="globals of a method"),
        pytest.param(
            "{{ '{0.__class__}' | format(input) | sort | first.x }}", ["expression_invalid"], id="dotted filter"
        ),
        pytest.param("{{ range.__class__ }}", ["expression_invalid"], id="function object"),
        pytest.param("{{ [0] * 100000000 }}", ["expression_invalid"], id="literal list"),
        pytest.param("{{ 'a' * 1000000000 }}", ["expression_invalid"], id="literal text repeated"),
        pytest.param("{{ debug() }}", ["expression_invalid"], id="debug"),
        pytest.param("{{ clear() }}", ["expression_invalid"], id="method of the context itself"),
        pytest.param("{{ items }}", ["expression_invalid"], id="attribute of the context itself"),
        pytest.param("{{ input | attr('clear') }}", ["expression_invalid"], id="attr"),
    ],
)
@pytest.mark.asyncio(loop_scope="module")
async def test_attacks_are_contained(source: str, codes: list[str], victim: Guard) -> None:
    data = {"input": {"note": "text", "long": "y" * 100_000, "number": 10**9, "list": [3, 1, 2]}}
    before = copy.deepcopy(data)
    # What must end otherwise than by the clock has time for it, and so has who comes next.
    victim._wall_limit = HASTE if "expression_too_slow" in codes else PATIENCE
    try:
        (result,) = await victim.evaluate([compile_value(source)], data)
    except ExpressionInvalid as refused:
        result = Result(error=refused)
    assert result.error is not None
    assert result.error.code in codes
    assert result.error.message.endswith((".", "?"))
    assert "minijinja" not in result.error.message
    assert data == before
    victim._wall_limit = PATIENCE
    after = await victim.evaluate([compile_value("{{ input.list | sort }}")] * 3, data)
    assert [one.unwrap() for one in after] == [[1, 2, 3]] * 3


async def test_escapes_print_nothing_of_python(guard: Guard) -> None:
    sources = [
        "{{ '%s' | format(input) }}",
        "{{ '{0.__class__}' | format(input) }}",
        "{{ input | string }}",
        "{{ input.list | string }}",
        "{{ input | pprint }}",
        "{{ input ~ '' | sort | join }}",
        "{{ input.items() }}",
        "{{ input.values() | list }}",
        "{{ [input.__class__, input.list.__class__, input.note.__class__] | sort }}",
        "{% for x in [input.clear, input.get, input.list.append, input.note.join] %}{{ x }}{% endfor %}",
        "{{ [input.clear, input.items, input.get, input.list.append] | sort }}",
        "{{ dict(a=input.clear, b=input.items) }}",
        "{{ namespace(a=input.clear).a | sort }}",
    ]
    for result in await guard.evaluate(
        [compile_value(source) for source in sources], {"input": {"list": [1], "note": "n"}}
    ):
        shown = repr(result.value) if result.error is None else result.error.message
        for word in ("<class", "object at", "method", "function", "Record", "Rows", "weft", "minijinja::"):
            assert word not in shown


async def test_one_expression_cannot_change_what_the_next_in_the_batch_sees(guard: Guard) -> None:
    batch = [
        compile_value(source)
        for source in (
            "{% set input = {} %}{{ input.note }}",
            "{% set ns = namespace(x=input) %}{% set ns.x = 1 %}{{ ns.x }}",
            "{% for input in [1] %}{% endfor %}{% macro input() %}{% endmacro %}",
            "{{ input.note.upper() }}",
            "{{ ns is defined }}{{ input.list | join }}",
        )
    ]
    results = await guard.evaluate(batch, {"input": {"note": "text", "list": [1]}})
    assert results[3].unwrap() == "TEXT"
    assert results[4].unwrap() == "false1"


@pytest.mark.parametrize(
    "source",
    [
        "input.big * input.number",
        "input.big * 1000000000",
        "1000000000 * input.big",
        "input.text * input.number",
        "(input.big) * input.number",
        "[input.big][0] * input.number",
        "{'a': input.big}.a * input.number",
        "(input.big if true else 1) * input.number",
        "input.big | first * 1000000 * input.text",
        "input['big'] * - - input.number",
        "input.number * (input.big + input.big)",
        "(1, 2) * input.number",
        "1 * 2 * 3 * input.big",
        "input.number * input.text | upper",
        "input.number * 'a' | string * 1000000000 if false else input.number * ('a' | upper)",
    ],
)
def test_repetition_never_happens_in_this_process(source: str) -> None:
    data = {"input": {"big": [0] * 1000, "text": "x" * 1000, "number": 10**9}}
    compiled = compile_expression(source)
    assert compiled.is_simple
    with pytest.raises(ExpressionFailed, match="multiplies numbers"):
        evaluate_simple(compiled, data)


PARSER_BOMBS = {
    "minus": "'-' * N + '1'",
    "subtraction": "'1' + '-1' * N",
    "addition": "'1' + '+1' * N",
    "joining": "'1' + '~1' * N",
    "comparing": "'1' + '<2' * N",
    "brackets": "'(' * N + '1' + ')' * N",
    "lists": "'[' * N + ']' * N",
    "objects": "'{1:' * N + '1' + '}' * N",
    "negation": "'not ' * N + '1'",
    "or": "'1' + ' or 1' * N",
    "filters": "'a' + '|d' * N",
    "attributes": "'x' + '.x' * N",
    "subscripts": "'x' + '[0]' * N",
    "calls": "'x.x' + '()' * N",
    "tests": "'a' + ' is odd' * N",
    "choices": "'1' + ' if a else 1' * N",
    "powers": "'1' + '**1' * N",
    "half open": "'(1' + '+1' * 90 + '+(1' * N",
    "products": "'a' + '*a' * N",
}
TEMPLATE_BOMBS = {
    "if": "'{% if a %}' * N + '{% endif %}' * N",
    "elif": "'{% if a %}' + '{% elif a %}' * N + '{% endif %}'",
    "for": "'{% for q in a %}' * N + '{% endfor %}' * N",
    "macro": "'{% macro m() %}' * N + '{% endmacro %}' * N",
    "set": "'{% set x %}' * N + '{% endset %}' * N",
    "with": "'{% with a=1 %}' * N + '{% endwith %}' * N",
    "filter": "'{% filter upper %}' * N + '{% endfilter %}' * N",
    "prints": "'{{ a }}' * N",
}

PROBE = """
import sys, threading
sys.path[:0] = {path!r}
from weft.expressions.compile import compile_value
from weft.expressions.errors import ExpressionFailed, ExpressionInvalid
from weft.expressions.evaluate import evaluate_simple

def probe():
    for name, formula in {bombs!r}.items():
        for N in {sizes!r}:
            source = eval(formula)
            try:
                compiled = compile_value(source if {whole!r} else "{{{{ " + source + " }}}}")
                if compiled.is_simple:
                    evaluate_simple(compiled, {{"a": 1, "x": {{}}}})
            except (ExpressionInvalid, ExpressionFailed):
                pass
    print("alive")

threading.stack_size(256 * 1024)
thread = threading.Thread(target=probe)
thread.start()
thread.join()
"""


@pytest.mark.parametrize(("bombs", "whole"), [(PARSER_BOMBS, False), (TEMPLATE_BOMBS, True)], ids=["parser", "tags"])
def test_nothing_that_is_accepted_overflows_even_a_small_stack(bombs: dict[str, str], whole: bool) -> None:
    """Sizes below, at and beyond every cap, up to the 64 KB that crash the bare engine."""
    sizes = [1, 5, 30, 31, 32, 33, 60, 98, 99, 100, 150, 197, 198, 199, 200, 201, 400, 1000, 2000, 4000, 65536]
    source = PROBE.format(path=sys.path, bombs=bombs, whole=whole, sizes=sizes)
    process = subprocess.run([sys.executable, "-c", source], capture_output=True, text=True, check=False)
    assert (process.returncode, process.stdout) == (0, "alive\n"), process.stderr[-500:]


DEEP = """
import json, sys
sys.path[:0] = {path!r}
from weft.expressions.compile import compile_value
from weft.expressions.errors import ExpressionFailed
from weft.expressions.evaluate import evaluate_simple

def nested(depth, last):
    value = last
    for level in range(depth):
        value = [value] if level % 2 else {{"a": value}}
    return value

for depth in (90, 500, 900):
    data = {{"input": {{"a": nested(depth, 1), "b": nested(depth, 2), "l": [nested(depth, 3), nested(depth, 4)]}}}}
    for source in {sources!r}:
        try:
            evaluate_simple(compile_value("{{{{ " + source + " }}}}"), data)
        except ExpressionFailed:
            pass
print("alive")
"""


def test_deep_data_does_not_overflow_the_stack() -> None:
    sources = [
        "input.a == input.b",
        "input.a < input.b",
        "input.a in input.l",
        "input.l | max",
        "[input.a] == [input.b]",
    ]
    sources += [
        "input.a ~ ''",
        "input | tojson",
        "input.a",
        "[input.a]",
        "input.a | string | length",
        "input.a is sameas input.b",
    ]
    source = DEEP.format(path=sys.path, sources=sources)
    process = subprocess.run([sys.executable, "-c", source], capture_output=True, text=True, check=False)
    assert (process.returncode, process.stdout) == (0, "alive\n"), process.stderr[-500:]


async def test_deep_data_does_not_bring_the_guard_down(guard: Guard) -> None:
    value: Any = 1
    for _ in range(700):
        value = [value]
    data = {"input": {"a": value, "b": [value]}}
    batch = [compile_value("{{ [input.a, input.b] | sort }}"), compile_value("{{ input.a | string | lower | sort }}")]
    for result in await guard.evaluate(batch, data):
        assert result.error is None or result.error.code.startswith("expression_")
    assert await guard.value(compile_value("{{ [2, 1] | sort }}"), {}) == [1, 2]


def test_a_value_of_many_passes_stays_quick_here() -> None:
    """The most work that a simple expression can do on large data stays a fraction of a second."""
    data = {"input": {"l": list(range(20_000)), "m": [*range(19_999), -1], "s": "y" * 500_000}}
    for source in (
        " or ".join(["input.l == input.m"] * 6),
        " or ".join(["(-5 in input.l)"] * 6),
        " + ".join(["(input.l | sum)"] * 6),
        " ~ ".join(["input.s"] * 17),
        "input.l | map(attribute='x', default=0) | sum",
        " ~ ".join(["input.s | upper"] * 17),
    ):
        compiled = compile_expression(source)
        assert compiled.is_simple
        started = time.thread_time()  # of ours alone: what else the machine does takes no part
        with suppress(ExpressionTooLarge):
            evaluate_simple(compiled, data)
        assert time.thread_time() - started < 2.0
