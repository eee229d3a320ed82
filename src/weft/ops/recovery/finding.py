"""Which target and which cluster a restore is about, when nobody says so."""

from __future__ import annotations

from pathlib import Path

from weft.ops.backup.errors import BackupPlaceUnreachable
from weft.ops.backup.targets import Target, targets_of
from weft.ops.backup.telling import Say, unsaid
from weft.ops.recovery import status, vault
from weft.ops.recovery.errors import NoBases, SystemAmbiguous
from weft.ops.recovery.vault import Vault
from weft.settings import Settings


def target_of(settings: Settings, place: str | None = None, *, say: Say = unsaid) -> Target:
    """The first place that answers and holds something of recovery; `place` names one of the settings' places.

    One that does not answer is told: what another has may be older.
    """
    targets = [one for one in targets_of(settings) if place is None or one.address == place.rstrip("/")]
    failures: list[BackupPlaceUnreachable] = []
    for target in targets:
        try:
            if vault.systems(target):
                for failure in failures:
                    say(failure.message)
                return target
        except BackupPlaceUnreachable as error:
            failures.append(error)
    if failures:
        raise failures[-1]
    raise NoBases(place or ", ".join(one.address for one in targets))


def system_of(settings: Settings, target: Target, given: str | None = None) -> str:
    """The cluster: the one named, else the one that this home archives, else the only one there."""
    there = vault.systems(target)
    if given is not None:
        if given not in there:
            raise NoBases(f"{target.address} of the cluster {given}")
        return given
    last = status.read(status.directory(settings.home))
    if last is not None and last.system in there:
        return last.system
    if len(there) != 1:
        raise SystemAmbiguous(there)
    return there[0]


def to_read(
    settings: Settings,
    *,
    place: str | None = None,
    system: str | None = None,
    identity: Path | None = None,
    say: Say = unsaid,
) -> Vault:
    """The vault to restore from, with the keys to open it."""
    target = target_of(settings, place, say=say)
    return vault.reading(settings, target, system_of(settings, target, system), identity)


def to_look(
    settings: Settings,
    *,
    place: str | None = None,
    system: str | None = None,
    identity: Path | None = None,
    say: Say = unsaid,
) -> Vault:
    """The same, to see what is there: no secret key is needed."""
    target = target_of(settings, place, say=say)
    return vault.looking(settings, target, system_of(settings, target, system), identity)
