"""Drafts as files: a module that Alembic finds, and its frozen SQL, up and down, beside it."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Sequence
from datetime import date
from pathlib import Path

from weft import __version__
from weft.core.errors import Conflict, Invalid
from weft.db import migrate
from weft.ops.schema.generate import Draft

VERSIONS = migrate.MIGRATIONS / "versions"
_CLONE = migrate.MIGRATIONS.parents[2]
_LONGEST_NAME = 60
_DROPPED = "ban-drop-constraint"
"""A constraint that an expand revision drops is one that it replaces; what only goes, or narrows, is a contract."""

_MODULE = '''"""{title}

Kind: {kind}
"""

from __future__ import annotations

from pathlib import Path

{imports}

revision = "{revision}"
down_revision = {down_revision}
branch_labels = None
depends_on = None
kind = "{kind}"
{marks}
HERE = Path(__file__).parent


def upgrade() -> None:
    {run}(HERE / "{name}.sql").read_text(encoding="utf-8"))


def downgrade() -> None:
    {run}(HERE / "{name}.down.sql").read_text(encoding="utf-8"))
'''

_HEAD = "-- Written by `weft db generate` on {day}, from the models; reviewed by whoever committed it.\n\n"


class CloneNeeded(Invalid):
    code = "clone_needed"

    def __init__(self) -> None:
        super().__init__(
            "Revisions are written into a clone of weft and shipped with its next version; this is an installed "
            "package. Clone the repository, change the models there, and generate in it."
        )


class RevisionExists(Conflict):
    code = "revision_exists"

    def __init__(self, path: Path) -> None:
        super().__init__(f"{path.name} is there already. Choose another message, or take that file away first.")


def require_clone() -> None:
    """Raises `CloneNeeded` in an installed package, where a revision would be lost with the next version."""
    if not (_CLONE / "pyproject.toml").is_file() or migrate.MIGRATIONS.parent.parent.name != "src":
        raise CloneNeeded


def slug(title: str) -> str:
    """The words of a title as a file's name has them: `Boats, and more` is `boats_and_more`."""
    plain = unicodedata.normalize("NFKD", title).encode("ascii", "ignore").decode().lower()
    found = re.sub(r"[^a-z0-9]+", "_", plain).strip("_")[:_LONGEST_NAME].rstrip("_")
    if not found:
        raise Invalid("Say in a few words what the revision does, e.g. -m 'clients have a size'.")
    return found


def write(drafts: Sequence[Draft], *, day: date, after: str | None, directory: Path | None = None) -> list[Path]:
    """The files of these drafts, in order; all of them or, when one is there already, none. Hands back the modules."""
    directory = VERSIONS if directory is None else directory
    files: dict[Path, str] = {}
    modules: list[Path] = []
    before = after
    for draft in drafts:
        revision, name = _next(before), f"{day:%Y_%m_%d}_{slug(draft.title)}"
        head = _HEAD.format(day=day.isoformat())
        modules.append(directory / f"{name}.py")
        files[modules[-1]] = _module(draft, name, revision, before)
        files[directory / f"{name}.sql"] = head + draft.up
        files[directory / f"{name}.down.sql"] = head + draft.down
        before = revision
    for path in files:
        if path.exists():
            raise RevisionExists(path)
    for path, text in files.items():
        path.write_text(text, encoding="utf-8")
    return modules


def _next(revision: str | None) -> str:
    """Ids count on: two branches that both add one have the same id, and whoever merges sees it."""
    if revision is None:
        return "0001"
    if not revision.isdigit():
        raise Invalid(
            f"The newest revision '{revision}' is no number, so its successor cannot be named. Write it by hand."
        )
    return f"{int(revision) + 1:0{len(revision)}d}"


def _module(draft: Draft, name: str, revision: str, before: str | None) -> str:
    marks = ""
    if draft.concurrently:
        marks += "concurrently = True\n"
    if draft.patient:
        marks += "statement_seconds = 0  # it reads whole tables, and keeps nobody from writing\n"
    if draft.kind == "contract":
        # Whoever is older may still use what goes; this version's models do not.
        marks += f'needs = "{".".join(__version__.split(".")[:2])}"\n'
    if draft.kind == "expand" and any(finding.rule == _DROPPED for finding in draft.findings):
        marks += f'accepts = {{"{_DROPPED}": "It comes back wider in the same revision."}}\n'
    if draft.concurrently:
        imports, run = "from weft.db.concurrent import run_concurrently", "run_concurrently("
    else:
        imports = "from alembic import op\n\nfrom weft.db.migrate import run_script"
        run = "run_script(op.get_bind(), "
    return _MODULE.format(
        title=draft.title.rstrip("."), kind=draft.kind, revision=revision, name=name, marks=marks, imports=imports,
        down_revision=f'"{before}"' if before else None, run=run,
    )  # fmt: skip
