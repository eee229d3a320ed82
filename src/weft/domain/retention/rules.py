"""How long finished executions are kept: what a tenant said, within what the installation allows. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, Final

from weft.domain.retention.errors import RetentionOutOfBounds

FOREVER: Final = "forever"


@dataclass(frozen=True, slots=True)
class Bounds:
    """What the installation says. `default_days` is for tenants that say nothing; None keeps everything."""

    default_days: int | None = None
    shortest_days: int = 1
    longest_days: int | None = None
    archive: bool = True


@dataclass(frozen=True, slots=True)
class Policy:
    """What holds for a tenant. `executions_days` None: nothing goes."""

    executions_days: int | None
    archive: bool

    def cutoff(self, now: datetime) -> datetime | None:
        """What had ended before this goes; None: nothing does."""
        return now - timedelta(days=self.executions_days) if self.executions_days is not None else None


def effective(stored: Mapping[str, Any], bounds: Bounds) -> Policy:
    """The policy that holds now: bounds that were narrowed later count as well."""
    said = stored.get("executions_days")
    days = bounds.default_days if said is None else (None if said == FOREVER else int(said))
    if bounds.longest_days is not None:
        days = bounds.longest_days if days is None else min(days, bounds.longest_days)
    if days is not None:
        days = max(days, bounds.shortest_days)
    archive = stored.get("archive")
    return Policy(days, archive if isinstance(archive, bool) else bounds.archive)


def require_within(said: int | str | None, bounds: Bounds) -> None:
    """Raise `RetentionOutOfBounds` for a length that the installation does not allow."""
    if said is None:
        return
    days = None if said == FOREVER else int(said)
    too_long = bounds.longest_days is not None and (days is None or days > bounds.longest_days)
    if too_long or (days is not None and days < bounds.shortest_days):
        raise RetentionOutOfBounds(days, bounds.shortest_days, bounds.longest_days)
