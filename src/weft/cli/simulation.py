"""`weft workflow simulate` and `backtest`: what a definition would do, before it does it."""

from __future__ import annotations

import gc
import sys
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import IO, TYPE_CHECKING, Annotated, Any, Final

import typer

from weft.cli import output, simulation_files, simulation_text, workflow_files
from weft.cli.client import connect
from weft.cli.common import TenantName, Url
from weft.cli.execution import identified
from weft.cli.workflow_names import find
from weft.core.errors import Invalid

if TYPE_CHECKING:
    from weft.engine.simulation.runs import Wanted

app = typer.Typer(add_completion=False, no_args_is_help=True)

ASSERTION_FAILED: Final = 2
"""Exit code when an assertion does not hold, or `--fail-on` finds what it names: that of everything invalid."""

_MANY: Final = 1_000
"""From so many runs on it takes long enough to be shown."""


@app.command()
def simulate(
    file: Annotated[str, typer.Argument(help="A definition, YAML or JSON; - for standard input.")],
    runs: Annotated[int, typer.Option("--runs", "-n", min=1, max=100_000, help="How many executions.")] = 100,
    seed: Annotated[int, typer.Option(min=0, max=2**63 - 1, help="The same seed gives the same trace.")] = 1,
    given: Annotated[
        str | None, typer.Option("--input", "-i", metavar="FILE|-|JSON", help="The input of every run.")
    ] = None,
    inputs: Annotated[
        str | None, typer.Option(metavar="FOLDER|JSONL", help="Inputs to use in turn; without any they are made up.")
    ] = None,
    script: Annotated[str | None, typer.Option(help="What the steps answer: a YAML or JSON file.")] = None,
    beside: Annotated[
        list[str] | None, typer.Option("--with", metavar="FILE", help="A sub-workflow's definition; may be repeated.")
    ] = None,
    assertions: Annotated[
        list[str] | None, typer.Option("--assert", metavar="EXPR", help="Must hold of the result; may be repeated.")
    ] = None,
    trace: Annotated[
        str | None, typer.Option(metavar="FILE", help="Write every step of every run, as JSON Lines.")
    ] = None,
    began: Annotated[
        str | None, typer.Option("--now", metavar="TIME", help="When the runs begin; default 2026-01-01T00:00:00Z.")
    ] = None,
) -> None:
    """Play a definition on a virtual clock, without a server and without any effect.

    Shows outcomes, durations, costs and what was never reached. The exit code is 2 if an assertion does not hold.
    """
    import asyncio

    from weft.engine.simulation.runs import Wanted
    from weft.engine.simulation.script import read_script

    source = workflow_files.read(file)
    document = simulation_files.script(script, beside or [])
    wanted = Wanted(
        runs=runs,
        seed=seed,
        inputs=simulation_files.inputs(given, inputs),
        script=read_script(document),
        **({"began": _moment(began)} if began is not None else {}),
    )
    with ExitStack() as stack:
        written = stack.enter_context(Path(trace).open("wb")) if trace is not None else None
        played = stack.enter_context(_counted(runs))
        result = asyncio.run(_simulated(source, wanted, assertions or [], written, played))
    output.result(result, lambda: simulation_text.simulation(result))
    if not result["passed"]:
        raise typer.Exit(ASSERTION_FAILED)


def _moment(text: str) -> Any:
    from datetime import datetime

    try:
        moment = datetime.fromisoformat(text)
    except ValueError as error:
        raise Invalid(f"--now '{text[:60]}' is no time; write it as 2026-01-01T00:00:00Z.") from error
    if moment.tzinfo is None:
        raise Invalid(f"--now '{text[:60]}' has no zone; write it as 2026-01-01T00:00:00Z or with +01:00.")
    return moment


@contextmanager
def _counted(runs: int) -> Iterator[Callable[[], None]]:
    """What to call after each run: in a terminal many runs are shown as a bar."""
    if runs < _MANY or output.as_json() or not sys.stderr.isatty():
        yield lambda: None
        return
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

    columns = (TextColumn("playing"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    with Progress(*columns, console=Console(stderr=True), transient=True) as shown:
        task = shown.add_task("", total=runs)
        yield lambda: shown.advance(task)


async def _simulated(
    source: workflow_files.Source,
    wanted: Wanted,
    assertions: list[str],
    written: IO[bytes] | None,
    played: Callable[[], None],
) -> dict[str, Any]:
    from weft.engine import registry
    from weft.engine.simulation import trace as traces
    from weft.engine.simulation.report import compile_assertions
    from weft.engine.simulation.runs import Played, Simulation, compiled
    from weft.engine.simulation.service import simulated
    from weft.expressions.guard import Guard

    registry.kinds()
    compile_assertions(assertions)
    plan = compiled(source.parsed.document, name=source.name)
    gc.freeze()  # what is loaded by now stays: the collector need not look at it again

    def see(run: Played) -> None:
        played()
        if written is not None:
            written.writelines(traces.lines(run))

    async with Guard() as guard:
        simulation = Simulation(plan, wanted, guard)
        return await simulated(simulation, guard, assertions=assertions, seen=see)


@app.command()
def backtest(
    workflow: Annotated[str, typer.Argument(metavar="WORKFLOW", help="Name or id.")],
    to: Annotated[str, typer.Option("--to", metavar="FILE|VERSION", help="What to send past executions through.")],
    last: Annotated[int, typer.Option(min=1, max=1_000, help="So many finished executions, the newest first.")] = 100,
    executions: Annotated[
        list[str] | None, typer.Option("--execution", metavar="ID", help="Just this one; may be repeated.")
    ] = None,
    source: Annotated[int | None, typer.Option("--from", min=1, help="Only executions of this version.")] = None,
    status: Annotated[str | None, typer.Option(help="Only COMPLETED or only FAILED ones.")] = None,
    script: Annotated[str | None, typer.Option(help="What steps answer that have no recorded answer.")] = None,
    fail_on: Annotated[
        str | None, typer.Option(metavar="different|skipped", help="Exit with 2 when there is such an execution.")
    ] = None,
    url: Url = None,
    tenant: TenantName = None,
) -> None:
    """Say which past executions would end differently under another version, where they part, and what it changes."""
    if fail_on not in (None, "different", "skipped"):
        raise Invalid(f"--fail-on '{fail_on}': say different or skipped.")
    body: dict[str, Any] = {"last": last, "executions": [identified(one) for one in executions or ()]}
    body |= {"to_version": int(to)} if to.isdecimal() else {"definition": workflow_files.read(to).parsed.document}
    said = {
        "from_version": source,
        "status": status.upper() if status is not None else None,
        "script": simulation_files.script(script, []),
    }
    body |= {name: value for name, value in said.items() if value is not None}
    api = connect(url, tenant)
    found = find(api, workflow)
    result = api.post(f"/workflows/{found['id']}/backtest", body, timeout=60)
    output.result(result, lambda: simulation_text.backtest(result, result["rows"]))
    if fail_on is not None and result[fail_on]:
        raise typer.Exit(ASSERTION_FAILED)
