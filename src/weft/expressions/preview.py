"""What an expression would give, for whoever is writing it."""

from __future__ import annotations

from collections.abc import Hashable, Mapping
from dataclasses import dataclass
from typing import Any

from weft.core.errors import Issue
from weft.expressions.compile import compile_value
from weft.expressions.guard import Guard


@dataclass(frozen=True, slots=True)
class Preview:
    """`value` when `issues` is empty. `paths` are the fields that were read."""

    value: Any = None
    issues: tuple[Issue, ...] = ()
    paths: frozenset[str] = frozenset()


async def preview(guard: Guard, source: Any, sample: Mapping[str, Any], *, tenant: Hashable = None) -> Preview:
    """Compile a configuration value as it was typed and evaluate it on sample data.

    Whatever is wrong with the expression, or with the sample for it, is in the answer. Raises only GuardBusy and
    GuardUnavailable.
    """
    compiled = compile_value(source, refuse=False)
    if compiled.issues:
        return Preview(issues=compiled.issues, paths=compiled.paths)
    (result,) = await guard.evaluate([compiled], sample, tenant=tenant)
    issues = result.error.issues if result.error is not None else ()
    return Preview(result.value, issues, compiled.paths)
