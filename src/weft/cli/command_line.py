"""Which command lives in which module, and what happens when one fails.

The table is all that `weft` knows at its start, so help comes at once and each command pays only for itself. `--json`
is understood anywhere on the line (before `--`): results then are JSON on standard output, refusals are problem
documents on standard error.
"""

from __future__ import annotations

import difflib
import importlib
import os
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from weft.cli import output
from weft.core.errors import Invalid, WeftError

if TYPE_CHECKING:
    from typer.core import TyperGroup


@dataclass(frozen=True, slots=True)
class Entry:
    """One word after `weft`: a group of commands (of one or more modules), or one command of a module's group."""

    sentence: str
    apps: tuple[str, ...]
    command: str | None = None


def _command(name: str, app: str, sentence: str) -> Entry:
    return Entry(sentence, (app,), name)


def _group(sentence: str, *apps: str) -> Entry:
    return Entry(sentence, apps)


_RUN = "weft.cli.run:app"

COMMANDS: dict[str, Entry] = {
    "up": _command("up", _RUN, "Start everything here: database, API and worker."),
    "serve": _command("serve", _RUN, "Run the API process alone."),
    "worker": _command("worker", _RUN, "Run a worker process alone."),
    "demo": _command("demo", "weft.cli.demo:app", "Watch real invoices go through a workflow."),
    "doctor": _command("doctor", "weft.cli.doctor:app", "Check everything an operator would ask about."),
    "workflow": _group(
        "Write, check, simulate, publish and compare workflows.", "weft.cli.workflow:app", "weft.cli.simulation:app"
    ),
    "execution": _group(
        "Start, watch, stop, repeat and move executions.",
        "weft.cli.execution:app",
        "weft.cli.execution_control:app",
        "weft.cli.watch:app",
    ),
    "event": _group("Tell of something that happened.", "weft.cli.event:app"),
    "question": _group("What executions ask, and the answers.", "weft.cli.question:app"),
    "limit": _group("How much at once, how fast, and what first.", "weft.cli.limit:app"),
    "dead": _group("Jobs that were given up: explain, retry, drop.", "weft.cli.dead:app"),
    "login": _command("login", "weft.cli.session:app", "Sign in and remember it."),
    "logout": _command("logout", "weft.cli.session:app", "Forget the sign-in."),
    "switch": _command("switch", "weft.cli.session:app", "Work in another of your tenants."),
    "whoami": _command("whoami", "weft.cli.session:app", "Show who is signed in, and where."),
    "tenant": _group(
        "Make, list, delete and restore tenants.",
        "weft.cli.tenant:app",
        "weft.cli.tenant_lifecycle:app",
        "weft.cli.tenant_limits:app",
    ),
    "member": _group("Who belongs to a tenant.", "weft.cli.member:app"),
    "role": _group("What members may do.", "weft.cli.role:app"),
    "key": _group("API keys for programs.", "weft.cli.key:app"),
    "client": _group("The customers that workflows run for.", "weft.cli.clients:app"),
    "secret": _group("Values that steps hand to other systems.", "weft.cli.secret:app"),
    "template": _group("Texts that notifications send.", "weft.cli.template:app"),
    "audit": _group("Who changed what, when, from where.", "weft.cli.audit:app"),
    "retention": _group("How long executions are kept.", "weft.cli.retention:app"),
    "archive": _group("Archives of executions that are gone.", "weft.cli.archive:app"),
    "db": _group(
        "Prepare, migrate, seed and check the database.",
        "weft.cli.database:app",
        "weft.cli.database_init:app",
        "weft.cli.database_migrating:app",
        "weft.cli.database_environments:app",
        "weft.cli.database_data:app",
        "weft.cli.seed:app",
        "weft.cli.database_retention:app",
        "weft.cli.database_replica:app",
        "weft.cli.database_distribute:app",
        "weft.cli.database_maintain:app",
        "weft.cli.database_stats:app",
        "weft.cli.database_authoring:app",
        "weft.cli.database_backup:app",
        "weft.cli.database_restore:app",
        "weft.cli.database_wal:app",
        "weft.cli.database_drill:app",
        "weft.cli.database_docs:app",
        "weft.cli.database_studio:app",
    ),
    "test": _command("test", "weft.cli.develop:app", "Run every test of this clone."),
    "bench": _command("bench", "weft.cli.develop:app", "Measure, and compare with the recorded results."),
    "version": _command("version", _RUN, "Show the version."),
}


