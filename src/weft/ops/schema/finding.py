"""One thing that a rule has to say."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True, order=True)
class Finding:
    """`line` counts from one in a script, and is 0 for a finding in a live catalogue, which names the `object`."""

    line: int
    rule: str
    level: str
    message: str
    help: str = ""
    object: str = ""

    def sentence(self) -> str:
        place = f"line {self.line}: " if self.line else f"{self.object}: " if self.object else ""
        advice = f" {self.help}" if self.help else ""
        return f"{place}{self.message}{advice} [{self.rule}]"

    def as_json(self) -> dict[str, str | int]:
        said: dict[str, str | int] = {"rule": self.rule, "level": self.level, "message": self.message}
        if self.line:
            said["line"] = self.line
        return said | {key: value for key, value in (("help", self.help), ("object", self.object)) if value}
