"""Expressions that guards are tried with, and a look at their processes."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

from weft.expressions.compile import compile_template, compile_value
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
