"""The definition document as a value: what is accepted at all, its canonical form, its hash, its written form.

Accepting is weaker than validating (`validation.py`) and much weaker than checking (`check.py`): a draft may be
half-drawn, but it must be storable as JSON and bounded.
"""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

import yaml

from weft.core.errors import Issue
from weft.domain.workflows.building import MAX_DEPTH, MAX_NODES, Path
from weft.domain.workflows.errors import DocumentUnreadable
from weft.domain.workflows.parsing import MAX_BYTES, Format, reads_as_text
from weft.interpreter.definition import FOR_EACH, LOOP

TOP_ORDER: Final = ("name", "description", "tags", "input", "compensate", "steps", "transitions", "output")
STEP_ORDER: Final = (
    "key",
    "type",
    "name",
    "description",
    "config",
    "split",
    "join",
    "retry",
    "timeout",
    "required",
    "on_error",
    "compensate",
    "max_visits",
    "cancels",
    "exclusive",
    "position",
)
TRANSITION_ORDER: Final = ("from", "to", "when", "default", "order", "label")
_UNUSUAL_BREAKS: Final = "\r\x85\u2028\u2029\ufeff"  # YAML would read them as line breaks, or drop them
_LARGEST: Final = 2**1024  # no float is larger


def accept(document: object) -> dict[str, Any]:
    """The document in canonical form, if it is an object that JSON can hold, within the limits.

    Whole floats become integers (`2.0` is `2`), so that the same numbers give the same hash whichever language or
    program wrote them. Raises `DocumentUnreadable` with the path of what cannot be kept.
    """
    if not isinstance(document, Mapping):
        raise DocumentUnreadable([Issue("A definition is an object with `name`, `steps` and `transitions`.")])
    budget = [MAX_NODES]
    accepted: dict[str, Any] = _accept(document, (), budget)
    size = len(canonical(accepted).encode())
    if size > MAX_BYTES:
        raise DocumentUnreadable(
            [Issue(f"The document has {size:,} bytes; the limit is {MAX_BYTES:,}. Move data out of it.")]
        )
    return accepted


def _accept(value: object, path: Path, budget: list[int]) -> Any:
    budget[0] -= 1
    if budget[0] < 0:
        raise _refused(f"The document has more than {MAX_NODES:,} values. Make it smaller.", ())
    if len(path) > MAX_DEPTH:
        raise _refused(f"Values are nested deeper than {MAX_DEPTH} levels. Flatten them.", path)
    match value:
        case None | bool():
            return value
        case str():
            return _accept_text(value, path)
        case int():
            if abs(value) > _LARGEST:
                raise _refused("This whole number is too large. Write it as text.", path)
            return value
        case float():
            if not math.isfinite(value):
                raise _refused("JSON has no infinite or undefined numbers. Write a finite number.", path)
            return int(value) if value.is_integer() else value  # jsonb would do it, and change the hash
        case Mapping():
            return {_accept_key(key, path): _accept(part, (*path, str(key)), budget) for key, part in value.items()}
        case list() | tuple():
            return [_accept(part, (*path, index), budget) for index, part in enumerate(value)]
        case _:
            raise _refused(f"A value of the type {type(value).__name__} cannot be kept as JSON.", path)


def _accept_key(key: object, path: Path) -> str:
    if not isinstance(key, str):
        raise _refused("The keys of an object must be text.", path)
    return _accept_text(key, path)


def _accept_text(text: str, path: Path) -> str:
    if "\0" in text or any("\ud800" <= char <= "\udfff" for char in text):
        raise _refused("The text holds a character that cannot be stored (NUL or half a surrogate pair).", path)
    return text


def _refused(message: str, path: Path) -> DocumentUnreadable:
    return DocumentUnreadable([Issue(message, path, "document_unreadable")])


def canonical(document: Mapping[str, Any]) -> str:
    """One text for one document: keys sorted, no blanks, Unicode as itself."""
    return json.dumps(document, sort_keys=True, separators=(",", ":"), ensure_ascii=False, allow_nan=False)


def content_hash(document: Mapping[str, Any]) -> str:
    """SHA-256 of the canonical form, in hexadecimal: equal for equal definitions, however they were written."""
    return hashlib.sha256(canonical(document).encode()).hexdigest()


# --- walking ----------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class PlacedStep:
    """A step of the document or of a body in it. `path` is `<for-each key>.<key>` in a body; `at` is its JSON path."""

    step: Mapping[str, Any]
    path: str
    at: Path
    around: str  # the path of the for-each around it, "" at the top
    order: int  # its place among the steps of its own level


