"""Every way an expression can be refused, at save or at run, and where in its text the cause stands."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from weft.core.errors import Exhausted, Invalid, Issue, Unavailable


class ExpressionInvalid(Invalid):
    """The text is not an expression of this language. Found when a definition is saved, never later.

    `issues` names each place: `path` leads to the string inside the configuration, `extra` holds `line`,
    `column`, `end_line`, `end_column` (from 1) and `start`, `end` (characters from 0, end excluded) in it.
    """

    code = "expression_invalid"

    def __init__(self, issues: Sequence[Issue]) -> None:
        super().__init__(issues[0].message if issues else "This expression cannot be read.", issues=issues)


class ExpressionFailed(Invalid):
    """A valid expression that does not work out with the data at hand."""

    code = "expression_failed"

    def __init__(self, message: str, *, extra: Mapping[str, Any] | None = None) -> None:
        issue = Issue(message, code=self.code, extra=extra or {})
        super().__init__(message, issues=(issue,))


class ExpressionTooSlow(ExpressionFailed):
    code = "expression_too_slow"


class ExpressionTooLarge(ExpressionFailed):
    code = "expression_too_large"


class ExpressionCrashed(ExpressionFailed):
    code = "expression_crashed"


class ConditionNotBoolean(ExpressionFailed):
    code = "condition_not_boolean"


class PatternFailed(ExpressionFailed):
    """A pattern that cannot be read, or not be decided for this text within its limits."""

    code = "pattern_failed"


class GuardBusy(Exhausted):
    """Too many evaluations wait already. Nothing was evaluated."""

    code = "guard_busy"


class GuardUnavailable(Unavailable):
    """The guard was closed or its child processes cannot be started. Nothing was evaluated."""

    code = "guard_unavailable"


_BY_CODE: Mapping[str, type[ExpressionFailed]] = {
    kind.code: kind for kind in (ExpressionFailed, ExpressionTooSlow, ExpressionTooLarge, ExpressionCrashed)
}


def failed(code: str, message: str, extra: Mapping[str, Any] | None = None) -> ExpressionFailed:
    """The error for a failure that came as values, from another process for instance."""
    return _BY_CODE.get(code, ExpressionFailed)(message, extra=extra)
