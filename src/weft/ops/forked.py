"""Run a function in a process of its own and take its result.

The supervisor lives as long as the installation and should stay small: what it needs only once (migrations, the
seed, their libraries) is done in a fork, whose memory goes back when it ends.
"""

from __future__ import annotations

import json
import os
import sys
import traceback
from collections.abc import Callable
from typing import Any

from weft.core.errors import Issue, Kind, WeftError


class ErrandFailed(RuntimeError):
    """The function ended with a bug; its traceback is the message."""


class Refused(WeftError):
    """A refusal from the other process: kind, code and sentence are those of the original."""


def in_fork(function: Callable[[], Any]) -> Any:
    """Call `function` in a fork and hand back its result, which must be JSON. Refusals arrive as refusals.

    Not from a process with threads: a fork would take their locks along.
    """
    sys.stdout.flush()
    sys.stderr.flush()
    reader, writer = os.pipe()
    pid = os.fork()
    if pid == 0:
        os.close(reader)
        _answer(function, writer)
    os.close(writer)
    with os.fdopen(reader, "rb") as pipe:
        said = pipe.read()
    _, status = os.waitpid(pid, 0)
    if not said:
        raise ErrandFailed(f"the process ended without an answer (status {os.waitstatus_to_exitcode(status)})")
    answer = json.loads(said)
    if "refused" in answer:
        raise _as_refusal(answer["refused"])
    if "failed" in answer:
        raise ErrandFailed(answer["failed"])
    return answer["result"]


def _answer(function: Callable[[], Any], writer: int) -> None:
    """The other process: call, write, and leave without running the handlers of the process it was copied from."""
    try:
        try:
            answer = {"result": function()}
        except WeftError as error:
            issues = [
                {"message": i.message, "path": list(i.path), "code": i.code, "extra": dict(i.extra)}
                for i in error.issues
            ]
            answer = {
                "refused": {
                    "kind": error.kind.value,
                    "code": error.code,
                    "message": error.message,
                    "issues": issues,
                }
            }
        except BaseException:
            answer = {"failed": traceback.format_exc()}
        with os.fdopen(writer, "wb") as pipe:
            pipe.write(json.dumps(answer, default=str).encode())
        sys.stdout.flush()
        sys.stderr.flush()
    finally:
        os._exit(0)


def _as_refusal(facts: dict[str, Any]) -> Refused:
    issues = [Issue(i["message"], tuple(i["path"]), i["code"], i["extra"]) for i in facts["issues"]]
    words = {"kind": Kind(facts["kind"]), "code": facts["code"]}
    return type("Refused", (Refused,), words)(facts["message"], issues=issues)  # type: ignore[no-any-return]  # built by name
