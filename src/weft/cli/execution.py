"""`weft execution`: start workflows, see what became of them, stop them or let them go on."""

from __future__ import annotations

import shlex
import sys
import time
from pathlib import Path
from typing import Annotated, Any, Final

import typer

from weft.cli import common, execution_text, output
from weft.cli.client import Client, connect
from weft.cli.common import Everything, Limit, TenantName, Url, is_id
from weft.cli.limit import priority_from
from weft.cli.watch import watched
from weft.cli.workflow_names import find
from weft.core.errors import Invalid, NotFound

app = typer.Typer(add_completion=False, no_args_is_help=True)

FAILED: Final = 1
"""Exit code of a start whose execution failed or was cancelled."""
GOES_ON: Final = 8
"""Exit code of a start that was waited for in vain: what it asked for is not there yet."""
_FINAL: Final = frozenset({"COMPLETED", "FAILED", "CANCELLED"})
_AT_FIRST: Final = 1.0  # seconds that the start itself may take: most are over by then, and its id is not known before
_LONGEST: Final = 30.0
_LOOK_EVERY: Final = 1.0

Which = Annotated[str, typer.Argument(metavar="EXECUTION", help="The execution's id.")]


@app.command()
def start(
    workflow: Annotated[str, typer.Argument(metavar="WORKFLOW", help="Name or id.")],
    given: Annotated[
        str | None, typer.Option("--input", "-i", metavar="FILE|-|JSON", help="The input; - for standard input.")
    ] = None,
    wait: Annotated[str | None, typer.Option(help="Wait for the end, so long at most: 30s, 5m.")] = None,
    client: Annotated[str | None, typer.Option(help="Id of the client that it is for.")] = None,
    key: Annotated[
        str | None, typer.Option("--idempotency-key", help="Say it again, and the same execution answers.")
    ] = None,
    version: Annotated[int | None, typer.Option(min=1, help="A version other than the current one.")] = None,
    simulate: Annotated[bool, typer.Option("--simulate", help="Without any effect, on a clock of its own.")] = False,
    script: Annotated[str | None, typer.Option(help="With --simulate: a file that says what steps answer.")] = None,
    correlation: Annotated[str | None, typer.Option(help="Ties it to something of yours.")] = None,
    watch: Annotated[bool, typer.Option("--watch", help="Show what happens until it has ended.")] = False,
    priority: Annotated[str | None, typer.Option(help="low, normal, high, or -100 to 100.")] = None,
    url: Url = None,
    tenant: TenantName = None,
) -> None:
    """Start an execution.

    With --wait: show its outcome. Then the exit code is 0 if it completed, 1 if it failed or was cancelled, and 8 if
    it goes on, also when you stopped waiting. With --watch: as `weft execution watch`.
    """
    if watch and wait is not None:
        raise Invalid("Say --wait or --watch: watching waits for the end.")
    body: dict[str, Any] = {"workflow": workflow, "input": read_input(given)}
    said: dict[str, Any] = {"client_id": common.client_id(client), "version": version, "correlation_id": correlation}
    said["priority"] = priority_from(priority)
    body |= {name: value for name, value in said.items() if value is not None}
    if simulate:
        answers = {} if script is None else {"script": read_input(script, "--script")}
        body["metadata"] = {"simulation": True, **answers}
    elif script is not None:
        raise Invalid("--script says what a simulation answers: add --simulate.")
    headers = {"Idempotency-Key": key} if key is not None else {}
    api = connect(url, tenant)
    if wait is None:
        started = api.post("/executions", body, headers=headers)
        if watch:
            watched(api, str(started["id"]))
            return
        output.result(started, lambda: execution_text.started(started, workflow))
        return
    _waited(_Waiting(api, workflow, body, headers), _seconds(wait))


