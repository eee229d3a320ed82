"""Making milder what a database is kept as: the only way back to what a stricter profile refuses."""

from __future__ import annotations

from collections.abc import Sequence

from weft.core.errors import Conflict, Invalid
from weft.ops import environments, profiles
from weft.ops.connections import connect
from weft.ops.environments import PROFILES, RULES
from weft.ops.migrating.instances import require_stopped
from weft.ops.profiles import Kept

_LOWER = "/* weft:profiles.lower */ update weft.installation set profile = $1, since = clock_timestamp()"


class ProfileNotMilder(Invalid):
    code = "profile_not_milder"

    def __init__(self, profile: str, kept: Kept | None) -> None:
        super().__init__(
            f"This database is kept as {kept.profile if kept else 'nothing yet'}, and {profile} is not milder. What "
            "serves or migrates it with a stricter WEFT_PROFILE makes it stricter by itself."
        )


class ProfileComesBack(Conflict):
    code = "profile_comes_back"

    def __init__(self, configured: str, profile: str) -> None:
        super().__init__(
            f"WEFT_PROFILE is {configured} here, so the next start would keep the database as {configured} again. "
            f"Nothing was changed. Set WEFT_PROFILE={profile} for everything that works on it first."
        )


def gains(profile: str, milder: str) -> Sequence[str]:
    """What the milder profile lets happen, in words."""
    return [
        f"{action.value} ({rule.verdict(profile).value}, then {rule.verdict(milder).value}): {rule.sentence}"
        for action, rule in RULES.items()
        if rule.verdict(profile) is not rule.verdict(milder)
    ]


async def require_lowerable(owner: str, configured: str, profile: str) -> Kept:
    """What the database is kept as, if it may be made milder.

    Raises `ProfileUnknown`, `ProfileNotMilder`, `ProfileComesBack`, and `InstallationRuns`: processes that live would
    make it stricter again.
    """
    environments.require_known(profile)
    kept = await profiles.kept(owner)
    if kept is None or PROFILES.index(profile) >= PROFILES.index(kept.profile):
        raise ProfileNotMilder(profile, kept)
    if environments.stricter(configured, profile) != profile:
        raise ProfileComesBack(configured, profile)
    connection = await connect(owner, application="weft db environments")
    try:
        await require_stopped(connection)
    finally:
        await connection.close()
    return kept


async def lower(owner: str, configured: str, profile: str) -> None:
    """Keep the database as a milder profile from now on. The caller has asked. Raises as `require_lowerable` does."""
    await require_lowerable(owner, configured, profile)
    connection = await connect(owner, application="weft db environments")
    try:
        async with connection.transaction():
            await connection.execute("set local app.maintenance = 'on'")
            await connection.execute(_LOWER, profile)
    finally:
        await connection.close()
