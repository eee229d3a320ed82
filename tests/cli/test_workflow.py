"""`weft workflow`: files checked without a server, and everything else over HTTP."""

from __future__ import annotations

import asyncio
import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from tests.cli.conftest import Result, Served, Weft
from tests.factories import api as serving
from tests.factories import identity

from weft.db.database import Database
from weft.domain.workflows.parsing import parse
from weft.domain.workflows.routes import routers
from weft.engine import registry

GOOD = """\
name: Invoice
description: Doubles an amount
input:
  type: object
  properties: {amount: {type: number}}
  additionalProperties: false
steps:
  - key: double
    type: transform
    config:
      values:
        twice: "{{ input.amount * 2 }}"
  - key: done
    type: end
transitions:
  - {from: double, to: done}
output: "{{ steps.double.output.twice }}"
"""
BAD = GOOD.replace("input.amount * 2", "input.amuont * 2").replace("to: done", "to: dne")
DOUBTFUL = GOOD.replace("  additionalProperties: false\n", "").replace("input.amount", "input.amuont")

Write = Callable[[str, str], str]


@pytest.fixture
def write(tmp_path: Path) -> Write:
    def put(name: str, text: str) -> str:
        (tmp_path / name).write_text(text, encoding="utf-8")
        return name  # commands run in this directory

    return put


# --- without a server


def test_a_sound_file(weft: Weft, write: Write) -> None:
    result = weft("workflow", "check", write("good.yaml", GOOD))
    assert (result.code, result.out, result.err) == (0, "good.yaml: sound (2 steps, 2 expressions)\n", "")


def test_an_unsound_file_by_line(weft: Weft, write: Write) -> None:
    result = weft("workflow", "check", write("bad.yaml", BAD))
    assert result.code == 2
    assert result.out.splitlines() == [
        "bad.yaml:12: error: Step 'double': `input` has no field `amuont`. Did you mean `input.amount`?",
        "bad.yaml:16: error: A transition from 'double' leads to 'dne', which is no step here; name an existing step.",
    ]


def test_warnings_are_no_faults(weft: Weft, write: Write) -> None:
    result = weft("workflow", "check", write("doubtful.yaml", DOUBTFUL))
    assert result.code == 0
    assert "doubtful.yaml:11: warning: Step 'double': `input` has no field `amuont`." in result.out


def test_several_files_and_json(weft: Weft, write: Write) -> None:
    write("good.yaml", GOOD)
    write("bad.json", json.dumps(parse(BAD).document, indent=1))
    result = weft("workflow", "check", "good.yaml", "bad.json", "--json")
    assert result.code == 2
    good, bad = json.loads(result.out)
    assert (good["sound"], good["stats"]["steps"], good["errors"]) == (True, 2, [])
    assert bad["sound"] is False
    assert [error["code"] for error in bad["errors"]] == ["field_unknown", "transition_target_unknown"]
    lines = json.dumps(parse(BAD).document, indent=1).splitlines()
    assert ["amuont" in lines[bad["errors"][0]["line"] - 1], '"dne"' in lines[bad["errors"][1]["line"] - 1]] == [
        True
    ] * 2


@pytest.mark.parametrize(
    ("text", "line", "words"),
    [("name: x\nname: y\n", 2, "given twice"), ("steps: [\n", 2, "not YAML"), ("- a\n", 1, "a list")],
)
def test_a_file_that_is_no_definition(weft: Weft, write: Write, text: str, line: int, words: str) -> None:
    result = weft("workflow", "check", write("broken.yaml", text))
    assert result.code == 2
    assert result.out.startswith(f"broken.yaml:{line}: error: ")
    assert words in result.out


def test_a_file_that_is_not_there(weft: Weft) -> None:
    result = weft("workflow", "check", "nowhere.yaml")
    assert result.code == 5
    assert "'nowhere.yaml' cannot be read" in result.err


def test_standard_input(weft: Weft) -> None:
    assert weft("workflow", "check", "-", stdin=GOOD).out.startswith("standard input: sound")


