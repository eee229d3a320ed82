"""How the guard and its children end: deaths, confinement, loops, forks, and nothing left behind."""

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

import pytest
import uvloop
from tests.expressions.conftest import PATIENCE, HastyGuard
from tests.expressions.guards import (
    CRASHING,
    DATA,
    SLOW,
    SORTED,
    children_of,
    children_of_process,
    descendants,
    files_of,
    is_there,
    limits_of,
    state,
    until,
)
from tests.ops import waiting

from weft.expressions.compile import compile_value
from weft.expressions.errors import (
    ExpressionTooSlow,
    GuardUnavailable,
)
from weft.expressions.guard import Guard

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


async def test_what_is_computed_counts_and_not_how_long_the_machine_takes() -> None:
    async with Guard(children=1, wall_limit=PATIENCE, cpu_limit=0.1) as guard:
        _, (child,) = children_of(guard)
        os.kill(child, signal.SIGSTOP)  # a machine that has no time for it
        asked = asyncio.create_task(guard.evaluate([SORTED], DATA))
        await until(lambda: guard._jobs)
        begun = time.monotonic()
        await until(lambda: time.monotonic() > begun + 0.2)  # twice what it may compute
        os.kill(child, signal.SIGCONT)
        assert (await asked)[0].unwrap() == [1, 2, 3]
        (slow,) = await guard.evaluate([SLOW], DATA)
        assert isinstance(slow.error, ExpressionTooSlow)
        assert "0.1 s of processor time, or 60 s in all" in slow.error.message
        assert await guard.value(SORTED, DATA) == [1, 2, 3]


@pytest.mark.parametrize(
    ("number", "code"),
    [
        (signal.SIGSEGV, "expression_crashed"),
        (signal.SIGABRT, "expression_too_large"),
        (signal.SIGKILL, "expression_too_large"),
        (signal.SIGXCPU, "expression_too_slow"),
        (signal.SIGPROF, "expression_too_slow"),
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
    async with Guard(children=1, wall_limit=PATIENCE, cpu_limit=PATIENCE) as guard:
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
    guard = Guard(children=2, wall_limit=PATIENCE, cpu_limit=PATIENCE)
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
    guard = Guard(children=1, wall_limit=30, cpu_limit=30)
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
    guard = Guard(wall_limit=60, cpu_limit=60)
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
