"""Which steps can undo others, and what may be said about undoing."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping

from weft.interpreter.definition import COMPENSATE, END, FAIL, Step

_KINDS = (END, FAIL, COMPENSATE)


def faults(step: Step, steps: Mapping[str, Step], led: Collection[str]) -> Iterator[tuple[str, str]]:
    """What is wrong with a step's `compensate`, or with a `compensate` step. `led`: steps that transitions touch."""
    if step.compensate is not None:
        yield from _of_step(step, step.compensate, steps, led)
    if step.kind == COMPENSATE:
        yield from _of_kind(step, steps)


def _of_step(step: Step, key: str, steps: Mapping[str, Step], led: Collection[str]) -> Iterator[tuple[str, str]]:
    who = f"Step '{step.path}'"
    handler = steps.get(key)
    if "." in step.path:
        sentence = (
            f"{who} names a step that undoes it, but it lies in the body of a for-each or a loop, whose turns are not "
            "kept. Move the body to a workflow of its own, and call it as a sub-workflow."
        )
        yield sentence, "compensate_in_body"
    elif step.kind in _KINDS:
        yield f"{who} is of type '{step.kind}' and does nothing that could be undone; remove its compensate.", _INVALID
    elif handler is None:
        yield f"{who} is undone by '{key}', which is no step here; name an existing step.", "compensate_unknown"
    elif key == step.key:
        yield f"{who} cannot undo itself; name another step.", _INVALID
    else:
        wrong = _unfit(handler, led)
        if wrong:
            yield f"{who} is undone by '{key}', but {wrong}.", "compensation_handler_invalid"


_INVALID = "compensate_invalid"


def _unfit(handler: Step, led: Collection[str]) -> str | None:
    """Why this step cannot undo another; None when it can."""
    if handler.key in led:
        return (
            "transitions or an error route lead to it or from it; a step that undoes another stands by itself. Do more "
            "than one step can in a sub-workflow"
        )
    if handler.kind in _KINDS or handler.body is not None:
        return f"a step of the type '{handler.kind}' cannot undo anything; use another type, or a sub-workflow"
    if handler.compensate is not None:
        return "it names a step that undoes it in turn; remove that"
    if handler.on_error is not None or handler.joins or handler.max_visits is not None or handler.cancels:
        return "it has on_error, join, max_visits or cancels, which mean nothing there; remove them"
    return None


def _of_kind(step: Step, steps: Mapping[str, Step]) -> Iterator[tuple[str, str]]:
    who = f"Step '{step.path}'"
    if "." in step.path:
        yield f"{who} undoes steps, which is possible only outside of bodies; move it out.", "compensate_in_body"
        return
    if step.timeout is not None or step.retry.attempts > 1:
        yield f"{who} undoes steps; give a timeout and retries to the steps that undo, and none to this one.", _INVALID
    if not any(other.compensate for other in steps.values()):
        yield f"{who} undoes steps, but no step says what undoes it; add `compensate` to one.", _INVALID
    for key in step.undoes:
        other = steps.get(key)
        if other is None or other.compensate is None:
            yield f"{who} undoes '{key}', which is no step with a `compensate`; correct the list.", "compensate_unknown"
