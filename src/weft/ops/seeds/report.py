"""What a seed did, or would do: line by line for people, and whole for programs."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

Echo = Callable[[str], None]


@dataclass(slots=True)
class SeedReport:
    """What was made now, and what was there already; in the order in which it was looked at.

    `later` names what belongs to a system and comes with a later release. `shown` holds what is shown this once:
    passwords, keys and addresses that were made up.
    """

    profile: str
    systems: list[str] = field(default_factory=list)
    files: list[str] = field(default_factory=list)
    is_dry: bool = False
    made: list[str] = field(default_factory=list)
    kept: list[str] = field(default_factory=list)
    skipped: list[str] = field(default_factory=list)
    later: list[str] = field(default_factory=list)
    shown: list[tuple[str, str]] = field(default_factory=list, repr=False)
    echo: Echo = field(default=lambda _: None, repr=False)

    def add(self, thing: str, *, made: bool) -> None:
        (self.made if made else self.kept).append(thing)
        self.echo(f"{('would make' if self.is_dry else 'made') if made else 'kept'}  {thing}")

    def skip(self, thing: str, reason: str) -> None:
        self.skipped.append(f"{thing}: {reason}")
        self.echo(f"skipped  {thing}: {reason}")

    def put_off(self, system: str, thing: str) -> None:
        self.later.append(f"{system}: {thing}")
        self.echo(f"later  {system}: {thing}")

    def show(self, what: str, value: str) -> None:
        """Said before it is stored, so that a crash cannot lose it: what was said last is what holds."""
        self.shown.append((what, value))
        self.echo(f"shown this once  {what}: {value}")

    def as_json(self) -> dict[str, Any]:
        return {
            "profile": self.profile,
            "systems": self.systems,
            "files": self.files,
            "dry_run": self.is_dry,
            "made": self.made,
            "kept": self.kept,
            "skipped": self.skipped,
            "later": self.later,
            "shown_once": [{"what": what, "value": value} for what, value in self.shown],
        }