class _Waiting:
    """A start that is waited for. What has begun is known as soon as the API has said so, whatever comes then."""

    def __init__(self, api: Client, workflow: str, body: dict[str, Any], headers: dict[str, str]) -> None:
        self.workflow = workflow
        self.seen: dict[str, Any] | None = None
        self._api, self._body, self._headers = api, body, headers

    def until_it_ends(self, seconds: float) -> dict[str, Any]:
        """How far it has come when it has ended, or when the time is over."""
        until = time.monotonic() + seconds
        first = min(seconds, _AT_FIRST)
        query = {"wait": f"{round(first * 1000)}ms"}
        self.seen = answer = self._api.post(
            "/executions", self._body, headers=self._headers, query=query, timeout=first + 30
        )
        if answer["status"] not in _FINAL:
            output.note(f"Execution {answer['id']} has begun; waiting for its end ...")
        while answer["status"] not in _FINAL and (left := until - time.monotonic()) > 0:
            time.sleep(min(_LOOK_EVERY, left))
            self.seen = answer = self._api.get(f"/executions/{answer['id']}")
        return dict(answer)


def _waited(waiting: _Waiting, seconds: float) -> None:
    """Show the outcome, and exit with its code; a person who stops waiting is told how to find it again."""
    try:
        outcome = waiting.until_it_ends(seconds)
    except KeyboardInterrupt:
        if waiting.seen is None:
            output.note(
                f"\nIt may have begun all the same: `weft execution list --workflow {shlex.quote(waiting.workflow)}` "
                "shows it."
            )
            raise typer.Exit(GOES_ON) from None
        outcome = waiting.seen
        if not output.as_json():
            output.note(f"\nIt goes on. `weft execution watch {outcome['id']}` follows it.")
            raise typer.Exit(GOES_ON) from None
    output.result(outcome, lambda: execution_text.outcome(outcome, waiting.workflow))
    if outcome["status"] not in _FINAL:
        output.note(f"It goes on. `weft execution show {outcome['id']}` tells how far it has come.")
        raise typer.Exit(GOES_ON)
    if outcome["status"] != "COMPLETED":
        raise typer.Exit(FAILED)


def _seconds(wait: str) -> float:
    from weft.interpreter.durations import DurationUnclear, parse_duration

    try:
        return parse_duration(float(wait) if wait.isdecimal() else wait)
    except DurationUnclear as error:
        raise Invalid(f"--wait: {error}.") from error


class InputUnreadable(NotFound):
    code = "input_unreadable"

    def __init__(self, given: str, said: str, what: str = "--input") -> None:
        super().__init__(f"{what}: '{given[:80]}' cannot be read ({said}). Give JSON, a JSON or YAML file, or -.")


def read_input(given: str | None, what: str = "--input") -> Any:
    """What a document's option means: JSON as it stands, - for standard input, else the name of a JSON or YAML file.

    `what` is the option, for whoever has to mend it.
    """
    if given is None:
        return None
    if given == "-":
        return _document(sys.stdin.read(), "standard input")
    if not given.strip():
        raise Invalid(
            f"{what} is empty. Give JSON, a JSON or YAML file, or -; leave it out where there is nothing to say."
        )
    if given.lstrip()[:1] in ("{", "[", '"'):
        return _document(given, what)
    try:
        text = Path(given).read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError, ValueError) as error:
        raise InputUnreadable(given, getattr(error, "strerror", None) or type(error).__name__, what) from error
    return _document(text, given, is_yaml=Path(given).suffix.lower() in (".yaml", ".yml"))


def _document(text: str, name: str, *, is_yaml: bool = False) -> Any:
    import json

    try:
        return _yaml(text) if is_yaml else json.loads(text)
    except (ValueError, RecursionError) as error:
        raise Invalid(f"{name} is not valid {'YAML' if is_yaml else 'JSON'}: {error}.") from error


def _yaml(text: str) -> Any:
    """YAML's own types that JSON lacks (dates) become text."""
    import json

    import yaml

    try:
        return json.loads(json.dumps(yaml.safe_load(text), default=str))
    except (yaml.YAMLError, TypeError) as error:
        raise ValueError(str(error)) from error


