"""What tasks of maintenance are made of: steps with a reason, and the means to take them."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from weft.db.database import Connection
    from weft.ops.installation import Addresses
    from weft.settings import Settings


@dataclass(frozen=True, slots=True)
class Thresholds:
    """From when on something is worth its work. Shares are of the whole."""

    dead_rows: int = 1_000
    dead_share: float = 0.05
    inserted_rows: int = 100_000
    inserted_share: float = 0.1
    changed_rows: int = 1_000
    changed_share: float = 0.05
    freeze_age: int = 150_000_000
    """Transactions since the oldest row of a table was frozen; autovacuum comes by force at 200 million."""
    wasted_bytes: int = 10_000_000
    wasted_share: float = 0.3
    pages: int = 128
    """Tables and indexes smaller than this are never worth a look for bloat."""


@dataclass(frozen=True, slots=True)
class Means:
    """What a task works with. `owner` is a connection of the schema's owner, outside any transaction."""

    owner: Connection
    addresses: Addresses
    settings: Settings
    now: datetime
    thresholds: Thresholds = Thresholds()


@dataclass(frozen=True, slots=True)
class Step:
    """One thing to do, and why. `act` hands back what came of it; without it the step is only a report."""

    what: str
    why: str
    act: Callable[[], Awaitable[str]] | None = None


class Plan(Protocol):
    """The steps that a task would take now."""

    def __call__(self, means: Means) -> Awaitable[list[Step]]: ...


def sql(means: Means, statement: str) -> Callable[[], Awaitable[str]]:
    """A step that is one statement, outside any transaction."""

    async def act() -> str:
        await means.owner.execute(statement)
        return "done"

    return act


def quoted(name: str) -> str:
    """A name of the schema `weft` in SQL."""
    return 'weft."' + name.replace('"', '""') + '"'


def counted(number: int, word: str) -> str:
    return f"{number:,} {word}{'' if number == 1 else 's'}"


def megabytes(size: float) -> str:
    """A size for people."""
    for unit in ("bytes", "kB", "MB", "GB"):
        if size < 1024 or unit == "GB":
            return f"{size:,.0f} {unit}" if unit == "bytes" else f"{size:,.1f} {unit}"
        size /= 1024
    raise AssertionError("unreachable")
