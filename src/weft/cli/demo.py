"""`weft demo`: the invoice showcase. 0 when every outcome is the expected one, 1 when not."""

from __future__ import annotations

import contextlib
import os
import shlex
import signal
import sys
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Self

import typer

from weft.cli import output
from weft.cli.client import Client, NotSignedIn, connect, facts_here
from weft.core.errors import Unauthenticated

if TYPE_CHECKING:
    from rich.progress import Progress, TaskID

    from weft.ops.demo.examples import Examples
    from weft.ops.demo.ledger import Ledger
    from weft.ops.demo.report import Report

app = typer.Typer(add_completion=False)

EMAIL, PASSWORD = "admin@example.com", "admin123"
"""Published: what the seed of the development profile makes."""

DIFFERENT = 1
INTERRUPTED = 130

Further = list[tuple[str, str]]


class NobodyToSignIn(Unauthenticated):
    code = "nobody_to_sign_in"

    def __init__(self, url: str) -> None:
        super().__init__(
            f"The demo cannot sign in at {url}: there is no {EMAIL} with the development profile's password. Run "
            "`weft login` first, or set WEFT_API_KEY to a key that may write and start workflows and read executions."
        )


@app.command()
def demo(
    here: Annotated[
        bool, typer.Option("--here", help="Use the weft that runs here; adds two workflows named 'demo ...'.")
    ] = False,
    keep: Annotated[bool, typer.Option("--keep", help="Leave it running afterwards, until Ctrl-C.")] = False,
    everything: Annotated[bool, typer.Option("--all", "-a", help="One line for every invoice.")] = False,
    examples: Annotated[
        Path | None, typer.Option(help="Another directory with invoices, expectations and workflows.")
    ] = None,
    url: Annotated[str | None, typer.Option(help="With --here: its address (WEFT_URL).")] = None,
) -> int:
    """Send real invoices through a workflow, and compare every outcome with what is expected.

    It brings a weft of its own, which is gone afterwards, and a ledger for the workflow to call. Your own
    installation is not touched unless you say --here; then its worker must be allowed to call that ledger.
    """
    from weft.ops.demo.examples import load

    found = load(examples)
    try:
        with _stoppable():
            report = _run_here(found, url, everything) if here else _run_apart(found, keep, everything)
    except KeyboardInterrupt:
        output.note("weft: the demo was stopped" + ("." if here else "; nothing of it is left."))
        return INTERRUPTED
    return 0 if report.passed else DIFFERENT


def _run_apart(examples: Examples, keep: bool, everything: bool) -> Report:
    """In an installation of the demo's own."""
    from weft.ops.demo.ledger import Ledger
    from weft.ops.demo.temporary import Temporary
    from weft.ops.ports import is_free

    host, port = examples.address
    with Ledger(examples.ledger, port if is_free(host, port) else 0) as ledger, _Watched() as watched:
        watched.phase("starting a weft of the demo's own")
        with Temporary(allow=ledger.address, say=watched.detail) as weft:
            client = Client(weft.url)
            _sign_in(client)
            report = _show(client, ledger, examples, watched)
            further = _kept(client, examples, report) if keep else _apart(examples)
            _tell(report, further, everything)
            if keep:
                output.note("\nweft: it stays up until Ctrl-C", now=True)
                _until_interrupted()
            watched.phase("taking it down")
    return report


def _run_here(examples: Examples, url: str | None, everything: bool) -> Report:
    """In the installation that runs."""
    from weft.ops.demo.ledger import Ledger

    signed_in = True
    try:
        client = connect(url)
    except NotSignedIn:
        client = connect(url, signed_in=False)
        _sign_in(client)
        signed_in = False
    _refuse_closed_ledger(client, examples)
    with Ledger(examples.ledger, examples.address[1]) as ledger, _Watched() as watched:
        report = _show(client, ledger, examples, watched)
    _tell(report, _here(client, report, signed_in=signed_in, url=url), everything)
    return report


def _refuse_closed_ledger(client: Client, examples: Examples) -> None:
    """Before anything is made: a `weft up` of this machine has said which places its worker may call."""
    from ipaddress import ip_address

    from weft.adapters.addresses import Allow
    from weft.ops.demo.ledger import HOST
    from weft.ops.demo.showcase import LedgerOutOfReach

    facts, (host, port) = facts_here(), examples.address
    is_told = facts.get("url") == client.url and "http_allow" in facts
    if is_told and not Allow.parse(facts["http_allow"]).permits(host, port, ip_address(HOST)):
        raise LedgerOutOfReach(f"{host}:{port}")


def _sign_in(client: Client) -> None:
    try:
        made = client.post("/auth/login", {"email": EMAIL, "password": PASSWORD, "tenant": None})
    except Unauthenticated as error:
        raise NobodyToSignIn(client.url) from error
    client.token = made["token"]


def _show(client: Client, ledger: Ledger, examples: Examples, watched: _Watched) -> Report:
    from weft.ops.demo.showcase import Showcase

    return Showcase(client, ledger, examples, watched).run()


