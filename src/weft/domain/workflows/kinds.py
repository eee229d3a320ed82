"""What the definition has to know of a step kind. What a kind *does* lives higher up, in the engine or in a plug-in.

A kind is found in two ways: the engine registers its own at start-up with `register`, and distributions offer others
by an entry point of the group `weft.step_kinds` that names a `StepKind` object. The check at save, the editor's
palette and `weft workflow schema` all read the same registry.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Iterable, Mapping
from importlib import metadata
from typing import Any, Final, Protocol, TypeAlias, runtime_checkable

from weft.core.errors import Issue
from weft.interpreter.definition import Join, Split

ENTRY_POINTS: Final = "weft.step_kinds"

Where: TypeAlias = tuple[str | int, ...]
"""A JSON path into the document: `("steps", 3, "config")`."""

Spot: TypeAlias = tuple[str, ...]
"""A place inside a config; `*` stands for every element of a list or every value of an object."""

log = logging.getLogger(__name__)


@runtime_checkable
class StepKind(Protocol):
    """Subclass it to take the defaults; only `name` and `config_schema` must be given."""

    name: str
    """The word that stands in a step's `type`."""

    config_schema: Mapping[str, Any]
    """JSON Schema of the step's `config`. A string with an expression in it is not held against its type."""

    description: str = ""
    """One sentence for the palette and the reference."""

    outputs_schema: Mapping[str, Any] | None = None
    """JSON Schema of `steps.<key>.output`, when it is known; references into the output are checked against it."""

    split: Split = Split.one
    """What an editor writes into a new step. The interpreter has defaults for weft's own control kinds; a step of
    any other kind that says nothing follows one transition."""

    join: Join = Join()
    """Likewise: a step of a plug-in's kind that says nothing is entered by each arrival."""

    conditions: tuple[Spot, ...] = ()
    """Places in the config where a condition stands: an object `{field, operator, value}` or an expression."""

    expressions: tuple[Spot, ...] = ()
    """Places in the config where a string is an expression even without `{{ }}` around it."""

    may_use_secrets: bool = False
    """Whether the config may refer to secrets: only of an errand, because its config is never kept. The engine puts
    the values in just before the call, and hides them in whatever the step answers."""

    def outputs(self, config: Mapping[str, Any]) -> Mapping[str, Any] | None:
        """The schema of the output of a step with this config; overridden where the config decides it."""
        del config
        return self.outputs_schema

    def check(self, config: Mapping[str, Any], where: Where) -> list[Issue]:
        """What JSON Schema cannot say. `where` is the path of `config` in the document; issues begin with it."""
        del config, where
        return []


class KindNameTaken(ValueError):
    """Two kinds of one name: a fault of the installation, found at start-up."""

    def __init__(self, name: str) -> None:
        super().__init__(
            f"there are two step kinds called '{name}'; uninstall one of the distributions that bring them"
        )


class KindRegistry:
    """The kinds of this installation, by name. Plug-ins are loaded when somebody first asks."""

    def __init__(self, kinds: Iterable[StepKind] = (), *, plugins: bool = False) -> None:
        self._kinds: dict[str, StepKind] = {}
        self._lock = threading.RLock()
        self._plugins = plugins
        self.broken: dict[str, str] = {}
        """Entry points that could not be loaded, with the reason; an operator's `weft doctor` shows them."""
        for kind in kinds:
            self.register(kind)

    def register(self, kind: StepKind) -> None:
        """Make a kind known. Registering the same object twice changes nothing."""
        with self._lock:
            known = self._kinds.get(kind.name)
            if known is not None and known is not kind:
                raise KindNameTaken(kind.name)
            self._kinds[kind.name] = kind

    def get(self, name: str) -> StepKind | None:
        found = self._kinds.get(name)
        if found is None and self._plugins:
            self._load()
            found = self._kinds.get(name)
        return found

    def names(self) -> tuple[str, ...]:
        self._load()
        return tuple(sorted(self._kinds))

    def all(self) -> tuple[StepKind, ...]:
        return tuple(self._kinds[name] for name in self.names())

    def _load(self) -> None:
        with self._lock:
            if not self._plugins:
                return
            self._plugins = False
            for point in metadata.entry_points(group=ENTRY_POINTS):
                self._load_one(point)

    def _load_one(self, point: metadata.EntryPoint) -> None:
        """One broken plug-in must not take the others down; its steps are refused as an unknown kind."""
        try:
            loaded = point.load()
            kind = loaded() if isinstance(loaded, type) else loaded
            if not isinstance(kind, StepKind):
                raise TypeError("it is not a StepKind")
            if kind.name not in self._kinds:  # weft's own kinds are offered as entry points too
                self.register(kind)
        except Exception as error:
            self.broken[point.name] = f"{type(error).__name__}: {error}"
            log.warning("step kind %s of %s cannot be loaded: %s", point.name, point.value, error)


INSTALLED: Final = KindRegistry(plugins=True)


def register(kind: StepKind) -> None:
    """Make a kind known to this process."""
    INSTALLED.register(kind)


def installed() -> KindRegistry:
    """The kinds of this installation: the engine's own and those of plug-ins."""
    return INSTALLED


def verbatim_of(kind: object) -> tuple[str, ...]:
    """Fields of a kind's config that are taken as they are written, braces and all: program text, for example.

    Not a member of the protocol, so that kinds without such fields need not say so.
    """
    fields: tuple[str, ...] = getattr(kind, "verbatim", ())
    return fields
