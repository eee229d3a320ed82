"""Large values: where they lie, who may reach them, what they count, and that nobody reads them in vain."""

from __future__ import annotations

import asyncio
import json
from base64 import b64encode
from random import Random
from typing import Any
from uuid import UUID

import pytest
from tests.conftest import TestDatabase, make_tenant
from tests.engine.conftest import Engine, ok
from tests.engine.documents import Document, call, chain, step

from weft.core.actor import Actor
from weft.db.hot import transaction
from weft.domain.executions.errors import InputTooLarge, PayloadNotFound, PayloadQuotaReached
from weft.domain.executions.payloads import LARGE, Reference, compress, inflated, packed, unpacked, value_of
from weft.engine import payloads, turn
from weft.engine.limits import Limits
from weft.engine.news import News, StepEnded, TakenUp
from weft.engine.outcomes import Done
from weft.engine.replays import ReplayRequest, replay
from weft.engine.start_requests import StartRequest
from weft.engine.starts import Starter
from weft.ops.connections import connect

BIG = {"text": "lorem ipsum " * 40_000}
SIZE = len(json.dumps(BIG, separators=(",", ":")))


def noise(size: int) -> str:
    """Text that hardly gets smaller."""
    return b64encode(Random(size).randbytes(size * 3 // 4)).decode()


def passing_on() -> Document:
    """Puts the whole input out, twice."""
    return chain(step("copy", "transform", {"output": "{{ input }}"}), step("end", "end", {"output": "{{ input }}"}))


async def kept(engine: Engine, actor: Actor | None = None) -> list[Any]:
    return await engine.fetch("select * from weft.payloads order by id", actor=actor)


async def used(engine: Engine, actor: Actor | None = None) -> tuple[int, int, int]:
    rows = await engine.fetch("select payloads, size, stored_size from weft.payload_usage", actor=actor)
    return tuple(rows[0]) if rows else (0, 0, 0)


async def whole(engine: Engine, row: Any, column: str = "output") -> Any:
    return await engine.driver.evaluator.payloads.whole(engine.actor.tenant_id, row["id"], row[column])


async def limit(engine: Engine, quota: Any) -> None:
    async with transaction(engine.database, engine.actor) as connection:
        await connection.execute("update weft.tenants set limits = $1", {"payload_bytes": quota})


# -- where they lie ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("inline", [True, False])
async def test_a_large_value_lies_beside_its_row(inline: bool, engine: Engine) -> None:
    result = await engine.start(await engine.workflow(passing_on()), BIG, inline=inline)
    await engine.settle()
    row = await engine.execution(result.id)
    assert (row["status"], row["error"]) == ("COMPLETED", None)
    assert row["input"].keys() == {"$payload", "size"}
    assert row["input"]["size"] == SIZE
    assert await whole(engine, row, "input") == await whole(engine, row) == BIG
    if inline:
        assert result.output == BIG, "whoever waits for an output is given it"
    stored = await kept(engine)
    turns = 1 if inline else 2
    assert len(stored) == turns, "what is put out again as it was is stored once in a turn"
    assert all(value_of(p["data"]) == BIG and p["size"] == SIZE and p["stored_size"] < SIZE // 10 for p in stored)
    assert await used(engine) == (turns, turns * SIZE, sum(p["stored_size"] for p in stored))
    logs = await engine.fetch("select data from weft.execution_logs order by visit")
    assert [log["data"].keys() for log in logs] == [{"$payload", "size"}] * 2


async def test_a_value_at_the_boundary_stays_in_its_row(engine: Engine) -> None:
    fits = "x" * (LARGE - 2)
    workflow = await engine.workflow(chain(step("end", "end", {"output": "{{ input }}"})))
    result = await engine.start(workflow, fits)
    await engine.settle()
    row = await engine.execution(result.id)
    assert row["input"] == row["output"] == fits
    assert await kept(engine) == []
    assert await used(engine) == (0, 0, 0), "the counter is not touched"
    await engine.start(workflow, fits + "x")
    assert len(await kept(engine)) == 1


async def test_the_answer_of_a_worker_may_be_large(engine: Engine) -> None:
    engine.http.replies = [ok(json.dumps(BIG).encode())]
    result = await engine.start(await engine.workflow(chain(call(), step("end", "end"))), None)
    await engine.settle()
    (log,) = await engine.fetch("select data from weft.execution_logs where step_key = 'call'")
    reference = unpacked(log["data"])
    assert isinstance(reference, Reference)
    answer = await engine.driver.evaluator.payloads.read(engine.actor.tenant_id, result.id, reference)
    assert answer["body"] == BIG


async def test_a_sub_workflow_hands_on_large_values(engine: Engine) -> None:
    child = chain(step("end", "end", {"output": "{{ input.of }}"}), name="child")
    await engine.workflow(child)
    parent = chain(
        step("sub", "sub_workflow", {"workflow": "child", "input": {"of": "{{ input }}"}}),
        step("end", "end", {"output": "{{ steps.sub.output }}"}),
    )
    result = await engine.start(await engine.workflow(parent), BIG)
    await engine.settle()
    row = await engine.execution(result.id)
    assert row["error"] is None
    assert await whole(engine, row) == BIG


async def test_a_large_value_is_read_only_where_it_is_asked_for(
    engine: Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    opened: list[UUID] = []
    original = payloads.Payloads.read

    async def read(self: Any, tenant_id: UUID, execution_id: UUID, reference: Reference) -> Any:
        opened.append(reference.id)
        return await original(self, tenant_id, execution_id, reference)

    monkeypatch.setattr(payloads.Payloads, "read", read)
    asks = step("asks", "transform", {"output": "{{ steps.first.status }}"})
    reads = step("reads", "end", {"output": "{{ steps.first.output.body.text[:5] }}"})
    document = chain(call("first"), call("second"), asks, call("third"), reads)
    engine.http.replies = [ok(json.dumps(BIG).encode()), ok()]
    result = await engine.start(await engine.workflow(document), BIG)
    await engine.settle()
    row = await engine.execution(result.id)
    assert (row["status"], row["output"]) == ("COMPLETED", "lorem")
    (log,) = await engine.fetch("select data from weft.execution_logs where step_key = 'first'")
    assert opened == [UUID(log["data"]["$payload"])], "the output once, the input never"


async def test_outputs_of_one_turn_are_bounded_in_memory(engine: Engine, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(turn, "WEIGHT", 2 * SIZE)
    body = chain(step("copy", "transform", {"output": "{{ input }}"}))
    loop = step("each", "for_each", {"items": {"count": 12}, "body": body, "collect": "none"})
    result = await engine.start(await engine.workflow(chain(loop)), BIG)
    await engine.settle()
    row = await engine.execution(result.id)
    assert (row["status"], row["output"]) == ("COMPLETED", {"count": 12, "failed": 0})
    assert row["row_version"] >= 4, "it was saved several times"


async def test_a_replay_has_the_large_values_that_it_keeps(engine: Engine) -> None:
    engine.http.replies = [ok(json.dumps(BIG).encode())]
    keep = step("keep", "set", {"vars": {"big": "{{ input }}"}})
    end = step("end", "end", {"output": ["{{ steps.first.output.body.text[:5] }}", "{{ vars.big.text[:5] }}"]})
    result = await engine.start(await engine.workflow(chain(keep, call("first"), end)), BIG)
    await engine.settle()
    before = await used(engine)
    again = await replay(engine.driver, engine.actor, ReplayRequest(result.id, "end"))
    after = await used(engine)
    assert after[0] > before[0], "copies are counted"
    await engine.settle()
    row = await engine.execution(again.id)
    assert (row["status"], row["output"]) == ("COMPLETED", ["lorem", "lorem"])
    assert await whole(engine, row, "input") == BIG
    await limit(engine, after[2] + 10)
    with pytest.raises(PayloadQuotaReached):
        await replay(engine.driver, engine.actor, ReplayRequest(result.id, "end"))
    assert await used(engine) == after, "nothing is half copied"


# -- limits ------------------------------------------------------------------------------------------------------


async def test_an_output_may_not_be_larger_than_the_limit(engine: Engine) -> None:
    engine.driver.limits = Limits(output=SIZE)
    document = chain(step("wrap", "transform", {"output": {"a": "{{ input }}"}}))
    workflow = await engine.workflow(document)
    result = await engine.start(workflow, BIG)
    await engine.settle()
    row = await engine.execution(result.id)
    assert (row["status"], row["error"]["kind"], row["error"]["step"]) == ("FAILED", "output_too_large", "wrap")
    assert f"at most {SIZE:,} are kept (WEFT_OUTPUT_LIMIT)" in row["error"]["message"]
    with pytest.raises(InputTooLarge, match=f"at most {SIZE:,} are taken"):
        await engine.start(workflow, {"a": BIG})


async def test_the_limit_may_be_lower_than_what_is_called_large(engine: Engine) -> None:
    engine.driver.limits = Limits(output=10_000)
    workflow = await engine.workflow(chain(step("copy", "transform", {"output": ["{{ input }}"] * 2})))
    assert (await engine.start(workflow, "x" * 4_000, inline=True)).status == "COMPLETED"
    refused = await engine.start(workflow, "x" * 6_000, inline=True)
    assert refused.error is not None
    assert refused.error["kind"] == "output_too_large"
    with pytest.raises(InputTooLarge):
        await engine.start(workflow, "x" * 10_000)


async def test_the_workflows_own_output_has_the_same_limit(engine: Engine) -> None:
    engine.driver.limits = Limits(output=SIZE)
    document = chain(step("end", "end"), output={"a": "{{ input }}"})
    result = await engine.start(await engine.workflow(document), BIG)
    await engine.settle()
    row = await engine.execution(result.id)
    assert (row["output"], row["error"]["kind"]) == (None, "output_too_large")


async def test_a_step_for_which_there_is_no_room_fails_and_says_what_to_do(engine: Engine) -> None:
    await limit(engine, 400_000)
    copy = step("copy", "transform", {"output": {"a": "{{ input }}"}}, retry={"attempts": 5, "initial": 0.01})
    workflow = await engine.workflow(chain(copy))
    value = noise(400_000)
    result = await engine.start(workflow, value)
    await engine.settle()
    row = await engine.execution(result.id)
    assert (row["status"], row["error"]["kind"]) == ("FAILED", "payload_quota")
    assert "400,000 bytes for large values. Delete executions" in row["error"]["message"]
    assert await engine.journal(result.id) == [("copy", 1, "FAILED")], "trying again would not help"
    with pytest.raises(PayloadQuotaReached, match="Delete executions that are no longer needed"):
        await engine.start(workflow, value)
    small = await engine.start(await engine.workflow(chain(step("end", "end"))), {"small": 1})
    await engine.settle()
    assert (await engine.execution(small.id))["status"] == "COMPLETED", "what is small goes on"
    assert (await used(engine))[0] == 1


@pytest.mark.parametrize(("written", "quota"), [(None, 700_000), ("much", 700_000), (1, 1), (2.5e6, 2_500_000)])
async def test_the_quota_is_the_tenants_own_or_the_usual_one(written: Any, quota: int, engine: Engine) -> None:
    await limit(engine, written)
    async with transaction(engine.database, engine.actor, read_only=True) as connection:
        found = await payloads.usage(connection, engine.actor.tenant_id, Limits(payloads=700_000))
    assert found == {"payloads": 0, "size": 0, "stored_size": 0, "quota": quota}


async def test_many_at_once_do_not_get_past_the_quota(engine: Engine) -> None:
    """Every save adds to the counter only what fits: those that come too late are computed again, and refused."""
    value = noise(300_000)
    each = len(compress(json.dumps(value).encode()))
    await limit(engine, 3 * each + 1000)
    workflow = await engine.workflow(chain(step("end", "end")))
    others = [Starter(engine.driver) for _ in range(4)]
    answers = await asyncio.gather(
        *(other.submit(engine.actor, StartRequest(workflow, value)) for other in others for _ in range(3)),
        return_exceptions=True,
    )
    refused = [answer for answer in answers if isinstance(answer, PayloadQuotaReached)]
    assert len(refused) == 9, answers
    assert (await used(engine))[0] == len(await kept(engine)) == 3


async def test_a_step_that_lost_the_room_to_another_is_told_in_its_next_try(
    engine: Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    value = noise(300_000)
    size = len(compress(json.dumps(value).encode()))
    result = await engine.start(await engine.workflow(chain(call(), step("end", "end"))), None)
    await engine.driver.deliver(engine.actor.tenant_id, [News(result.id, TakenUp())])
    await limit(engine, size + 2_000)
    original = payloads.keep
    others = [size]

    async def keep(connection: Any, tenant_id: UUID, rows: Any, quota: int) -> None:
        if others:  # somebody else was faster
            stolen = others.pop()
            async with transaction(engine.database, engine.actor) as second:
                await second.execute(
                    "insert into weft.payload_usage (tenant_id, payloads, size, stored_size) values ($1, 1, $2, $2)",
                    tenant_id, stolen,
                )  # fmt: skip
        await original(connection, tenant_id, rows, quota)

    monkeypatch.setattr(payloads, "keep", keep)
    await engine.driver.deliver(engine.actor.tenant_id, [News(result.id, StepEnded(1, 1, Done(value)))])
    row = await engine.execution(result.id)
    assert (row["status"], row["error"]["kind"]) == ("FAILED", "payload_quota")
    assert await kept(engine) == []


# -- attacks -----------------------------------------------------------------------------------------------------


async def test_what_a_tenant_writes_is_never_a_reference(engine: Engine) -> None:
    """The words of a reference, as input and output of a tenant: they come back as they were, and lead nowhere."""
    other = await make_tenant(engine.database, "other")
    theirs = await engine.start(await engine.workflow(passing_on(), other), BIG, actor=other)
    (victim, *_) = await kept(engine, other)
    mine = await engine.start(await engine.workflow(passing_on()), {"own": BIG})
    (own, *_) = await kept(engine)
    assert theirs.id != mine.id
    for target in (victim["id"], own["id"]):
        forged = {"$payload": str(target), "size": SIZE}
        result = await engine.start(await engine.workflow(passing_on()), forged)
        await engine.settle()
        row = await engine.execution(result.id)
        assert row["status"] == "COMPLETED"
        assert unpacked(row["input"]) == unpacked(row["output"]) == forged
        (copy, _) = await engine.fetch(
            "select data from weft.execution_logs where execution_id = $1 order by visit", result.id
        )
        assert unpacked(copy["data"]) == forged


async def test_a_reference_leads_only_to_payloads_of_its_own_execution(engine: Engine) -> None:
    """Even if one could be written: it is looked for with tenant and execution."""
    other = await make_tenant(engine.database, "other")
    theirs = await engine.start(await engine.workflow(passing_on(), other), BIG, actor=other)
    mine = await engine.start(await engine.workflow(passing_on()), BIG)
    second = await engine.start(await engine.workflow(passing_on()), {"small": 1})
    (victim, *_), (own, *_) = await kept(engine, other), await kept(engine)
    opener = engine.driver.evaluator.payloads
    tenant = engine.actor.tenant_id
    for execution, target in ((mine.id, victim["id"]), (theirs.id, victim["id"]), (second.id, own["id"])):
        with pytest.raises(PayloadNotFound):
            await opener.read(tenant, execution, Reference(target, SIZE))
    assert await opener.read(tenant, mine.id, Reference(own["id"], SIZE)) == BIG


@pytest.mark.parametrize(
    "value",
    [
        {"$payload": None}, {"$payload": None, "value": 1}, {"$payload": "x", "size": "y"},
        {"$payload": {"$payload": 1}}, [{"$payload": 1}], {"a": {"$payload": 1}}, None, 0, "", "$payload", [], {},
    ],
)  # fmt: skip
def test_every_value_comes_back_as_it_was(value: Any) -> None:
    assert unpacked(json.loads(json.dumps(packed(value)))) == value


def test_a_payload_is_given_in_pieces() -> None:
    text = json.dumps(BIG).encode()
    pieces = list(inflated(compress(text)))
    assert b"".join(pieces) == text
    assert max(len(piece) for piece in pieces) <= 64 * 1024


# -- going ------------------------------------------------------------------------------------------------------


async def test_room_comes_back_when_payloads_go(engine: Engine, test_database: TestDatabase) -> None:
    workflow = await engine.workflow(chain(step("end", "end")))
    first = await engine.start(workflow, BIG)
    second = await engine.start(workflow, BIG)
    assert (await used(engine))[0] == 2
    async with transaction(engine.database, engine.actor) as connection:
        await connection.execute("delete from weft.payloads where tenant_id = $1 and execution_id = $2",
                                 engine.actor.tenant_id, first.id)  # fmt: skip
    assert (await used(engine))[:2] == (1, SIZE)
    owner = await connect(test_database.owner, application="test")
    try:
        async with owner.transaction():
            await owner.execute("set local app.maintenance = 'on'")
            await owner.execute("delete from weft.execution_logs where execution_id = $1", second.id)
            await owner.execute("delete from weft.workflow_executions where id = $1", second.id)
    finally:
        await owner.close()
    assert await kept(engine) == [], "they go with their execution"
    assert await used(engine) == (0, 0, 0)
