"""The page of all commands, from the code: `python -m weft.cli.reference > docs/reference/cli.md`."""

from __future__ import annotations

import inspect
import re
import sys
from collections.abc import Iterator, Mapping
from typing import Any, Final

from weft.cli.command_line import COMMANDS, load
from weft.cli.output import BUG, EXIT_CODES

_HEAD: Final = """\
# Commands

<!-- Written by `python -m weft.cli.reference`; a test fails when it is out of date. -->

`./weft` in a clone, `weft` where it is installed. `weft COMMAND --help` says the same as this page. `--json`, anywhere
on the line, answers in JSON on standard output, and refusals as problem documents on standard error.

Commands marked *API* talk to a running weft over HTTP, as any other program would. They know where from `--url`, else
`WEFT_URL`, else what `weft up` wrote down here; they sign in with `WEFT_API_KEY`, else with what `weft login`
remembered; they work in the tenant that `--tenant`, `WEFT_TENANT` or the sign-in names. The other commands work on
this machine or directly on the database.
"""

_API_OPTIONS: Final = {"--url": "Address of weft", "--tenant": "Slug or id of another tenant"}
"""Options that every command of the API has, and how their help begins: said once, at the head."""

_EXIT_CODES: Final[Mapping[int, str]] = {
    0: "done",
    1: "it ran, and the answer is no: `doctor` found a failure, `demo` met another outcome than the expected one, "
    "an execution that was waited for failed; or a question was not answered",
    2: "invalid: the command line, a value or a file is wrong",
    3: "nobody is signed in",
    4: "forbidden",
    5: "not found",
    6: "a conflict, or somebody changed it first",
    7: "a limit is reached",
    8: "something does not answer; try again",
    BUG: "a bug in weft: `WEFT_DEBUG=1` shows where",
    130: "stopped by Ctrl-C",
}


def reference() -> str:
    """The page, `docs/reference/cli.md`."""
    lines = [_HEAD, "| command | what it does |", "|---|---|"]
    lines += [f"| [`weft {name}`](#weft-{name}) | {entry.sentence} |" for name, entry in COMMANDS.items()]
    for name, entry in COMMANDS.items():
        lines += ["", f"## weft {name}", ""]
        group: Any = load(name)
        if entry.command is not None:
            lines += _command(f"weft {name}", group.commands[entry.command])
        else:
            lines += [entry.sentence, *_group(f"weft {name}", group)]
    lines += ["", "## Exit codes", "", "| code | meaning |", "|---|---|"]
    lines += [f"| {code} | {sentence} |" for code, sentence in _exit_codes().items()]
    return "\n".join(lines) + "\n"


def _group(program: str, group: Any) -> Iterator[str]:
    for word, command in group.commands.items():
        if command.hidden:
            continue
        if hasattr(command, "commands"):
            if command.invoke_without_command:
                yield from ["", f"### {program} {word}", ""]
                yield from _command(f"{program} {word}", command)
            yield from _group(f"{program} {word}", command)
        else:
            yield from ["", f"### {program} {word}", ""]
            yield from _command(f"{program} {word}", command)


def _command(program: str, command: Any) -> list[str]:
    context = command.context_class(command, info_name=program)
    usage = " ".join(command.collect_usage_pieces(context))
    talks = any(_is_shared(parameter) for parameter in command.params)
    shown = [p for p in command.params if not getattr(p, "hidden", False) and not _is_shared(p)]
    records = [record for p in shown if (record := p.get_help_record(context)) is not None]
    lines = ["*API.* " * talks + _plain(inspect.cleandoc(command.help or "")), ""]
    lines += ["```text", f"{program} {usage}".rstrip(), "```"]
    if records:
        lines += [
            "",
            "| | |",
            "|---|---|",
            *(f"| `{_cell(words)}` | {_cell(_plain(said))} |" for words, said in records),
        ]
    return lines


def _is_shared(parameter: Any) -> bool:
    """Whether it is the option that every command of the API has, and not one that is only called alike."""
    return any(
        name in parameter.opts and (parameter.help or "").startswith(words) for name, words in _API_OPTIONS.items()
    )


def _cell(text: str) -> str:
    return re.sub(r"\s+", " ", text).strip().replace("|", "\\|")


def _plain(text: str) -> str:
    """Help is written for terminals: what looks like a tag there would vanish here."""
    return text.replace("<", "&lt;")


def _exit_codes() -> Mapping[int, str]:
    """Raises `LookupError` when a kind of error has an exit code that nobody has explained here."""
    unexplained = set(EXIT_CODES.values()) - _EXIT_CODES.keys()
    if unexplained:
        raise LookupError(f"exit codes without an explanation: {sorted(unexplained)}")
    return _EXIT_CODES


if __name__ == "__main__":
    sys.stdout.write(reference())
