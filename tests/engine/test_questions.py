"""Questions: asked by a step, answered by a person, and then the execution goes on."""

from __future__ import annotations

from typing import Any

from tests.engine.conftest import Engine
from tests.engine.documents import chain, step

from weft.db.scope import enter
from weft.domain.events import service as events
from weft.domain.events.schemas import QuestionAnswer


async def asked(engine: Engine, document: dict[str, Any]) -> tuple[Any, Any]:
    result = await engine.start(await engine.workflow(document))
    await engine.settle()
    rows = await engine.fetch("select * from weft.questions")
    return result.id, rows[0]


async def test_an_answer_lets_the_execution_go_on_with_it(engine: Engine) -> None:
    document = chain(
        step("ask", "question", {"question": "Which?"}), step("end", "end", {"output": "{{ steps.ask.output }}"})
    )
    execution, question = await asked(engine, document)
    assert (await engine.execution(execution))["status"] == "WAITING"
    async with enter(engine.database, engine.actor) as scope:
        await events.answer(scope, question["id"], QuestionAnswer(answer={"colour": "blue"}, comment="As last time."))
    await engine.settle()
    row = await engine.execution(execution)
    assert (row["output"]["answer"], row["output"]["comment"]) == ({"colour": "blue"}, "As last time.")
    assert await engine.jobs() == []


async def test_an_answer_is_for_its_own_question_only(engine: Engine) -> None:
    document = {
        "steps": [
            step("both", "parallel"), step("one", "question", {"question": "1?"}),
            step("two", "question", {"question": "2?"}), step("meet", "join"),
        ],
        "transitions": [
            {"from": "both", "to": "one"}, {"from": "both", "to": "two"}, {"from": "one", "to": "meet"},
            {"from": "two", "to": "meet"},
        ],
    }  # fmt: skip
    execution, _ = await asked(engine, document)
    rows = {row["step"]: row for row in await engine.fetch("select * from weft.questions")}
    async with enter(engine.database, engine.actor) as scope:
        await events.answer(scope, rows["two"]["id"], QuestionAnswer(answer="b"))
    await engine.settle()
    live = await engine.fetch("select step from weft.event_waits where taken is null")
    assert [row["step"] for row in live] == ["one"]
    assert (await engine.execution(execution))["status"] == "WAITING"


async def test_a_question_that_nobody_answers_in_time_is_closed(engine: Engine) -> None:
    ask = step("ask", "question", {"question": "Which?", "on_timeout": "continue"}, timeout=60)
    execution, question = await asked(
        engine, chain(ask, step("end", "end", {"output": "{{ steps.ask.output is none }}"}))
    )
    engine.clock.advance(61)
    await engine.settle()
    assert (await engine.execution(execution))["output"] is True
    assert (await engine.fetch("select status from weft.questions"))[0]["status"] == "CLOSED"
    assert question["status"] == "OPEN"


async def test_choices_may_come_from_an_expression(engine: Engine) -> None:
    ask = step("ask", "question", {"question": "Which?", "choices": "{{ ['a', 'b', 'a'] }}", "to": "{{ 'cfo' }}"})
    _, question = await asked(engine, chain(ask))
    assert (question["choices"], question["to"]) == (["a", "b"], "cfo")
