"""Which backups are kept: grandfathers, fathers and sons. Deciding is pure; `prune` does it in every place.

Of each of the newest so many days, weeks, months and years the last backup is kept, and the newest few in any case. The
newest one that a restore proved is never deleted, however old it is, and what cannot be read is left for people. What
failed a restore stands for no period that has a better one.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any, Final
from zoneinfo import ZoneInfo

from weft.core.clock import utc_now
from weft.core.errors import WeftError
from weft.ops.backup import catalogue, manifest
from weft.ops.backup.catalogue import Listed
from weft.ops.backup.health import AHEAD
from weft.ops.backup.manifest import MANIFEST
from weft.ops.backup.proving import LOGICAL
from weft.ops.backup.targets import PARTS_KEPT, Target, targets_of
from weft.ops.backup.telling import Say
from weft.settings import Settings
from weft.settings_backup import BackupSettings

LATEST, VERIFIED, UNREADABLE, OTHER, AHEAD_OF_TIME = "latest", "verified", "unreadable", "other kind", "ahead of time"

_PERIODS: Final[dict[str, Callable[[datetime], tuple[int, ...]]]] = {
    "daily": lambda at: (at.year, at.month, at.day),
    "weekly": lambda at: at.isocalendar()[:2],
    "monthly": lambda at: (at.year, at.month),
    "yearly": lambda at: (at.year,),
}


@dataclass(frozen=True, slots=True)
class Policy:
    """How many of each sort are kept; days and the rest begin at midnight of `zone`."""

    latest: int = 3
    daily: int = 7
    weekly: int = 4
    monthly: int = 12
    yearly: int = 3
    zone: ZoneInfo = field(default_factory=lambda: ZoneInfo("UTC"))

    @staticmethod
    def of(said: BackupSettings) -> Policy:
        return Policy(
            said.keep_latest,
            said.keep_daily,
            said.keep_weekly,
            said.keep_monthly,
            said.keep_yearly,
            ZoneInfo(said.timezone),
        )


def classes(
    times: Sequence[tuple[str, datetime]], policy: Policy, failed: Collection[str] = ()
) -> dict[str, list[str]]:
    """What each backup is kept as, by its id; nothing: it may go. The last backup of a period stands for it.

    Those that `failed` a restore stand for nothing as long as there are others: they are kept as the newest only, and
    do not take that place from a good one either.
    """
    newest_first = sorted(times, key=lambda one: (one[1], one[0]), reverse=True)
    kept: dict[str, list[str]] = {backup: [] for backup, _ in newest_first}
    good = [one for one in newest_first if one[0] not in failed] or newest_first
    latest = {backup for some in (newest_first, good) for backup, _ in some[: policy.latest]}
    for backup in latest:
        kept[backup].append(LATEST)
    for name, period in _PERIODS.items():
        most: int = getattr(policy, name)
        seen: set[tuple[int, ...]] = set()
        for backup, at in good:
            key = period(at.astimezone(policy.zone))
            if key not in seen and len(seen) < most:
                seen.add(key)
                kept[backup].append(name)
    return kept


def classify(backups: Sequence[Listed], policy: Policy, now: datetime) -> None:
    """Write into each backup what it is kept as. What is of the future would be the newest of everything for years:
    it stands for nothing, and is left for people."""
    known = [(one.id, one.manifest) for one in backups if one.manifest is not None]
    failed = {one.id for one in backups if one.failure is not None}
    ahead = {backup for backup, made in known if made.started_at > now + AHEAD}
    times = [(backup, made.started_at) for backup, made in known if made.kind == LOGICAL and backup not in ahead]
    kept = classes(times, policy, failed)
    for one in backups:
        if one.manifest is None:
            one.keeps = [UNREADABLE]
        elif one.id in ahead:
            one.keeps = [AHEAD_OF_TIME]
        else:
            one.keeps = kept.get(one.id, [OTHER])
    proved = [one for one in backups if one.id in kept and one.verified_at is not None]
    for one in sorted(proved, key=lambda one: one.id in failed)[:1]:  # a stable sort: the newest good one, if any
        one.keeps.append(VERIFIED)


@dataclass(frozen=True, slots=True)
class Pruned:
    """What went, or would go."""

    backups: list[str]
    kept: int
    bytes: int
    failures: list[str]

    def as_json(self) -> dict[str, Any]:
        return {"deleted": self.backups, "kept": self.kept, "bytes": self.bytes, "failures": self.failures}


def listed(
    settings: Settings, identity: Path | None = None, *, now: datetime | None = None, say: Say | None = None
) -> list[Listed]:
    """Every backup with what it is kept as, the newest first. `say` as `catalogue.listed` has it."""
    found = catalogue.listed(settings, identity, say=say)
    classify(found, Policy.of(settings.backup), now or utc_now())
    return found


def prune(settings: Settings, now: datetime, *, dry_run: bool = False) -> Pruned:
    """Delete what nothing keeps, in every place, and what crashed writers left. A place that fails is in the result."""
    found = listed(settings, now=now)
    goes = [one for one in found if not one.keeps]
    failures: list[str] = []
    if not dry_run:
        for target in targets_of(settings):
            try:
                for one in goes:
                    remove(target, one.id)
                _sweep(target, now)
            except WeftError as error:
                failures.append(error.message)
    size = sum(one.manifest.bytes for one in goes if one.manifest is not None)
    return Pruned([one.id for one in goes], len(found) - len(goes), size, failures)


def remove(target: Target, backup: str) -> None:
    """Delete one backup; its manifest first, so that what is left of a crash here does not look like a backup."""
    target.delete([f"{backup}/{MANIFEST}"])
    target.delete([artefact.name for artefact in target.listed(f"{backup}/")])


def _sweep(target: Target, now: datetime) -> None:
    """What was begun and never finished: folders of our naming without a manifest, a day old."""
    target.sweep(now - PARTS_KEPT)
    names = [artefact.name for artefact in target.listed(manifest.NAMES)]
    whole = {name.partition("/")[0] for name in names if name.endswith(f"/{MANIFEST}")}
    for name in names:
        backup = name.partition("/")[0]
        began = manifest.moment_of(backup)
        if backup not in whole and began is not None and began < now - max(PARTS_KEPT, timedelta(days=1)):
            target.delete([name])
