"""What `weft workflow trigger` says of schedules: their options, their due times, their runs."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import Annotated, Any

import typer

from weft.cli import output
from weft.cli.common import card
from weft.core.errors import Invalid

Cron = Annotated[str | None, typer.Option(help="A schedule by five fields of cron: '0 9 * * 1-5'.")]
Every = Annotated[str | None, typer.Option(help="A schedule by an interval: 5m, 1h30m.")]
Rule = Annotated[str | None, typer.Option(help="A schedule by a rule of RFC 5545: 'FREQ=WEEKLY;BYDAY=MO'.")]
Zone = Annotated[str | None, typer.Option(help="Its time zone, an IANA name: Europe/Berlin (UTC).")]
Anchor = Annotated[str | None, typer.Option(help="From where --every and --rrule count (ISO 8601).")]
Starts = Annotated[str | None, typer.Option(help="Not due before this time (ISO 8601).")]
Ends = Annotated[str | None, typer.Option(help="Not due after this time (ISO 8601).")]
Overlapping = Annotated[
    str | None, typer.Option(help="skip, queue, cancel_previous or allow: while the execution before goes on (skip).")
]
CatchingUp = Annotated[str | None, typer.Option(help="none, last or all: due times that nobody ran (last).")]
Mapping_ = Annotated[
    str | None,
    typer.Option("--input", help='JSON that makes the input, with expressions: \'{"at": "{{ scheduled_at }}"}\'.'),
]


class MappingUnreadable(Invalid):
    code = "mapping_unreadable"

    def __init__(self, error: str) -> None:
        super().__init__(f"--input must be JSON ({error}). A text needs its quotation marks: '\"{{{{ body }}}}'\"'.")


class MomentUnreadable(Invalid):
    code = "moment_unreadable"

    def __init__(self, text: str) -> None:
        super().__init__(f"'{text}' is not a time. Write it in ISO 8601: 2026-03-29T00:00Z.")


class KindsMixed(Invalid):
    code = "trigger_kinds_mixed"

    def __init__(self) -> None:
        super().__init__(
            "These options are of different kinds of triggers. --cron, --every and --rrule are a schedule's."
        )


def config(
    *,
    cron: str | None,
    every: str | None,
    rrule: str | None,
    timezone: str | None,
    anchor: str | None,
    starts_at: str | None,
    ends_at: str | None,
    overlap: str | None,
    catch_up: str | None,
) -> dict[str, Any]:
    """What was said of a schedule, as its config has it."""
    said = {
        "cron": cron, "every": every, "rrule": rrule, "timezone": timezone, "anchor": anchor, "starts_at": starts_at,
        "ends_at": ends_at, "overlap": overlap, "catch_up": catch_up,
    }  # fmt: skip
    return {name: value for name, value in said.items() if value is not None}


def changed(old: Mapping[str, Any], said: Mapping[str, Any]) -> dict[str, Any]:
    """The config after a change. Another way to say when takes the place of the one before, and of its anchor."""
    ways = {"cron", "every", "rrule"}
    kept = {name: value for name, value in old.items() if not (said.keys() & ways and name in ways | {"anchor"})}
    return {**kept, **said}


def mapping(text: str | None) -> dict[str, Any]:
    if text is None:
        return {}
    try:
        return {"input": json.loads(text)}
    except ValueError as error:
        raise MappingUnreadable(str(error)) from error


def moment(text: str | None) -> datetime | None:
    """A time that was said; without an offset it is UTC."""
    if text is None:
        return None
    try:
        found = datetime.fromisoformat(text)
    except ValueError as error:
        raise MomentUnreadable(text) from error
    return found if found.tzinfo is not None else found.replace(tzinfo=UTC)


def show_preview(seen: dict[str, Any]) -> None:
    def text() -> str:
        zone = seen["timezone"]
        lines = [seen["sentence"], ""]
        lines += [f"  {_wall(one['local'])}  {zone}   {_utc(one['utc'])} UTC" for one in seen["due"]]
        return "\n".join(lines if seen["due"] else [*lines, "  It is not due any more."])

    output.result(seen, text)


def preview_here(said: Mapping[str, Any], start: datetime | None, count: int) -> dict[str, Any]:
    """Due times without a server: the same rules, in this process."""
    from weft.domain.workflows.service import schedules

    moment = start or datetime.now(UTC)
    seen = schedules.preview(dict(said), moment, count)
    return seen.model_dump(mode="json")


def show_runs(rows: Sequence[Mapping[str, Any]]) -> None:
    output.rows(
        rows,
        {"due_at": "due", "status": "status", "times": "times", "execution_id": "execution", "reason": "reason"},
        empty="No runs yet. `weft workflow trigger preview` shows when it is due.",
    )


def shown_made(made: dict[str, Any]) -> str:
    return card({name: made[name] for name in ("name", "kind", "enabled", "config", "next_run_at", "id")})


def _wall(local: str) -> str:
    moment = datetime.fromisoformat(local)
    return moment.strftime("%a %Y-%m-%d %H:%M:%S")


def _utc(moment: str) -> str:
    return datetime.fromisoformat(moment).astimezone(UTC).strftime("%Y-%m-%d %H:%M:%S")
