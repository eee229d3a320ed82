"""Takes secrets out of what a step brings back, whatever way another system chose to write them. Pure.

The last line of defence, not the first: a system that is given a secret can write it in ways that nobody foresees.
What servers really do is covered: repeating it in a body, a header or a reason, encoded for a URL, for JSON or for
HTML, in base64 at any alignment (`Authorization: Basic`), in hexadecimal, or cut off at a limit of ours.
"""

from __future__ import annotations

import base64
import html
import json
from collections.abc import Iterable, Mapping
from dataclasses import replace
from typing import Any, Final
from urllib.parse import quote, quote_plus

from weft.engine.outcomes import Done, Failed, Outcome

HIDDEN: Final = "***"
SHORTEST: Final = 4
"""Characters. What is shorter stands in every text by chance."""
_TAIL: Final = 8
"""Characters of a secret from which on its beginning is hidden at the end of a text, which was cut off there."""
_HEAD: Final = 16
"""Characters of a secret from which on its beginning is hidden anywhere: messages repeat the beginnings of values."""


class Mask:
    """Hides these values. Made for one call and thrown away with it."""

    __slots__ = ("_forms", "_numbers")

    def __init__(self, values: Iterable[str]) -> None:
        kept = [value for value in values if len(value) >= SHORTEST]
        forms = {form for value in kept for form in _forms(value)}
        self._forms = sorted((form for form in forms if len(form) >= SHORTEST), key=len, reverse=True)
        self._numbers = [value for value in kept if value.replace(".", "").isdigit()]

    def text(self, text: str) -> str:
        for form in self._forms:
            if form in text:
                text = text.replace(form, HIDDEN)
        for form in self._forms:
            if len(form) > _HEAD and form[:_HEAD] in text:
                text = _without_heads(text, form)
        return self._without_tail(text)

    def value(self, value: Any) -> Any:
        """A JSON value with every text in it, names of fields included, free of secrets."""
        match value:
            case str():
                return self.text(value)
            case bool() | None:
                return value
            case int() | float():
                return HIDDEN if self._numbers and any(number in str(value) for number in self._numbers) else value
            case Mapping():
                return {self.text(str(name)): self.value(part) for name, part in value.items()}
            case list() | tuple():
                return [self.value(part) for part in value]
            case _:
                return value

    def outcome(self, outcome: Outcome) -> Outcome:
        """What came of a step, fit for the journal."""
        match outcome:
            case Done():
                return Done(
                    self.value(outcome.output),
                    self.value(outcome.variables),
                    None if outcome.message is None else self.text(outcome.message),
                )
            case Failed():
                return replace(
                    outcome,
                    kind=self.text(outcome.kind),
                    message=self.text(outcome.message),
                    data=self.value(outcome.data),
                )
            case _:
                return outcome

    def _without_tail(self, text: str) -> str:
        """The beginning of a secret at the very end, where an answer was cut off within it."""
        for form in self._forms:
            shortest = min(_TAIL, max(SHORTEST, len(form) // 2))
            for length in range(min(len(form) - 1, len(text)), shortest - 1, -1):
                if text.endswith(form[:length]):
                    return text[:-length] + HIDDEN
        return text


def _without_heads(text: str, form: str) -> str:
    """Wherever the text has the beginning of the form, as much of it as is there is hidden."""
    first, *rest = text.split(form[:_HEAD])
    kept = [first]
    for part in rest:
        same = 0
        while _HEAD + same < len(form) and same < len(part) and part[same] == form[_HEAD + same]:
            same += 1
        kept.append(part[same:])
    return HIDDEN.join(kept)


def _forms(value: str) -> Iterable[str]:
    """The value in every writing that is looked for."""
    raw = value.encode()
    written = {value, value.strip(), raw.decode("latin-1")}
    for text in tuple(written):
        yield text
        yield from (json.dumps(text)[1:-1], json.dumps(text, ensure_ascii=False)[1:-1])
        yield json.dumps(text)[1:-1].replace("/", "\\/")
        yield from (html.escape(text), html.escape(text, quote=False))
    for encoded in (quote(value), quote(value, safe=""), quote_plus(value)):
        yield encoded
        yield _lower_escapes(encoded)
    yield from (raw.hex(), raw.hex().upper())
    yield from _base64(raw)


def _lower_escapes(text: str) -> str:
    """`%2F` as others write it: `%2f`."""
    first, *rest = text.split("%")
    return "%".join([first, *(part[:2].lower() + part[2:] for part in rest)])


def _base64(raw: bytes) -> Iterable[str]:
    """How the bytes look in the base64 of any text around them: three alignments, without the characters at the
    edges, which the neighbours share."""
    for before in range(3):
        bits = 8 * before
        first = -(-bits // 6)
        last = (bits + 8 * len(raw)) // 6
        padded = b"\0" * before + raw + b"\0\0\0"
        for encode in (base64.b64encode, base64.urlsafe_b64encode):
            yield encode(padded).decode()[first:last]
