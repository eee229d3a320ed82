"""How kinds are found: weft's own without metadata, others by entry point, and what happens when one is broken."""

from __future__ import annotations

import importlib.util
import sys
import tomllib
from collections.abc import Mapping
from importlib import metadata
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

from weft.core.errors import Issue
from weft.domain.workflows.kinds import ENTRY_POINTS, KindRegistry
from weft.engine import registry
from weft.engine.kinds import Call, Errand, Instant, Ports
from weft.engine.outcomes import Done, Outcome
from weft.engine.registry import Registry, StepKindBroken, StepKindsClash, StepKindUnknown
from weft.engine.steps.base import ErrandStep, InstantStep, config_of


class Shout(InstantStep):
    name = "shout"
    title = "Shout"
    config_schema = config_of({"text": {"type": "string"}})

    def answer(self, call: Call) -> Outcome:
        return Done(str(call.config["text"]).upper())


class Beep(ErrandStep):
    name = "beep"
    title = "Beep"
    config_schema = config_of()

    async def call(self, call: Call, ports: Ports) -> Outcome:
        return Done()


class OnlyChecked:
    """Written against the protocol of the check alone, without weft's base classes: nothing runs it."""

    name = "only_checked"
    title = "Standalone"
    description = ""
    config_schema: Mapping[str, Any] = config_of()
    outputs_schema = None
    split = Shout.split
    join = Shout.join
    conditions = ()
    expressions = ()
    may_use_secrets = False

    def outputs(self, config: Mapping[str, Any]) -> None:
        return None

    def check(self, config: Mapping[str, Any], where: tuple[str | int, ...] = ()) -> list[Issue]:
        return []


class Standalone(OnlyChecked):
    name = "standalone"

    def run(self, call: Call) -> Outcome:
        return Done("alone")


