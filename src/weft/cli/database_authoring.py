"""`weft db generate`, `push`, `pull` and `diff`: writing schemas and comparing them, for those who develop weft."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from weft.cli import output
from weft.cli.common import Yes, confirm
from weft.core.errors import Conflict

if TYPE_CHECKING:
    from weft.ops.schema.authoring import Comparison
    from weft.ops.schema.generate import Draft

app = typer.Typer(add_completion=False, no_args_is_help=True)


class SchemasDiffer(Conflict):
    code = "schemas_differ"

    def __init__(self, count: int) -> None:
        super().__init__(f"The schemas differ in {count} place{'s' if count != 1 else ''}; see above.")


class FileExists(Conflict):
    code = "file_exists"

    def __init__(self, path: Path) -> None:
        super().__init__(f"{path} is there already, and was left alone. Choose another name.")


@app.command("generate")
def generate_(
    message: Annotated[str, typer.Option("--message", "-m", help="What the revision does, in a few words.")],
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Show it, and write nothing.")] = False,
) -> None:
    """Write the revisions that lead to what the models say, tried and reviewed. Only in a clone of weft."""
    from weft.ops.schema import authoring, revision

    revision.require_clone()
    output.note("Comparing the models with what the revisions make, on a server of their own ...")
    drafts = authoring.drafted(message)
    written = [] if dry_run else authoring.written(drafts, datetime.now(UTC).date())
    output.result(
        [_as_json(draft, path) for draft, path in _with_paths(drafts, written)],
        lambda: (
            _drafts_text(drafts, written) or "The models and the revisions say the same: there is nothing to write."
        ),
    )


@app.command()
def push(yes: Yes = False) -> None:
    """Change this development database to what the models say, without a revision, after showing how."""
    from weft.ops import environments, profiles
    from weft.ops.installation import reach
    from weft.ops.schema import authoring
    from weft.settings import load_settings

    settings = load_settings(os.environ)
    environments.require(settings.profile, environments.Action.push)  # before a server is started for it
    with reach(settings) as addresses:
        owner = addresses.require_owner()
        environments.require(asyncio.run(profiles.in_force(owner, settings.profile)), environments.Action.push)
        plan = authoring.push_plan(owner)
        if not plan.differences:
            output.result({"changed": []}, "The database is what the models say: there is nothing to do.")
            return
        output.note(f"This database, and what is in it, would be changed:\n\n{plan.script()}")
        confirm("Run it?", yes=yes)
        asyncio.run(authoring.push(owner, plan))
        left = authoring.push_plan(owner)
    output.result(
        {"changed": plan.as_json(), "left": left.as_json()},
        "\n".join(left.sentences())
        or f"{len(plan.differences)} differences are gone: the database is what the models say. "
        "`weft db generate` writes the revision that others need.",
    )


@app.command()
def pull(
    source: Annotated[str | None, typer.Option("--from", help="Address of the database; default: this one.")] = None,
    schema: Annotated[str, typer.Option(help="The schema whose tables are wanted.")] = "weft",
    out: Annotated[Path | None, typer.Option("--out", "-o", help="A new file; default: standard output.")] = None,
) -> None:
    """Write SQLAlchemy models for the tables of a live database."""
    from weft.ops.installation import reach
    from weft.ops.schema import pull as pulling
    from weft.settings import load_settings

    if out is not None and out.exists():
        raise FileExists(out)
    if source is not None:
        text = asyncio.run(pulling.models(source, schema))
    else:
        with reach(load_settings(os.environ)) as addresses:
            text = asyncio.run(pulling.models(addresses.owner or addresses.app, schema))
    if out is None:
        output.result({"models": text}, text)
        return
    out.write_text(text, encoding="utf-8")
    classes = text.count("__tablename__")
    output.result({"file": str(out), "tables": classes}, f"{out} has the models of {classes} tables.")


@app.command()
def diff(
    first: Annotated[str, typer.Argument(help="models, migrations, migrations@REVISION, live, or an address.")],
    second: Annotated[str, typer.Argument(help="The same: what the first is measured by.")],
    sql: Annotated[bool, typer.Option("--sql", help="Print the SQL that turns the first into the second.")] = False,
) -> None:
    """Compare two schemas: databases, the models, the revisions. Exits with 6 when they differ."""
    from weft.ops.installation import reach
    from weft.ops.schema import authoring
    from weft.settings import load_settings

    if authoring.LIVE in (first, second):
        with reach(load_settings(os.environ)) as addresses:
            found = authoring.between(first, second, addresses.owner or addresses.app)
    else:
        found = authoring.between(first, second)
    _show(found, sql=sql)
    if found.differences:
        raise SchemasDiffer(len(found.differences))


def _show(found: Comparison, *, sql: bool) -> None:
    same = "-- The schemas are the same." if sql else "The schemas are the same."
    output.result(found.as_json(), (found.script() if sql else "\n".join(found.sentences())) or same)


def _with_paths(drafts: Sequence[Draft], written: Sequence[Path]) -> list[tuple[Draft, Path | None]]:
    paths: list[Path | None] = [*written] if written else [None] * len(drafts)
    return list(zip(drafts, paths, strict=True))


def _as_json(draft: Draft, path: Path | None) -> dict[str, object]:
    return {
        "file": str(path) if path else None, "title": draft.title, "kind": draft.kind,
        "concurrently": draft.concurrently, "up": draft.up, "down": draft.down, "warnings": list(draft.warnings),
        "findings": [finding.as_json() for finding in draft.findings],
    }  # fmt: skip


def _drafts_text(drafts: Sequence[Draft], written: Sequence[Path]) -> str:
    parts = []
    for draft, path in _with_paths(drafts, written):
        lines = [f"-- {draft.title} ({draft.kind})", "", draft.up.strip(), ""]
        lines += [f"-- Look here: {finding.sentence()}" for finding in draft.findings]
        lines.append(f"-- Written to {path}, with its SQL beside it." if path else "-- Not written.")
        parts.append("\n".join(lines))
    if parts and written:
        parts.append("-- Read the SQL, run `weft db migrate`, and commit the files together with the models.")
    return "\n\n".join(parts)
