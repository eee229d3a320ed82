"""`weft workflow simulate` without a server: what it reads, what it shows, and its exit codes."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from tests.cli.conftest import Weft

from weft.cli import simulation
from weft.engine import registry

PAY = """\
name: pay
input: {type: object, required: [amount], properties: {amount: {type: integer, minimum: 1, maximum: 9}}}
steps:
  - {key: sub, type: sub_workflow, config: {workflow: Book, input: {amount: "{{ input.amount }}"}}}
  - {key: paid, type: end, config: {output: "{{ steps.sub.output }}"}}
transitions:
  - {from: sub, to: paid}
"""
BOOK = """\
name: book
steps:
  - {key: call, type: http, config: {url: "https://bank.example/{{ input.amount }}"}}
  - {key: booked, type: end, config: {output: "{{ steps.call.output.body }}"}}
transitions:
  - {from: call, to: booked}
"""
SCRIPT = """\
steps:
  call: {output: {body: "{{ config.url }}"}, duration: 90s, cost: 0.5}
workflows:
  book: book.yaml
"""

Write = Callable[[str, str], str]


@pytest.fixture
def write(tmp_path: Path) -> Write:
    registry.kinds()

    def put(name: str, text: str) -> str:
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text(text, encoding="utf-8")
        return name  # commands run in this directory

    return put


@pytest.fixture
def files(write: Write) -> None:
    write("pay.yaml", PAY)
    write("book.yaml", BOOK)
    write("script.yaml", SCRIPT)


def test_people_see_outcomes_figures_and_assertions(weft: Weft, files: None) -> None:
    said = weft(
        "workflow", "simulate", "pay.yaml", "--script", "script.yaml", "-n", "20", "--assert", "p50_duration == 90",
        "--assert", "mean_cost > 1",
    )  # fmt: skip
    assert said.code == 2
    lines = said.out.splitlines()
    assert lines[0] == "pay: 20 runs, seed 1"
    assert "duration: min 1.5 m  p50 1.5 m  p80 1.5 m  p95 1.5 m  max 1.5 m  mean 1.5 m" in lines
    assert "cost: min 0.5  p50 0.5  p80 0.5  p95 0.5  max 0.5  mean 0.5" in lines
    assert "coverage: 100.0% of the steps, 100.0% of the transitions" in lines
    assert lines[-2:] == ["holds  p50_duration == 90", "FAILS  mean_cost > 1"]


def test_programs_get_the_document(weft: Weft, files: None) -> None:
    found = weft("workflow", "simulate", "pay.yaml", "--with", "book.yaml", "--json").json()
    assert (found["runs"], found["completed"], found["passed"], found["answered_by_default"]) == (100, 1.0, True, [])
    alone = weft("workflow", "simulate", "pay.yaml", "--json").json()
    assert alone["answered_by_default"] == ["sub"]


def test_inputs_come_from_one_value_a_folder_or_lines(weft: Weft, files: None, write: Write, tmp_path: Path) -> None:
    write("many/a.json", '{"amount": 1}')
    write("many/b.yaml", "amount: 2")
    write("lines.jsonl", '{"amount": 3}\n\n{"amount": 4}\n')

    def amounts(*given: str) -> list[int]:
        done = weft("workflow", "simulate", "pay.yaml", "-n", "4", "--trace", "trace.jsonl", *given)
        assert done.code == 0, done.err
        events = [json.loads(line) for line in (tmp_path / "trace.jsonl").read_text().splitlines()]
        return [event["input"]["amount"] for event in events if event["what"] == "began"]

    assert amounts("--input", '{"amount": 7}') == [7, 7, 7, 7]
    assert amounts("--inputs", "many") == [1, 2, 1, 2]
    assert amounts("--inputs", "lines.jsonl") == [3, 4, 3, 4]


def test_runs_begin_when_they_are_told_to(weft: Weft, write: Write, tmp_path: Path) -> None:
    steps = 'steps:\n  - {key: done, type: end, config: {output: "{{ now }}"}}\n'
    file = write("now.yaml", f"name: now\n{steps}transitions: []\n")
    weft("workflow", "simulate", file, "-n", "1", "--trace", "t", "--now", "2030-12-24T18:00:00+01:00")
    assert json.loads((tmp_path / "t").read_text().splitlines()[-1])["output"] == "2030-12-24T18:00:00+01:00"


@pytest.mark.parametrize(
    ("arguments", "code", "words"),
    [
        (["nowhere.yaml"], 5, "cannot be read"),
        (["pay.yaml", "--input", '{"amount": 0}'], 2, "The input does not fit"),
        (["pay.yaml", "--inputs", "nowhere"], 5, "cannot be read"),
        (["pay.yaml", "--script", "book.yaml"], 2, "The script cannot be used"),
        (["pay.yaml", "--assert", "compelted == 1"], 2, "there is no `compelted`"),
        (["pay.yaml", "--now", "2026-01-01T00:00:00"], 2, "has no zone"),
        (["pay.yaml", "--now", "soon"], 2, "is no time"),
    ],
)
def test_what_is_wrong_is_said(weft: Weft, files: None, arguments: list[str], code: int, words: str) -> None:
    said = weft("workflow", "simulate", *arguments)
    assert (said.code, said.out) == (code, "")
    assert words in said.err


def test_many_runs_are_counted_in_a_terminal(weft: Weft, files: None, monkeypatch: pytest.MonkeyPatch) -> None:
    """A bar on standard error, and nothing of it in the answer."""
    monkeypatch.setattr(simulation, "_MANY", 10)
    monkeypatch.setattr(sys.stderr, "isatty", lambda: True)
    shown = weft("workflow", "simulate", "pay.yaml", "--script", "script.yaml", "--runs", "10")
    assert (shown.code, "playing" in shown.err, "playing" in shown.out) == (0, True, False)
    few = weft("workflow", "simulate", "pay.yaml", "--script", "script.yaml", "--runs", "9")
    assert (few.code, few.err) == (0, "")