def _tell(report: Report, further: Further, everything: bool) -> None:
    if output.as_json():
        commands = [command for command, _ in further]
        output.result({**report.as_json(), "further": commands})
    else:
        from rich.console import Console

        from weft.ops.demo.telling import WIDTH, tell

        console = Console(width=None if sys.stdout.isatty() else WIDTH, highlight=False)
        tell(console, report, further, everything=everything)
    sys.stdout.flush()


# -- how to look further: commands that work as they stand ---------------------------------------------------


def _command() -> str:
    return "./weft" if Path("weft").is_file() else "weft"


def _apart(examples: Examples) -> Further:
    """For the default: the demo's weft is gone by now, so these bring one, or need none."""
    weft = _command()
    return [
        (f"{weft} demo --all", "one line for every invoice"),
        (f"{weft} demo --keep", "the same, and it stays up: look around with other commands"),
        (
            f"{weft} workflow check {_file(examples, 'workflows', 'invoice.yaml')}",
            "change the workflow, check it, repeat",
        ),
        (f"{weft} up", "an installation of your own, whose data stays"),
    ]


def _kept(client: Client, examples: Examples, report: Report) -> Further:
    """With a key for this installation, so that other terminals are signed in without a password."""
    me = client.get("/me")
    key = client.post("/keys", {"name": "demo", "scopes": me["permissions"]})["token"]
    weft = _command()
    invoice = _file(examples, "invoices", f"{report.journal_of.key}.json")
    return [
        (f"export WEFT_URL={client.url} WEFT_API_KEY={key}", "in another terminal, then:"),
        *_looking(report),
        (f"{weft} execution start 'demo invoice' --input {invoice} --wait 30s", "once more"),
        (f"{client.url}/docs", "every address of the API, in a browser"),
    ]


def _here(client: Client, report: Report, *, signed_in: bool, url: str | None) -> Further:
    weft = _command()
    further = [(f"export WEFT_URL={client.url}", "")] if url else []
    if not signed_in:
        further.append((f"echo {PASSWORD} | {weft} login --email {EMAIL} --password-stdin", "then:"))
    return [
        *further,
        *_looking(report),
        (f"{weft} workflow delete 'demo invoice' --yes", "put it away again"),
        (f"{weft} workflow delete 'demo settle invoice' --yes", "likewise"),
    ]


def _looking(report: Report) -> Further:
    weft = _command()
    return [
        (f"{weft} execution list --workflow 'demo invoice' --status FAILED", "those that failed on purpose"),
        (f"{weft} execution logs {report.journal_of.execution_id}", "the journal shown above"),
        (f"{weft} workflow export 'demo invoice'", "the definition"),
        (f"{weft} audit list", "who changed what"),
    ]


def _file(examples: Examples, *parts: str) -> str:
    """A file of the examples, as it is typed from here."""
    path = examples.place.joinpath(*parts)
    with contextlib.suppress(ValueError):
        path = path.relative_to(Path.cwd())
    return shlex.quote(str(path))


# -- signals and progress ------------------------------------------------------------------------------------


@contextlib.contextmanager
def _stoppable() -> Iterator[None]:
    """SIGTERM and a closed terminal end the demo as Ctrl-C does: with everything cleaned up."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return

    def stop(_number: int, _frame: object) -> None:
        raise KeyboardInterrupt

    before = {number: signal.signal(number, stop) for number in (signal.SIGTERM, signal.SIGHUP)}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def _until_interrupted() -> None:
    """Sleeps; Ctrl-C is how it ends, and then it has ended well."""
    with contextlib.suppress(KeyboardInterrupt):
        while True:
            signal.pause()


class _Watched:
    """Tells how far the demo is: a bar on a terminal, a few lines elsewhere. Always on standard error."""

    def __init__(self) -> None:
        self._bar: Progress | None = None
        self._task: TaskID | None = None

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._close()

    def phase(self, text: str) -> None:
        self._close()
        output.note(f"weft: {text}")

    def detail(self, text: str) -> None:
        output.note(f"weft:   {text}")

    def expect(self, invoices: int) -> None:
        if not sys.stderr.isatty() or os.environ.get("TERM") == "dumb":
            return
        from rich.console import Console
        from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

        columns: tuple[Any, ...] = (
            TextColumn("weft:  "),
            BarColumn(),
            MofNCompleteColumn(),
            TimeElapsedColumn(),
            TextColumn("{task.description}", markup=False),
        )
        self._bar = Progress(*columns, console=Console(stderr=True), transient=True)
        self._task = self._bar.add_task("", total=invoices)
        self._bar.start()

    def came(self, invoice: str) -> None:
        if self._bar is not None and self._task is not None:
            self._bar.update(self._task, advance=1, description=invoice)

    def _close(self) -> None:
        if self._bar is not None:
            self._bar.stop()
            self._bar = None
