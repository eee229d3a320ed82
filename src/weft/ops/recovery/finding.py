"""Which target and which cluster a restore is about, when nobody says so."""

from __future__ import annotations

from pathlib import Path

from weft.core.errors import Unavailable
from weft.ops.backup.errors import BackupPlaceUnreachable
from weft.ops.backup.targets import Target, targets_of
from weft.ops.recovery import status, vault
from weft.ops.recovery.errors import NoBases, SystemAmbiguous
from weft.ops.recovery.vault import Vault
from weft.settings import Settings


def target_of(settings: Settings, place: str | None = None) -> Target:
    """The first place that answers and holds something of recovery; `place` names one of the settings' places."""
    targets = [one for one in targets_of(settings) if place is None or one.address == place.rstrip("/")]
    failure: Unavailable | None = None
    for target in targets:
        try:
            if vault.systems(target):
                return target
        except BackupPlaceUnreachable as error:
            failure = error
    if failure is not None:
        raise failure
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
    settings: Settings, *, place: str | None = None, system: str | None = None, identity: Path | None = None
) -> Vault:
    """The vault to restore from, with the keys to open it."""
    target = target_of(settings, place)
    return vault.reading(settings, target, system_of(settings, target, system), identity)


def to_look(
    settings: Settings, *, place: str | None = None, system: str | None = None, identity: Path | None = None
) -> Vault:
    """The same, to see what is there: no secret key is needed."""
    target = target_of(settings, place)
    return vault.looking(settings, target, system_of(settings, target, system), identity)
