"""The five systems whose documents say what they expect to find, each with the profiles that it may be made in."""

from __future__ import annotations

from dataclasses import dataclass
from importlib.resources import files
from pathlib import Path
from typing import Any, Final

from weft.ops.environments import PROFILES

TRYING: Final = ("development", "staging")


@dataclass(frozen=True, slots=True)
class Later:
    """A part of a system's document whose tables come with a later release: named, and never faked."""

    what: str
    comes_with: str

    def sentence(self) -> str:
        return f"{self.what}, with {self.comes_with}"


@dataclass(frozen=True, slots=True)
class System:
    """`makes` is for people. `file` is its seed file; None for the system permissions, which are no tenant's."""

    name: str
    makes: str
    profiles: tuple[str, ...] = TRYING
    file: str | None = None
    later: tuple[Later, ...] = ()

    def path(self) -> str | None:
        return None if self.file is None else str(Path(str(files("weft.ops.seeds"))) / "systems" / self.file)

    def as_json(self) -> dict[str, Any]:
        return {
            "system": self.name,
            "profiles": list(self.profiles),
            "makes": self.makes,
            "later": [later.sentence() for later in self.later],
        }


SYSTEMS: Final[dict[str, System]] = {
    system.name: system
    for system in (
        System(
            "ai-native-orchestration",
            "the system permissions, and what the built-in roles of every tenant lack of them",
            PROFILES,
        ),
        System(
            "ai-workflow-platform",
            "the default tenant, an administrator and a demo user with their permissions, a sample workflow",
            file="ai-workflow-platform.yaml",
        ),
        System(
            "workflow-configuration",
            "a tenant with the users ADMIN and USER, clients, workflows, and executions, one of them simulated",
            file="workflow-configuration.yaml",
            later=(Later("workflow reports (1)", "reports"),),
        ),
        System(
            "valuecanvas",
            "the organizations Demo, Enterprise and Startup, five users, sample executions, the audit logs of it",
            file="valuecanvas.yaml",
            later=(
                Later("agents (3: opportunity, target, realization)", "AI agents"),
                Later("canvas models (2)", "canvases"),
                Later("canvases (2)", "canvases"),
            ),
        ),
        System(
            "stratibreak",
            "the demo tenant, and its users ADMIN, PROJECT_MANAGER and STAKEHOLDER",
            file="stratibreak.yaml",
            later=(
                Later("projects, with their gaps and predictions", "projects"),
                Later("integrations", "integrations"),
            ),
        ),
    )
}
