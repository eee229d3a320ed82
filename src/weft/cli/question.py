"""`weft question`: what executions ask people, and the answers."""

from __future__ import annotations

from typing import Annotated, Any

import typer

from weft.cli import output
from weft.cli.client import connect
from weft.cli.common import Everything, Limit, TenantName, Url, identified
from weft.cli.execution import identified as execution_id
from weft.cli.execution import read_input

app = typer.Typer(add_completion=False, no_args_is_help=True)


@app.command("list")
def list_(
    status: Annotated[str, typer.Option(help="OPEN, ANSWERED or CLOSED.")] = "OPEN",
    execution: Annotated[str | None, typer.Option("--execution", "-e", help="Only of this execution.")] = None,
    to: Annotated[str | None, typer.Option(help="Only those for this person or role.")] = None,
    limit: Limit = 50,
    everything: Everything = False,
    url: Url = None,
    tenant: TenantName = None,
) -> None:
    """List questions, newest first; the open ones, unless you say otherwise."""
    of = None if execution is None else execution_id(execution)
    rows = connect(url, tenant).listed(
        "/questions", limit=None if everything else limit, status=status.upper(), execution_id=of, to=to
    )
    columns = ["asked_at", "question", "choices", "to", "answer", "id"]
    output.rows(rows, columns, empty="Nobody asks anything.")


@app.command()
def answer(
    question: Annotated[str, typer.Argument(metavar="QUESTION", help="The question's id.")],
    given: Annotated[str, typer.Argument(metavar="ANSWER", help="The answer, as text.")],
    as_json: Annotated[bool, typer.Option("--parse", help="The answer is JSON, a file of it, or -.")] = False,
    comment: Annotated[str | None, typer.Option("--comment", "-m", help="Kept with the answer.")] = None,
    url: Url = None,
    tenant: TenantName = None,
) -> None:
    """Answer an open question, once; its execution goes on."""
    body: dict[str, Any] = {"answer": read_input(given, "ANSWER") if as_json else given}
    if comment is not None:
        body["comment"] = comment
    which = identified(question, "a question", "weft question list")
    done = connect(url, tenant).post(f"/questions/{which}/answer", body)
    output.result(done, f"Answered: '{done['question']}' with {done['answer']!r}. The execution goes on.")
