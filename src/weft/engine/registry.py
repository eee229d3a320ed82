"""The step kinds of this installation, by name: weft's own, and those that other distributions bring.

A distribution offers a kind by an entry point of the group `weft.step_kinds`, named like the kind, that points to an
instance or a class (see `weft.engine.steps.base`). weft lists its own there too, but never depends on it: metadata
is stale in a working tree whose environment was built before a kind was added.

Importing plug-ins runs their code, so it happens once, when somebody first asks. A plug-in that cannot be loaded
takes only itself down: its fault is kept, said in the log, and raised for whoever wants a step of its kind. Two
distributions that claim one name are refused at once, because which of them ran would be chance.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from importlib import metadata
from typing import Final

from weft.core.errors import Conflict, Invalid, Unavailable
from weft.domain.workflows.kinds import ENTRY_POINTS, KindRegistry, installed
from weft.engine.kinds import Errand, Instant
from weft.engine.steps import (
    code,
    compensate,
    condition,
    delay,
    emit_event,
    end,
    fail,
    for_each,
    http,
    join,
    loop,
    notification,
    parallel,
    question,
    sub_workflow,
    switch,
    transform,
    wait_for_event,
    wait_until,
)
from weft.engine.steps import (
    set as set_,
)
from weft.engine.steps.base import ErrandStep, InstantStep

Runnable = Instant | Errand

_MODULES: Final = (
    set_, transform, condition, switch, parallel, join, for_each, loop, delay, wait_until, wait_for_event, emit_event,
    question, sub_workflow, compensate, http, notification, code, end, fail,
)  # fmt: skip
BUILT_IN: Final[tuple[InstantStep | ErrandStep, ...]] = tuple(module.STEP for module in _MODULES)
"""weft's own kinds, in the order in which the palette and the reference show them."""

ADDRESSES: Final[Mapping[str, str]] = {step.name: f"{type(step).__module__}:STEP" for step in BUILT_IN}
"""What `pyproject.toml` lists under the entry points, by name; a test compares the two."""

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Fault:
    """A kind that a distribution offers but that cannot run here."""

    name: str
    distribution: str
    reason: str


class StepKindUnknown(Invalid):
    code = "step_kind_unknown"

    def __init__(self, name: str) -> None:
        super().__init__(
            f"There is no step kind '{name}' on this machine. Install the distribution that brings it, or change "
            "the step; `docs/reference/steps.md` lists weft's own."
        )


class StepKindBroken(Unavailable):
    code = "step_kind_broken"

    def __init__(self, fault: Fault) -> None:
        super().__init__(
            f"The step kind '{fault.name}' of the distribution '{fault.distribution}' cannot be used: {fault.reason}. "
            f"Mend or upgrade '{fault.distribution}', then restart."
        )
        self.fault = fault


class StepKindsClash(Conflict):
    code = "step_kinds_clash"

    def __init__(self, name: str, distributions: Iterable[str]) -> None:
        claimants = " and ".join(f"'{name}'" for name in sorted(distributions))
        super().__init__(
            f"The step kind '{name}' is offered by {claimants}. Uninstall all of them but one; weft's own kinds "
            "cannot be replaced."
        )


def _offered() -> Iterable[metadata.EntryPoint]:
    return metadata.entry_points(group=ENTRY_POINTS)


class Registry:
    """Kinds that can be run. `checks` is the registry that definitions are checked against; both hold the same objects,
    so that nothing passes the check at save and then has nobody to run it."""

    def __init__(self, checks: KindRegistry, offered: Callable[[], Iterable[metadata.EntryPoint]] = _offered) -> None:
        self._checks = checks
        self._offered = offered
        self._kinds: dict[str, Runnable] | None = None
        self._faults: dict[str, Fault] = {}
        self._lock = threading.Lock()

    def kind(self, name: str) -> Runnable:
        """Raises `StepKindUnknown`, `StepKindBroken`, or `StepKindsClash` for the installation as a whole."""
        kinds = self._loaded()
        found = kinds.get(name)
        if found is not None:
            return found
        if name in self._faults:
            raise StepKindBroken(self._faults[name])
        raise StepKindUnknown(name)

    def kinds(self) -> tuple[Runnable, ...]:
        """weft's own first, then those of plug-ins by name."""
        return tuple(self._loaded().values())

    def faults(self) -> tuple[Fault, ...]:
        """What an operator should know of; steps of these kinds fail when they run."""
        self._loaded()
        return tuple(self._faults.values())

    def _loaded(self) -> dict[str, Runnable]:
        if self._kinds is None:
            with self._lock:
                if self._kinds is None:
                    self._kinds = self._load()
        return self._kinds

    def _load(self) -> dict[str, Runnable]:
        plugins = self._plugins()
        kinds: dict[str, Runnable] = {}
        for step in BUILT_IN:
            self._checks.register(step)
            kinds[step.name] = _runnable(step)
        for name in sorted(plugins):
            loaded = self._plugin(plugins[name])
            if isinstance(loaded, Fault):
                self._faults[name] = loaded
                log.warning("step kind %s of %s cannot be used: %s", name, loaded.distribution, loaded.reason)
            else:
                kinds[name] = loaded
        return kinds

    def _plugins(self) -> dict[str, metadata.EntryPoint]:
        """What others offer. An address that is listed twice, as in overlapping environments, is one offer."""
        offers: dict[str, dict[str, metadata.EntryPoint]] = {}
        for point in self._offered():
            if ADDRESSES.get(point.name) != point.value:
                offers.setdefault(point.name, {})[point.value] = point
        for name, points in offers.items():
            claimants = [_distribution(point) for point in points.values()]
            if name in ADDRESSES:
                claimants.append("weft")
            if len(claimants) > 1:
                raise StepKindsClash(name, claimants)
        return {name: next(iter(points.values())) for name, points in offers.items()}

    def _plugin(self, point: metadata.EntryPoint) -> Runnable | Fault:
        """The object that the check at save uses: it loads plug-ins, and what passed there is what runs here."""
        found: object = self._checks.get(point.name)
        if isinstance(found, Instant) and not isinstance(found, Errand) and getattr(found, "may_use_secrets", False):
            reason = f"{point.value} may use secrets but is an instant step; only errands are given any"
            return Fault(point.name, _distribution(point), reason)
        if isinstance(found, (Instant, Errand)):
            return found
        if found is not None:
            reason = f"{point.value} has neither `run` nor `perform` and a title"
        else:
            reason = self._checks.broken.get(point.name, f"{point.value} does not call itself '{point.name}'")
        return Fault(point.name, _distribution(point), reason)


def _runnable(step: object) -> Runnable:
    if isinstance(step, (Instant, Errand)):
        return step
    raise TypeError(f"{step!r} is no step kind")


def _distribution(point: metadata.EntryPoint) -> str:
    return point.dist.name if point.dist is not None else point.module


INSTALLED: Final = Registry(installed())


def kind(name: str) -> Runnable:
    """The kind of this installation that has this name; raises `StepKindUnknown` or `StepKindBroken`."""
    return INSTALLED.kind(name)


def kinds() -> tuple[Runnable, ...]:
    """Every kind that can run here. Also makes them known to the check at save: call it when a process starts."""
    return INSTALLED.kinds()


def faults() -> tuple[Fault, ...]:
    """Kinds that were offered and cannot run, for the log and for an operator's check-up."""
    return INSTALLED.faults()
