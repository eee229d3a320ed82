"""Values that fit a JSON Schema: made-up inputs, and answers of steps whose outputs are known. Pure.

Not every schema can be met by drawing; whoever needs certainty validates what comes out and draws again.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any, Final, TypeAlias

from weft.engine.simulation.draws import Draws
from weft.engine.simulation.patterns import PatternUnknown, text_for

Schema: TypeAlias = Mapping[str, Any] | bool

DEEPEST: Final = 12
"""Levels; a schema that refers to itself ends here, with the least that is required."""
MOST_ITEMS: Final = 4
"""Items of a list beyond the least, unless the schema allows fewer."""
USUAL: Final = 1_000_000
"""Numbers without a closer bound stay below it: amounts of people, not of physics."""

_WORDS: Final = (
    "amber", "birch", "cedar", "delta", "ember", "fjord", "grove", "hazel", "iris", "juniper", "karst", "linden",
    "maple", "north", "olive", "pearl", "quartz", "river", "slate", "thyme", "umber", "violet", "willow", "yarrow",
)  # fmt: skip
_EPOCH: Final = datetime(2026, 1, 1, tzinfo=UTC)


MOST_VALUES: Final = 5_000
"""Values of one sample: objects, lists and what is in them. What is beyond is null."""


def sample(schema: Schema | None, draws: Draws, budget: list[int] | None = None) -> Any:
    """A value drawn for the schema; an empty object when nothing is known of it, or it is beyond all bounds.

    `budget` holds how many values may still be drawn, by several samples together.
    """
    if schema is None:
        return {}
    try:
        return _Sampler(schema, draws, budget if budget is not None else [MOST_VALUES]).value(schema, 0)
    except (ArithmeticError, ValueError, TypeError, RecursionError):  # numbers that no float holds, and the like
        return {}


class _Sampler:
    def __init__(self, root: Schema, draws: Draws, budget: list[int]) -> None:
        self._root = root
        self._draws = draws
        self._budget = budget

    def value(self, schema: Schema, depth: int) -> Any:
        self._budget[0] -= 1
        if self._budget[0] < 0:
            return None
        if isinstance(schema, bool):
            return {} if schema else None
        schema = self._merged(schema, depth)
        if "const" in schema:
            return schema["const"]
        if schema.get("enum"):
            return self._draws.one_of(schema["enum"])
        kind = self._kind(schema, depth)
        match kind:
            case "object":
                return self._object(schema, depth)
            case "array":
                return self._array(schema, depth)
            case "string":
                return self._text(schema)
            case "integer" | "number":
                return self._number(schema, whole=kind == "integer")
            case "boolean":
                return self._draws.chance(0.5)
            case _:
                return None

    def _merged(self, schema: Mapping[str, Any], depth: int) -> dict[str, Any]:
        """References followed, `allOf` joined, one of the alternatives chosen."""
        found = dict(schema)
        self._budget[0] -= 1
        if self._budget[0] < 0:
            return found
        hops = 0
        while isinstance(reference := found.pop("$ref", None), str) and hops < DEEPEST:
            found = _joined(dict(self._referred(reference)), found)
            hops += 1
        for part in found.pop("allOf", ()):
            if isinstance(part, Mapping) and depth < DEEPEST:
                found = _joined(found, self._merged(part, depth + 1))
        for word in ("anyOf", "oneOf"):
            options = [option for option in found.pop(word, ()) if isinstance(option, Mapping)]
            if options and depth < DEEPEST:
                found = _joined(found, self._merged(self._draws.one_of(options), depth + 1))
        return found

    def _referred(self, reference: str) -> Mapping[str, Any]:
        place: Any = self._root
        for part in reference.removeprefix("#").split("/")[1:]:
            key = part.replace("~1", "/").replace("~0", "~")
            place = place.get(key, {}) if isinstance(place, Mapping) else {}
        return place if isinstance(place, Mapping) else {}

    def _kind(self, schema: Mapping[str, Any], depth: int) -> str:
        kinds = schema.get("type")
        if isinstance(kinds, str):
            return kinds
        if isinstance(kinds, Sequence) and kinds:
            real = [kind for kind in kinds if kind != "null"]
            least = [kind for kind in kinds if kind not in ("object", "array")]
            return str(self._draws.one_of(least if depth >= DEEPEST and least else real or list(kinds)))
        for word, kind in (
            ("properties", "object"), ("required", "object"), ("items", "array"), ("pattern", "string"),
            ("format", "string"), ("minLength", "string"), ("maxLength", "string"), ("minimum", "number"),
            ("maximum", "number"), ("exclusiveMinimum", "number"), ("multipleOf", "number"),
        ):  # fmt: skip
            if word in schema:
                return kind
        return "object"

    # -- objects and lists ---------------------------------------------------------------------------------

    def _object(self, schema: Mapping[str, Any], depth: int) -> dict[str, Any]:
        properties = schema.get("properties") or {}
        required = list(schema.get("required") or ())
        found: dict[str, Any] = {}
        for name, part in properties.items():
            if name in required or (depth < DEEPEST and self._draws.chance(0.5)):
                found[name] = self.value(part, depth + 1)
        others = schema.get("additionalProperties", True)
        for name in required:
            if name not in found:
                found[name] = self.value(others, depth + 1) if isinstance(others, Mapping) else self._word()
        while len(found) < min(int(schema.get("minProperties", 0)), 100) and others is not False:
            name = f"{self._word()}_{len(found)}"
            found[name] = self.value(others, depth + 1) if isinstance(others, Mapping) else self._word()
        return found

    def _array(self, schema: Mapping[str, Any], depth: int) -> list[Any]:
        first = schema.get("prefixItems") or []
        least = int(schema.get("minItems", len(first)))
        most = int(schema.get("maxItems", max(least, MOST_ITEMS)))
        usual = min(most, max(least, MOST_ITEMS)) if depth < DEEPEST else least
        count = self._draws.whole(min(least, 1_000), min(max(usual, least), 1_000))
        rest = schema.get("items", {"type": "string"})
        found: list[Any] = []
        for tried in range(count * 10):
            if len(found) >= count or self._budget[0] < 0:
                break
            item = self.value(first[len(found)] if len(found) < len(first) else rest, depth + 1)
            if not schema.get("uniqueItems") or item not in found or tried > count * 9:
                found.append(item)
        return found

    # -- texts and numbers ---------------------------------------------------------------------------------

    def _word(self) -> str:
        return self._draws.one_of(_WORDS)

    def _text(self, schema: Mapping[str, Any]) -> str:
        pattern = schema.get("pattern")
        least, most = int(schema.get("minLength", 0)), int(schema.get("maxLength", 10_000))
        if isinstance(pattern, str):
            try:
                return text_for(pattern, self._draws)
            except PatternUnknown:
                pass
        if isinstance(form := schema.get("format"), str) and (text := self._formatted(form)) is not None:
            return text
        text = " ".join(self._word() for _ in range(self._draws.whole(1, 3)))
        while len(text) < min(least, 10_000):
            text += " " + self._word()
        return text[:most] if most >= 0 else text

    def _formatted(self, form: str) -> str | None:
        moment = _EPOCH + timedelta(seconds=self._draws.whole(0, 365 * 86_400))
        match form:
            case "date-time":
                return moment.isoformat().replace("+00:00", "Z")
            case "date":
                return moment.date().isoformat()
            case "time":
                return moment.strftime("%H:%M:%SZ")
            case "duration":
                return f"PT{self._draws.whole(1, 600)}S"
            case "email" | "idn-email":
                return f"{self._word()}.{self._word()}@example.com"
            case "hostname" | "idn-hostname":
                return f"{self._word()}.example.com"
            case "uri" | "uri-reference" | "iri" | "iri-reference":
                return f"https://{self._word()}.example.com/{self._word()}"
            case "uuid":
                text = f"{self._draws.bits():016x}{self._draws.bits():016x}"
                return f"{text[:8]}-{text[8:12]}-4{text[13:16]}-8{text[17:20]}-{text[20:]}"
            case "ipv4":
                return f"192.0.2.{self._draws.whole(1, 254)}"
            case "ipv6":
                return f"2001:db8::{self._draws.whole(1, 65_535):x}"
            case _:
                return None

    def _number(self, schema: Mapping[str, Any], *, whole: bool) -> int | float:
        step = schema.get("multipleOf")
        low, high = _bounds(schema, whole=whole)
        if isinstance(step, int | float) and step > 0:
            first = math.ceil(low / step - 1e-9)
            found = self._draws.whole(first, max(first, math.floor(high / step + 1e-9))) * step
            return int(found) if float(found).is_integer() else found
        if self._draws.chance(0.06):
            edge = self._draws.one_of((low, high, 0.0 if low <= 0 <= high else low))
            return int(edge) if whole or float(edge).is_integer() else edge
        found = self._drawn(low, high)
        if whole:
            return min(max(round(found), math.ceil(low)), math.floor(high))
        rounded = round(found, 2)
        return rounded if low <= rounded <= high else found

    def _drawn(self, low: float, high: float) -> float:
        """Evenly within a narrow range; in a wide one by magnitude, so that small numbers are not rare."""
        if high - low <= 10_000:
            return self._draws.between(low, high)
        start = max(low, 0.0) if high > 0 and not (low < 0 and self._draws.chance(0.15)) else None
        if start is None:
            top = min(-low, USUAL) if low < 0 else 1.0
            return max(low, -math.exp(self._draws.between(0.0, math.log(max(top, 1.0)))))
        reach = math.exp(self._draws.between(0.0, math.log(max(min(high - start, USUAL), 1.0))))
        return min(high, start + reach)


def _bounds(schema: Mapping[str, Any], *, whole: bool) -> tuple[float, float]:
    tiny = 1.0 if whole else 0.01
    low, high = schema.get("minimum"), schema.get("maximum")
    if isinstance(above := schema.get("exclusiveMinimum"), int | float) and not isinstance(above, bool):
        low = above + tiny if low is None else max(low, above + tiny)
    if isinstance(below := schema.get("exclusiveMaximum"), int | float) and not isinstance(below, bool):
        high = below - tiny if high is None else min(high, below - tiny)
    if low is None:
        low = 0 if high is None or high > 0 else high - 1_000
    if high is None:
        high = max(1_000, low + 1_000)
    return float(low), float(max(low, high))


def _joined(one: dict[str, Any], other: Mapping[str, Any]) -> dict[str, Any]:
    """Both schemas at once, as far as drawing needs it: properties and required fields add up, the rest is replaced."""
    found = {**one, **other}
    for word in ("properties", "$defs"):
        if word in one and word in other:
            found[word] = {**one[word], **other[word]}
    if "required" in one and "required" in other:
        found["required"] = list(dict.fromkeys([*one["required"], *other["required"]]))
    return found
