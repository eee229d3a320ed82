"""The `weft` command itself: fast, lazy, and with one clear line when it says no."""

from __future__ import annotations

import importlib.util
import json
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from types import ModuleType
from uuid import UUID

import pytest
import typer

from weft.cli import command_line, output
from weft.core.errors import (
    Conflict,
    Exhausted,
    Forbidden,
    Invalid,
    Issue,
    NotFound,
    Stale,
    Unauthenticated,
    Unavailable,
    WeftError,
)

SRC = Path(__file__).parents[2] / "src"
HEAVY = ("typer", "fastapi", "sqlalchemy", "uvicorn", "asyncpg", "pydantic", "rich", "alembic", "asyncio")


@pytest.fixture(autouse=True)
def for_people() -> Iterator[None]:
    yield
    output.use_json(False)


@pytest.fixture
def raising(monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    """A command `weft try` that raises what `errors` holds."""
    module = ModuleType("weft_test_commands")
    app = typer.Typer()

    @app.command("try")
    def attempt(code: int = 0) -> int:
        if errors:
            raise errors.pop()
        return code

    errors: list[BaseException] = []
    vars(module).update(app=app, errors=errors)
    monkeypatch.setitem(sys.modules, "weft_test_commands", module)
    monkeypatch.setitem(command_line.COMMANDS, "try", command_line.Entry("Try.", ("weft_test_commands:app",), "try"))
    return module


def test_importing_it_loads_nothing_heavy() -> None:
    code = "import sys, weft.cli, weft.cli.command_line; print(*sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=SRC)
    assert not [name for name in done.stdout.split() if name.partition(".")[0] in HEAVY]


def test_help_lists_every_command(capsys: pytest.CaptureFixture[str]) -> None:
    for words in ([], ["--help"], ["help"]):
        assert command_line.run(words) == 0
        shown = capsys.readouterr().out
        assert all(f"  {name} " in shown for name in command_line.COMMANDS)


@pytest.mark.parametrize("name", sorted(command_line.COMMANDS))
def test_every_command_of_the_table_exists(name: str) -> None:
    entry = command_line.COMMANDS[name]
    for target in entry.apps:
        assert importlib.util.find_spec(target.partition(":")[0]), target
    group = command_line.load(name)
    assert group.commands
    assert entry.command is None or entry.command in group.commands


def test_an_unknown_command_is_refused_with_a_suggestion(capsys: pytest.CaptureFixture[str]) -> None:
    assert command_line.run(["workflw"]) == 2
    assert "Did you mean 'weft workflow'?" in capsys.readouterr().err


def test_a_wrong_option_is_one_line(capsys: pytest.CaptureFixture[str]) -> None:
    assert command_line.run(["version", "--loud"]) == 2
    said = capsys.readouterr().err
    assert "--loud" in said
    assert said.count("\n") == 1


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["version", "--loud"], "No such option: --loud. `weft version --help` shows how it is used."),
        (["execution", "start"], "Missing argument 'WORKFLOW'. `weft execution start --help` shows how it is used."),
        (["workflow", "trigger", "runs", "a", "b", "--soon"], "`weft workflow trigger runs --help` shows"),
        (["execution", "stop"], "`weft execution --help` shows"),
    ],
)
def test_a_wrong_line_names_the_help_that_shows_how_it_is_right(
    words: list[str], said: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert command_line.run(words) == 2
    assert said in capsys.readouterr().err
    assert command_line.run([*words, "--json"]) == 2
    assert said in json.loads(capsys.readouterr().err)["detail"]


@pytest.mark.parametrize(
    ("error", "code"),
    [
        (Invalid, 2),
        (Unauthenticated, 3),
        (Forbidden, 4),
        (NotFound, 5),
        (Conflict, 6),
        (Stale, 6),
        (Exhausted, 7),
        (Unavailable, 8),
    ],
)
def test_exit_codes_by_kind(
    raising: ModuleType, error: type[WeftError], code: int, capsys: pytest.CaptureFixture[str]
) -> None:
    raising.errors.append(error("Not so. Do it otherwise."))
    assert command_line.run(["try"]) == code
    assert capsys.readouterr().err == "weft: Not so. Do it otherwise.\n"


def test_issues_are_listed_with_their_places(raising: ModuleType, capsys: pytest.CaptureFixture[str]) -> None:
    raising.errors.append(Invalid("Two things.", issues=[Issue("too short", ("steps", 3, "url")), Issue("odd")]))
    assert command_line.run(["try"]) == 2
    assert capsys.readouterr().err == "weft: Two things.\n  steps[3].url: too short\n  odd\n"


def test_a_refusal_in_json_is_a_problem(raising: ModuleType, capsys: pytest.CaptureFixture[str]) -> None:
    raising.errors.append(Exhausted("Enough.", retry_after=2.0, issues=[Issue("a", ("b",))]))
    assert command_line.run(["try", "--json"]) == 7
    problem = json.loads(capsys.readouterr().err)
    assert problem == {
        "type": "exhausted",
        "kind": "exhausted",
        "detail": "Enough.",
        "issues": [{"message": "a", "path": ["b"], "code": "invalid"}],
        "retry_after": 2.0,
    }


def test_a_bug_shows_no_traceback_unless_asked(
    raising: ModuleType, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("WEFT_DEBUG", raising=False)
    raising.errors.append(ZeroDivisionError("oh"))
    assert command_line.run(["try"]) == 70
    said = capsys.readouterr().err
    assert "ZeroDivisionError: oh" in said
    assert "Traceback" not in said

    monkeypatch.setenv("WEFT_DEBUG", "1")
    raising.errors.append(ZeroDivisionError("oh"))
    assert command_line.run(["try"]) == 70
    assert "Traceback" in capsys.readouterr().err


def test_with_json_a_refusal_is_the_only_document_and_holds_the_notes(
    raising: ModuleType, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    raising.errors.append(Conflict("No."))
    dispatch = command_line._dispatch

    def noting(words: list[str]) -> int:
        output.note("Looking ...")
        return dispatch(words)

    monkeypatch.setattr(command_line, "_dispatch", noting)
    assert command_line.run(["try", "--json"]) == 6
    said = capsys.readouterr()
    assert (json.loads(said.err)["notes"], said.out) == (["Looking ..."], "")
    assert command_line.run(["try", "--json"]) == 0
    assert capsys.readouterr().err == "Looking ...\n"
    raising.errors.append(Conflict("No."))
    assert command_line.run(["try"]) == 6
    assert capsys.readouterr().err == "Looking ...\nweft: No.\n"


def test_interruption_and_own_exit_codes(raising: ModuleType) -> None:
    assert command_line.run(["try", "--code", "9"]) == 9
    raising.errors.append(KeyboardInterrupt())
    assert command_line.run(["try"]) == 130
    raising.errors.append(typer.Exit(4))
    assert command_line.run(["try"]) == 4


def test_a_reader_that_went_away_is_no_error() -> None:
    command = [sys.executable, "-m", "weft", "--help"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, cwd=SRC) as weft:
        assert weft.stdout is not None
        assert weft.stderr is not None
        weft.stdout.close()
        assert weft.stderr.read() == b""


def test_version_says_what_runs(capsys: pytest.CaptureFixture[str]) -> None:
    assert command_line.run(["--json", "version"]) == 0
    facts = json.loads(capsys.readouterr().out)
    assert facts["postgresql"] == 18
    assert command_line.run(["--version"]) == 0
    assert capsys.readouterr().out.startswith(f"weft {facts['weft']} ")


def test_json_after_two_dashes_is_an_argument() -> None:
    assert command_line._take_json(["a", "--json", "--", "--json"]) == ["a", "--", "--json"]
    assert output.as_json()
    assert command_line._take_json(["a", "--", "--json"]) == ["a", "--", "--json"]
    assert not output.as_json()


def test_rows_for_people_and_for_programs(capsys: pytest.CaptureFixture[str]) -> None:
    items: list[dict[str, object]] = [
        {"name": "Ann", "roles": ("admin", "demo"), "gone": None, "live": True},
        {"name": "Bo", "live": False},
    ]
    output.rows(items, {"name": "Name", "roles": "Roles", "live": "Live"})
    assert capsys.readouterr().out == "Name  Roles        Live\nAnn   admin, demo  yes\nBo    -            no\n"
    output.rows([], ["name"], empty="Nobody yet: weft member add.")
    assert capsys.readouterr().out == "Nobody yet: weft member add.\n"
    output.use_json(True)
    output.rows([{"id": UUID(int=1), "roles": {"b", "a"}}], ["id"])
    assert json.loads(capsys.readouterr().out) == [{"id": str(UUID(int=1)), "roles": ["a", "b"]}]


@pytest.fixture
def terminal(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Callable[..., list[str]]:
    """The lines of a list in a terminal of that width."""

    def shown(width: int, items: list[dict[str, object]], columns: list[str]) -> list[str]:
        monkeypatch.setattr(sys.stdout, "isatty", lambda: True)
        monkeypatch.setenv("COLUMNS", str(width))
        output.rows(items, columns)
        return capsys.readouterr().out.splitlines()

    return shown


def test_what_a_tenant_wrote_is_neither_markup_nor_an_order_to_the_terminal(
    terminal: Callable[..., list[str]],
) -> None:
    assert terminal(80, [{"name": "[red]x[/red]\x1b[2J\ny"}], ["name"])[-1] == "[red]x[/red] [2J y"


ROW: dict[str, object] = {
    "number": 12,
    "workflow": "Invoice approval of the whole house",
    "status": "COMPLETED",
    "created": "2026-03-01 12:00:07",
    "trigger": "SCHEDULE",
    "id": "0198c1c4-6e1c-7000-8000-0123456789ab",
}


def test_a_table_that_is_too_wide_folds_words_only(terminal: Callable[..., list[str]]) -> None:
    wide = terminal(200, [ROW], list(ROW))
    assert [len(wide), wide[0].split()] == [3, list(ROW)]
    narrower = terminal(112, [ROW, ROW], list(ROW))
    assert max(map(len, narrower)) <= 112
    assert len(narrower) == 6, "head, rule, and two lines for each"
    assert all(str(ROW[name]) in narrower[2] for name in ("status", "created", "trigger", "id"))
    assert "Invoice approval of" in narrower[2]


@pytest.mark.parametrize("width", [1, 60, 80, 100])
def test_where_no_table_fits_each_row_is_a_block_and_nothing_is_broken(
    width: int, terminal: Callable[..., list[str]]
) -> None:
    lines = terminal(width, [ROW, {**ROW, "id": None}], list(ROW))
    assert lines[: len(ROW) + 1] == [*(f"{name:<8}  {value}" for name, value in ROW.items()), ""]
    assert lines[-1] == "id        -"
    assert len(lines) == 2 * len(ROW) + 1


def test_characters_of_double_width_keep_the_columns_straight(terminal: Callable[..., list[str]]) -> None:
    lines = terminal(80, [{"a": "漢字", "b": "x"}, {"a": "abcd", "b": "y"}], ["a", "b"])
    assert lines == ["a     b", "───────", "漢字  x", "abcd  y"]
