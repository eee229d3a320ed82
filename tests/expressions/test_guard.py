"""The life of the guard: batches, turns, deaths, and nothing left behind."""

from __future__ import annotations

import asyncio
import os
import select
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import uvloop
from tests.expressions.conftest import PATIENCE, HastyGuard
from tests.ops import waiting

from weft.expressions.compile import compile_condition, compile_expression, compile_template, compile_value
from weft.expressions.errors import (
    ConditionNotBoolean,
    ExpressionFailed,
    ExpressionInvalid,
    ExpressionTooSlow,
    GuardBusy,
    GuardUnavailable,
)
from weft.expressions.fair_queue import FairQueue
from weft.expressions.guard import Guard

SORTED = compile_value("{{ input.list | sort }}")
SLOW = compile_template(
    "{% set l = range(9999) | list %}{% for i in range(5000) %}{{ l | sort | join | length }}{% endfor %}"
)
CRASHING = compile_value("{{ '%1000000000s' | format('a') }}")
DATA = {"input": {"list": [3, 1, 2]}}


def children_of_process(process: int) -> list[int]:
    """Process ids right below a process, from the kernel's own table; zombies included."""
    found: list[int] = []
    for stat in Path("/proc").glob("[0-9]*/stat"):
        try:
            fields = stat.read_text().rpartition(")")[2].split()
        except OSError:
            continue
        if int(fields[1]) == process:
            found.append(int(stat.parent.name))
    return found


def descendants(process: int) -> list[int]:
    children = children_of_process(process)
    return [*children, *(below for child in children for below in descendants(child))]


def state(process: int) -> str:
    """The kernel's letter; none of a process that is gone."""
    try:
        return Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()[0]
    except (FileNotFoundError, ProcessLookupError):
        return ""


def is_there(process: int) -> bool:
    return Path(f"/proc/{process}").exists()


def files_of(process: int) -> list[str]:
    """What its open files are: a path, or `socket`. One that is closed while we look counts as `closed`."""
    found = []
    for one in Path(f"/proc/{process}/fd").iterdir():
        try:
            found.append(str(one.readlink()).partition(":")[0])
        except FileNotFoundError:
            found.append("closed")
    return sorted(found)


def limits_of(process: int) -> dict[str, list[str]]:
    """Soft limit, hard limit and unit by name."""
    lines = Path(f"/proc/{process}/limits").read_text().splitlines()
    return {line[:26].strip(): line[26:].split() for line in lines}


def children_of(guard: Guard) -> tuple[int, list[int]]:
    """The forker's process id and those of its children."""
    assert guard._forker is not None
    assert guard._forker._process is not None
    forker = guard._forker._process.pid
    return forker, descendants(forker)


async def until(condition: Any) -> None:
    async with asyncio.timeout(60):
        while not condition():  # noqa: ASYNC110 - processes of the kernel set no events of ours
            await asyncio.sleep(0.005)


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
    async with Guard(result_limit=100, children=1, wall_limit=PATIENCE) as small:
        (result,) = await small.evaluate([compile_value("{{ range(100) | list | sort }}")], context)
        assert result.error is not None
        assert result.error.code == "expression_too_large"
        assert "100 bytes" in result.error.message
    async with Guard(answer_limit=5_000, children=1, wall_limit=PATIENCE) as small:
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


# --- deaths --------------------------------------------------------------------------------------------------


async def test_an_error_of_a_whole_batch_names_its_expressions(hasty_guard: Guard) -> None:
    results = await hasty_guard.evaluate([SORTED, CRASHING, compile_value("{{ input.list }}")], DATA)
    assert results[0].error is results[1].error
    assert results[0].error is not None
    assert results[0].error.message.startswith("One of 2 expressions: This needs more memory than the 400 MB")
    assert results[0].error.issues[0].extra["expressions"] == ["input.list | sort", "'%1000000000s' | format('a')"]
    assert results[2].unwrap() == [3, 1, 2]
    (alone,) = await hasty_guard.evaluate([SLOW], DATA)
    assert isinstance(alone.error, ExpressionTooSlow)
    assert "0.4 s" in alone.error.message


