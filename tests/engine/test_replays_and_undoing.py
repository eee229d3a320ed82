"""Replays and what can be undone: nothing builds on what was undone, and each execution undoes what it did."""

from __future__ import annotations

from typing import Any
from uuid import UUID

import pytest
from tests.engine.conftest import Engine, ok
from tests.engine.documents import step
from tests.engine.test_compensation import declined, run, trip
from tests.engine.test_replays import replay
from tests.engine.versions import publish

from weft.db.hot import transaction
from weft.domain.executions.errors import ReplayUndone
from weft.engine.news import Cancelled, News


def steps_of(journal: list[tuple[str | None, int, str]]) -> list[str]:
    return [name for name, _, _ in journal if name]


async def test_results_that_were_undone_are_not_kept(engine: Engine) -> None:
    engine.http.replies = [declined]
    row = await run(engine, trip())
    with pytest.raises(ReplayUndone, match="undone, or is being undone: 'car', 'hotel'"):
        await replay(engine, row["id"], "pay")
    with pytest.raises(ReplayUndone, match="undone: 'car'"):
        await replay(engine, row["id"], "hotel")
    assert len(await engine.fetch("select 1 from weft.workflow_executions")) == 1
    engine.http.replies = [ok()]
    for at, keeps in (("car", True), ("pay", False)):
        again = await replay(engine, row["id"], at, keeps=keeps)
        assert again.not_undone == ()
        await engine.settle()
        assert (await engine.execution(again.id))["status"] == "COMPLETED"
        assert steps_of(await engine.journal(again.id)) == ["car", "hotel", "pay"], "and no handler of the older one"


async def test_neither_are_those_that_were_undone_before_a_cancelled_execution_ended(engine: Engine) -> None:
    document = trip()
    document["steps"][2] = step("pay", "delay", {"for": 60})
    row = await run(engine, document)
    await engine.driver.deliver(engine.actor.tenant_id, [News(row["id"], Cancelled("not wanted", "ada"))])
    await engine.settle()
    with pytest.raises(ReplayUndone):
        await replay(engine, row["id"], "pay")


async def test_nor_those_that_are_being_undone(engine: Engine) -> None:
    engine.http.replies = [declined]
    document = trip()
    document["steps"][4] = step("cancel_hotel", "delay", {"for": 60})
    row = await run(engine, document)
    assert row["status"] == "WAITING"
    with pytest.raises(ReplayUndone, match="'car', 'hotel'"):
        await replay(engine, row["id"], "pay")


async def test_nor_those_that_a_step_undid_before_the_execution_completed(engine: Engine) -> None:
    engine.http.replies = [declined]
    document = trip()
    document["steps"][2] |= {"on_error": "back"}
    document["steps"] += [step("back", "compensate", {"steps": ["hotel"]}), step("end", "end")]
    document["transitions"].append({"from": "back", "to": "end"})
    row = await run(engine, document)
    assert row["status"] == "COMPLETED"
    with pytest.raises(ReplayUndone, match="undone: 'hotel'"):
        await replay(engine, row["id"], "pay")
    assert (await replay(engine, row["id"], "hotel")).not_undone == ("car",)


async def test_a_replay_that_fails_undoes_what_it_did_and_says_what_it_leaves(engine: Engine) -> None:
    engine.http.replies = [ok()]
    document = trip()
    document["steps"][3]["config"]["body"] = None
    row = await run(engine, document)
    assert row["status"] == "COMPLETED"
    engine.http.requests.clear()
    engine.http.replies = [declined]
    again = await replay(engine, row["id"], "hotel")
    assert again.not_undone == ("car",)
    await engine.settle()
    assert (await engine.execution(again.id))["status"] == "FAILED"
    assert steps_of(await engine.journal(again.id)) == ["car", "hotel", "pay", "cancel_hotel"]
    notes = await engine.fetch(
        "select message from weft.execution_logs where execution_id = $1 and visit = 0", again.id
    )
    assert (
        "Repeats execution 1 from step 'hotel'. Kept: car. What was done by car is not undone by this execution"
        in (notes[0]["message"])
    )
    link = (await engine.execution(again.id))["metadata"]["replay"]
    assert link["not_undone"] == [{"step": "car", "visit": 1, "execution": str(row["id"])}]


async def test_a_replay_of_a_replay_knows_who_did_what_and_whether_it_still_stands(engine: Engine) -> None:
    document = trip(compensate="on_cancel")
    document["steps"].insert(3, step("rest", "delay", {"for": 60}))
    document["transitions"].append({"from": "pay", "to": "rest"})
    first = await run(engine, document)
    second = await replay(engine, first["id"], "hotel")
    await engine.settle()
    third = await replay(engine, second.id, "pay")
    assert third.not_undone == ("car", "hotel")
    link = (await engine.execution(third.id))["metadata"]["replay"]
    assert [(one["step"], one["execution"]) for one in link["not_undone"]] == [
        ("car", str(first["id"])), ("hotel", str(second.id)),
    ]  # fmt: skip
    await engine.driver.deliver(engine.actor.tenant_id, [News(first["id"], Cancelled("", "ada"))])
    await engine.settle()
    assert steps_of(await engine.journal(first["id"]))[-2:] == ["cancel_hotel", "cancel_car"]
    with pytest.raises(ReplayUndone, match="undone: 'car'"):
        await replay(engine, third.id, "pay")
    with pytest.raises(ReplayUndone, match="undone: 'car'"):
        await replay(engine, second.id, "hotel")
    assert (await replay(engine, second.id, "car")).created


async def test_what_nobody_can_tell_any_more_is_not_kept(engine: Engine) -> None:
    first = await run(engine, trip())
    again = await replay(engine, first["id"], "pay")
    await engine.settle()
    await journal_is_gone(engine, first["id"])
    with pytest.raises(ReplayUndone, match="not known any more, as the execution that did it is gone: 'car', 'hotel'"):
        await replay(engine, again.id, "pay")


async def journal_is_gone(engine: Engine, execution: UUID) -> None:
    async with transaction(engine.database, engine.actor) as connection:
        await connection.execute("update weft.workflow_executions set journal_gone = true where id = $1", execution)


async def test_a_step_that_can_be_undone_only_in_the_mended_version_may_be_kept(engine: Engine) -> None:
    engine.http.replies = [declined]
    plain: dict[str, Any] = trip()
    plain["steps"] = [{k: v for k, v in one.items() if k != "compensate"} for one in plain["steps"][:3]]
    row = await run(engine, plain)
    await publish(engine, row["workflow_id"], trip(), 2)
    again = await replay(engine, row["id"], "pay", version=2)
    assert again.not_undone == (), "nobody can undo it"


async def test_the_same_key_answers_the_same_although_it_was_undone_by_now(engine: Engine) -> None:
    document = trip()
    document["steps"][2] = step("pay", "delay", {"for": 60})
    row = await run(engine, document)
    first = await replay(engine, row["id"], "pay", idempotency_key="k")
    await engine.driver.deliver(engine.actor.tenant_id, [News(row["id"], Cancelled("", "ada"))])
    await engine.settle()
    with pytest.raises(ReplayUndone):
        await replay(engine, row["id"], "pay", idempotency_key="another")
    again = await replay(engine, row["id"], "pay", idempotency_key="k")
    assert (again.id, again.created, again.not_undone) == (first.id, False, ("car", "hotel"))