@dataclass(frozen=True, slots=True)
class PlacedTransition:
    transition: Mapping[str, Any]
    at: Path
    around: str
    order: int

    def end(self, which: str) -> str:
        """The path of the step at the end `from` or `to`."""
        return joined(self.around, str(self.transition.get(which, "")))


def joined(around: str, key: str) -> str:
    return f"{around}.{key}" if around else key


def _objects(value: object) -> Iterator[tuple[int, Mapping[str, Any]]]:
    if isinstance(value, Sequence) and not isinstance(value, str):
        for index, part in enumerate(value):
            if isinstance(part, Mapping):
                yield index, part


def levels(document: Mapping[str, Any]) -> Iterator[tuple[Mapping[str, Any], Path, str]]:
    """The graph of the document and the graphs of all bodies in it: graph, JSON path, path of the for-each around."""
    waiting: list[tuple[Mapping[str, Any], Path, str]] = [(document, (), "")]
    while waiting:
        graph, at, around = waiting.pop(0)
        yield graph, at, around
        for index, step in _objects(graph.get("steps")):
            body = body_of(step)
            if body is not None:
                path = joined(around, str(step.get("key", "")))
                waiting.append((body, (*at, "steps", index, "config", "body"), path))


def body_of(step: Mapping[str, Any]) -> Mapping[str, Any] | None:
    """The nested graph of a for-each or loop step, if it is one and has one."""
    config = step.get("config")
    if step.get("type") not in (FOR_EACH, LOOP) or not isinstance(config, Mapping):
        return None
    body = config.get("body")
    return body if isinstance(body, Mapping) else None


def each_step(document: Mapping[str, Any]) -> Iterator[PlacedStep]:
    """Every step, those of bodies included. Tolerates drafts: what is not a step is passed over."""
    for graph, at, around in levels(document):
        for index, step in _objects(graph.get("steps")):
            yield PlacedStep(step, joined(around, str(step.get("key", ""))), (*at, "steps", index), around, index)


def each_transition(document: Mapping[str, Any]) -> Iterator[PlacedTransition]:
    for graph, at, around in levels(document):
        for index, transition in _objects(graph.get("transitions")):
            yield PlacedTransition(transition, (*at, "transitions", index), around, index)


# --- writing ----------------------------------------------------------------------------------------------------


def write(document: Mapping[str, Any], format: Format = "yaml") -> str:  # noqa: A002  the word users see
    """The document as text for people and version control: always in the same order, and read back as the same."""
    ordered = _ordered(document)
    if format == "json":
        return json.dumps(ordered, indent=2, ensure_ascii=False) + "\n"
    text: str = yaml.dump(
        ordered, Dumper=_Writer, sort_keys=False, allow_unicode=True, width=120, default_flow_style=False
    )
    return text


def _ordered(document: Mapping[str, Any]) -> dict[str, Any]:
    """Known keys in the order people expect, all others by name; `jsonb` does not keep an order of its own."""
    top = _in_order(document, TOP_ORDER)
    for name, order in (("steps", STEP_ORDER), ("transitions", TRANSITION_ORDER)):
        if isinstance(top.get(name), list):
            top[name] = [_in_order(part, order) if isinstance(part, Mapping) else part for part in top[name]]
    for step in top.get("steps", ()) if isinstance(top.get("steps"), list) else ():
        body = body_of(step) if isinstance(step, Mapping) else None
        if body is not None:
            step["config"] = {**step["config"], "body": _ordered(body)}
    return top


def _in_order(value: Mapping[str, Any], order: Sequence[str]) -> dict[str, Any]:
    rank = {name: index for index, name in enumerate(order)}
    names = sorted(value, key=lambda name: (rank.get(name, len(rank)), name))
    return {name: value[name] if name in ("steps", "transitions") else _sorted(value[name]) for name in names}


def _sorted(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {name: _sorted(value[name]) for name in sorted(value)}
    if isinstance(value, list):
        return [_sorted(part) for part in value]
    return value


class _Writer(yaml.SafeDumper):
    """Block style, no aliases, long text as `|` blocks, and quotes wherever some reader might see another type."""

    def ignore_aliases(self, data: Any) -> bool:
        del data
        return True


def _write_text(writer: yaml.SafeDumper, text: str) -> yaml.ScalarNode:
    """Long text as a block. PyYAML quotes what YAML 1.1 would misread; what YAML 1.2 would, is quoted here."""
    style = None
    if any(char in text for char in _UNUSUAL_BREAKS):
        style = '"'
    elif "\n" in text and not any(line.endswith((" ", "\t")) for line in text.split("\n")):
        style = "|"
    elif not reads_as_text(text):
        style = "'"
    return writer.represent_scalar("tag:yaml.org,2002:str", text, style=style)


_Writer.add_representer(str, _write_text)
