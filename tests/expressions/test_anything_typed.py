"""Whatever is typed compiles, or is refused with a place inside it; nothing else happens."""

from __future__ import annotations

from contextlib import suppress
from typing import Any

from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from weft.expressions.compile import compile_value
from weft.expressions.errors import ExpressionFailed
from weft.expressions.evaluate import evaluate_simple

PIECES = [
    "{{", "}}", "{%", "%}", "{#", "#}", "{{-", "-}}", "(", ")", "[", "]", "{", "}", "'", '"', "\\", "\n", "\r", " ",
    "|", "||", "*", "**", "+", "-", "~", "/",
    "//", "%", ".", "..", ",", ":", "=", "==", "<", ">=", "!", "!=", "&&", "?",
    "input", "input.a", "input.items", "items", "self", "loop", "_x", "é", "😀", "\u00b2", "\u2028", "\ud800", "\x00",
    "0", "1", "1.", "1.5", "0x1f", "1e5", "1e", "9" * 40, "true", "none", "not", "and", "or", "in", "is", "if", "else",
    "elif", "endif", "for", "endfor", "set", "raw", "endraw", "macro", "endmacro", "include", "filter", "do",
    "upper", "map", "attribute", "default", "tojson", "length", "defined", "range", "dict", "weft_multiplicand",
]  # fmt: skip

typed = st.one_of(
    st.lists(st.sampled_from(PIECES), max_size=14).map("".join),
    st.lists(st.sampled_from(PIECES), max_size=14).map(" ".join),
    st.lists(st.sampled_from(PIECES), max_size=10).map(lambda pieces: "{{ " + " ".join(pieces) + " }}"),
    st.lists(st.sampled_from(PIECES), max_size=10).map(lambda pieces: "{% if " + " ".join(pieces) + " %}x{% endif %}"),
    st.text(max_size=30).map("{{{{ {} }}}}".format),
)


def _is_json(value: Any) -> bool:
    if isinstance(value, dict):
        return all(type(key) is str and _is_json(item) for key, item in value.items())
    if isinstance(value, list):
        return all(_is_json(item) for item in value)
    return value is None or type(value) in {str, int, float, bool}


@settings(max_examples=600, deadline=None, suppress_health_check=list(HealthCheck))
@given(source=typed)
@example(source="{{ input | weft_multiplicand }}")
@example(source="{{ {'a': {'b': 1}} }}")
@example(source="{{ '\\'}}' }}")
@example(source="{{ 1 -}} {{- 2 }}")
@example(source="{% raw %}{{ {% endraw %}")
def test_anything_typed(source: str) -> None:
    context = {"input": {"a": [1, {"b": "x"}], "items": "field"}}
    compiled = compile_value(source, refuse=False)
    for issue in compiled.issues:
        assert issue.message.endswith((".", "?"))
        assert 0 <= issue.extra["start"] <= issue.extra["end"] <= len(source)
        assert 1 <= issue.extra["line"] <= issue.extra["end_line"]
    if compiled.is_simple:
        with suppress(ExpressionFailed):
            assert _is_json(evaluate_simple(compiled, context))
    assert context == {"input": {"a": [1, {"b": "x"}], "items": "field"}}
