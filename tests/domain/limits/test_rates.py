"""GCRA: never more than the rate in any window, and nobody waits without need."""

from __future__ import annotations

import random
from collections import deque
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from weft.domain.limits import rules
from weft.domain.limits.rules import SECOND, Rate, match, normal_target, take_turns

RATES = st.builds(Rate, calls=st.integers(1, 1000), seconds=st.sampled_from([1, 7, 60, 3600]), burst=st.integers(1, 50))


def most_in(rate: Rate, length: int) -> int:
    """Calls that a window of this length may hold: the burst, and one more for each spacing that fits into it."""
    return rate.burst + length // rate.spacing


@given(rate=RATES, steps=st.lists(st.tuples(st.integers(0, 5 * SECOND), st.integers(1, 30)), max_size=40))
def test_no_window_ever_holds_more_than_the_rate(rate: Rate, steps: list[tuple[int, int]]) -> None:
    now, next_call, next_turn = 10**18, 0, 0
    calls: list[int] = []
    for pause, wanted in steps:
        now += pause
        turns = take_turns(rate, next_call=next_call, next_turn=next_turn, now=now, told=0, fresh=wanted)
        calls += [now] * turns.granted
        next_call, next_turn = turns.next_call, turns.next_turn
        assert turns.granted + len(turns.waits) == wanted
        assert all(at > now for at in turns.waits), "whoever must wait comes later"
        assert list(turns.waits) == sorted(turns.waits)
    for first, begin in enumerate(calls):
        for last in range(first, len(calls)):
            assert last - first + 1 <= most_in(rate, calls[last] - begin)


@given(rate=RATES, jobs=st.integers(1, 200), seed=st.integers(0, 99))
def test_whoever_comes_at_the_time_that_he_was_told_gets_through(rate: Rate, jobs: int, seed: int) -> None:
    """Everybody comes as told, or somewhat late: all get through, no window is overfull, nobody is forgotten."""
    late = random.Random(seed)
    waiting: list[tuple[int, bool]] = [(10**18, False)] * jobs
    next_call = next_turn = asked = 0
    calls: list[int] = []
    while waiting:
        now = min(at for at, _ in waiting) + late.randrange(rate.spacing // 2 + 1)
        due = sorted((one for one in waiting if one[0] <= now), key=lambda one: not one[1])
        waiting = [one for one in waiting if one[0] > now]
        told = sum(again for _, again in due)
        turns = take_turns(rate, next_call=next_call, next_turn=next_turn, now=now, told=told, fresh=len(due) - told)
        next_call, next_turn = turns.next_call, turns.next_turn
        calls += [now] * turns.granted
        waiting += [(at, True) for at in turns.waits]
        asked += len(due)
        assert asked <= 12 * jobs + 50, "turns are spread: they do not all come again and again"
    assert len(calls) == jobs
    window: deque[int] = deque()
    for at in calls:
        window.append(at)
        while len(window) > most_in(rate, at - window[0]):
            pytest.fail("a window holds too many")


def test_a_hundred_a_second_with_a_burst_of_ten_is_just_that() -> None:
    rate = Rate(calls=100, seconds=1, burst=10)
    turns = take_turns(rate, next_call=0, next_turn=0, now=10**18, told=0, fresh=1000)
    assert turns.granted == 10
    gaps = {b - a for a, b in pairwise(turns.waits)}
    assert gaps == {SECOND // 100}
    assert turns.waits[0] == 10**18 + SECOND // 100


def test_a_target_that_asks_for_peace_gets_it() -> None:
    rate = Rate(calls=10, seconds=1, burst=5)
    until = 10**18 + 30 * SECOND
    stands = rules.backed_off(rate, next_call=0, until=until)
    assert take_turns(rate, next_call=stands, next_turn=0, now=until - 1, told=0, fresh=1).granted == 0
    assert take_turns(rate, next_call=stands, next_turn=0, now=until, told=0, fresh=3).granted == 1


@pytest.mark.parametrize(
    ("written", "stored"),
    [
        ("api.example.com", "api.example.com"), (" API.Example.COM. ", "api.example.com"), ("*", "*"),
        ("*.example.com", "*.example.com"), ("localhost", "localhost"), ("127.0.0.1", "127.0.0.1"),
        ("http://api.example.com", None), ("api.example.com:443", None), ("*.*", None), ("a..b", None), ("", None),
        ("x" * 300, None), ("-a.example", None),
    ],
)  # fmt: skip
def test_targets(written: str, stored: str | None) -> None:
    assert normal_target(written) == stored


def test_the_most_exact_target_counts() -> None:
    limits = {"*": 1, "*.example.com": 2, "*.eu.example.com": 3, "api.eu.example.com": 4}
    assert match("api.eu.example.com", limits.items()) == 4
    assert match("other.eu.example.com", limits.items()) == 3
    assert match("api.example.com", limits.items()) == 2
    assert match("example.com", limits.items()) == 1
    assert match("example.org", {"*.example.com": 2}.items()) is None


def test_words_of_priorities() -> None:
    assert [rules.priority_of(word) for word in ("low", "normal", "high", 7, None, "urgent")] == [
        -50, 0, 50, 7, None, None,
    ]  # fmt: skip