class Offers:
    """Entry points of distributions that are not there."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, module: ModuleType) -> None:
        self.module = module
        self._points: list[metadata.EntryPoint] = []
        monkeypatch.setattr(metadata, "entry_points", self._of)

    def add(self, name: str, target: object | None, *, distribution: str = "acme-steps", attribute: str = "") -> None:
        attribute = attribute or f"a{len(self._points)}"
        if target is not None:
            setattr(self.module, attribute, target)
        self.point(name, f"{self.module.__name__}:{attribute}", distribution)

    def point(self, name: str, value: str, distribution: str) -> None:
        point = metadata.EntryPoint(name=name, value=value, group=ENTRY_POINTS)
        vars(point)["dist"] = _Distribution(distribution)
        self._points.append(point)

    def _of(self, *, group: str) -> tuple[metadata.EntryPoint, ...]:
        return tuple(self._points) if group == ENTRY_POINTS else ()

    def registry(self) -> Registry:
        return Registry(KindRegistry(plugins=True))


class _Distribution:
    def __init__(self, name: str) -> None:
        self.name = name


@pytest.fixture
def offers(monkeypatch: pytest.MonkeyPatch) -> Offers:
    spec = importlib.util.spec_from_loader("acme_steps", loader=None)
    assert spec is not None
    module = importlib.util.module_from_spec(spec)
    monkeypatch.setitem(sys.modules, "acme_steps", module)
    return Offers(monkeypatch, module)


NAMES = [
    *("set", "transform", "condition", "switch", "parallel", "join"),
    *("for_each", "loop", "delay", "wait_until", "wait_for_event", "emit_event", "question", "sub_workflow"),
    *("compensate", "http", "notification", "code", "end", "fail"),
]


def are_one(checked: object, run: object) -> bool:
    """What passed the check is what runs."""
    return checked is run


def test_wefts_own_kinds_need_no_metadata(offers: Offers) -> None:
    found = offers.registry()
    assert [kind.name for kind in found.kinds()] == NAMES
    assert [kind.name for kind in found.kinds() if isinstance(kind, Errand)] == ["http", "notification", "code"]
    assert found.faults() == ()


def test_wefts_own_kinds_are_offered_like_anybody_elses() -> None:
    project = tomllib.loads((Path(__file__).parents[3] / "pyproject.toml").read_text())
    assert project["project"]["entry-points"][ENTRY_POINTS] == registry.ADDRESSES
    for name, value in registry.ADDRESSES.items():
        assert metadata.EntryPoint(name, value, ENTRY_POINTS).load() is registry.kind(name)


def test_with_metadata_they_are_the_same_objects(offers: Offers) -> None:
    for name, value in registry.ADDRESSES.items():
        offers.point(name, value, "weft")
    checks = KindRegistry(plugins=True)
    checks.names()  # the check at save came first
    found = Registry(checks)
    assert [kind.name for kind in found.kinds()] == NAMES
    assert all(are_one(checks.get(name), found.kind(name)) for name in NAMES)


def test_plug_ins_are_found_as_instances_and_as_classes(offers: Offers) -> None:
    offers.add("shout", Shout())
    offers.add("beep", Beep)
    offers.add("standalone", Standalone)
    checks = KindRegistry(plugins=True)
    found = Registry(checks)
    assert [kind.name for kind in found.kinds()][-3:] == ["beep", "shout", "standalone"]
    assert isinstance(found.kind("shout"), Instant)
    assert isinstance(found.kind("beep"), Errand)
    assert isinstance(found.kind("standalone"), Instant)
    assert all(are_one(checks.get(name), found.kind(name)) for name in ("shout", "beep", "standalone"))


def test_loading_happens_once(offers: Offers) -> None:
    made: list[object] = []

    class Counted(Shout):
        name = "counted"

        def __init__(self) -> None:
            made.append(self)

    offers.add("counted", Counted)
    found = offers.registry()
    assert made == []
    assert found.kind("counted") is found.kind("counted")
    found.kinds()
    assert len(made) == 1


def test_a_broken_plug_in_takes_only_itself_down(offers: Offers) -> None:
    class Explodes(Shout):
        name = "explodes"

        def __init__(self) -> None:
            raise RuntimeError("no licence")

    offers.add("explodes", Explodes)
    offers.add("missing", None, attribute="not_there")
    offers.add("misnamed", Shout())
    offers.add("nonsense", object())
    offers.add("only_checked", OnlyChecked())
    offers.add("beep", Beep())
    found = offers.registry()

    assert [kind.name for kind in found.kinds()] == [*NAMES, "beep"]
    assert {fault.name for fault in found.faults()} == {"explodes", "missing", "misnamed", "nonsense", "only_checked"}
    with pytest.raises(StepKindBroken, match=r"'explodes' of the distribution 'acme-steps'.*no licence") as caught:
        found.kind("explodes")
    assert caught.value.fault.distribution == "acme-steps"
    with pytest.raises(StepKindBroken, match="does not call itself 'misnamed'"):
        found.kind("misnamed")
    with pytest.raises(StepKindBroken, match="neither `run` nor `perform`"):
        found.kind("only_checked")


def test_two_distributions_cannot_share_a_name(offers: Offers) -> None:
    offers.add("shout", Shout(), distribution="acme-steps")
    offers.add("shout", Shout(), distribution="other-steps")
    with pytest.raises(StepKindsClash, match="'shout' is offered by 'acme-steps' and 'other-steps'"):
        offers.registry().kinds()


def test_wefts_own_kinds_cannot_be_replaced(offers: Offers) -> None:
    class Other(Shout):
        name = "http"

    offers.add("http", Other())
    with pytest.raises(StepKindsClash, match="'http' is offered by 'acme-steps' and 'weft'"):
        offers.registry().kind("set")


def test_one_offer_that_is_listed_twice_is_one_offer(offers: Offers) -> None:
    """As when a distribution is installed in two places of the path."""
    offers.add("shout", Shout(), attribute="shout")
    offers.add("shout", None, attribute="shout")
    assert offers.registry().kind("shout").name == "shout"


def test_an_unknown_kind(offers: Offers) -> None:
    with pytest.raises(StepKindUnknown, match="There is no step kind 'teleport'"):
        offers.registry().kind("teleport")


def test_every_kind_says_what_it_is() -> None:
    for kind in registry.BUILT_IN:
        assert kind.title
        assert kind.description.endswith(".")
        assert kind.config_schema["additionalProperties"] is False
        for name, field in kind.config_schema["properties"].items():
            assert field["description"].endswith((".", "`.")), (kind.name, name)
