"""Words for types and correlations, and what is bounded. Pure."""

from __future__ import annotations

import re
from collections.abc import Mapping
from datetime import timedelta
from typing import Final

from weft.core.forms import form

TYPE_PATTERN: Final = form(
    r"^[A-Za-z][A-Za-z0-9_-]*(\.[A-Za-z0-9_-]+)*$",
    "words with dots between them, as in order.paid: letters, digits, _ and -, beginning with a letter",
)
MAX_TYPE: Final = 100
MAX_TYPES: Final = 20
"""Types that one step or trigger listens to."""
MAX_CORRELATION: Final = 200
MOST_AT_ONCE: Final = 100
"""Events of one request."""

KEPT: Final = timedelta(days=30)
"""How long an event is kept. A step that began later does not see it; a wait that is older than this goes on."""

DEEPEST: Final = 16
"""So many executions may lead to one another by events; what would be one more is refused: it is a loop."""

MOST_AGAIN: Final = 100
"""So often may what an event led to start again the triggers that it started; further it is a loop in breadth."""

ENDS: Final[Mapping[str, str]] = {
    "COMPLETED": "workflow.completed",
    "FAILED": "workflow.failed",
    "CANCELLED": "workflow.cancelled",
}
"""The status in which an execution ends, and the type of event that tells of it."""

ANSWERED: Final = "question.answered"

_TYPE: Final = re.compile(TYPE_PATTERN)


def is_type(word: str) -> bool:
    return len(word) <= MAX_TYPE and _TYPE.fullmatch(word) is not None


def is_reserved(word: str) -> bool:
    """Whether only weft itself says this."""
    return word.startswith(("workflow.", "question."))


def unlike(types: object) -> str | None:
    """What is wrong with the types that somebody wants to listen to, as a sentence; None if nothing is."""
    words = [types] if isinstance(types, str) else types
    if not isinstance(words, list) or not words or not all(isinstance(word, str) for word in words):
        return "Name the type of event to listen to, or a list of types."
    if len(words) > MAX_TYPES:
        return f"At most {MAX_TYPES} types can be listened to at once."
    wrong = next((word for word in words if not is_type(word)), None)
    if wrong is not None:
        return f"'{wrong[:60]}' is no type of event. Write words with dots between them, such as `order.paid`."
    known = (*ENDS.values(), ANSWERED)
    strange = next((word for word in words if is_reserved(word) and word not in known), None)
    return f"weft tells of no '{strange}'. It tells of {', '.join(known)}." if strange is not None else None


def tells_of_ends(types: str | list[str]) -> bool:
    words = [types] if isinstance(types, str) else types
    return any(word in ENDS.values() for word in words)
