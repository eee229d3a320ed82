"""What commands that talk to the API share: their options, asking first, finding things by name."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from typing import Annotated, Any
from uuid import UUID

import typer

from weft.cli.client import Client
from weft.core.errors import Conflict, Invalid, NotFound

Url = Annotated[str | None, typer.Option("--url", help="Address of weft (WEFT_URL); default: the one running here.")]
TenantName = Annotated[
    str | None, typer.Option("--tenant", help="Slug or id of another tenant of yours (WEFT_TENANT), this once.")
]
Limit = Annotated[int, typer.Option("--limit", "-n", min=1, help="Rows to show at most.")]
Everything = Annotated[bool, typer.Option("--all", help="Show every row.")]
Yes = Annotated[bool, typer.Option("--yes", "-y", help="Do not ask.")]


class NotConfirmed(Invalid):
    code = "not_confirmed"

    def __init__(self) -> None:
        super().__init__("Nothing was changed. Say --yes to do it without being asked.")


class ReferenceMissing(NotFound):
    code = "reference_missing"

    def __init__(self, what: str, reference: str, *, listing: str | None = None) -> None:
        """`listing` is the command that lists them, where it is not that of a group of its own."""
        command = listing or f"weft {what} list"
        super().__init__(f"There is no {what} '{reference[:80]}' here. `{command}` shows those that exist.")


class IdUnclear(Invalid):
    code = "id_unclear"

    def __init__(self, what: str, said: str, listing: str) -> None:
        super().__init__(f"'{said[:80]}' is not the id of {what}. `{listing}` shows the ids.")


class ReferenceAmbiguous(Conflict):
    code = "reference_ambiguous"

    def __init__(self, what: str, reference: str, ids: list[str]) -> None:
        super().__init__(f"More than one {what} is called '{reference}'. Name one by its id: {', '.join(ids[:5])}.")


def confirm(question: str, *, yes: bool) -> None:
    """Ask before something that cannot be undone; without a terminal nobody can answer, so `--yes` is needed."""
    if yes:
        return
    if not sys.stdin.isatty() or not typer.confirm(question, default=False, err=True):
        raise NotConfirmed


def found(client: Client, what: str, path: str, reference: str, **query: Any) -> dict[str, Any]:
    """The one thing with that id or, if it is no id, the one that the list finds for `query`."""
    if is_id(reference):
        return dict(client.get(f"{path}/{reference}"))
    rows = client.listed(path, limit=10, **query)
    if not rows:
        raise ReferenceMissing(what, reference)
    if len(rows) > 1:
        raise ReferenceAmbiguous(what, reference, [str(row["id"]) for row in rows])
    return rows[0]


def is_id(text: str) -> bool:
    try:
        UUID(text)
    except ValueError:
        return False
    return True


def identified(which: str, what: str, listing: str) -> str:
    """The id, as a path has it; `listing` is the command that shows the ids. Raises `IdUnclear` for anything else."""
    if not is_id(which):
        raise IdUnclear(what, which, listing)
    return which


def client_id(said: str | None) -> str | None:
    """What `--client` names, if it was said."""
    return None if said is None else identified(said, "a client", "weft client list")


def given(**fields: Any) -> dict[str, Any]:
    """What was said on the command line; raises if nothing was."""
    said = {name: value for name, value in fields.items() if value is not None}
    if not said:
        raise Invalid("Say what to change: --help lists what can be.")
    return said


def card(thing: Mapping[str, Any]) -> str:
    """One thing for people: a line for each field."""
    width = max(map(len, thing), default=0)
    return "\n".join(f"{name.replace('_', ' '):<{width}}  {_shown(value)}" for name, value in thing.items())


def secret_from_stdin(what: str) -> str:
    """A secret handed over by a pipe, without the line's end; never an argument, which others could see."""
    text = sys.stdin.readline().rstrip("\r\n")
    if not text:
        raise Invalid(f"Nothing came in: write the {what} to standard input.")
    return text


def _shown(value: Any) -> str:
    if value is None:
        return "-"
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, list):
        return ", ".join(map(str, value)) or "-"
    if isinstance(value, dict):
        return ", ".join(f"{name}: {part}" for name, part in value.items()) or "-"
    return str(value)