@app.command("list")
def list_(
    workflow: Annotated[str | None, typer.Option("--workflow", "-w", help="Only those of this workflow.")] = None,
    status: Annotated[
        str | None, typer.Option(help="PENDING, RUNNING, WAITING, PAUSED, COMPLETED, FAILED, CANCELLED.")
    ] = None,
    client: Annotated[str | None, typer.Option(help="Only those for the client with this id.")] = None,
    correlation: Annotated[str | None, typer.Option(help="Only those with this correlation id.")] = None,
    simulation: Annotated[
        bool | None, typer.Option("--simulation/--no-simulation", help="Only simulated ones, or only others.")
    ] = None,
    since: Annotated[str | None, typer.Option(help="Created in the last 2h, 7d, ... or since this time.")] = None,
    limit: Limit = 20,
    everything: Everything = False,
    url: Url = None,
    tenant: TenantName = None,
) -> None:
    """List executions, newest first."""
    api = connect(url, tenant)
    rows = api.listed(
        "/executions",
        limit=None if everything else limit,
        workflow_id=find(api, workflow)["id"] if workflow is not None else None,
        status=status.upper() if status is not None else None,
        client_id=common.client_id(client),
        correlation_id=correlation,
        simulation=simulation,
        created_from=_since(since) if since is not None else None,
    )
    shown = rows if output.as_json() else [execution_text.summary(row) for row in rows]
    output.rows(shown, execution_text.COLUMNS, empty="No executions. `weft execution start WORKFLOW` makes one.")


def _since(text: str) -> str:
    """`2h` before now, or a time; without its zone it is that of this machine."""
    from datetime import UTC, datetime, timedelta

    from weft.interpreter.durations import DurationUnclear, parse_duration

    try:
        return (datetime.now(UTC) - timedelta(seconds=parse_duration(text))).isoformat()
    except DurationUnclear:
        pass
    try:
        return datetime.fromisoformat(text).astimezone().isoformat()
    except ValueError as error:
        raise Invalid(f"--since '{text}': write a length (2h, 7d) or a time (2026-03-01T12:00).") from error


def identified(which: str) -> str:
    """The execution's id, as a path has it. Raises `IdUnclear` for anything else."""
    return common.identified(which, "an execution", "weft execution list")


@app.command()
def show(which: Which, url: Url = None, tenant: TenantName = None) -> None:
    """Show one execution: where it stands, its input, and its output or error."""
    found = connect(url, tenant).get(f"/executions/{identified(which)}")
    output.result(found, lambda: execution_text.detail(found))


@app.command()
def logs(
    which: Which,
    step: Annotated[str | None, typer.Option(help="Only this step.")] = None,
    status: Annotated[str | None, typer.Option(help="Only rows with this status.")] = None,
    limit: Limit = 200,
    everything: Everything = False,
    url: Url = None,
    tenant: TenantName = None,
) -> None:
    """Show the journal, as it happened. --json has what each step gave."""
    rows = connect(url, tenant).listed(
        f"/executions/{identified(which)}/logs",
        limit=None if everything else limit,
        order="asc",
        step=step,
        status=status.upper() if status is not None else None,
    )
    shown = rows if output.as_json() else [execution_text.log(row) for row in rows]
    output.rows(shown, execution_text.LOG_COLUMNS, empty="Nothing was logged.")


@app.command()
def payload(
    which: Which,
    payload: Annotated[
        str, typer.Argument(metavar="PAYLOAD", help="The payload's id, as `weft execution show` and `logs` name it.")
    ],
    url: Url = None,
    tenant: TenantName = None,
) -> None:
    """Print a value that is too large for `show` and `logs`, as JSON."""
    if not is_id(payload):
        raise common.IdUnclear("a payload", payload, "weft execution show")
    value = connect(url, tenant).get(f"/executions/{identified(which)}/payloads/{payload}", timeout=_LONGEST)
    output.result(value, lambda: execution_text.document(value))


@app.command()
def cancel(
    which: Which,
    reason: Annotated[str, typer.Option("--reason", "-m", help="Why; shown in the journal.")] = "",
    url: Url = None,
    tenant: TenantName = None,
) -> None:
    """End an execution where it stands."""
    ended = connect(url, tenant).post(f"/executions/{identified(which)}/cancel", {"reason": reason})
    output.result(ended, lambda: execution_text.headline(ended))


@app.command()
def retry(which: Which, url: Url = None, tenant: TenantName = None) -> None:
    """Let a failed execution go on from where it failed."""
    goes_on = connect(url, tenant).post(f"/executions/{identified(which)}/retry")
    output.result(goes_on, lambda: execution_text.headline(goes_on))
