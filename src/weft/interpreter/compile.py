"""From the definition document to the graph that is interpreted.

The document's shape has been checked by a JSON Schema before it comes here; what a schema cannot see (who leads
where, and whether that can work) is found here. All faults are told at once, each naming its step.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Final

from weft.core.errors import Invalid, Issue
from weft.interpreter.definition import (
    COMPENSATE,
    FOR_EACH,
    LOOP,
    Backoff,
    Compensation,
    Definition,
    Graph,
    Join,
    JoinKind,
    Retry,
    Split,
    Step,
)
from weft.interpreter.durations import DurationUnclear, parse_duration
from weft.interpreter.exclusion import circles
from weft.interpreter.wiring import EVERY_OTHER, Path, Written, wire

NESTING: Final = 8
"""For-each steps and loops may contain one another this deep."""

_SPLITS: Final = {"condition": Split.one, "switch": Split.one, "parallel": Split.all}
_JOINS: Final = {"join": Join(JoinKind.all)}


class DefinitionFault(Invalid):
    """The definition cannot be run. `issues` has one entry for each fault."""

    code = "definition_fault"

    def __init__(self, issues: Sequence[Issue]) -> None:
        more = f" (and {len(issues) - 1} more)" if len(issues) > 1 else ""
        super().__init__(f"The workflow cannot run as it is written: {issues[0].message}{more}", issues=issues)


def compile_definition(document: Mapping[str, Any]) -> Definition:
    """The graph of a definition document. Raises `DefinitionFault` with every fault found."""
    issues: list[Issue] = []
    graph = _level(document, (), "", issues)
    if graph is None or issues:
        raise DefinitionFault(issues)
    definition = Definition(graph=graph, document=document, compensation=_compensation(document, graph))
    if definition.queues:
        _check_exclusion(definition)
    return definition


def _compensation(document: Mapping[str, Any], graph: Graph) -> Compensation:
    """When completed steps are undone: at every bad end, if any step can be, unless the document says otherwise."""
    word = document.get("compensate")
    if word is None:
        return Compensation.both if graph.handlers else Compensation.never
    try:
        return Compensation(word)
    except ValueError:
        sentence = "`compensate` must be 'on_failure', 'on_cancel', 'both' or 'never'."
        raise DefinitionFault([Issue(sentence, ("compensate",), "compensate_invalid")]) from None


def _check_exclusion(definition: Definition) -> None:
    places = definition.places()
    issues = [
        Issue(
            f"The for-each '{step.path}' is exclusive as '{step.exclusive}' while a step inside it waits for '{name}': "
            "they could wait for each other for ever. Give one of them another name, or take it away.",
            (*places[step.path], "exclusive"),
            "exclusive_circle",
        )
        for step, name in circles(definition)
    ]
    if issues:
        raise DefinitionFault(issues)


def _level(document: Mapping[str, Any], where: Path, prefix: str, issues: list[Issue]) -> Graph | None:
    before = len(issues)
    written: list[Written] = []
    for place, entry in enumerate(document.get("steps") or ()):
        spot = (*where, "steps", place)
        step = _Reader(entry, spot, prefix, issues).step()
        if step is not None:
            written.append(Written(step, spot))
    _distinct(written, issues)
    unreadable = len(issues) > before
    return wire(written, document.get("transitions") or (), where, issues, unreadable=unreadable)


def _distinct(written: Sequence[Written], issues: list[Issue]) -> None:
    seen: set[str] = set()
    for step, where in written:
        if step.key in seen:
            issues.append(
                Issue(
                    f"There are two steps with the key '{step.key}'; give one of them another key.",
                    (*where, "key"),
                    "step_key_taken",
                )
            )
        seen.add(step.key)


class _Reader:
    """Reads one step; what is wrong with it goes to `issues`, and reading goes on with the default."""

    def __init__(self, entry: Mapping[str, Any], where: Path, prefix: str, issues: list[Issue]) -> None:
        self._entry = entry
        self._where = where
        self._prefix = prefix
        self._issues = issues
        self._key = entry.get("key")
        self._config: Mapping[str, Any] = entry.get("config") or {}

    def step(self) -> Step | None:
        key, kind = self._key, self._entry.get("type")
        if not isinstance(key, str) or not key or "." in key:
            self._fault("A step needs a key: a word without dots, unique in its workflow.", "step_key_invalid", "key")
            return None
        if not isinstance(kind, str) or not kind:
            self._fault(f"Step '{key}' has no type; say what it does.", "step_type_missing", "type")
            return None
        path = f"{self._prefix}.{key}" if self._prefix else key
        return Step(
            key=key,
            kind=kind,
            path=path,
            split=self._split(kind),
            join=self._join(kind),
            required=self._entry.get("required") is not False,
            retry=self._retry(),
            timeout=self._timeout(),
            on_error=self._error_route(),
            max_visits=self._count(self._entry.get("max_visits"), "max_visits"),
            cancels=self._cancels(),
            exclusive=self._exclusive(),
            body=self._body(path) if kind in (FOR_EACH, LOOP) else None,
            concurrency=self._concurrency() if kind == FOR_EACH else 1,
            enough=self._count(self._config.get("enough"), "config", "enough") if kind == FOR_EACH else None,
            max_turns=self._turns() if kind == LOOP else 0,
            asks_first=kind == LOOP and "while" in self._config,
            ends_well=kind == LOOP and self._config.get("on_max") == "continue",
            compensate=self._handler(),
            undoes=self._undone() if kind == COMPENSATE else (),
            passes_items=kind == FOR_EACH and self._config.get("on_item_error") == "continue",
        )

    def _fault(self, message: str, code: str, *at: str) -> None:
        self._issues.append(Issue(message, (*self._where, *at), code))

    def _split(self, kind: str) -> Split:
        word = self._entry.get("split")
        if word is None:
            return _SPLITS.get(kind, Split.one)
        try:
            return Split(word)
        except ValueError:
            self._fault(f"Step '{self._key}': split must be 'one', 'any' or 'all'.", "split_invalid", "split")
            return Split.one

    def _join(self, kind: str) -> Join:
        word = self._entry.get("join")
        if word is None:
            return _JOINS.get(kind, Join())
        if isinstance(word, Mapping):
            count = self._count(word.get("at_least"), "join", "at_least")
            if count is not None:
                return Join(JoinKind.at_least, count)
        elif word in ("all", "any", "each"):
            return Join(JoinKind(word))
        self._fault(
            f"Step '{self._key}': join must be 'all', 'any', 'each' or {{at_least: <number>}}.", "join_invalid", "join"
        )
        return Join()

    def _count(self, value: object, *at: str) -> int | None:
        """A number of things, at least one; None when nothing is written."""
        if value is None:
            return None
        if isinstance(value, int) and not isinstance(value, bool) and value >= 1:
            return value
        self._fault(f"Step '{self._key}': {at[-1]} must be a whole number, at least 1.", f"{at[-1]}_invalid", *at)
        return None

    def _concurrency(self) -> int:
        return self._count(self._config.get("concurrency"), "config", "concurrency") or 1

    def _turns(self) -> int:
        count = self._count(self._config.get("max_iterations"), "config", "max_iterations")
        if count is None and "max_iterations" not in self._config:
            self._fault(
                f"Step '{self._key}' does not say how often it runs at most; write config.max_iterations.",
                "max_iterations_missing",
                "config",
            )
        return count or 1

    def _handler(self) -> str | None:
        target = self._entry.get("compensate")
        if target is None or isinstance(target, str):
            return target
        self._fault(f"Step '{self._key}': compensate must be the key of a step.", "compensate_invalid", "compensate")
        return None

    def _undone(self) -> tuple[str, ...]:
        keys = self._config.get("steps")
        if isinstance(keys, Sequence) and not isinstance(keys, str):
            return tuple(dict.fromkeys(map(str, keys)))
        return ()

    def _error_route(self) -> str | None:
        target = self._entry.get("on_error")
        if target is None or isinstance(target, str):
            return target
        self._fault(f"Step '{self._key}': on_error must be the key of a step.", "on_error_invalid", "on_error")
        return None

    def _cancels(self) -> tuple[str, ...]:
        """Keys of other steps; `all` is written out when the whole level is known."""
        value = self._entry.get("cancels")
        if value is None:
            return ()
        if value == EVERY_OTHER:
            return (EVERY_OTHER,)
        if isinstance(value, Sequence) and not isinstance(value, str) and all(isinstance(key, str) for key in value):
            return tuple(dict.fromkeys(value))
        self._fault(
            f"Step '{self._key}': cancels must be a list of step keys, or 'all' for every other step.",
            "cancels_invalid",
            "cancels",
        )
        return ()

    def _exclusive(self) -> str | None:
        name = self._entry.get("exclusive")
        if name is None or (isinstance(name, str) and name):
            return name
        self._fault(
            f"Step '{self._key}': exclusive must be a name; steps with the same name run one at a time.",
            "exclusive_invalid",
            "exclusive",
        )
        return None

    def _seconds(self, value: object, *at: str) -> float | None:
        try:
            return parse_duration(value)
        except DurationUnclear as unclear:
            self._fault(f"Step '{self._key}', {'.'.join(at)}: {unclear}.", "duration_invalid", *at)
            return None

    def _timeout(self) -> float | None:
        value = self._entry.get("timeout")
        if value is None:
            return None
        seconds = self._seconds(value, "timeout")
        if seconds == 0:
            self._fault(
                f"Step '{self._key}': a timeout of zero leaves no time to run; leave it out or give it more.",
                "timeout_invalid",
                "timeout",
            )
        return seconds

    def _retry(self) -> Retry:
        policy = self._entry.get("retry")
        if policy is None:
            return Retry()
        if not isinstance(policy, Mapping):
            self._fault(
                f"Step '{self._key}': retry must be an object such as {{attempts: 3, initial: 2s}}.",
                "retry_invalid",
                "retry",
            )
            return Retry()
        plain = Retry()
        initial = self._seconds(policy["initial"], "retry", "initial") if "initial" in policy else None
        longest = self._seconds(policy["max"], "retry", "max") if "max" in policy else None
        first = plain.initial if initial is None else initial
        return Retry(
            attempts=self._count(policy.get("attempts"), "retry", "attempts") or plain.attempts,
            backoff=self._backoff(policy.get("backoff", plain.backoff.value)),
            initial=first,
            max=max(plain.max, first) if longest is None else longest,
            jitter=policy.get("jitter") is not False,
            on=self._kinds(policy.get("on")),
        )

    def _kinds(self, words: object) -> frozenset[str]:
        if words is None:
            return frozenset()
        if isinstance(words, Sequence) and not isinstance(words, str):
            return frozenset(map(str, words))
        self._fault(
            f"Step '{self._key}': retry.on must be a list of error kinds, such as [timeout, http_5xx].",
            "retry_invalid",
            "retry",
            "on",
        )
        return frozenset()

    def _backoff(self, word: object) -> Backoff:
        try:
            return Backoff(str(word))
        except ValueError:
            self._fault(
                f"Step '{self._key}': backoff must be 'fixed', 'linear' or 'exponential'.",
                "backoff_invalid",
                "retry",
                "backoff",
            )
            return Backoff.exponential

    def _body(self, path: str) -> Graph | None:
        body = self._config.get("body")
        where = (*self._where, "config", "body")
        if not isinstance(body, Mapping):
            self._fault(
                f"Step '{self._key}' has no body; write the steps that run in it in config.body.",
                "body_missing",
                "config",
                "body",
            )
            return None
        if path.count(".") >= NESTING:
            self._fault(
                f"Step '{self._key}' lies more than {NESTING} for-each steps and loops deep; move the inner ones to a "
                "workflow of their own and call it as a sub-workflow.",
                "body_too_deep",
                "config",
                "body",
            )
            return None
        return _level(body, where, path, self._issues)
