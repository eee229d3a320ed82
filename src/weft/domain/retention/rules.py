"""How long finished executions and journals are kept: what a tenant said, within what the installation allows. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, Final

from weft.domain.retention.errors import RetentionOutOfBounds

FOREVER: Final = "forever"


@dataclass(frozen=True, slots=True)
class Bounds:
    """What the installation says. The defaults are for tenants that say nothing; None keeps everything."""

    default_days: int | None = None
    shortest_days: int = 1
    longest_days: int | None = None
    archive: bool = True
    default_journal_days: int | None = None


@dataclass(frozen=True, slots=True)
class Policy:
    """What holds for a tenant. `executions_days` None: nothing goes. `journal_days` None: a journal goes with its
    execution."""

    executions_days: int | None
    archive: bool
    journal_days: int | None = None

    def cutoff(self, now: datetime) -> datetime | None:
        """What had ended before this goes; None: nothing does."""
        return now - timedelta(days=self.executions_days) if self.executions_days is not None else None

    def journal_cutoff(self, now: datetime) -> datetime | None:
        """The journal of what had ended before this goes; None: no journal goes before its execution."""
        return now - timedelta(days=self.journal_days) if self.journal_days is not None else None


def effective(stored: Mapping[str, Any], bounds: Bounds) -> Policy:
    """The policy that holds now: bounds that were narrowed later count as well."""
    days = _days(stored.get("executions_days"), bounds.default_days)
    if bounds.longest_days is not None:
        days = bounds.longest_days if days is None else min(days, bounds.longest_days)
    if days is not None:
        days = max(days, bounds.shortest_days)
    journal = _days(stored.get("journal_days"), bounds.default_journal_days)
    if journal is not None:
        journal = max(journal, bounds.shortest_days)
        if days is not None and journal >= days:
            journal = None
    archive = stored.get("archive")
    return Policy(days, archive if isinstance(archive, bool) else bounds.archive, journal)


def _days(said: Any, default: int | None) -> int | None:
    if said is None:
        return default
    return None if said == FOREVER else int(said)


def require_within(said: int | str | None, bounds: Bounds) -> None:
    """Raise `RetentionOutOfBounds` for a length that the installation does not allow."""
    if said is None:
        return
    days = None if said == FOREVER else int(said)
    too_long = bounds.longest_days is not None and (days is None or days > bounds.longest_days)
    if too_long or (days is not None and days < bounds.shortest_days):
        raise RetentionOutOfBounds(days, bounds.shortest_days, bounds.longest_days)


def require_long_enough(said: int | str | None, bounds: Bounds) -> None:
    """The same for journals, which no installation keeps from being kept with their executions."""
    if said is not None and said != FOREVER and int(said) < bounds.shortest_days:
        raise RetentionOutOfBounds(int(said), bounds.shortest_days, None)
