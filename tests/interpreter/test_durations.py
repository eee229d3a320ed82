"""Durations: what is understood, and what is refused with a hint."""

from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from weft.interpreter.durations import LONGEST, DurationUnclear, parse_duration


@pytest.mark.parametrize(
    ("written", "seconds"),
    [
        (0, 0),
        (30, 30),
        (0.25, 0.25),
        ("500ms", 0.5),
        ("30s", 30),
        ("5m", 300),
        ("2h", 7200),
        ("1d", 86_400),
        ("2w", 1_209_600),
        ("1h30m", 5400),
        (" 1h 30m ", 5400),
        ("1.5h", 5400),
        ("1d2h3m4s5ms", 93_784.005),
        ("PT30S", 30),
        ("PT0.5S", 0.5),
        ("PT1H30M", 5400),
        ("P1D", 86_400),
        ("P1DT12H", 129_600),
        ("P2W", 1_209_600),
    ],
)
def test_it_is_understood(written: object, seconds: float) -> None:
    assert math.isclose(parse_duration(written), seconds)


@pytest.mark.parametrize(
    "written",
    [
        "",
        "30",
        "s",
        "5mx",
        "30m1h",
        "1h1h",
        "soon",
        "-5s",
        "1,5h",
        "P",
        "PT",
        "P1M",
        "P1Y",
        "p1d",
        "1h P1D",
        "1" * 500,
        True,
        None,
        [],
        {},
        -1,
        math.nan,
        math.inf,
        10**400,
        "9999999999d",
        LONGEST + 1,
    ],
)
def test_it_is_refused_with_a_sentence(written: object) -> None:
    with pytest.raises(DurationUnclear, match=r"duration|ten years") as caught:
        parse_duration(written)
    assert len(str(caught.value)) < 250


@given(
    st.one_of(st.text(max_size=12), st.floats(), st.integers(), st.text(alphabet="0123456789.hmsdwPT ", max_size=12))
)
def test_whatever_is_written_it_is_a_time_or_unclear(written: object) -> None:
    try:
        seconds = parse_duration(written)
    except DurationUnclear:
        return
    assert 0 <= seconds <= LONGEST