@pytest.mark.parametrize(
    ("number", "code"),
    [
        (signal.SIGSEGV, "expression_crashed"),
        (signal.SIGABRT, "expression_too_large"),
        (signal.SIGKILL, "expression_too_large"),
        (signal.SIGXCPU, "expression_too_slow"),
    ],
)
async def test_a_child_that_dies_at_work_is_replaced(guard: Guard, number: int, code: str) -> None:
    _, before = children_of(guard)
    asked = asyncio.create_task(guard.evaluate([SLOW], DATA))
    await until(lambda: guard._jobs)
    (link,) = guard._jobs
    busy = before[link.slot] if before == sorted(before) else None
    for process in before if busy is None else [busy]:
        os.kill(process, number)
    (result,) = await asked
    assert result.error is not None
    assert result.error.code == code
    assert await guard.value(SORTED, DATA) == [1, 2, 3]
    await until(lambda: len(children_of(guard)[1]) == 2 and busy not in children_of(guard)[1])


async def test_a_child_that_dies_idle_is_replaced_before_it_is_asked(guard: Guard) -> None:
    _, before = children_of(guard)
    for process in before:
        os.kill(process, signal.SIGKILL)
    await until(lambda: len(set(children_of(guard)[1]) - set(before)) == 2 and len(guard._idle) == 2)
    assert await asyncio.gather(*(guard.value(SORTED, DATA) for _ in range(4))) == [[1, 2, 3]] * 4
    assert len(children_of(guard)[1]) == 2


async def test_the_guard_goes_on_when_the_forker_is_killed(guard: Guard) -> None:
    forker, before = children_of(guard)
    asked = asyncio.create_task(guard.evaluate([SLOW], DATA))
    await until(lambda: guard._jobs)
    os.kill(forker, signal.SIGKILL)
    with pytest.raises(GuardUnavailable):
        await asked
    assert await guard.value(SORTED, DATA) == [1, 2, 3]
    assert children_of(guard)[0] != forker
    assert not is_there(forker)
    assert set(before).isdisjoint(children_of(guard)[1])


async def test_a_guard_that_cannot_start_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "executable", "/nowhere/python")
    with pytest.raises(GuardUnavailable, match="cannot be started"):
        await Guard().start()
    monkeypatch.setattr(sys, "executable", "/bin/false")
    with pytest.raises(GuardUnavailable, match="Try again"):
        await Guard().start()


async def test_waiting_callers_are_told_when_nothing_can_be_started(
    monkeypatch: pytest.MonkeyPatch, guard: Guard
) -> None:
    executable = sys.executable
    monkeypatch.setattr(sys, "executable", "/bin/false")
    os.kill(children_of(guard)[0], signal.SIGKILL)
    await until(lambda: guard._recovering or guard._forker is None)  # the attempts may all be over by now
    with pytest.raises(GuardUnavailable, match="cannot be started"):
        await guard.value(SORTED, DATA)
    monkeypatch.setattr(sys, "executable", executable)
    await until(lambda: not guard._recovering)
    assert await guard.value(SORTED, DATA) == [1, 2, 3]


async def test_a_child_that_once_held_much_memory_is_replaced_after_its_answer() -> None:
    greedy = compile_value(
        "{% set a = 'x' | indent(75000000, true) %}{% set b = a ~ 'y' %}{% set c = b ~ 'z' %}{{ c | length }}"
    )
    async with Guard(children=1, wall_limit=PATIENCE) as guard:
        _, before = children_of(guard)
        assert await guard.value(greedy, DATA) == "75000003"
        assert await guard.value(SORTED, DATA) == [1, 2, 3]
        assert set(children_of(guard)[1]).isdisjoint(before)


# --- confinement ---------------------------------------------------------------------------------------------


@pytest.fixture
def inheritable() -> Iterator[None]:
    """A secret and an open file that a careless child would inherit."""
    with pytest.MonkeyPatch.context() as patch, Path("/dev/zero").open() as opened:
        patch.setenv("WEFT_TEST_SECRET", "do not inherit")
        os.set_inheritable(opened.fileno(), True)
        yield


