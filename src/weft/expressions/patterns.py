"""Regular expressions that tenants write, matched in bounded time and memory.

They go through the JSON Schema engine's own matcher (dialect of ECMA-262, found anywhere unless `^` and `$` say
otherwise), never through Python's `re`, which a short pattern can occupy for hours.
"""

from __future__ import annotations

from functools import lru_cache
from typing import TYPE_CHECKING, NamedTuple

from weft.core.errors import Issue
from weft.expressions.errors import PatternFailed

if TYPE_CHECKING:
    from jsonschema_rs import Validator

MAX_PATTERN = 1_000
"""Characters of a pattern."""


class _Limits(NamedTuple):
    """What one kind of pattern may cost. Together they keep a match under some 50 ms."""

    size: int  # bytes of the compiled pattern: counted repetitions multiply
    text: int  # characters of a text


# Without look-around and references to groups a match takes time by the product of both sizes, and no more.
_LINEAR = _Limits(size=128 * 1024, text=16_384)
# With them it may take the square of the text, and go back; going back is counted.
_BACKTRACKING = _Limits(size=32 * 1024, text=2_048)
_BACKTRACK_LIMIT = 20_000
_STATE_CACHE = 1 << 20  # bytes


class _Pattern(NamedTuple):
    validator: Validator
    limits: _Limits


def safe_matches(pattern: str, text: str) -> bool:
    """Whether the pattern is found in the text.

    Raises PatternFailed for a pattern that `check_pattern` would refuse, and when text or pattern are too costly to
    decide: a condition must not become false in silence because a limit was met.
    """
    compiled = _compiled(pattern)
    if compiled is None:
        raise PatternFailed(_sentence(pattern))
    if len(text) > compiled.limits.text:
        raise PatternFailed(
            f"The text has {len(text):,} characters, and this pattern is matched against at most "
            f"{compiled.limits.text:,}. Match a shorter field, or a pattern without look-around."
        )
    from jsonschema_rs import ValidationError, ValidationErrorKind

    try:
        compiled.validator.validate(text)
    except ValidationError as error:
        if isinstance(error.kind, ValidationErrorKind.Pattern):
            return False
        raise PatternFailed(
            "This pattern takes too many steps for this text. Avoid look-around, references to groups, and "
            "repetition inside repetition."
        ) from None
    except (UnicodeError, ValueError) as error:
        raise PatternFailed("The text holds half a character (a lone surrogate).") from error
    return True


def check_pattern(pattern: str, path: tuple[str | int, ...] = ()) -> Issue | None:
    """What is wrong with a pattern, at `path` of the document; None when it can be used."""
    if _compiled(pattern) is not None:
        return None
    return Issue(_sentence(pattern), path, "pattern_invalid")


def _sentence(pattern: str) -> str:
    if len(pattern) > MAX_PATTERN:
        return f"A pattern has at most {MAX_PATTERN:,} characters, and this has {len(pattern):,}."
    return (
        f"`{pattern[:100]}` is not a pattern that can be used: check brackets and escapes, and keep counted "
        "repetitions such as {1000} small."
    )


@lru_cache(maxsize=1024)
def _compiled(pattern: str) -> _Pattern | None:
    if len(pattern) > MAX_PATTERN:
        return None
    from jsonschema_rs import FancyRegexOptions, RegexOptions, ValidationError, validator_for

    schema = {"type": "string", "pattern": pattern}
    for limits, options in (
        (_LINEAR, RegexOptions(size_limit=_LINEAR.size, dfa_size_limit=_STATE_CACHE)),
        (
            _BACKTRACKING,
            FancyRegexOptions(
                backtrack_limit=_BACKTRACK_LIMIT, size_limit=_BACKTRACKING.size, dfa_size_limit=_STATE_CACHE
            ),
        ),
    ):
        try:
            return _Pattern(validator_for(schema, pattern_options=options, offline=True), limits)
        except (ValidationError, ValueError):
            continue
    return None
