"""Which backups there are, where, and what is known of each. The places are asked: they survive the database."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Any, Final

from weft.core.clock import Clock, utc_now
from weft.core.errors import WeftError
from weft.ops.backup import manifest
from weft.ops.backup.errors import BackupNotFound, BackupPlaceUnknown, BackupPlaceUnreachable, NoBackupYet
from weft.ops.backup.health import AHEAD
from weft.ops.backup.manifest import MANIFEST, PROOF, Manifest
from weft.ops.backup.proofs import Proof, read_proof
from weft.ops.backup.sealing import trusted_signers
from weft.ops.backup.targets import Target, targets_of
from weft.ops.backup.telling import Say, unsaid
from weft.settings import Settings

LATEST: Final = "latest"


@dataclass(slots=True)
class Listed:
    """A backup as the places have it. `problem`: why its manifest cannot be believed; then little else is known."""

    id: str
    places: list[str]
    manifest: Manifest | None = None
    proof: Proof | None = None
    problem: str | None = None
    verified_at: datetime | None = None
    """When a restore last agreed, wherever its copy lay. `failure` may say what was found wrong since."""
    keeps: list[str] = field(default_factory=list)
    """What it is kept as: latest, daily, weekly, monthly, yearly, verified."""

    @property
    def at(self) -> datetime | None:
        return self.manifest.started_at if self.manifest else manifest.moment_of(self.id)

    @property
    def failure(self) -> str | None:
        if self.problem is not None:
            return self.problem
        return self.proof.failure if self.proof is not None else None

    def as_json(self) -> dict[str, Any]:
        known = self.manifest
        return {
            "id": self.id,
            "at": self.at,
            "kind": known.kind if known else None,
            "reason": known.reason if known else None,
            "bytes": known.bytes if known else None,
            "rows": known.rows if known else None,
            "revision": known.revision if known else None,
            "weft": known.weft if known else None,
            "server_version": known.server_version if known else None,
            "verified_at": self.verified_at,
            "failure": self.failure,
            "keeps": self.keeps,
            "places": self.places,
        }


def listed(settings: Settings, identity: Path | None = None, *, say: Say | None = None) -> list[Listed]:
    """Every backup, the newest first.

    The first place must answer: what is decided from a list that lacks it may be wrong. Whoever only wants to see what
    there is gives `say`: then any place will do, and those that do not answer are told.
    """
    targets = targets_of(settings)
    signers = trusted_signers(settings, identity)
    found: dict[str, Listed] = {}
    failures: list[BackupPlaceUnreachable] = []
    for target in targets:
        try:
            names = {artefact.name for artefact in target.listed(manifest.NAMES)}
        except BackupPlaceUnreachable as error:
            if target is targets[0] and say is None:
                raise
            failures.append(error)
            continue
        for name in sorted(names):
            backup, _, rest = name.partition("/")
            if rest != MANIFEST or manifest.moment_of(backup) is None:
                continue
            known = found.setdefault(backup, Listed(backup, []))
            known.places.append(target.address)
            _learn(known, target, signers, has_proof=f"{backup}/{PROOF}" in names)
    if len(failures) == len(targets):
        raise failures[0]
    for failure in failures:
        (say or unsaid)(failure.message)
    return sorted(found.values(), key=lambda one: one.id, reverse=True)


def _learn(known: Listed, target: Target, signers: frozenset[str], *, has_proof: bool) -> None:
    if known.manifest is None:
        try:
            known.manifest = manifest.read(target, known.id, signers)
            known.problem = None
        except WeftError as error:
            known.problem = error.message
    proof = read_proof(target, known.id, signers) if has_proof else None
    if proof is None:
        return
    if known.proof is None or proof.at > known.proof.at:
        known.proof = proof
    if proof.agreed_at is not None and (known.verified_at is None or proof.agreed_at > known.verified_at):
        known.verified_at = proof.agreed_at


def find(settings: Settings, wanted: str, place: str | None = None, *, say: Say = unsaid) -> Target:
    """A place that has a backup, by its whole name (see `named`): the first one, or the one with this address.

    A place that cannot be reached is told, and the next one asked.
    """
    failure: BackupPlaceUnreachable | None = None
    for target in _chosen(settings, place):
        try:
            if target.listed(f"{wanted}/{MANIFEST}"):
                return target
        except BackupPlaceUnreachable as error:
            failure = error
            say(error.message)
    raise failure or BackupNotFound(wanted)


def named(
    settings: Settings, wanted: str, place: str | None = None, *, say: Say = unsaid, clock: Clock = utc_now
) -> str:
    """The whole name of a backup from what people write: `latest`, its name, or the beginning of it.

    Only `place` is asked, if it is given. Of several, one that cannot be reached is told: `latest` is then what the
    others have. What says that it was made in the future is never `latest` while there is anything else.
    """
    places = _chosen(settings, place)
    found: set[str] = set()
    failure: BackupPlaceUnreachable | None = None
    for target in places:
        try:
            artefacts = target.listed(manifest.NAMES if wanted == LATEST else wanted)
        except BackupPlaceUnreachable as error:
            failure = error
            say(error.message)
            continue
        names = [artefact.name for artefact in artefacts]
        found |= {name.partition("/")[0] for name in names if name.endswith(f"/{MANIFEST}")}
    ids = sorted(one for one in found if manifest.moment_of(one) is not None)
    if wanted in ids:
        return wanted
    if wanted == LATEST and ids:
        until = clock() + AHEAD
        return max((one for one in ids if not _is_after(one, until)), default=ids[-1])
    if len(ids) == 1:
        return ids[0]
    raise failure or (NoBackupYet(places[0].address) if wanted == LATEST else BackupNotFound(wanted))


def newest(backups: Sequence[Listed], kind: str, now: datetime | None = None) -> Listed | None:
    """The newest of a kind. One that says it was made later than now, under a clock that was wrong, is none."""
    until = (now or utc_now()) + AHEAD
    known = (one for one in backups if one.manifest is not None and one.manifest.kind == kind)
    return next((one for one in known if one.manifest and one.manifest.started_at <= until), None)


def _is_after(backup: str, until: datetime) -> bool:
    at = manifest.moment_of(backup)
    return at is not None and at > until


def _chosen(settings: Settings, place: str | None) -> list[Target]:
    """The places to ask: all, or the one with this address."""
    places = targets_of(settings)
    chosen = [target for target in places if place is None or target.address == place]
    if not chosen:
        raise BackupPlaceUnknown(place or "", [target.address for target in places])
    return chosen