@pytest.mark.usefixtures("inheritable")
async def test_a_child_has_no_files_no_environment_and_limits() -> None:
    async with Guard(children=1, memory_limit=300 * 2**20) as guard:
        forker, (child,) = children_of(guard)
        for process in (forker, child):
            proc = Path(f"/proc/{process}")
            assert (proc / "environ").read_bytes() == b""
            assert (proc / "cwd").readlink() == Path("/")
            # Right after a fork both still close what the other one needs.
            await until(lambda process=process: files_of(process) == ["/dev/null"] * 3 + ["socket"])
        await until(lambda: limits_of(child)["Max open files"][:2] == ["0", "0"])  # the last of them
        limits = limits_of(child)
    assert limits["Max address space"][:2] == [str(300 * 2**20)] * 2
    for name in ("Max core file size", "Max file size", "Max open files", "Max processes"):
        assert limits[name][:2] == ["0", "0"]


def test_the_child_loads_nothing_of_weft_but_what_it_needs() -> None:
    """Same interpreter flags as the guard uses; lists every module of ours that came in."""
    import minijinja
    import msgspec

    from weft.expressions import guard_child

    folder = Path(guard_child.__file__).parent
    directories = sorted({str(Path(str(module.__file__)).parent.parent) for module in (minijinja, msgspec)})
    program = (
        "import runpy, sys\n"
        f"child = runpy.run_path({str(folder / 'guard_child.py')!r})\n"
        f"child['Engine']({str(folder)!r}, {directories!r})\n"
        "print(*sorted(name for name in sys.modules if name.startswith('weft')))\n"
        "print(*sorted(name for name in ('asyncio', 'subprocess', 'ssl', 'pickle') if name in sys.modules))\n"
    )
    process = subprocess.run([sys.executable, "-I", "-S", "-c", program], capture_output=True, text=True, check=True)
    ours, others = process.stdout.split("\n")[:2]
    assert ours.split() == ["weft", *(f"weft.expressions{rest}" for rest in ("", ".plain", ".sandbox", ".views"))]
    assert others == ""


# --- loops, forks and ends -----------------------------------------------------------------------------------


@pytest.fixture(params=["asyncio", "uvloop"])
def runner(request: pytest.FixtureRequest) -> Iterator[asyncio.Runner]:
    factory = uvloop.new_event_loop if request.param == "uvloop" else None
    with asyncio.Runner(loop_factory=factory) as started:
        yield started


def test_both_event_loops(runner: asyncio.Runner) -> None:
    async def use() -> None:
        async with HastyGuard(haste=0.2) as guard:
            assert await guard.value(SORTED, DATA) == [1, 2, 3]
            codes = [result.error.code for result in await guard.evaluate([SLOW], DATA) if result.error]
            codes += [result.error.code for result in await guard.evaluate([CRASHING], DATA) if result.error]
            assert codes == ["expression_too_slow", "expression_too_large"]
            assert await asyncio.gather(*(guard.value(SORTED, DATA) for _ in range(9))) == [[1, 2, 3]] * 9

    runner.run(use())


def test_a_loop_that_was_held_up_does_not_blame_the_child(runner: asyncio.Runner) -> None:
    async def use() -> None:
        async with Guard(children=1, wall_limit=0.1) as guard:
            asked = asyncio.create_task(guard.value(SORTED, DATA))
            await asyncio.sleep(0)  # the question is on its way
            (link,) = guard._jobs
            assert link._transport is not None
            time.sleep(0.3)  # noqa: ASYNC251 - holding up the loop is the point
            select.select([link._transport.get_extra_info("socket").fileno()], [], [], 60)  # the answer is there
            assert await asked == [1, 2, 3]

    runner.run(use())


