"""What a template may be called and what it may read. Pure."""

from __future__ import annotations

import re
from typing import Final

from weft.domain.templates.errors import LONGEST_NAME

ROOT: Final = "data"
"""The one thing that a template reads: what the step gives it."""
LONGEST_SUBJECT: Final = 500
LONGEST_TEXT: Final = 60_000

_NAME: Final = re.compile(r"[A-Za-z0-9](?:[A-Za-z0-9._-]*[A-Za-z0-9])?")


def is_name(text: str) -> bool:
    return len(text) <= LONGEST_NAME and _NAME.fullmatch(text) is not None
