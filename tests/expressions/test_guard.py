"""The life of the guard: batches, turns, deaths, and nothing left behind."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from tests.expressions.conftest import PATIENCE, HastyGuard
from tests.expressions.guards import (
    CRASHING,
    DATA,
    SLOW,
    SORTED,
    until,
)

from weft.expressions.compile import compile_condition, compile_expression, compile_value
from weft.expressions.errors import (
    ConditionNotBoolean,
    ExpressionFailed,
    ExpressionInvalid,
    ExpressionTooSlow,
    GuardBusy,
)
from weft.expressions.fair_queue import FairQueue
from weft.expressions.guard import Guard

# --- batches -------------------------------------------------------------------------------------------------


async def test_a_batch_gives_results_in_order_and_each_its_own_error(guard: Guard, context: dict[str, Any]) -> None:
    batch = [
        compile_value("{{ input.lines | sort(attribute='sku') | map(attribute='sku') }}"),
        compile_value({"a": ["{{ input.missing.x | sort }}", "{{ input.amount }}"], "b": 1}),
        compile_value("literal"),
        compile_value("{{ input.amount }}"),
        compile_value("{{ input.missing.x }}"),
        compile_value("{{ 1 + }}", refuse=False),
        compile_value(
            {"sum": "{{ input.lines | sum(attribute='price') }}", "sorted": ["{{ [2, 1] | sort }}"], "n": None}
        ),
    ]
    results = await guard.evaluate(batch, context)
    assert results[0].unwrap() == ["a", "b"]
    with pytest.raises(ExpressionFailed, match=r"`input.missing` is not there"):
        results[1].unwrap()
    assert results[2].unwrap() == "literal"
    assert results[3].unwrap() == 1500
    assert isinstance(results[4].error, ExpressionFailed)
    assert isinstance(results[5].error, ExpressionInvalid)
    assert results[6].unwrap() == {"sum": 3.5, "sorted": [[1, 2]], "n": None}
    assert await guard.evaluate([], context) == []


async def test_values_keep_their_types(guard: Guard) -> None:
    data: dict[str, Any] = {"input": {"v": [10**30, -(2**63), 1.5, 0.1, 1e16, True, None, "é😀\n\x00", {"k": []}, {}]}}
    (result,) = await guard.evaluate([compile_value("{{ input.v[0:99] }}")], data)
    assert result.unwrap() == data["input"]["v"]
    assert [type(one) for one in result.unwrap()][:2] == [int, int]
    assert result.unwrap()[5] is True


async def test_the_full_language(guard: Guard, context: dict[str, Any]) -> None:
    cases = {
        "{% for line in input.lines %}{{ loop.index }}:{{ line.sku }} {% endfor %}": "1:b 2:a ",
        "{% for key, value in input.customer.items() %}{{ key }}={{ value }};{% endfor %}": (
            "id=7;name=Zoë;tier=gold;keys=;"
        ),
        "{% for key, value in input.customer | dictsort %}{{ key }},{% endfor %}": "id,keys,name,tier,",
        "{{ input.customer.get('tier') }}/{{ input.customer.get('x', 'y') }}": "gold/y",
        "{% set ns = namespace(t=0) %}{% for l in input.lines %}{% set ns.t = ns.t + l.price * l.quantity %}"
        "{% endfor %}{{ ns.t | money }}": "8.00",
        "{% macro row(l) %}<{{ l.sku }}>{% endmacro %}{{ row(input.lines[0]) }}": "<b>",
        "{{ input.lines | map(attribute='sku') | join(', ') }}": "b, a",
        "{{ input.note.upper() }} {{ input.note[1:3] }}": "HELLO el",
        "{{ input.größe }}{% if input.paid %}x{% endif %}{{ range(3) | join }}": "3012",
        "{{ input.lines | selectattr('price', 'gt', 2) | list | tojson }}": '[{"price":2.5,"quantity":2,"sku":"b"}]',
        "{{ input.keys is defined }} {{ input.customer.keys is none }}": "false true",
    }
    results = await guard.evaluate([compile_value("{# text #}" + source) for source in cases], context)
    assert [result.unwrap() for result in results] == list(cases.values())


async def test_only_the_fields_that_are_read_leave_the_process(guard: Guard) -> None:
    """What cannot be sent does no harm where it is not read."""
    data = {"input": {"list": [2, 1], "secret": object()}, "secrets": object()}
    assert await guard.value(SORTED, data) == [1, 2]
    (result,) = await guard.evaluate([compile_value("{{ input | items }}")], data)
    assert result.error is not None
    assert "not JSON" in result.error.message
    (result,) = await guard.evaluate([compile_value("{{ input.s | sort }}")], {"input": {"s": "\ud800"}})
    assert result.error is not None
    assert "not JSON" in result.error.message


async def test_conditions_and_single_values(guard: Guard, context: dict[str, Any]) -> None:
    assert await guard.condition(compile_condition("input.amount > 1"), context) is True
    assert (
        await guard.condition(compile_condition("{{ (input.lines | sort(attribute='price'))[0].price > 1 }}"), context)
        is False
    )
    with pytest.raises(ConditionNotBoolean):
        await guard.condition(compile_condition("input.lines | sort(attribute='sku')"), context)
    with pytest.raises(ExpressionFailed):
        await guard.value(compile_expression("input.missing.x | sort"), context)


async def test_places_of_failures_in_the_guard(guard: Guard) -> None:
    written = "é😀 {{ input.größe * 2 }}\n{{ input.größe * 2 + input.fehlt.hier | sort }}"
    (result,) = await guard.evaluate([compile_value(written)], {"input": {"größe": 2}})
    assert result.error is not None
    place = result.error.issues[0].extra
    assert "input.fehlt.hier".endswith(written[place["start"] : place["end"]])
    assert place["line"] == 2


async def test_results_are_limited(context: dict[str, Any]) -> None:
    async with Guard(result_limit=100, children=1, wall_limit=PATIENCE, cpu_limit=PATIENCE) as small:
        (result,) = await small.evaluate([compile_value("{{ range(100) | list | sort }}")], context)
        assert result.error is not None
        assert result.error.code == "expression_too_large"
        assert "100 bytes" in result.error.message
    async with Guard(answer_limit=5_000, children=1, wall_limit=PATIENCE, cpu_limit=PATIENCE) as small:
        batch = [compile_value("{{ range(500) | list | sort }}")] * 5
        for result in await small.evaluate(batch, context):
            assert result.error is not None
            assert result.error.code == "expression_too_large"
        assert await small.value(SORTED, DATA) == [1, 2, 3]


# --- turns ---------------------------------------------------------------------------------------------------


async def test_many_batches_share_few_children(guard: Guard) -> None:
    async def one(number: int) -> Any:
        data = {"input": {"list": [number, number - 1]}}
        return [result.unwrap() for result in await guard.evaluate([SORTED, SORTED], data, tenant=number % 7)]

    answers = await asyncio.gather(*(one(number) for number in range(50)))
    assert answers == [[[number - 1, number]] * 2 for number in range(50)]


async def test_many_batches_while_children_die(hasty_guard: Guard) -> None:
    async def one(number: int) -> Any:
        compiled = SLOW if number % 25 == 0 else CRASHING if number % 5 == 0 else SORTED
        (result,) = await hasty_guard.evaluate([compiled], DATA, tenant=number)
        return result.value if result.error is None else result.error.code

    answers = await asyncio.gather(*(one(number) for number in range(50)))
    for number, answer in enumerate(answers):
        if number % 25 == 0:
            assert answer == "expression_too_slow"
        elif number % 5 == 0:
            assert answer == "expression_too_large"
        else:
            assert answer == [1, 2, 3]


def test_tenants_take_turns() -> None:
    queue: FairQueue[str] = FairQueue()
    for number in range(5):
        queue.push("greedy", f"greedy {number}")
    queue.push("modest", "modest 0")
    queue.push(None, "none 0")
    queue.push("modest", "modest 1")
    order = [queue.pop() for _ in range(len(queue))]
    assert order == [
        "greedy 0",
        "modest 0",
        "none 0",
        "greedy 1",
        "modest 1",
        "greedy 2",
        "greedy 3",
        "greedy 4",
    ]
    assert queue.pop() is None
    assert len(queue) == 0


async def test_too_many_waiting_is_said_at_once_and_one_tenant_has_half_the_places() -> None:
    async with HastyGuard(children=1, max_waiting=4) as guard:
        slow = asyncio.create_task(guard.evaluate([SLOW], DATA, tenant="greedy"))
        await asyncio.sleep(0)
        waiting = [
            asyncio.create_task(guard.evaluate([SORTED], DATA, tenant=tenant))
            for tenant in ("greedy", "greedy", "modest", "other")
        ]
        await asyncio.sleep(0)
        assert len(guard._waiting) == 4
        for tenant in ("greedy", "new"):
            with pytest.raises(GuardBusy) as caught:
                await guard.evaluate([SORTED], DATA, tenant=tenant)
            assert caught.value.code == "guard_busy"
            assert caught.value.retry_after == 1.0
        assert isinstance((await slow)[0].error, ExpressionTooSlow)
        for results in await asyncio.gather(*waiting):
            assert results[0].unwrap() == [1, 2, 3]


async def test_a_greedy_tenant_cannot_take_the_last_place() -> None:
    async with HastyGuard(children=1, max_waiting=4) as guard:
        slow = asyncio.create_task(guard.evaluate([SLOW], DATA, tenant="greedy"))
        await asyncio.sleep(0)
        waiting = [asyncio.create_task(guard.evaluate([SORTED], DATA, tenant="greedy")) for _ in range(3)]
        modest = asyncio.create_task(guard.evaluate([SORTED], DATA, tenant="modest"))
        outcomes = await asyncio.gather(slow, *waiting, modest, return_exceptions=True)
        assert [isinstance(outcome, GuardBusy) for outcome in outcomes] == [False, False, False, True, False]


async def test_a_caller_who_gives_up_costs_nothing() -> None:
    async with HastyGuard(children=1) as guard:
        slow = asyncio.create_task(guard.evaluate([SLOW], DATA))
        waiting = asyncio.create_task(guard.evaluate([SORTED], DATA))
        await until(lambda: len(guard._waiting) == 1)
        slow.cancel()
        waiting.cancel()
        assert await guard.value(SORTED, DATA) == [1, 2, 3]