class CommandUnknown(Invalid):
    code = "command_unknown"

    def __init__(self, name: str) -> None:
        close = difflib.get_close_matches(name, COMMANDS, n=1)
        meant = f" Did you mean 'weft {close[0]}'?" if close else ""
        super().__init__(f"There is no command '{name}'.{meant} `weft --help` lists all of them.")


def run(arguments: Sequence[str]) -> int:
    """Run one command line; hands back the exit code and never raises but for a signal."""
    words = _take_json(list(arguments))
    try:
        code = _dispatch(words)
        sys.stdout.flush()
        output.flush_notes()
    except BrokenPipeError:
        # The reader (`| head`) has seen enough. What is still buffered must not fail at interpreter exit.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 128 + 13
    except KeyboardInterrupt:
        return 128 + 2
    except WeftError as error:
        return output.refuse(error)
    except Exception as error:
        return output.refuse(missing) if (missing := _without_schema(error)) is not None else output.bug(error)
    return code


def _without_schema(error: Exception) -> WeftError | None:
    """A database without its schema is nobody's bug. Looked at only now: it is not imported for every command."""
    from weft.db.missing import schema_missing

    return schema_missing(error)


def load(name: str) -> TyperGroup:
    """The commands behind a word, imported now."""
    from typer.main import get_group

    entry = COMMANDS[name]
    first, *others = [get_group(_app(target)) for target in entry.apps]
    for other in others:
        for word, command in other.commands.items():
            first.add_command(command, word)
    return first


def _app(target: str):  # type: ignore[no-untyped-def]  # a Typer, whose module is not imported for its name
    module, _, attribute = target.partition(":")
    return getattr(importlib.import_module(module), attribute)


def _dispatch(words: list[str]) -> int:
    if not words or words[0] in ("-h", "--help", "help"):
        sys.stdout.write(_overview())
        return 0
    name, *rest = words
    if name in ("-V", "--version"):
        name = "version"
    if name not in COMMANDS:
        raise CommandUnknown(name)
    entry = COMMANDS[name]
    group = load(name)
    program = "weft" if entry.command else f"weft {name}"
    line = [entry.command, *rest] if entry.command else (rest or ["--help"])
    from typer import Abort, TyperException

    try:
        returned = group.main(line, prog_name=program, standalone_mode=False)
    except Abort:
        output.note("Nothing was done.")
        return 1
    except TyperException as error:
        context = getattr(error, "ctx", None)  # that of the command itself, where the option would be explained
        return output.misused(error.format_message(), command=context.command_path if context else f"weft {name}")
    return returned if isinstance(returned, int) else 0


def _take_json(words: list[str]) -> list[str]:
    end = words.index("--") if "--" in words else len(words)
    output.use_json("--json" in words[:end])
    return [word for word in words[:end] if word != "--json"] + words[end:]


def _overview() -> str:
    width = max(map(len, COMMANDS))
    lines = ["weft runs workflows for systems, people and AI agents, on PostgreSQL.", "", "Usage: weft COMMAND ...", ""]
    lines += [f"  {name:<{width}}  {entry.sentence}" for name, entry in COMMANDS.items()]
    lines += ["", "`weft COMMAND --help` says more. `--json`, anywhere on the line, answers in JSON."]
    lines += ["Begin with `weft up`."]
    return "\n".join(lines) + "\n"
