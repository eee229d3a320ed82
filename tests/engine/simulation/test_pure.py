"""What a simulation is made of: draws, patterns, samples, statistics, positions, differences. Pure."""

from __future__ import annotations

import re
from contextlib import suppress
from statistics import fmean
from typing import Any

import jsonschema_rs
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from weft.engine.simulation.comparing import MOST_CHANGES, differences
from weft.engine.simulation.draws import Draws, mixed, spread_of
from weft.engine.simulation.patterns import PatternUnknown, text_for
from weft.engine.simulation.positions import Positions
from weft.engine.simulation.samples import sample
from weft.engine.simulation.statistics import distribution, percentile
from weft.interpreter.durations import DurationUnclear


class TestDraws:
    def test_the_same_seeds_draw_the_same_for_ever(self) -> None:
        draws = Draws(7, 3)
        assert [draws.bits() for _ in range(3)] == [
            11248596980798508817, 16693346848406779205, 6324683520024795016,
        ]  # fmt: skip
        assert mixed(1, 2) != mixed(2, 1)

    @given(st.integers(-(2**70), 2**70), st.integers(0, 2**70))
    def test_whole_numbers_keep_their_bounds(self, low: int, span: int) -> None:
        draws = Draws(low, span)
        assert all(low <= draws.whole(low, low + span) <= low + span for _ in range(20))

    @pytest.mark.parametrize(
        ("written", "mean"),
        [
            ("2s", 2.0),
            ({"uniform": ["1s", "3s"]}, 2.0),
            ({"exponential": "4s"}, 4.0),
            ({"normal": {"mean": "60s", "deviation": "5s"}}, 60.0),
        ],
    )
    def test_distributions_have_their_means(self, written: Any, mean: float) -> None:
        spread, draws = spread_of(written), Draws(1)
        assert fmean(spread.draw(draws) for _ in range(20_000)) == pytest.approx(mean, rel=0.03)

    def test_percentiles_are_met(self) -> None:
        spread, draws = spread_of({"p50": "120ms", "p95": "900ms"}), Draws(1)
        drawn = sorted(spread.draw(draws) for _ in range(20_000))
        assert percentile(drawn, 50) == pytest.approx(0.12, rel=0.04)
        assert percentile(drawn, 95) == pytest.approx(0.9, rel=0.06)

    @pytest.mark.parametrize("written", [{"uniform": ["3s", "1s"]}, {"p50": "2s", "p95": "1s"}, {"p50": 0, "p95": 1}])
    def test_what_is_no_distribution(self, written: Any) -> None:
        with pytest.raises(DurationUnclear):
            spread_of(written)


UNKNOWN = [r"(?=a)b", r"(a", r"a)", r"*a", r"[", r"\1", r"a{1000}", r"\p{L}", "a{x}", "\\"]


class TestPatterns:
    @pytest.mark.parametrize(
        "pattern",
        [
            r"^S-[0-9]{4}$", r"^[A-Z0-9][A-Z0-9./_-]{2,39}$", r"\S", r"^-?[0-9]{1,15}(\.[0-9]{1,4})?$",
            r"^20[0-9]{2}-(0[1-9]|1[0-2])-(0[1-9]|[12][0-9]|3[01])$", r"^\d+(?:\.\d*)?$", r"a|bc|", r"[^a-z\d]{3}",
            r"^[\w.+-]+@[\w-]+\.[a-z]{2,}$", r"[]a]", r"x{3}y{2,}z*?", r"^\+\(\)\[\]$",
        ],
    )  # fmt: skip
    def test_texts_fit(self, pattern: str) -> None:
        for seed in range(60):
            assert re.search(pattern, text_for(pattern, Draws(seed)))

    @pytest.mark.parametrize(
        "pattern", [r"(?=a)b", r"(a", r"a)", r"*a", r"[", r"\1", r"a{1000}", r"\p{L}", "a{x}", "\\"]
    )
    def test_what_is_not_known_is_refused(self, pattern: str) -> None:
        with pytest.raises(PatternUnknown):
            text_for(pattern, Draws(1))

    @pytest.mark.parametrize("pattern", ["(" * 6 + "a" + "{64})" * 6, "(" * 5_000 + ")" * 5_000, "(((a*)*)*)*" * 400])
    def test_patterns_cannot_ask_for_too_much(self, pattern: str) -> None:
        with suppress(PatternUnknown):
            assert len(text_for(pattern, Draws(1))) <= 10_000

    @given(st.text(max_size=30))
    @settings(max_examples=60)
    def test_any_text_is_read_or_refused(self, pattern: str) -> None:
        try:
            text = text_for(pattern, Draws(1))
        except PatternUnknown:
            return
        assert isinstance(text, str)


