"""A simulation or a backtest for people."""

from __future__ import annotations

import sys
from collections.abc import Mapping, Sequence
from typing import Any, Final

_WIDTH: Final = 40
_MISSED: Final = 12
"""Uncovered steps and transitions that are named; --json has all of them."""


def simulation(result: Mapping[str, Any]) -> str:
    """Outcomes, distributions and coverage."""
    lines = [f"{result['workflow']}: {result['runs']:,} runs, seed {result['seed']}", ""]
    for status, count in result["statuses"].items():
        if count:
            lines.append(f"  {status:<12} {_share(count, result['runs'])} {_bar(count / result['runs'])}")
    if result["ends"]:
        lines += ["", "ends"]
        width = max(map(len, result["ends"]))
        lines += [f"  {end:<{width}}  {_share(n, result['runs'])}" for end, n in result["ends"].items()]
    if result["errors"]:
        lines += ["", "errors"]
        lines += [
            f"  {error['runs']:>6,} x {error['step'] or '(workflow)'}: {error['kind']}: {error['message'][:100]}"
            for error in result["errors"][:10]
        ]
    lines += ["", *_distribution("duration", result["duration"], seconds)]
    if result["cost"]["max"]:
        lines += ["", *_distribution("cost", result["cost"], lambda value: f"{value:.4g}")]
    lines += ["", *_coverage(result["coverage"])]
    if result["answered_by_default"]:
        lines += ["", "answered by default (no script): " + ", ".join(result["answered_by_default"])]
    if result.get("script_unused"):
        lines.append("names of the script that fit no step: " + ", ".join(result["script_unused"]))
    if result["assertions"]:
        lines.append("")
        lines += [f"{'holds' if one['holds'] else 'FAILS'}  {one['assertion']}" for one in result["assertions"]]
    return "\n".join(lines)


def _share(count: int, runs: int) -> str:
    return f"{count:>7,}  {count / runs:>6.1%}"


def _bar(part: float) -> str:
    sign = "#" if not (sys.stdout.encoding or "").lower().startswith("utf") else "█"
    return sign * round(part * _WIDTH)


def _distribution(name: str, figures: Mapping[str, Any], write: Any) -> list[str]:
    head = "  ".join(f"{word} {write(figures[word])}" for word in ("min", "p50", "p80", "p95", "max"))
    lines = [f"{name}: {head}  mean {write(figures['mean'])}"]
    bars = figures["histogram"]
    most = max((bar["runs"] for bar in bars), default=0)
    if len(bars) > 1:
        lines += [f"  {write(bar['from']):>10}  {bar['runs']:>7,} {_bar(bar['runs'] / most)}" for bar in bars]
    return lines


def _coverage(found: Mapping[str, Any]) -> list[str]:
    lines = [f"coverage: {found['steps']:.1%} of the steps, {found['transitions']:.1%} of the transitions"]
    for what in ("steps", "transitions"):
        missed = found[f"{what}_missed"]
        if missed:
            more = f" and {len(missed) - _MISSED} more" if len(missed) > _MISSED else ""
            lines.append(f"  {what} never seen: {', '.join(missed[:_MISSED])}{more}")
    return lines


def seconds(value: float) -> str:
    """A length of time in the unit that reads best."""
    for unit, size in (("d", 86_400.0), ("h", 3_600.0), ("m", 60.0)):
        if abs(value) >= size:
            return f"{value / size:.3g} {unit}"
    return f"{value:.3g} s" if abs(value) >= 1 or value == 0 else f"{value * 1000:.3g} ms"


def backtest(result: Mapping[str, Any], rows: Sequence[Mapping[str, Any]]) -> str:
    """How many executions would end differently, and the first of those."""
    lines = [
        f"{result['workflow']}: {result['executions']:,} executions through {result['to']}: "
        f"{result['same']:,} end the same, {result['different']:,} differently"
        + (f", {result['skipped']:,} could not be compared" if result["skipped"] else "")
    ]
    changed = [row for row in rows if row["verdict"] == "different"]
    for row in changed[:20]:
        parts = f" at {row['parts_at']['step']}" if row["parts_at"] else ""
        lines.append(
            f"  #{row['number']} {row['id']}: {row['before']['status']} -> {row['after']['status']}, parts{parts}"
        )
        lines += [f"      {change['path'] or '(output)'}: {_short(change['before'])} -> {_short(change['after'])}"
                  for change in row["changes"][:5]]  # fmt: skip
    if len(changed) > 20:
        lines.append(f"  ... and {len(changed) - 20:,} more; --json has all of them")
    for row in [row for row in rows if row["verdict"] == "skipped"][:5]:
        lines.append(f"  #{row['number']} {row['id']}: not compared: {row['reason']}")
    before, after = result["duration"]["before"], result["duration"]["after"]
    lines.append(
        "duration: "
        + "  ".join(f"{word} {seconds(before[word])} -> {seconds(after[word])}" for word in ("p50", "p80", "p95"))
    )
    if result["cost"]["before"] or result["cost"]["after"]:
        lines.append(f"cost: {result['cost']['before']:.6g} -> {result['cost']['after']:.6g}")
    if result["not_recorded"]:
        told = ", ".join(f"{step} ({count:,})" for step, count in result["not_recorded"].items())
        lines.append(f"steps without a recorded answer, answered by script or default: {told}")
    return "\n".join(lines)


def _short(value: Any) -> str:
    text = str(value)
    return text if len(text) <= 60 else f"{text[:57]}..."
