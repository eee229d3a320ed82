"""First content of an installation, by profile and system. Safe to repeat: what exists is left alone, whatever it says.

A profile says what an installation is for; a system is one of the applications whose documents say what they expect
to find. Well-known passwords belong to the development profile only: the others refuse them, and an installation that
calls itself production refuses the development profile.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

from weft.core.errors import Forbidden, Invalid
from weft.db.database import Database
from weft.ops.seeds import ai_workflow_platform

PROFILES: Final = ("development", "staging", "production")

Echo = Callable[[str], None]


class SystemUnknown(Invalid):
    code = "system_unknown"

    def __init__(self, system: str) -> None:
        super().__init__(f"There is no seed for a system '{system}'. These exist: {', '.join(SYSTEMS)}.")


class ProfileUnknown(Invalid):
    code = "profile_unknown"

    def __init__(self, profile: str) -> None:
        super().__init__(f"There is no profile '{profile}'. These exist: {', '.join(PROFILES)}.")


class ProfileRefused(Forbidden):
    code = "profile_refused"


@dataclass(slots=True)
class SeedReport:
    """What was made now, and what was there already; in the order in which it was looked at."""

    profile: str
    systems: list[str] = field(default_factory=list)
    made: list[str] = field(default_factory=list)
    kept: list[str] = field(default_factory=list)
    echo: Echo = field(default=lambda _: None, repr=False)

    def add(self, thing: str, *, made: bool) -> None:
        (self.made if made else self.kept).append(thing)
        self.echo(f"{'made' if made else 'kept'}  {thing}")

    def as_json(self) -> dict[str, Any]:
        return {"profile": self.profile, "systems": self.systems, "made": self.made, "kept": self.kept}


@dataclass(frozen=True, slots=True)
class System:
    """One application's first content, and the profiles it may be made in."""

    profiles: frozenset[str]
    seed: Callable[[Database, Callable[..., None]], Awaitable[None]]


SYSTEMS: Final[dict[str, System]] = {
    ai_workflow_platform.NAME: System(frozenset({"development"}), ai_workflow_platform.seed),
}


async def run(
    dsn: str,
    profile: str,
    systems: Sequence[str] | None = None,
    *,
    installation: str | None = None,
    master_key: bytes | None = None,
    echo: Echo | None = None,
) -> SeedReport:
    """Seed the database at `dsn` (as the application role).

    `systems` are those named, else every one that the profile allows. `installation` is the profile that the
    installation itself runs under, if it is not the one asked for. Raises `ProfileUnknown`, `ProfileRefused`,
    `SystemUnknown`.
    """
    chosen = choose(profile, systems, installation or profile)
    report = SeedReport(profile, systems=chosen, echo=echo or (lambda _: None))
    database = await Database.open(dsn, application_name="weft seed", size=2, hot_size=1, master_key=master_key)
    try:
        for name in chosen:
            await SYSTEMS[name].seed(database, report.add)
    finally:
        await database.close()
    return report


def choose(profile: str, systems: Sequence[str] | None, installation: str) -> list[str]:
    """Which systems to seed; every refusal happens here, before the database is touched."""
    if profile not in PROFILES:
        raise ProfileUnknown(profile)
    if profile == "development" and installation != "development":
        raise ProfileRefused(
            f"This installation's profile is {installation}; the development profile would make sign-ins whose "
            "passwords everybody knows. Use --profile staging or production, or set WEFT_PROFILE=development on an "
            "installation that is only for trying."
        )
    if systems is None:
        return [name for name, system in SYSTEMS.items() if profile in system.profiles]
    for name in systems:
        if name not in SYSTEMS:
            raise SystemUnknown(name)
        if profile not in SYSTEMS[name].profiles:
            raise ProfileRefused(
                f"The system '{name}' has sign-ins with well-known passwords and is made in "
                f"{' or '.join(sorted(SYSTEMS[name].profiles))} only, not in {profile}. "
                "Make a tenant of your own instead: weft tenant create."
            )
    return list(dict.fromkeys(systems))