SCHEMAS: list[Any] = [
    {"type": "integer", "minimum": 3, "maximum": 3},
    {"type": "integer", "exclusiveMinimum": 3, "exclusiveMaximum": 7, "multipleOf": 2},
    {"type": "number", "exclusiveMinimum": 0},
    {"type": "number", "minimum": -1e15, "maximum": 1e15},
    {"type": "string", "minLength": 30, "maxLength": 40},
    {"type": "string", "format": "date-time"},
    {"type": "string", "format": "email"},
    {"type": "string", "format": "uuid"},
    {"type": ["boolean", "null"]},
    {"enum": ["a", 2, None]},
    {"const": {"a": 1}},
    {"type": "array", "minItems": 2, "maxItems": 3, "uniqueItems": True, "items": {"type": "integer", "maximum": 5}},
    {"type": "array", "prefixItems": [{"type": "string"}, {"type": "integer"}], "minItems": 2, "items": {}},
    {"type": "object", "required": ["a"], "properties": {"a": {"type": "string"}, "b": {"type": "integer"}},
     "additionalProperties": False},
    {"type": "object", "additionalProperties": {"type": "integer"}, "minProperties": 2},
    {"allOf": [{"type": "object", "required": ["a"]}, {"properties": {"a": {"type": "integer"}}}]},
    {"anyOf": [{"type": "string"}, {"type": "integer"}]},
    {"$ref": "#/$defs/tree", "$defs": {"tree": {"type": "object", "required": ["name"], "properties": {
        "name": {"type": "string"}, "left": {"$ref": "#/$defs/tree"}, "right": {"$ref": "#/$defs/tree"}}}}},
    True,
]  # fmt: skip


class TestSamples:
    @pytest.mark.parametrize("schema", SCHEMAS, ids=lambda schema: str(schema)[:60])
    def test_values_fit_their_schema_and_repeat(self, schema: Any) -> None:
        validator = jsonschema_rs.validator_for(schema, validate_formats=True)
        for seed in range(40):
            value = sample(schema, Draws(seed))
            validator.validate(value)
            assert value == sample(schema, Draws(seed))

    def test_different_seeds_see_every_side(self) -> None:
        schema = {"type": "object", "properties": {"a": {"enum": [1, 2, 3]}}}
        drawn = {repr(sample(schema, Draws(seed))) for seed in range(60)}
        assert len(drawn) == 4  # three values, and none

    @pytest.mark.parametrize(
        "schema",
        [
            {"type": "integer", "minimum": 10**400},
            {"type": "number", "multipleOf": 5e-324, "maximum": 1e308},
            {"type": "string", "minLength": 10**9},
            {"$ref": "#/$defs/a", "$defs": {"a": {"$ref": "#/$defs/a"}}},
            {"$ref": "#/$defs/a", "$defs": {"a": {"type": "array", "minItems": 1000, "items": {"$ref": "#/$defs/a"}}}},
            {"allOf": [{"$ref": "#"}] * 50},
        ],
        ids=repr,
    )
    def test_schemas_cannot_ask_for_too_much(self, schema: Any) -> None:
        budget = [5_000]
        assert len(repr(sample(schema, Draws(1), budget))) < 200_000

    def test_nothing_known_is_an_empty_object(self) -> None:
        assert sample(None, Draws(1)) == {}


class TestStatistics:
    def test_percentiles_are_values_by_nearest_rank(self) -> None:
        values = [float(number) for number in range(1, 11)]
        assert [percentile(values, part) for part in (0, 10, 50, 80, 95, 100)] == [1, 1, 5, 8, 10, 10]
        assert percentile([], 50) == 0.0

    @given(st.lists(st.floats(0, 1e6), min_size=1, max_size=60), st.integers(1, 100))
    def test_a_percentile_is_the_least_value_that_covers_its_part(self, values: list[float], part: int) -> None:
        found = percentile(sorted(values), part)
        assert sum(value <= found for value in values) * 100 >= part * len(values)
        assert all(sum(v <= value for v in values) * 100 < part * len(values) for value in values if value < found)

    def test_every_run_is_in_one_bar(self) -> None:
        found = distribution([1.0, 1.0, 2.5, 9.0, 11.0])
        assert [bar["runs"] for bar in found["histogram"]] == [2, 1, 0, 0, 0, 0, 0, 0, 1, 1]
        assert distribution([3.0, 3.0])["histogram"] == [{"from": 3.0, "to": 3.0, "runs": 2}]
        assert distribution([])["histogram"] == []


class TestPositions:
    def test_items_and_turns_are_told_apart(self) -> None:
        one, other = Positions(), Positions()
        for visit, path, frame in [
            (1, "lines", ""),
            (2, "lines.a", "1.0"),
            (3, "lines.a", "1.1"),
            (4, "lines.a", "1.0"),
        ]:
            one.add(visit, path, frame)
        for visit, path, frame in [
            (7, "lines", ""),
            (8, "lines.a", "7.1"),
            (9, "lines.a", "7.0"),
            (12, "lines.a", "7.0"),
        ]:
            other.add(visit, path, frame)
        assert [one.of(visit) for visit in (1, 2, 3, 4)] == [other.of(visit) for visit in (7, 9, 8, 12)]
        assert len({one.of(visit) for visit in (1, 2, 3, 4)}) == 4


class TestDifferences:
    def test_they_are_named_by_path(self) -> None:
        before = {"a": [1, {"b": True}], "same": 1.0, "gone": None}
        after = {"a": [1, {"b": 1}, 3], "same": 1, "new": "x"}
        assert differences(before, after) == [
            {"path": "a.1.b", "before": True, "after": 1},
            {"path": "a.2", "before": {"missing": True}, "after": 3},
            {"path": "gone", "before": None, "after": {"missing": True}},
            {"path": "new", "before": {"missing": True}, "after": "x"},
        ]

    def test_they_are_bounded(self) -> None:
        assert len(differences(list(range(100)), list(range(1, 101)))) == MOST_CHANGES
        (found,) = differences("x" * 10_000, "y")
        assert found["before"] == {"bytes": 10_002, "begins": '"' + "x" * 199}
