"""Development, staging, production: what each allows, in one table that every command asks.

An installation's profile says what it is for. A command that could hurt names what it is about to do and asks here;
nothing else in weft compares the profile's name before it changes or deletes something. The profile that counts is the
one in force, see `weft.ops.profiles`: a database remembers what it was served as.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from enum import StrEnum
from typing import Final

from weft.core.errors import Forbidden, Invalid

PROFILES: Final = ("development", "staging", "production")


class Verdict(StrEnum):
    """`asks`: only after somebody said yes, or with --yes."""

    allowed = "allowed"
    asks = "asks"
    refused = "refused"


class Action(StrEnum):
    migrate = "migrate"
    migrate_without_backup = "migrate without a backup"
    rollback = "roll back"
    rollback_dropping_tables = "roll back what drops tables"
    rollback_contract = "roll back a contract revision"
    reset = "reset"
    push = "push"
    known_passwords = "seed well-known passwords"


@dataclass(frozen=True, slots=True)
class Rule:
    """One line of the table: the verdict of each profile, and what to do where it is refused."""

    development: Verdict
    staging: Verdict
    production: Verdict
    instead: str
    sentence: str

    def verdict(self, profile: str) -> Verdict:
        """What this profile says. The settings know no others."""
        return Verdict(getattr(self, profile))


class ProfileUnknown(Invalid):
    code = "profile_unknown"

    def __init__(self, profile: str) -> None:
        super().__init__(f"There is no profile '{profile}'. These exist: {', '.join(PROFILES)}.")


class EnvironmentRefuses(Forbidden):
    """This profile never allows it, whoever asks."""

    code = "environment_refuses"

    def __init__(self, action: Action, profile: str, instead: str) -> None:
        super().__init__(
            f"This installation's profile is {profile}, which refuses to {action.value}. {instead} "
            "(`weft db environments` shows what the database is kept as, and what WEFT_PROFILE says.)"
        )


_ALLOWED, _ASKS, _REFUSED = Verdict.allowed, Verdict.asks, Verdict.refused

RULES: Final[dict[Action, Rule]] = {
    Action.migrate: Rule(
        _ALLOWED, _ALLOWED, _ASKS, "", "Apply revisions. In production a verified backup is made before."
    ),
    Action.migrate_without_backup: Rule(
        _ALLOWED,
        _ALLOWED,
        _ASKS,
        "",
        "Migrate although no verified backup was made just before. Production wants a reason, and records it.",
    ),
    Action.rollback: Rule(_ASKS, _ASKS, _ASKS, "", "Take back expand and backfill revisions."),
    Action.rollback_dropping_tables: Rule(
        _ASKS,
        _ASKS,
        _REFUSED,
        "Restore a backup (`weft db restore`), or go on with a revision that mends it.",
        "Take back revisions whose tables, and everything in them, would go.",
    ),
    Action.rollback_contract: Rule(
        _ASKS,
        _REFUSED,
        _REFUSED,
        "What a contract revision removed comes back from a backup only (`weft db restore`).",
        "Take back a contract revision: the schema comes back, what was removed does not.",
    ),
    Action.reset: Rule(
        _ASKS,
        _REFUSED,
        _REFUSED,
        "Everything would be lost. For an empty database make a new one: `weft db init`.",
        "Drop everything, migrate and seed again.",
    ),
    Action.push: Rule(
        _ASKS,
        _REFUSED,
        _REFUSED,
        "Write a revision (`weft db generate`) and migrate: other installations need it too.",
        "Change the schema to what the models say, without a revision.",
    ),
    Action.known_passwords: Rule(
        _ALLOWED,
        _REFUSED,
        _REFUSED,
        "Use --profile staging or production, or make a tenant of your own: `weft tenant create`.",
        "Make sign-ins whose passwords stand in the documentation.",
    ),
}


def require(profile: str, action: Action, ask: Callable[[], None] = lambda: None) -> None:
    """Pass, ask, or raise `EnvironmentRefuses`. `ask` raises when the answer is no."""
    rule = RULES[action]
    match rule.verdict(profile):
        case Verdict.refused:
            raise EnvironmentRefuses(action, profile, rule.instead)
        case Verdict.asks:
            ask()
        case Verdict.allowed:
            pass


def require_known(profile: str) -> None:
    """Raises `ProfileUnknown`."""
    if profile not in PROFILES:
        raise ProfileUnknown(profile)


def stricter(one: str, other: str | None) -> str:
    """Of two profiles the one that allows less; None is no opinion."""
    return one if other is None else max(one, other, key=PROFILES.index)


def table() -> list[dict[str, str]]:
    """Every action with the verdict of each profile, for people and programs."""
    return [
        {
            "action": action.value,
            **{profile: rule.verdict(profile).value for profile in PROFILES},
            "means": rule.sentence,
        }
        for action, rule in RULES.items()
    ]
