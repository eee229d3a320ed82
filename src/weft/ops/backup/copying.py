"""Copies of backups in other places. The manifest goes last there too, so a copy is whole or not there."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from time import sleep
from typing import Any, Final

from weft.core.errors import WeftError
from weft.ops.backup.errors import BackupPlaceUnreachable
from weft.ops.backup.manifest import MANIFEST
from weft.ops.backup.targets import Target
from weft.ops.backup.telling import Tell, silent

PAUSES: Final = (1.0, 5.0)
"""Seconds before a copy that failed is tried again. After the last the next backup tries."""


@dataclass(frozen=True, slots=True)
class Copied:
    """What came of one copy; `failure` says why it is not there."""

    backup: str
    place: str
    failure: str | None = None

    def as_json(self) -> dict[str, Any]:
        return {"backup": self.backup, "place": self.place, "failure": self.failure}


def copy(
    source: Target,
    places: Sequence[Target],
    backups: Iterable[str],
    *,
    tell: Tell = silent,
    pause: Callable[[float], None] = sleep,
) -> list[Copied]:
    """Make sure that these backups are in every place, their newest proof too. Never raises for a place that fails."""
    done = []
    for backup in backups:
        done += [_one(source, place, backup, tell, pause) for place in places]
    return done


def _one(source: Target, place: Target, backup: str, tell: Tell, pause: Callable[[float], None]) -> Copied:
    for wait in (*PAUSES, None):
        try:
            _transfer(source, place, backup, tell)
        except BackupPlaceUnreachable as error:
            if wait is None:
                return Copied(backup, place.address, error.message)
            pause(wait)
        except WeftError as error:
            return Copied(backup, place.address, error.message)
        else:
            break
    return Copied(backup, place.address)


def _transfer(source: Target, place: Target, backup: str, tell: Tell) -> None:
    there = {artefact.name: artefact.bytes for artefact in place.listed(f"{backup}/")}
    manifest = f"{backup}/{MANIFEST}"
    names = {artefact.name: artefact.bytes for artefact in source.listed(f"{backup}/")}
    # Proofs change, and are small: copied anew if they differ in length; the dump is copied once.
    for name in sorted(names, key=lambda one: (one == manifest, one)):
        if there.get(name) != names[name]:
            tell(f"copying to {place.address}")
            place.put(name, source.get(name))
