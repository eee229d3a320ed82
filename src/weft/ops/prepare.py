"""From any database to one that this weft can serve: roles, migration, preflight; then the seed. Safe to repeat."""

from __future__ import annotations

from dataclasses import asdict, dataclass, field
from typing import Any
from urllib.parse import unquote, urlsplit

from weft.core.errors import Conflict, Invalid
from weft.ops import environments, preflight, profiles
from weft.ops.connections import database_of, with_role
from weft.ops.environments import Action
from weft.ops.home import Home
from weft.ops.installation import DATABASE, Addresses, login_passwords
from weft.ops.keys import master_key
from weft.ops.roles import APP, OWNER, bootstrap
from weft.settings import Settings


class MigrationNeeded(Invalid):
    code = "migration_needed"

    def __init__(self, finding: preflight.Finding) -> None:
        super().__init__(
            f"{finding.sentence} Or give `weft up` what it needs to do so itself: WEFT_DATABASE_OWNER_URL "
            f"(role '{OWNER}'), or WEFT_DATABASE_ADMIN_URL if the roles are still to be made."
        )


class MigrationAsks(Conflict):
    """A start cannot ask, and makes no backup: in production somebody migrates on purpose."""

    code = "migration_asks"

    def __init__(self, finding: preflight.Finding) -> None:
        super().__init__(
            f"{finding.sentence.partition(' Run ')[0]} In the production profile a start does not migrate: "
            "`weft db migrate` shows what it does, makes a verified backup and asks. Nothing was changed."
        )


class AddressesDiffer(Invalid):
    code = "addresses_differ"

    def __init__(self, name: str, expected: str, found: str) -> None:
        super().__init__(f"{name} names the database '{found}', WEFT_DATABASE_URL names '{expected}'. Make them agree.")


@dataclass(slots=True)
class Prepared:
    """What was done, for the person who watches; JSON so that it can come from another process."""

    created: list[str] = field(default_factory=list)
    migrated_to: str | None = None
    profile: str = ""
    """The one in force from now on."""
    warnings: list[str] = field(default_factory=list)

    def as_json(self) -> dict[str, Any]:
        return asdict(self)


async def prepare(settings: Settings, addresses: Addresses) -> Prepared:
    """Make the database ready for this code, as far as the given addresses allow.

    Raises `MigrationNeeded`, `PreflightFailed`, and whatever the steps themselves refuse.
    """
    done = Prepared()
    addresses = await _ensure_roles(settings, addresses, done)
    profile = await profiles.in_force(addresses.owner or addresses.app, settings.profile)
    await _migrate(profile, addresses, done)
    findings = preflight.require(await preflight.check(addresses.app))
    done.profile = await profiles.keep(addresses.app, settings.profile)
    done.warnings = [finding.sentence for finding in findings]
    return done


async def plant(settings: Settings, addresses: Addresses) -> None:
    """Make the first content that the profile allows; what is there stays as it is."""
    from weft.ops import seed

    await seed.run(addresses.app, settings.profile, owner=addresses.owner, master_key=master_key(settings))


async def _ensure_roles(settings: Settings, addresses: Addresses, done: Prepared) -> Addresses:
    """With an administrator's address: roles, passwords, database. Hands back addresses with an owner."""
    if addresses.admin is None:
        return addresses
    home = Home(settings.home)
    if addresses.embedded:
        report = await bootstrap(addresses.admin, DATABASE, login_passwords(home))
        done.created = report.created
        return addresses
    parts = urlsplit(addresses.app)
    passwords = {}
    if unquote(parts.username or "") == APP and parts.password:
        passwords[APP] = unquote(parts.password)
    owner = addresses.owner
    if owner is None:
        home.ensure()
        passwords[OWNER] = home.password(OWNER)
        owner = with_role(addresses.app, OWNER, passwords[OWNER])
    report = await bootstrap(addresses.admin, database_of(addresses.app) or DATABASE, passwords)
    done.created = report.created
    return Addresses(addresses.app, owner, addresses.admin, embedded=False)


def _ask_for_a_command(finding: preflight.Finding) -> None:
    raise MigrationAsks(finding)


async def _migrate(profile: str, addresses: Addresses, done: Prepared) -> None:
    finding = await preflight.present_finding(addresses.owner or addresses.app)
    if finding is None or finding.warning:
        return
    if finding.code in ("schema_newer", "schema_too_new"):
        raise preflight.PreflightFailed([finding])
    if addresses.owner is None:
        raise MigrationNeeded(finding)
    if finding.code != "schema_missing":
        environments.require(profile, Action.migrate, lambda: _ask_for_a_command(finding))
    expected, found = database_of(addresses.app), database_of(addresses.owner)
    if expected != found:
        raise AddressesDiffer("WEFT_DATABASE_OWNER_URL", expected, found)
    from weft.db import migrate  # imports Alembic and SQLAlchemy: seldom needed

    await migrate.upgrade(addresses.owner)
    done.migrated_to = preflight.newest_revision()
