"""Where a step's config refers to secrets, found once, when its version is compiled. Pure.

An expression never sees a secret. A reference as the author wrote it (`secret://name`, or `{{ secrets.name }}` within
a text) is replaced by a mark before the config is compiled; the mark goes through evaluation as plain text, and
gives way to the value at the moment of the call. The mark has a random part that nobody outside can know: text that
comes in with an execution's input, and happens to look like a reference, refers to nothing.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from secrets import token_hex
from typing import Any

from weft.domain.secrets import rules


@dataclass(frozen=True, slots=True)
class SecretPlaces:
    """The secrets that a config refers to, with the mark that stands for each."""

    marks: Mapping[str, str] = field(repr=False)

    @property
    def names(self) -> tuple[str, ...]:
        return tuple(self.marks)

    def filled(self, config: Any, values: Mapping[str, str]) -> Any:
        """The evaluated config with values where marks stood. Shares whatever had none."""
        pairs = [(mark, values[name]) for name, mark in self.marks.items()]
        return _filled(config, pairs)


def marked(config: Mapping[str, Any]) -> tuple[dict[str, Any], SecretPlaces | None]:
    """The config with its references replaced by marks; None when it has none."""
    names = _names(config)
    if not names:
        return dict(config), None
    nonce = token_hex(16)
    marks = {name: f"\ue000{nonce}.{name}\ue001" for name in names}
    return _marked(config, marks), SecretPlaces(marks)


def _names(config: Mapping[str, Any]) -> list[str]:
    found: dict[str, None] = {}
    for _, text in rules.texts_in(config):
        whole = rules.referred(text)
        for name in (whole,) if whole is not None else rules.names_in(text):
            if rules.is_name(name):
                found[name] = None
    return list(found)


def _marked(value: Any, marks: dict[str, str]) -> Any:
    match value:
        case str():
            return rules.replaced(value, marks)
        case Mapping():
            return {name: _marked(part, marks) for name, part in value.items()}
        case list() | tuple():
            return [_marked(part, marks) for part in value]
        case _:
            return value


def _filled(value: Any, pairs: list[tuple[str, str]]) -> Any:
    match value:
        case str():
            if "\ue000" in value:
                for mark, secret in pairs:
                    value = value.replace(mark, secret)
            return value
        case Mapping():
            return {name: _filled(part, pairs) for name, part in value.items()}
        case list() | tuple():
            return [_filled(part, pairs) for part in value]
        case _:
            return value
