"""Which fields an expression reads: what is sent to the guard, and what is checked at save."""

from __future__ import annotations

import pytest

from weft.expressions.compile import compile_template


@pytest.mark.parametrize(
    ("source", "paths"),
    [
        ("{{ input.amount }}", {"input.amount"}),
        ("{{ steps.review.output.approved }}", {"steps.review.output.approved"}),
        ("{{ input.items }}", {"input.items"}),
        ("{{ input.lines.0.price }}", {"input.lines"}),
        ("{{ steps['a b'].output }}", {"steps"}),
        ("{{ input.lines[input.n].price }}", {"input.lines", "input.n"}),
        ("{{ input.lines[input.a:input.b] }}", {"input.lines", "input.a", "input.b"}),
        ("{{ input.customer.get('x') }}", {"input.customer"}),
        ("{{ input.customer.items() }}", {"input.customer"}),
        ("{{ (input.customer).get('x') }}", {"input.customer"}),
        ("{{ input.note | default(vars.note) }}", {"input.note", "vars.note"}),
        ("{{ input.a is eq input.b }}", {"input.a", "input.b"}),
        ("{{ dict(x=input.a, y=input.b) }}", {"input.a", "input.b"}),
        ("{% for x in input.lines if input.on %}{{ x.y }}{{ loop.index }}{% endfor %}", {"input.lines", "input.on"}),
        ("{% for k, v in input.map.items() recursive %}{{ k }}{% endfor %}", {"input.map"}),
        ("{% set x = input.a %}{{ x.b }}", {"input.a"}),
        ("{% with x = input.a %}{{ x.b }}{% endwith %}", {"input.a"}),
        ("{% macro m(x, y=input.a) %}{{ x.b }}{{ input.c }}{% endmacro %}{{ m(1) }}", {"input.a", "input.c"}),
        ("{% filter replace(input.a, 'x') %}{{ input.b }}{% endfilter %}", {"input.a", "input.b"}),
        ("{% if input.a %}{% elif input.b %}{% endif %}", {"input.a", "input.b"}),
        ("{{ range(input.n) }}", {"input.n"}),
        ("{{ 'input.a' }}{# {{ input.b }} #}{% raw %}{{ input.c }}{% endraw %}", set()),
        ("{{ input.größe }}", {"input.größe"}),
    ],
)
def test_paths(source: str, paths: set[str]) -> None:
    assert compile_template(source).paths == paths
