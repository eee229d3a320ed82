"""The input mapping of a trigger: checked when it is saved, against what a trigger of its kind has to read."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from weft.core.errors import Issue
from weft.domain.workflows.errors import TriggerConfigInvalid
from weft.domain.workflows.sentences import nearest_word
from weft.expressions.compile import compile_value


def check_mapping(mapping: Any, roots: Sequence[str], noun: str) -> None:
    """Refuse an input mapping that cannot be evaluated, or that reads what `noun` (`A webhook`) does not have."""
    compiled = compile_value(mapping, ("config", "input"), refuse=False)
    issues = list(compiled.issues) or _unknown_roots(compiled.paths, roots, noun)
    if issues:
        raise TriggerConfigInvalid(f"The input mapping cannot be used: {issues[0].message}", issues=issues)


def _unknown_roots(paths: frozenset[str], roots: Sequence[str], noun: str) -> list[Issue]:
    issues = []
    for path in sorted(paths):
        root = path.partition(".")[0]
        if root not in roots:
            near = nearest_word(root, roots)
            mend = f"Did you mean `{near}`?" if near else f"There are {', '.join(f'`{one}`' for one in roots)}."
            issues.append(
                Issue(f"{noun} has no `{root}`. {mend}", ("config", "input"), "reference_unknown", {"reference": path})
            )
    return issues
