"""`code`: a little Python, in a sandbox that reaches nothing. What it computes is its last expression."""

from __future__ import annotations

import keyword
import re
from collections.abc import Mapping
from typing import Any, Final

from weft.core.errors import Issue
from weft.core.ports import CodeError, CodeRequest
from weft.domain.workflows.kinds import Where
from weft.engine.kinds import Call, Ports
from weft.engine.outcomes import Done, Failed, Outcome
from weft.engine.steps.base import ConfigWrong, ErrandStep, config_of
from weft.engine.steps.values import DURATION, integer, is_expression, mapping, seconds, text
from weft.interpreter.durations import DurationUnclear, parse_duration

LONGEST_CODE: Final = 32_768
MOST_INPUTS: Final = 100
LONGEST: Final = 30.0
USUAL: Final = 5.0
LARGEST_MEMORY: Final = 256
USUAL_MEMORY: Final = 64

_NAME: Final = re.compile(r"[A-Za-z][A-Za-z0-9_]{0,63}")


class Code(ErrandStep):
    name = "code"
    title = "Code"
    description = (
        "Runs a little Python in a sandbox and puts out the value of its last expression. It reaches no network, no "
        "files and no environment."
    )
    verbatim = ("code",)
    config_schema = config_of(
        {
            "code": {
                "type": "string",
                "minLength": 1,
                "maxLength": LONGEST_CODE,
                "description": "The Python text, taken as it is written: braces in it are no expressions. The value of "
                "its last line, when that is an expression, is the output.",
            },
            "inputs": {
                "type": "object",
                "maxProperties": MOST_INPUTS,
                "description": "Variables of the code, by name; their values may be expressions.",
            },
            "timeout": {
                **DURATION,
                "description": f"How long it may run; at most {LONGEST:.0f} seconds, by itself {USUAL:.0f}.",
            },
            "memory": {
                "type": "integer",
                "minimum": 1,
                "maximum": LARGEST_MEMORY,
                "default": USUAL_MEMORY,
                "description": "Megabytes that its values may take.",
            },
        },
        required=("code",),
    )

    def idempotent(self, config: Mapping[str, Any]) -> bool:
        """It has no effects, so it may always run again."""
        del config
        return True

    def check(self, config: Mapping[str, Any], where: Where = ()) -> list[Issue]:
        issues: list[Issue] = []
        inputs = config.get("inputs")
        names = tuple(inputs) if isinstance(inputs, Mapping) else ()
        issues.extend(
            Issue(fault, (*where, "inputs", name), "config_invalid")
            for name in names
            if (fault := _name_fault(name)) is not None
        )
        timeout = config.get("timeout")
        if timeout is not None and not is_expression(timeout) and _is_longer(timeout):
            issues.append(
                Issue(f"Code may run for at most {LONGEST:.0f} seconds.", (*where, "timeout"), "config_invalid")
            )
        code = config.get("code")
        # Names that only an expression gives are not known here, so nothing could be said about the others.
        if isinstance(code, str) and not issues and not is_expression(inputs):
            issues.extend(_code_issues(code, names, where))
        return issues

    async def call(self, call: Call, ports: Ports) -> Outcome:
        if ports.code is None:
            return Failed("unavailable", "This process runs no code. Start a worker that does.", retryable=True)
        request = _request(call)
        try:
            result = await ports.code.run(request)
        except CodeError as error:
            return _failed(error)
        return Done(result.value, message=_printed(result.printed))


def _request(call: Call) -> CodeRequest:
    config = call.config
    inputs = mapping(config, "inputs")
    for name in inputs:
        fault = _name_fault(name)
        if fault is not None:
            raise ConfigWrong(f"config.inputs: {fault}")
    if len(inputs) > MOST_INPUTS:
        raise ConfigWrong(f"config.inputs may hold at most {MOST_INPUTS} variables.")
    allowed = seconds(config, "timeout") if config.get("timeout") is not None else USUAL
    if not 0 < allowed <= LONGEST:
        raise ConfigWrong(
            f"config.timeout must be more than 0 and at most {LONGEST:.0f} seconds, but it is {allowed:g}."
        )
    memory = integer(config, "memory", default=USUAL_MEMORY, low=1, high=LARGEST_MEMORY) or USUAL_MEMORY
    return CodeRequest(
        code=text(config, "code"),
        inputs=inputs,
        seconds=min(allowed, call.timeout) if call.timeout else allowed,
        memory=memory * 1_000_000,
        now=call.now,
        seed=call.idempotency_key,
        tenant=call.tenant_id,
    )


def _failed(error: CodeError) -> Failed:
    data = {"line": error.line, "column": error.column} if error.line is not None else {}
    if error.printed:
        data["printed"] = error.printed  # type: ignore[assignment]  # text beside numbers
    return Failed(
        error.kind,
        error.message if error.message.endswith((".", "…")) else f"{error.message}.",
        retryable=error.kind in ("code_crashed", "code_timeout"),
        data=data or None,
    )


def _printed(text: str) -> str | None:
    return f"Printed: {text.rstrip()}" if text.strip() else None


def _name_fault(name: str) -> str | None:
    if not _NAME.fullmatch(name) or keyword.iskeyword(name):
        return f"'{name[:64]}' cannot be a variable: letters, digits and _, a letter first, and no word of Python."
    return None


def _code_issues(code: str, names: tuple[str, ...], where: Where) -> list[Issue]:
    from weft.engine.code_check import code_faults

    return [
        Issue(
            f"The code, line {fault.line}, column {fault.column}: {fault.message}.",
            (*where, "code"),
            "code_invalid",
            {"line_of_code": fault.line, "column_of_code": fault.column},
        )
        for fault in code_faults(code, names)
    ]


def _is_longer(written: object) -> bool:
    try:
        return parse_duration(written) > LONGEST
    except DurationUnclear:
        return False  # the schema has said so


STEP = Code()
