"""The chain of revisions: the files in `weft.migrations.versions`, and in directories that plug-ins and tests add.

Nothing here needs a database. What a revision says of itself in its module:

    kind               "expand", "backfill" or "contract"
    needs              contract only: the oldest version of weft that works on the schema after it, "0.3"
    requires_data      names of data migrations that must have nothing left to do before it
    concurrently       True: it builds or drops an index without a lock, outside a transaction, and nothing else
    accepts            rules of the linter that it breaks, and why: {"renaming-column": "nobody reads it yet"}
    statement_seconds  how long one statement of it may take, if its kind's own limit is not right
"""

from __future__ import annotations

import io
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from weft.core.errors import Invalid
from weft.db.operation_tables import RevisionKind

if TYPE_CHECKING:
    from alembic.config import Config
    from alembic.script import Script

MIGRATIONS = Path(__file__).parent.parent / "migrations"


class RevisionUnknown(Invalid):
    code = "revision_unknown"

    def __init__(self, revision: str) -> None:
        super().__init__(
            f"This version of weft has no revision '{revision}'. `weft db status` lists those it has; a database that "
            "a newer version has migrated is migrated further by that version only."
        )


class ChainBroken(Invalid):
    """The revisions do not follow one another."""

    code = "chain_broken"


@dataclass(frozen=True, slots=True)
class Revision:
    id: str
    title: str
    kind: str
    applied: bool = False
    before: str | None = None
    needs: str | None = None
    requires_data: tuple[str, ...] = ()
    concurrently: bool = False
    statement_seconds: float | None = None
    accepts: Mapping[str, str] = field(default_factory=dict)
    path: Path | None = None


class Chain:
    """All revisions that this code has, oldest first."""

    def __init__(self, directories: Sequence[Path] = ()) -> None:
        from alembic.script import ScriptDirectory
        from alembic.util import CommandError

        self.directories = tuple(directories)
        self._script = ScriptDirectory.from_config(self.config())
        try:
            self.heads: tuple[str, ...] = tuple(self._script.get_heads())
            found = list(self._script.walk_revisions())
        except (CommandError, KeyError) as error:
            raise ChainBroken(f"The revisions do not follow one another: {error}") from error
        self.revisions = [_revision(script) for script in reversed(found)]
        self._known = {revision.id: revision for revision in self.revisions}

    def config(self) -> Config:
        """What Alembic wants to know."""
        return config(self.directories)

    @property
    def head(self) -> str:
        if len(self.heads) != 1:
            raise ChainBroken(f"The revisions end in {len(self.heads)} heads: {', '.join(self.heads)}. Join them.")
        return self.heads[0]

    def knows(self, revision: str) -> bool:
        return revision in self._known

    def __getitem__(self, revision: str) -> Revision:
        if revision not in self._known:
            raise RevisionUnknown(revision)
        return self._known[revision]

    def upwards(self, current: str | None, target: str) -> list[Revision]:
        """What has to be applied to come from `current` to `target`, in order. `+1` is the next one."""
        place = self._place(current)
        if target.startswith("+") and target[1:].isdigit():
            end = min(place + int(target[1:]), len(self.revisions))
        elif target in ("head", "heads"):
            end = self._place(self.head)
        else:
            end = self._place(self._full(target))
        return self.revisions[place:end]

    def downwards(self, current: str | None, target: str) -> list[Revision]:
        """What has to be taken back to come from `current` to `target`, newest first. `-1` is one back."""
        place = self._place(current)
        if target.startswith("-") and target[1:].isdigit():
            start = max(0, place - int(target[1:]))
        else:
            start = self._place(None if target == "base" else self._full(target))
        return list(reversed(self.revisions[start:place]))

    def sql(self, revision: Revision, *, down: bool = False) -> str:
        """The SQL of one revision as it would be run, bookkeeping included. Raises what Alembic raises."""
        if down:
            return self._offline("downgrade", f"{revision.id}:{revision.before or 'base'}")
        return self._offline("upgrade", f"{revision.before or 'base'}:{revision.id}")

    def sql_between(self, current: str | None, target: str) -> str:
        """The SQL that brings a database from `current` to `target`."""
        return "\n".join(self.sql(revision) for revision in self.upwards(current, target))

    def _offline(self, name: str, span: str) -> str:
        from alembic import command

        buffer = io.StringIO()
        settings = self.config()
        settings.output_buffer = buffer
        getattr(command, name)(settings, span, sql=True)
        return buffer.getvalue()

    def _place(self, revision: str | None) -> int:
        """How many revisions a database at `revision` has."""
        if revision is None:
            return 0
        for number, found in enumerate(self.revisions, 1):
            if found.id == revision:
                return number
        raise RevisionUnknown(revision)

    def _full(self, name: str) -> str:
        """The id that a name (an id, or its beginning) means."""
        matches = [revision.id for revision in self.revisions if revision.id.startswith(name)]
        if name in self._known:
            return name
        if len(matches) != 1:
            raise RevisionUnknown(name)
        return matches[0]


def config(directories: Sequence[Path] = ()) -> Config:
    from alembic.config import Config

    made = Config()
    made.set_main_option("script_location", str(MIGRATIONS).replace("%", "%%"))
    made.set_main_option("path_separator", "os")
    places = [MIGRATIONS / "versions", *directories]
    made.set_main_option("version_locations", os.pathsep.join(str(place) for place in places).replace("%", "%%"))
    return made


def _revision(script: Script) -> Revision:
    module: Any = script.module
    before = script.down_revision
    seconds = getattr(module, "statement_seconds", None)
    return Revision(
        id=script.revision,
        title=script.doc.splitlines()[0] if script.doc else "",
        kind=getattr(module, "kind", ""),
        before=before if isinstance(before, str) else None,
        needs=getattr(module, "needs", None),
        requires_data=tuple(getattr(module, "requires_data", ())),
        concurrently=bool(getattr(module, "concurrently", False)),
        statement_seconds=None if seconds is None else float(seconds),
        accepts=dict(getattr(module, "accepts", {})),
        path=Path(script.path),
    )


def kind_of(revision: Revision) -> RevisionKind:
    """Raises `ChainBroken` for a kind that does not exist."""
    try:
        return RevisionKind(revision.kind)
    except ValueError as error:
        raise ChainBroken(
            f"The revision {revision.id} says kind '{revision.kind}'; it must be expand, backfill or contract."
        ) from error
