"""Which backups there are, where, and what is known of each. The places are asked: they survive the database."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Any, Final

from weft.core.errors import WeftError
from weft.ops.backup import manifest
from weft.ops.backup.errors import BackupNotFound, BackupPlaceUnknown, BackupPlaceUnreachable, NoBackupYet
from weft.ops.backup.manifest import MANIFEST, PROOF, Manifest
from weft.ops.backup.proofs import Proof, read_proof
from weft.ops.backup.sealing import trusted_signers
from weft.ops.backup.targets import Target, targets_of
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


def listed(settings: Settings, identity: Path | None = None) -> list[Listed]:
    """Every backup, the newest first. The first place must answer; what a copy's place does not say is not listed."""
    first, *others = targets_of(settings)
    signers = trusted_signers(settings, identity)
    found: dict[str, Listed] = {}
    for target in (first, *others):
        try:
            names = {artefact.name for artefact in target.listed(manifest.NAMES)}
        except BackupPlaceUnreachable:
            if target is first:
                raise
            continue
        for name in sorted(names):
            backup, _, rest = name.partition("/")
            if rest != MANIFEST or manifest.moment_of(backup) is None:
                continue
            known = found.setdefault(backup, Listed(backup, []))
            known.places.append(target.address)
            _learn(known, target, signers, has_proof=f"{backup}/{PROOF}" in names)
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


def find(settings: Settings, wanted: str, place: str | None = None) -> Target:
    """A place that has a backup, by its whole name (see `named`): the first one, or the one with this address."""
    places = targets_of(settings)
    chosen = [target for target in places if place is None or target.address == place]
    if not chosen:
        raise BackupPlaceUnknown(place or "", [target.address for target in places])
    for target in chosen:
        if target.listed(f"{wanted}/{MANIFEST}"):
            return target
    raise BackupNotFound(wanted)


def named(settings: Settings, wanted: str) -> str:
    """The whole name of a backup from what people write: `latest`, its name, or the beginning of it."""
    ids: list[str] = []
    targets = targets_of(settings)
    for target in targets:
        names = (artefact.name for artefact in target.listed(manifest.NAMES if wanted == LATEST else wanted))
        ids += [name.partition("/")[0] for name in names if name.endswith(f"/{MANIFEST}")]
    ids = sorted({one for one in ids if manifest.moment_of(one) is not None})
    if wanted == LATEST:
        if not ids:
            raise NoBackupYet(targets[0].address)
        return ids[-1]
    if wanted in ids:
        return wanted
    if len(ids) != 1:
        raise BackupNotFound(wanted)
    return ids[0]


def newest(backups: Sequence[Listed], kind: str) -> Listed | None:
    return next((one for one in backups if one.manifest is not None and one.manifest.kind == kind), None)
