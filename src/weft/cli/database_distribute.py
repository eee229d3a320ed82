"""`weft db distribute`: the schema for a distributed PostgreSQL (Citus), shown, checked, or carried out."""

from __future__ import annotations

import asyncio
import os
from typing import TYPE_CHECKING, Annotated

import typer

from weft.cli import output
from weft.cli.common import confirm
from weft.core.errors import Conflict, Invalid

if TYPE_CHECKING:
    from weft.ops.scale.distribution import Section
    from weft.ops.scale.obstacles import Obstacle

app = typer.Typer(add_completion=False, no_args_is_help=True)


class DistributionHindered(Conflict):
    code = "distribution_hindered"

    def __init__(self, count: int) -> None:
        super().__init__(
            f"{count} {'thing stands' if count == 1 else 'things stand'} in the way of running weft on a distributed "
            "PostgreSQL; see above. The guide on scaling says what each of them means."
        )


@app.command()
def distribute(
    sql: Annotated[bool, typer.Option("--sql", help="Print the SQL of the whole plan.")] = False,
    check: Annotated[bool, typer.Option("--check", help="Only name what is in the way; exit code 6 if any.")] = False,
    run: Annotated[bool, typer.Option("--run", help="Carry it out, on a coordinator with Citus.")] = False,
    yes: Annotated[bool, typer.Option("--yes", "-y", help="Do not ask.")] = False,
) -> None:
    """Make the schema for a distributed PostgreSQL. Without an option: say what would be done, and change nothing."""
    if sum((sql, check, run)) > 1:
        raise Invalid("Say one of --sql, --check and --run.")
    sections = _plan()
    if sql:
        from weft.ops.scale.distribution import as_sql

        text = as_sql(sections)
        output.result({"sql": text}, text)
        return
    found = _obstacles()
    if run:
        _run(sections, found, yes=yes)
        return
    document = {
        "sections": [{"name": s.name, "why": s.why, "statements": len(s.statements)} for s in sections],
        "obstacles": [obstacle.as_json() for obstacle in found],
    }
    output.result(document["obstacles"] if check else document, lambda: _text([] if check else sections, found))
    open_ones = [obstacle for obstacle in found if not obstacle.solved]
    if check and open_ones:
        raise DistributionHindered(len(open_ones))


def _plan() -> list[Section]:
    from weft.migrations.freeze import permission_rows
    from weft.migrations.models import METADATA
    from weft.ops.preflight import newest_revision
    from weft.ops.scale.distribution import plan

    insert = permission_rows().partition(";\n")[2]  # its first statement sets the context, which the plan does anyway
    return plan(METADATA, newest_revision(), insert)


def _obstacles() -> list[Obstacle]:
    from weft.migrations.models import METADATA
    from weft.ops.scale.obstacles import of_everything
    from weft.ops.scale.statements import labelled

    return of_everything(METADATA, labelled())


def _run(sections: list[Section], found: list[Obstacle], *, yes: bool) -> None:
    from weft.ops.installation import reach
    from weft.ops.scale import distribute
    from weft.settings import load_settings

    with reach(load_settings(os.environ)) as addresses:
        owner = addresses.require_owner()
        version = asyncio.run(distribute.refuse_what_cannot_be(owner))
        if addresses.admin is None:
            raise distribute.AdministratorMissing
        output.note(_text(sections, found))
        confirm(f"Make weft's schema on this coordinator (Citus {version})?", yes=yes)
        done = asyncio.run(distribute.run(owner, addresses.admin, sections, output.note))
    output.result({"citus": version, "statements": done}, f"The schema is distributed: {done} statements.")


def _text(sections: list[Section], found: list[Obstacle]) -> str:
    lines = [f"{len(section.statements):>4}  {section.name}: {section.why}" for section in sections]
    if sections:
        lines.append("")
    for title, solved in (("Solved by the plan:", True), ("In the way:", False)):
        some = [obstacle for obstacle in found if obstacle.solved is solved]
        if some:
            lines += [title, *(f"  {one.where} ({one.rule}): {one.sentence}" for one in some)]
    if sections:
        lines += ["", "--sql prints the plan, --run carries it out."]
    return "\n".join(lines)