def test_differences_of_files(weft: Weft, write: Write) -> None:
    write("a.yaml", GOOD)
    write("b.yaml", GOOD.replace("Doubles an amount", "Doubles").replace("amount * 2", "amount * 3"))
    result = weft("workflow", "diff", "a.yaml", "b.yaml")
    assert result.out.splitlines() == [
        '~ description: "Doubles an amount" -> "Doubles"',
        '~ step double: config.values.twice: "{{ input.amount * 2 }}" -> "{{ input.amount * 3 }}"',
    ]
    assert weft("workflow", "diff", "a.yaml", "a.yaml").out == "No difference.\n"
    (first, _) = weft("workflow", "diff", "a.yaml", "b.yaml", "--json").json()
    assert (first["what"], first["how"], first["name"]) == ("workflow", "changed", "description")


def test_the_schema_names_the_kinds_of_this_machine(weft: Weft) -> None:
    schema = weft("workflow", "schema").json()
    named = {one["if"]["properties"]["type"]["const"] for one in schema["$defs"]["step"]["allOf"]}
    assert {"http", "for_each"} <= named


def test_checking_needs_neither_server_nor_its_libraries(write: Write, tmp_path: Path) -> None:
    """What a pre-commit hook runs must not wait for a web framework and an ORM."""
    write("good.yaml", GOOD)
    program = (
        "import sys; from weft.cli.command_line import run; code = run(['workflow', 'check', 'good.yaml']);"
        "loaded = {'fastapi', 'sqlalchemy', 'asyncpg', 'uvicorn'} & set(sys.modules);"
        "sys.exit(f'loaded {sorted(loaded)}' if loaded else code)"
    )
    done = subprocess.run([sys.executable, "-c", program], cwd=tmp_path, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")


# --- with one


@pytest.fixture(autouse=True)
def mounted(monkeypatch: pytest.MonkeyPatch) -> None:
    registry.kinds()
    others = tuple(router for router in serving.ROUTERS if router not in routers)
    monkeypatch.setattr(serving, "ROUTERS", (*others, *routers))


@pytest.fixture
async def signed_in(served: Served, database: Database, monkeypatch: pytest.MonkeyPatch) -> Served:
    monkeypatch.setenv("WEFT_API_KEY", await identity.api_key(database, served.owner))
    return served


async def calling(weft: Weft, *arguments: str) -> Result:
    """In a thread of its own, so that this test's own loop keeps running."""
    return await asyncio.to_thread(weft, *arguments)


async def test_apply_makes_updates_and_leaves_alone(signed_in: Served, weft: Weft, write: Write) -> None:
    file = write("good.yaml", GOOD)
    first = await calling(weft, "workflow", "apply", file, "-m", "first")
    assert (first.code, first.out) == (0, "Created 'Invoice': version 1, ACTIVE.\n")
    again = await calling(weft, "workflow", "apply", file)
    assert again.out == "Nothing differs in 'Invoice': version 1, ACTIVE.\n"
    write("good.yaml", GOOD.replace("amount * 2", "amount * 3"))
    changed = await calling(weft, "workflow", "apply", file, "--json")
    assert changed.json()["outcome"] == "updated"
    assert changed.json()["version"]["number"] == 2
    assert len(changed.json()["changes"]) == 1
    listed = (await calling(weft, "workflow", "list", "--json")).json()
    assert [(row["name"], row["status"], row["version"]) for row in listed] == [("Invoice", "ACTIVE", 2)]
    versions = (await calling(weft, "workflow", "versions", "invoice", "--json")).json()
    assert [(row["number"], row["note"]) for row in versions] == [(2, ""), (1, "first")]


async def test_apply_without_activating(signed_in: Served, weft: Weft, write: Write) -> None:
    result = await calling(weft, "workflow", "apply", write("good.yaml", GOOD), "--no-activate")
    assert result.out == "Created 'Invoice': version 1, DRAFT.\n"
    assert (await calling(weft, "workflow", "activate", "Invoice")).out == "'Invoice' is ACTIVE.\n"
    assert (await calling(weft, "workflow", "deactivate", "Invoice")).out == "'Invoice' is INACTIVE.\n"


async def test_apply_of_an_unsound_file_names_the_lines(signed_in: Served, weft: Weft, write: Write) -> None:
    result = await calling(weft, "workflow", "apply", write("bad.yaml", BAD))
    assert (result.code, result.out) == (2, "")
    assert [line.split(" ")[0] for line in result.err.splitlines()] == ["bad.yaml:12:", "bad.yaml:16:"]
    assert (await calling(weft, "workflow", "list")).out == "No workflows. `weft workflow apply FILE` makes one.\n"
    problem = await calling(weft, "workflow", "apply", "bad.yaml", "--json")
    assert problem.code == 2
    assert json.loads(problem.err)["type"] == "definition_unsound"


async def test_apply_to_a_workflow_renames_it(signed_in: Served, weft: Weft, write: Write) -> None:
    await calling(weft, "workflow", "apply", write("good.yaml", GOOD))
    write("good.yaml", GOOD.replace("name: Invoice", "name: Bill"))
    result = await calling(weft, "workflow", "apply", "good.yaml", "--workflow", "Invoice")
    assert result.out.splitlines() == ["Updated 'Bill': version 2, ACTIVE.", '  ~ name: "Invoice" -> "Bill"']


async def test_export_versions_diff_and_rollback(signed_in: Served, weft: Weft, write: Write) -> None:
    file = write("good.yaml", GOOD)
    await calling(weft, "workflow", "apply", file)
    exported = await calling(weft, "workflow", "export", "Invoice")
    assert parse(exported.out).document == parse(GOOD).document
    assert (await calling(weft, "workflow", "export", "Invoice", "--json")).json() == parse(GOOD).document
    write("good.yaml", GOOD.replace("amount * 2", "amount * 3"))
    await calling(weft, "workflow", "apply", file)
    change = '~ step double: config.values.twice: "{{ input.amount * 2 }}" -> "{{ input.amount * 3 }}"\n'
    assert (await calling(weft, "workflow", "diff", "Invoice@1", "Invoice")).out == change
    assert (await calling(weft, "workflow", "diff", "Invoice@1", "Invoice@draft")).out == change
    assert (await calling(weft, "workflow", "diff", "Invoice@1", file)).out == change
    back = await calling(weft, "workflow", "rollback", "Invoice", "1")
    assert back.out == "Version 3 of 'Invoice' has the content of version 1.\n"
    assert (await calling(weft, "workflow", "diff", "Invoice@1", "Invoice@3")).out == "No difference.\n"
    assert (await calling(weft, "workflow", "rollback", "Invoice", "1")).out == "Version 3 has that content already.\n"
    old = await calling(weft, "workflow", "export", "Invoice", "--version", "2")
    assert "amount * 3" in old.out


async def test_archive_delete_and_restore(signed_in: Served, weft: Weft, write: Write) -> None:
    await calling(weft, "workflow", "apply", write("good.yaml", GOOD))
    assert (await calling(weft, "workflow", "archive", "Invoice")).out == "'Invoice' is ARCHIVED.\n"
    refused = await calling(weft, "workflow", "activate", "Invoice")
    assert refused.code == 6
    assert "cannot be activated" in refused.err
    assert (await calling(weft, "workflow", "unarchive", "Invoice")).out == "'Invoice' is INACTIVE.\n"
    assert (await calling(weft, "workflow", "delete", "Invoice")).code == 2  # nobody was there to say yes
    assert (await calling(weft, "workflow", "delete", "Invoice", "--yes")).code == 0
    gone = await calling(weft, "workflow", "show", "Invoice")
    assert (gone.code, "There is no workflow 'Invoice' here." in gone.err) == (5, True)
    assert (await calling(weft, "workflow", "list", "--deleted", "--json")).json()[0]["name"] == "Invoice"
    assert (await calling(weft, "workflow", "restore", "Invoice")).out == "'Invoice' is INACTIVE.\n"
    there = await calling(weft, "workflow", "restore", "Invoice")
    assert (there.code, "no deleted workflow 'Invoice'" in there.err) == (5, True)
    assert "INACTIVE" in (await calling(weft, "workflow", "show", "invoice")).out


async def test_a_name_that_only_begins_so_is_not_meant(signed_in: Served, weft: Weft, write: Write) -> None:
    await calling(weft, "workflow", "apply", write("good.yaml", GOOD))
    assert (await calling(weft, "workflow", "show", "Inv")).code == 5


async def test_schedules(signed_in: Served, weft: Weft, write: Write) -> None:
    assert (await calling(weft, "workflow", "apply", write("good.yaml", GOOD))).code == 0
    assert (await calling(weft, "workflow", "activate", "Invoice")).code == 0

    async def trigger(*words: str) -> Result:
        return await calling(weft, "workflow", "trigger", *words)

    when = ["--cron", "0 9 * * 1-5", "--timezone", "Europe/Berlin"]
    more = ["--overlap", "queue", "--input", '{"amount": 1}']
    made = await trigger("create", "Invoice", "--name", "weekdays", *when, *more)
    assert (made.code, "next run at" in made.out) == (0, True), made.err
    (row,) = (await trigger("list", "Invoice", "--json")).json()
    assert (row["kind"], row["config"]["overlap"], row["config"]["input"]) == ("SCHEDULE", "queue", {"amount": 1})
    seen = (await trigger("preview", "Invoice", "weekdays", "--count", "2", "--json")).json()
    assert seen["sentence"] == "At 09:00 on Monday through Friday (Europe/Berlin)."
    assert len(seen["due"]) == 2
    assert "No runs yet." in (await trigger("runs", "Invoice", "weekdays")).out
    changed = (await trigger("update", "Invoice", "weekdays", "--every", "5m", "--json")).json()["config"]
    assert (changed["every"], changed["overlap"], "cron" in changed) == ("5m", "queue", False)
    assert (await trigger("disable", "Invoice", "weekdays", "--json")).json()["next_run_at"] is None
    wrong = [
        ["create", "Invoice", "--every", "5m", "--verify", "none"],
        ["create", "Invoice", "--every", "5m", "--input", "{{ x }}"],
        ["update", "Invoice", "weekdays", "--wait", "3"],
        ["preview", "--cron", "* *"],
        ["preview", "--every", "5m", "--from", "soon"],
    ]
    assert [(await trigger(*words)).code for words in wrong] == [2] * 5


def test_a_preview_needs_no_server(weft: Weft) -> None:
    seen = weft("workflow", "trigger", "preview", "--every", "1h", "--anchor", "2026-01-01T00:30", "--count", "2",
                "--from", "2026-03-29T00:00", "--json").json()  # fmt: skip
    assert [one["utc"] for one in seen["due"]] == ["2026-03-29T00:30:00Z", "2026-03-29T01:30:00Z"]


async def test_triggers(signed_in: Served, weft: Weft, write: Write) -> None:
    await calling(weft, "workflow", "apply", write("good.yaml", GOOD))
    made = await calling(weft, "workflow", "trigger", "create", "Invoice", "--name", "shop", "--verify", "github")
    assert f"address         {signed_in.url}/hooks/weft_wh_" in made.out
    assert "signing secret  whsec_" in made.out
    (row,) = (await calling(weft, "workflow", "trigger", "list", "Invoice", "--json")).json()
    assert (row["name"], row["enabled"], row["config"]["verify"]) == ("shop", True, "github")
    assert (await calling(weft, "workflow", "trigger", "disable", "Invoice", "shop")).code == 0
    changed = await calling(
        weft, "workflow", "trigger", "update", "Invoice", "shop", "--respond", "sync", "--wait", "3", "--json"
    )
    assert changed.json()["config"].items() >= {"verify": "github", "respond": "sync", "wait_seconds": 3.0}.items()
    assert changed.json()["enabled"] is False
    assert (await calling(weft, "workflow", "trigger", "enable", "Invoice", row["id"])).code == 0
    renewed = await calling(weft, "workflow", "trigger", "rotate-token", "Invoice", "shop", "--yes")
    assert "/hooks/weft_wh_" in renewed.out
    assert "whsec_" not in renewed.out
    assert "whsec_" in (await calling(weft, "workflow", "trigger", "rotate-secret", "Invoice", "shop", "-y")).out
    assert (await calling(weft, "workflow", "trigger", "delete", "Invoice", "shop", "--yes")).code == 0
    empty = await calling(weft, "workflow", "trigger", "list", "Invoice")
    assert empty.out == "No triggers. `weft workflow trigger create` makes one.\n"
    gone = await calling(weft, "workflow", "trigger", "delete", "Invoice", "shop", "--yes")
    assert (gone.code, "`weft workflow trigger list Invoice` shows" in gone.err) == (5, True)


async def test_nobody_signed_in(served: Served, weft: Weft, write: Write) -> None:
    assert (await calling(weft, "workflow", "apply", write("good.yaml", GOOD))).code == 3
