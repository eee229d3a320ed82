"""What commands print: for people by default, JSON with `--json`; and which exit code says what.

0 done                 4 forbidden            7 a limit is reached
2 invalid              5 not found            8 something does not answer; try again
3 nobody is signed in  6 a conflict           70 a bug in weft
"""

from __future__ import annotations

import json
import os
import sys
import traceback
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from weft.core.errors import Kind, WeftError

EXIT_CODES: dict[Kind, int] = {
    Kind.invalid: 2,
    Kind.unauthenticated: 3,
    Kind.forbidden: 4,
    Kind.not_found: 5,
    Kind.conflict: 6,
    Kind.stale: 6,
    Kind.exhausted: 7,
    Kind.unavailable: 8,
}
BUG = 70

_state = {"json": False}
_notes: deque[str] = deque(maxlen=200)


def use_json(wanted: bool) -> None:
    """Set once by the command line."""
    _state["json"] = wanted
    _notes.clear()


def as_json() -> bool:
    """Whether the reader is a program."""
    return _state["json"]


def result(value: Any, text: str | Callable[[], str] = "") -> None:
    """The answer of a command: `value` as JSON, or `text` for people."""
    if as_json():
        sys.stdout.write(json.dumps(value, indent=2, ensure_ascii=False, default=_plain) + "\n")
        return
    shown = text if isinstance(text, str) else text()
    if shown:
        sys.stdout.write(shown if shown.endswith("\n") else shown + "\n")


def rows(
    items: Sequence[Mapping[str, Any]], columns: Mapping[str, str] | Sequence[str], *, empty: str = "Nothing there."
) -> None:
    """A list: JSON as it is, else a table of the named keys (a mapping gives their headings).

    `empty` says, to people, that there is nothing and what to do about it.
    """
    if as_json():
        result(list(items))
        return
    if not items:
        sys.stdout.write(empty + "\n")
        return
    heads = dict(columns) if isinstance(columns, Mapping) else {key: key.replace("_", " ") for key in columns}
    cells = [[_cell(item.get(key)) for key in heads] for item in items]
    if sys.stdout.isatty():
        _fitted_table(list(heads.values()), cells)
    else:
        _plain_table(list(heads.values()), cells)


def note(text: str, *, now: bool = False) -> None:
    """Something for people to know meanwhile; never part of the answer.

    With `--json` it is held back until the end: a refusal is the only document on standard error, and holds it. `now`
    is for commands that go on until somebody stops them, and have answered by then.
    """
    if as_json() and not now:
        _notes.append(text)
    else:
        sys.stderr.write(text + "\n")


def flush_notes() -> None:
    """The command has ended, and was not refused."""
    while _notes:
        sys.stderr.write(_notes.popleft() + "\n")


def refuse(error: WeftError) -> int:
    """Show a refusal and hand back its exit code: one clear line, or a problem document."""
    _trace(error)
    code = EXIT_CODES[error.kind]
    if as_json():
        document: dict[str, Any] = {"type": error.code, "kind": error.kind.value, "detail": error.message}
        if error.issues:
            document["issues"] = [issue.as_json() for issue in error.issues]
        if error.retry_after is not None:
            document["retry_after"] = error.retry_after
        _problem(document)
        return code
    sys.stderr.write(f"weft: {error.message}\n")
    for issue in error.issues:
        place = _place(issue.path)
        if issue.message not in error.message:
            sys.stderr.write(f"  {place + ': ' if place else ''}{issue.message}\n")
    return code


def misused(message: str, *, command: str) -> int:
    """The command line itself is wrong; the help of `command` says how it is right."""
    ended = message.rstrip()
    detail = f"{ended}{'' if ended.endswith(('.', '!', '?')) else '.'} `{command} --help` shows how it is used."
    if as_json():
        _problem({"type": "command_line_invalid", "kind": Kind.invalid.value, "detail": detail})
    else:
        sys.stderr.write(f"weft: {detail}\n")
    return EXIT_CODES[Kind.invalid]


def bug(error: Exception) -> int:
    """Anything that weft did not refuse on purpose."""
    _trace(error)
    message = (
        f"Something unexpected happened ({type(error).__name__}: {error}). This is a bug in weft; "
        "WEFT_DEBUG=1 shows where, please report that."
    )
    if as_json():
        _problem({"type": "bug", "kind": "bug", "detail": message})
    else:
        sys.stderr.write(f"weft: {message}\n")
    return BUG


def is_debugging() -> bool:
    return os.environ.get("WEFT_DEBUG", "0") not in ("", "0")


def _problem(document: dict[str, Any]) -> None:
    if _notes:
        document = {**document, "notes": list(_notes)}
        _notes.clear()
    sys.stderr.write(json.dumps(document, ensure_ascii=False, default=_plain) + "\n")


def _trace(error: BaseException) -> None:
    if is_debugging():
        traceback.print_exception(error)


def _place(path: Sequence[str | int]) -> str:
    parts = [f"[{part}]" if isinstance(part, int) else f".{part}" for part in path]
    return "".join(parts).lstrip(".")


def _plain(value: object) -> Any:
    for attribute in ("isoformat", "as_json"):
        if callable(method := getattr(value, attribute, None)):
            return method()
    if isinstance(value, (set, frozenset, tuple)):
        return sorted(value)
    return str(value)


def _cell(value: Any) -> str:
    if value is None:
        return "-"
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, (list, tuple, set, frozenset)):
        return ", ".join(map(str, value))
    if isinstance(value, Mapping):
        return json.dumps(value, ensure_ascii=False, default=_plain)
    return str(value)


def _plain_table(heads: list[str], cells: list[list[str]]) -> None:
    widths = [max(len(line[index]) for line in [heads, *cells]) for index in range(len(heads))]
    for line in [heads, *cells]:
        sys.stdout.write("  ".join(f"{cell:<{widths[i]}}" for i, cell in enumerate(line)).rstrip() + "\n")


def _fitted_table(heads: list[str], cells: list[list[str]]) -> None:
    """In a terminal: what does not fit its width as a table comes row by row."""
    from shutil import get_terminal_size

    from weft.cli import tables

    # What a tenant wrote is no order to the terminal.
    clean = [["".join(c if c.isprintable() else " " for c in cell) for cell in row] for row in cells]
    table = tables.drawn(heads, clean, get_terminal_size().columns)
    lines = tables.blocks(heads, clean) if table is None else table
    sys.stdout.write("\n".join(lines) + "\n")
