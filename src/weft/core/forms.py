"""What the regular expressions of names and keys mean, in words, for whoever wrote something else.

TYPE_PATTERN = form(r"^[a-z]+$", "small letters")
"""

from __future__ import annotations

from typing import Final

_WORDS: Final[dict[str, str]] = {}


def form(pattern: str, words: str) -> str:
    """The pattern itself; from now on `in_words` knows it."""
    _WORDS[pattern] = words
    return pattern


def in_words(pattern: str) -> str:
    """What fits the pattern; the pattern itself where nobody has put it in words."""
    return _WORDS.get(pattern) or f"text of the form {pattern}"


VISIBLE_KEY: Final = form(r"^[\x21-\x7e]{1,200}$", "1 to 200 letters, digits and signs, without spaces")
NOT_BLANK: Final = form(r"\S", "text that is not blank")