async def test_closing_leaves_no_process_and_tells_who_waits() -> None:
    before = set(children_of_process(os.getpid()))
    guard = Guard(children=2, wall_limit=PATIENCE)
    await guard.start()
    await guard.start()
    forker, children = children_of(guard)
    assert set(children_of_process(os.getpid())) - before == {forker}
    assert len(children) == 2
    asked = [asyncio.create_task(guard.evaluate([SLOW], DATA)) for _ in range(4)]
    await until(lambda: len(guard._waiting) == 2)
    await guard.close()
    for one in asked:
        with pytest.raises(GuardUnavailable, match="closed"):
            await one
    assert set(children_of_process(os.getpid())) <= before
    assert [process for process in (forker, *children) if is_there(process)] == []
    with pytest.raises(GuardUnavailable, match="not started"):
        await guard.value(SORTED, DATA)
    await guard.close()
    await guard.start()
    assert await guard.value(SORTED, DATA) == [1, 2, 3]
    forker, children = children_of(guard)
    await guard.close()
    assert set(children_of_process(os.getpid())) <= before
    assert [process for process in (forker, *children) if is_there(process)] == []


async def test_closing_while_a_child_is_being_replaced_leaves_nobody_waiting() -> None:
    for turns in range(6):
        guard = Guard(children=1)
        await guard.start()
        asked = asyncio.create_task(guard.evaluate([CRASHING], DATA))
        await until(lambda guard=guard: not guard._jobs or not guard._links)
        for _ in range(turns):
            await asyncio.sleep(0)
        await guard.close()
        async with asyncio.timeout(60):
            outcome = await asyncio.gather(asked, return_exceptions=True)
        assert isinstance(outcome[0], list | GuardUnavailable)


async def test_a_batch_whose_child_is_lost_as_the_guard_closes_is_answered() -> None:
    """The task that would replace the child is cancelled before its first step."""
    guard = Guard(children=1, wall_limit=30)
    await guard.start()
    asked = asyncio.create_task(guard.evaluate([SLOW], DATA))
    await until(lambda: guard._jobs)
    (link,) = guard._jobs
    guard._gone(link)
    await guard.close()
    async with asyncio.timeout(60):
        (result,) = await asked
    assert result.error is not None


async def test_no_zombies_while_running(hasty_guard: Guard) -> None:
    for _ in range(5):
        await hasty_guard.evaluate([CRASHING], DATA)
    await until(lambda: len(hasty_guard._idle) == 2)
    assert "Z" not in {state(process) for process in children_of(hasty_guard)[1]}


async def test_a_fork_of_this_process_leaves_the_guard_alone(guard: Guard) -> None:
    pid = os.fork()
    if pid == 0:
        status = 1
        try:
            asked = guard.evaluate([SORTED], DATA)
            asked.send(None)
        except GuardUnavailable:
            status = 0
        finally:
            os._exit(status)
    assert (await asyncio.to_thread(os.waitpid, pid, 0))[1] == 0
    assert await guard.value(SORTED, DATA) == [1, 2, 3]
    keeper = os.fork()
    if keeper == 0:
        signal.pause()  # keeps a copy of every socket of the guard open
        os._exit(0)
    await guard.close()
    os.kill(keeper, signal.SIGKILL)
    await asyncio.to_thread(os.waitpid, keeper, 0)


def test_children_end_when_their_parent_is_killed() -> None:
    program = f"""
import asyncio, os, sys
sys.path[:0] = {sys.path!r}
from weft.expressions.compile import compile_value
from weft.expressions.guard import Guard
async def main():
    guard = Guard(wall_limit=60)
    await guard.start()
    slow = compile_value({SLOW.source!r})
    asyncio.create_task(guard.evaluate([slow], {{}}))
    await asyncio.sleep(0)
    print(guard._forker._process.pid, flush=True)
    await asyncio.Event().wait()
asyncio.run(main())
"""
    with subprocess.Popen([sys.executable, "-c", program], stdout=subprocess.PIPE, text=True) as parent:
        assert parent.stdout is not None
        forker = int(parent.stdout.readline())
        family = [forker, *descendants(forker)]
        assert len(family) == 3
        parent.kill()
    waiting.until(
        lambda: all(state(process) in ("", "Z") for process in family), seconds=60, what="the end of the children"
    )
