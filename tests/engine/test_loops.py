"""Loops on the real engine: what their conditions and bodies see, and that they end."""

from __future__ import annotations

from typing import Any

from tests.engine.conftest import Engine, ok
from tests.engine.documents import call, chain, step


def loop(body: dict[str, Any], key: str = "turns", *, most: int = 100, **config: Any) -> dict[str, Any]:
    if "while_" in config:
        config["while"] = config.pop("while_")
    more = {name: config.pop(name) for name in ("retry", "timeout", "on_error") if name in config}
    return step(key, "loop", {"max_iterations": most, "body": body, **config}, **more)


async def run(engine: Engine, document: dict[str, Any], value: Any = None) -> Any:
    result = await engine.start(await engine.workflow(document), value)
    await engine.settle()
    return await engine.execution(result.id)


END = step("end", "end", {"output": "{{ steps.turns.output }}"})
COUNT = chain(step("n", "transform", {"output": "{{ index }}"}))


async def test_a_loop_runs_until_its_condition_holds(engine: Engine) -> None:
    row = await run(engine, chain(loop(COUNT, until="steps.n.output == 3"), END))
    assert row["output"] == {"iterations": 4, "last": 3}


async def test_a_loop_runs_while_its_condition_holds_perhaps_never(engine: Engine) -> None:
    row = await run(engine, chain(loop(COUNT, while_="index < input"), END), 2)
    assert row["output"] == {"iterations": 2, "last": 1}
    row = await run(engine, chain(loop(COUNT, while_="index < input"), END), 0)
    assert row["output"] == {"iterations": 0, "last": None}


async def test_a_turn_sees_what_the_turn_before_gave(engine: Engine) -> None:
    body = chain(step("page", "transform", {"output": {"next": "{{ (last.next if last else 0) + 10 }}"}}))
    structured = {"field": "steps.page.output.next", "operator": "greater_or_equal", "value": 30}
    row = await run(engine, chain(loop(body, until=structured), END))
    assert row["output"] == {"iterations": 3, "last": {"next": 30}}


async def test_pages_are_fetched_until_there_are_no_more(engine: Engine) -> None:
    """Each turn is an errand, so that each is judged in a turn of the engine of its own."""
    engine.http.replies = [ok(b'{"next": 2}'), ok(b'{"next": 3}'), ok(b'{"next": null}')]
    fetch = step("fetch", "http", {"url": "http://stub/{{ last.body.next if last else 1 }}"})
    row = await run(engine, chain(loop(chain(fetch), until="steps.fetch.output.body.next is none"), END))
    assert row["output"]["iterations"] == 3
    assert [request.url for request in engine.http.requests] == ["http://stub/1", "http://stub/2", "http://stub/3"]


async def test_turns_that_are_used_up_fail_or_are_enough(engine: Engine) -> None:
    row = await run(engine, chain(loop(COUNT, until="false", most=3), END))
    assert (row["status"], row["error"]["kind"], row["error"]["step"]) == ("FAILED", "iterations_exhausted", "turns")
    row = await run(engine, chain(loop(COUNT, until="false", most=3, on_max="continue"), END))
    assert row["output"] == {"iterations": 3, "last": 2}


async def test_the_state_does_not_grow_with_the_turns(engine: Engine) -> None:
    """More turns than one turn of the engine has time for, and then a wait in the midst of them."""
    body = chain(step("n", "transform", {"output": "{{ index }}"}), step("rest", "delay", {"for": 60}))
    many = loop(COUNT, "many", most=2_000, until="index >= 1500")
    row = await run(engine, chain(many, loop(body, most=2_000, until="index >= 3"), END))
    size = len(str(row["state"]))
    assert (row["status"], size < 1_000) == ("WAITING", True)
    for _ in range(3):
        engine.clock.advance(61)
        await engine.settle()
    row = await engine.execution(row["id"])
    assert row["output"]["iterations"] == 3
    rows = await engine.fetch("select count(*) as n from weft.execution_logs where step_key = 'many.n'")
    assert rows[0]["n"] == 1500


async def test_a_failed_turn_is_tried_again_and_no_completed_one_repeated(engine: Engine) -> None:
    engine.http.replies = [ok(), ok(status=500), ok()]
    body = chain(call("pay"))
    row = await run(engine, chain(loop(body, until="index >= 3", retry={"attempts": 2, "initial": 60}), END))
    assert row["status"] == "WAITING"
    engine.clock.advance(61)
    await engine.settle()
    row = await engine.execution(row["id"])
    assert (row["status"], row["output"]["iterations"]) == ("COMPLETED", 3)
    assert len(engine.http.requests) == 4


async def test_a_loop_within_a_for_each_sees_its_item(engine: Engine) -> None:
    inner = loop(chain(step("n", "transform", {"output": "{{ item }}-{{ index }}"})), until="index >= 2")
    each = step("each", "for_each", {"items": "input", "body": chain(inner)})
    end = step("end", "end", {"output": "{{ steps.each.output | map(attribute='last') | list }}"})
    row = await run(engine, chain(each, end), ["a", "b"])
    assert row["output"] == ["a-1", "b-1"]


async def test_a_loop_ends_with_its_timeout(engine: Engine) -> None:
    body = chain(step("rest", "delay", {"for": 60}))
    row = await run(engine, chain(loop(body, until="false", timeout=90)))
    for _ in range(2):
        engine.clock.advance(61)
        await engine.settle()
    row = await engine.execution(row["id"])
    assert (row["status"], row["error"]["kind"]) == ("FAILED", "timeout")


async def test_a_wait_beyond_what_one_turn_has_time_for_still_waits(engine: Engine) -> None:
    """The thousand-and-first step of a turn becomes a job; whatever it answers then counts as if it had run at once."""
    steps = [step("many", "loop", {"max_iterations": 999, "until": "false", "on_max": "continue", "body": COUNT})]
    row = await run(engine, chain(*steps, step("rest", "delay", {"for": 60}), step("end", "end", {"output": 1})))
    assert row["status"] == "WAITING"
    engine.clock.advance(61)
    await engine.settle()
    row = await engine.execution(row["id"])
    assert (row["status"], row["output"]) == ("COMPLETED", 1)
    rows = await engine.fetch("select status, data from weft.execution_logs where step_key = 'rest'")
    assert [r["status"] for r in rows] == ["COMPLETED"]
