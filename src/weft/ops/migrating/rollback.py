"""Going back: which revisions would be taken, what goes with them, and what this environment says to that."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from weft.core.errors import Conflict
from weft.db import migrate
from weft.db.operation_tables import RevisionKind
from weft.db.revisions import Chain, Revision
from weft.ops import environments, profiles
from weft.ops.environments import Action, EnvironmentRefuses
from weft.ops.migrating.run import directories_of, options_of
from weft.ops.migrating.statement_losses import Loss, loss
from weft.ops.migrating.status import Standing, standings
from weft.ops.schema.script import statements
from weft.settings import Settings


class ContractStays(Conflict):
    """A contract revision is in the way: only a backup brings back what it removed."""

    code = "contract_stays"

    def __init__(self, revision: Revision, standing: Standing | None) -> None:
        backup = standing.backup if standing is not None else None
        point = standing.restore_point if standing is not None else None
        offer = (
            f"`weft db restore {backup}` brings back the backup made just before it"
            if backup
            else ("`weft db restore` brings back a backup made before it")
        )
        also = f"; with archived write-ahead logs also the restore point {point}" if point else ""
        super().__init__(
            f"Revision {revision.id} ({revision.title}) is a contract revision: what it removed does not come back by "
            f"going back. Nothing was changed. {offer}{also}. Or mend forward, with another revision."
        )


@dataclass(frozen=True, slots=True)
class Return:
    """One revision that would be taken back. `drops` are statements that take rows or columns with them."""

    revision: Revision
    drops: tuple[str, ...]
    drops_tables: bool
    """One of them takes everything that is in a table."""

    def as_json(self) -> dict[str, Any]:
        r = self.revision
        return {"revision": r.id, "title": r.title, "kind": r.kind, "drops": list(self.drops)}


@dataclass(frozen=True, slots=True)
class Way:
    """From where to where, newest revision first."""

    at: str | None
    target: str
    returns: tuple[Return, ...]
    standings: tuple[Standing, ...]
    profile: str
    """The one in force there."""


async def way(settings: Settings, dsn: str, target: str) -> Way:
    """What going back to `target` would mean. Changes nothing. Raises `RevisionUnknown`."""
    directories = directories_of(settings)
    chain = Chain(directories)
    at = await migrate.current(dsn)
    found = tuple(_return(chain, r) for r in chain.downwards(at, target))
    profile = await profiles.in_force(dsn, settings.profile)
    return Way(at, target, found, tuple(await standings(dsn, directories)), profile)


def allow(found: Way, ask: Callable[[], None]) -> None:
    """Ask the environment, the sternest rule first. Raises `ContractStays`, `EnvironmentRefuses`, what `ask` raises."""
    profile = found.profile
    for one in found.returns:
        if one.revision.kind == RevisionKind.contract:
            try:
                environments.require(profile, Action.rollback_contract, lambda: None)
            except EnvironmentRefuses as error:
                standing = next((s for s in found.standings if s.revision == one.revision.id), None)
                raise ContractStays(one.revision, standing) from error
    drops_tables = any(one.drops_tables for one in found.returns)
    environments.require(profile, Action.rollback_dropping_tables if drops_tables else Action.rollback, ask)


async def take_back(
    settings: Settings, owner: str, found: Way, *, tell: migrate.Tell | None = None
) -> tuple[list[Revision], str | None]:
    """Do it; hands back what was taken, and where the database is now."""
    taken: Sequence[Revision] = await migrate.downgrade(
        owner, found.target, directories=directories_of(settings), options=options_of(settings), tell=tell
    )
    return list(taken), await migrate.current(owner)


def _return(chain: Chain, revision: Revision) -> Return:
    """What its way back removes, as far as its SQL can be read without a database."""
    try:
        script = chain.sql(revision, down=True)
    except Exception:  # whatever a revision's own code raises without a database: then nobody can say what it drops
        return Return(revision, ("drop table ? (its SQL cannot be read beforehand)",), drops_tables=True)
    losses = [(statement.plain(), lost) for statement in statements(script) if (lost := loss(statement))]
    return Return(revision, tuple(text for text, _ in losses), any(lost is Loss.tables for _, lost in losses))
