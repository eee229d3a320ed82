"""First content of an installation: by profile and system, or from files of one's own. Safe to repeat.

A profile says what an installation is for; a system is one of the applications whose documents say what they expect
to find. What exists is left alone, whatever it says. Well-known passwords belong to the development profile only: in
staging they are made up and shown once, and the development profile is refused where an installation, or the database
itself, is kept as another one.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import AsyncExitStack

from weft.db.database import Database
from weft.ops import environments, preflight, profiles
from weft.ops.environments import ProfileUnknown
from weft.ops.seeds import permissions
from weft.ops.seeds.checking import examine
from weft.ops.seeds.errors import ProfileRefused, SystemUnknown
from weft.ops.seeds.ground import Run
from weft.ops.seeds.making import sow
from weft.ops.seeds.reading import Loaded, load, require_profile
from weft.ops.seeds.report import Echo, SeedReport
from weft.ops.seeds.systems import SYSTEMS

__all__ = ["ProfileRefused", "ProfileUnknown", "SeedReport", "SystemUnknown", "choose", "run"]


async def run(
    dsn: str,
    profile: str,
    systems: Sequence[str] | None = None,
    *,
    files: Sequence[str] = (),
    installation: str | None = None,
    owner: str | None = None,
    master_key: bytes | None = None,
    echo: Echo | None = None,
    dry: bool = False,
    environ: Mapping[str, str] | None = None,
) -> SeedReport:
    """Seed the database at `dsn` (as the application role).

    `systems` are those named, else every one that the profile allows; with `files` none but those named. Everything
    is read, checked and looked at before the first thing is made, so that a mistake leaves nothing half done.
    `installation` is the profile that the installation itself runs under, if it is not the one asked for; `owner` is
    the address of the database's owner, for a permission catalogue that lacks something. Raises `ProfileUnknown`,
    `ProfileRefused`, `SystemUnknown`, `SeedFileUnreadable`, `SeedInvalid`, `PermissionsIncomplete`.
    """
    wanted = [] if files and systems is None else systems
    choose(profile, wanted, installation or profile)
    chosen = choose(profile, wanted, await profiles.in_force(dsn, installation or profile))
    sources = [_system(name, environ) for name in chosen] + [load(path, environ=environ) for path in files]
    _examine(sources, profile)
    told = echo or (lambda _: None)
    await preflight.require_schema(dsn)
    database = await Database.open(dsn, application_name="weft seed", size=2, hot_size=2, master_key=master_key)
    try:
        report = SeedReport(profile, chosen, list(files), is_dry=dry)
        await _go(database, report, sources, owner, dry=True)
        if dry or not report.made:
            report.echo = told
            _tell(report)
        else:
            report = SeedReport(profile, chosen, list(files), echo=told)
            await _go(database, report, sources, owner, dry=False)
    finally:
        await database.close()
    for name in chosen:
        for later in SYSTEMS[name].later:
            report.put_off(name, later.sentence())
    return report


def choose(profile: str, systems: Sequence[str] | None, installation: str) -> list[str]:
    """Which systems to seed; every refusal happens here, before the database is touched."""
    environments.require_known(profile)
    if profile == "development" and installation != "development":
        raise ProfileRefused(
            f"This installation's profile is {installation}; the development profile would make sign-ins whose "
            "passwords everybody knows. Use --profile staging or production. For an installation that is only for "
            "trying: WEFT_PROFILE=development, and a database that was never served as another "
            "(`weft db environments` shows both)."
        )
    if systems is None:
        return [name for name, system in SYSTEMS.items() if profile in system.profiles]
    for name in systems:
        if name not in SYSTEMS:
            raise SystemUnknown(name, SYSTEMS)
        if profile not in SYSTEMS[name].profiles:
            raise ProfileRefused(
                f"The system '{name}' is made for trying, in {' and '.join(SYSTEMS[name].profiles)} only, not in "
                f"{profile}. Make a tenant of your own instead: weft tenant create, or weft db seed --file."
            )
    return list(dict.fromkeys(systems))


def _system(name: str, environ: Mapping[str, str] | None) -> Loaded | None:
    """The system's seed file; None for the system permissions."""
    path = SYSTEMS[name].path()
    return None if path is None else load(path, environ=environ, is_system=True)


def _examine(sources: Sequence[Loaded | None], profile: str) -> None:
    for loaded in sources:
        if loaded is not None:
            require_profile(loaded, profile)
            examine(loaded, profile)


async def _go(
    database: Database, report: SeedReport, sources: Sequence[Loaded | None], owner: str | None, *, dry: bool
) -> None:
    async with AsyncExitStack() as closing:
        run_ = Run(database, report, report.profile, dry, closing)
        for loaded in sources:
            if loaded is None:
                await permissions.seed(run_, owner)
            else:
                await sow(run_, loaded)


def _tell(looked: SeedReport) -> None:
    """Say what was only looked at so far. What was made up meanwhile was never shown, and is not."""
    for thing in looked.made:
        looked.echo(f"would make  {thing}")
    for thing in looked.kept:
        looked.echo(f"kept  {thing}")
