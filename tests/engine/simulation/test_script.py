"""Scripts: what is accepted, and which answer is given."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any

import pytest
from tests.engine.conftest import PATIENCE

from weft.engine import registry
from weft.engine.simulation.errors import ScriptInvalid
from weft.engine.simulation.runs import Played, Simulation, Wanted, compiled
from weft.engine.simulation.script import read_script
from weft.expressions.guard import Guard

CALL: dict[str, Any] = {
    "name": "call",
    "steps": [
        {"key": "pay", "type": "http", "config": {"url": "https://x.example/{{ input.n }}"}, "on_error": "no",
         "retry": {"attempts": 3, "backoff": "fixed", "initial": "1s", "jitter": False}},
        {"key": "yes", "type": "end", "config": {"output": "{{ steps.pay.output }}"}},
        {"key": "no", "type": "end", "config": {"output": "{{ steps.pay.error }}"}},
    ],
    "transitions": [{"from": "pay", "to": "yes"}],
}  # fmt: skip


@pytest.fixture
async def guard() -> AsyncIterator[Guard]:
    registry.kinds()
    async with Guard(children=1, wall_limit=PATIENCE) as opened:
        yield opened


async def played(guard: Guard, answers: Any, *, runs: int = 1, definition: Any = None, **script: Any) -> list[Played]:
    wanted = Wanted(runs=runs, inputs=[{"n": 1}, {"n": 2}], script=read_script({"steps": {"pay": answers}, **script}))
    return [one async for one in Simulation(compiled(definition or CALL), wanted, guard).played()]


@pytest.mark.parametrize(
    ("script", "words"),
    [
        ([], "A script is an object"),
        ({"step": {}}, "step"),
        ({"steps": {"a": {"output": 1, "fail": {}}}}, "This is no answer"),
        ({"steps": {"a": {"duration": {"p50": "1s"}}}}, "This is no answer"),
        ({"steps": {"a": {"duration": "soon"}}}, "'soon' is not a duration"),
        ({"steps": {"a": {"duration": {"uniform": ["2s", "1s"]}}}}, "shortest time first"),
        ({"steps": {"a": {"output": "{{ config. }}"}}}, "steps.a.output"),
        ({"steps": {"a": [{"probability": 0.6}, {"probability": 0.6}]}}, "add up to 1.2"),
        ({"workflows": {"a": "a.yaml"}}, "only the command reads files"),
    ],
)
def test_what_is_no_script(script: Any, words: str) -> None:
    with pytest.raises(ScriptInvalid) as refused:
        read_script(script)
    said = [refused.value.message, *(issue.message for issue in refused.value.issues)]
    assert any(words in one for one in said), said


async def test_the_first_answer_that_holds_is_given(guard: Guard) -> None:
    answers = [
        {"when": "input.n == 2", "output": {"two": "{{ config.url }}"}},
        {"output": "{{ attempt }}", "duration": "2s"},
    ]
    one, two = await played(guard, answers, runs=2)
    assert (one.output, one.seconds) == (1, 2.0)
    assert (two.output, two.seconds) == ({"two": "https://x.example/2"}, 0.0)


async def test_structured_conditions_see_the_call_too(guard: Guard) -> None:
    when = {"field": "config.url", "operator": "ends_with", "value": "/1"}
    one, two = await played(guard, [{"when": when, "output": "one"}, {"output": "else"}], runs=2)
    assert (one.output, two.output) == ("one", "else")


async def test_failures_are_retried_and_then_routed(guard: Guard) -> None:
    (gone,) = await played(guard, {"fail": {"kind": "http_5xx", "message": "away at {{ attempt }}"}, "cost": "0.1"})
    assert gone.output == {"kind": "http_5xx", "message": "away at 3"}
    assert (gone.seconds, round(gone.cost, 9), gone.ends) == (2.0, 0.3, ("no",))
    (back,) = await played(guard, [{"when": "attempt < 3", "fail": {"retry_after": "10s"}}, {"output": "at last"}])
    assert (back.output, back.seconds) == ("at last", 20.0)
    (final,) = await played(guard, {"fail": {"retryable": False}})
    assert (final.seconds, final.ends) == (0.0, ("no",))


async def test_probabilities_are_shares_of_all_runs(guard: Guard) -> None:
    answers = [{"probability": 0.2, "output": "a"}, {"probability": 0.3, "output": "b"}, {"output": "c"}]
    found = [one.output for one in await played(guard, answers, runs=2_000)]
    shares = [found.count(letter) / 2_000 for letter in "abc"]
    assert shares == pytest.approx([0.2, 0.3, 0.5], abs=0.03)


async def test_an_errand_that_takes_too_long_has_failed(guard: Guard) -> None:
    (late,) = await played(guard, {"output": 1, "duration": "301s"})
    assert late.ends == ("no",)
    assert late.output["kind"] == "timeout"


async def test_patterns_and_kinds_answer_what_has_no_name(guard: Guard) -> None:
    (by_kind,) = await played(guard, {"output": 1}, definition=renamed("other"), kinds={"http": {"output": "by kind"}})
    assert by_kind.output == "by kind"
    (by_pattern,) = await played(guard, {"output": "by pattern"}, definition=renamed("payment"), kinds={})
    assert by_pattern.output["status"] == 200, "`pay` is no pattern for it"
    wanted = Wanted(inputs=[{"n": 1}], script=read_script({"steps": {"pay*": {"output": "by pattern"}}}))
    found = [one async for one in Simulation(compiled(renamed("payment")), wanted, guard).played()]
    assert found[0].output == "by pattern"


def renamed(key: str) -> dict[str, Any]:
    said = f"{{{{ steps.{key}.output }}}}"
    steps = [
        {**CALL["steps"][0], "key": key},
        {"key": "yes", "type": "end", "config": {"output": said}},
        {"key": "no", "type": "end"},
    ]
    return {**CALL, "steps": steps, "transitions": [{"from": key, "to": "yes"}]}


async def test_a_script_that_does_not_work_out_fails_the_step_and_says_so(guard: Guard) -> None:
    (failed,) = await played(guard, {"output": "{{ config.nothing.there }}"})
    assert failed.output["kind"] == "script"
    (dear,) = await played(guard, {"output": 1, "cost": "much"})
    assert "must be a number" in dear.output["message"]


async def test_the_default_is_a_plausible_success(guard: Guard) -> None:
    (answered,) = await played(guard, {"duration": "1s"})
    assert answered.output["status"] == 200
    assert answered.seconds == 1.0
