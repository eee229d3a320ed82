"""Whether the revisions are sound: weft's own are, and what is wrong with others is said."""

from __future__ import annotations

from pathlib import Path

from tests.ops.migrating.revisions import REVISIONS, write

from weft.db.revisions import Chain
from weft.ops.migrating.validate import Check, _lint, validate


def problems(checks: list[Check]) -> dict[str, tuple[str, ...]]:
    return {check.name: check.problems for check in checks if check.problems}


def test_wefts_own_revisions_are_sound_and_those_of_these_tests() -> None:
    checks = validate([REVISIONS])
    assert problems(checks) == {}
    assert [check.name for check in checks] == [
        "one chain of revisions",
        "every revision says what it must",
        "the SQL has no known risk",
        "up, down and up again gives the same schema",
        "the models say what the revisions make",
        "the schema keeps our rules",
    ]


def test_added_revisions_are_walked_too(tmp_path: Path) -> None:
    """Its way down forgets what its way up made."""
    write(
        tmp_path, "9101", "alter table weft.clients add column x text;",
        "alter table weft.clients alter column x type varchar;",
    )  # fmt: skip
    checks = validate([tmp_path])
    [(name, found)] = problems(checks).items()
    assert name == "up, down and up again gives the same schema"
    assert "9101, taken back: The column clients.x should not be there" in found[0]


def test_a_contract_without_a_lock_is_walked_and_what_a_revision_raises_is_its_problem(tmp_path: Path) -> None:
    write(
        tmp_path, "9101",
        "python: run_concurrently('drop index concurrently if exists weft.clients_created_at_idx')",
        "python: run_concurrently('create index concurrently if not exists clients_created_at_idx'"
        " ' on weft.clients (tenant_id, created_at, id)')",
        kind="contract", more='concurrently = True\nneeds = "0.1"\naccepts = {"ban-drop-index": "Nobody uses it."}',
    )  # fmt: skip
    write(
        tmp_path, "9102", "python: op.get_context().as_sql or {}['lost']; op.execute('select 1')", "select 1;",
        before="9101",
    )  # fmt: skip
    found = problems(validate([tmp_path]))
    assert found == {"up, down and up again gives the same schema": ("9102: KeyError: 'lost'",)}


def test_what_a_revision_must_say(tmp_path: Path) -> None:
    write(tmp_path, "9101", "select 1;", "", kind="grow")
    write(tmp_path, "9102", "select 1;", "select 1;", before="9101", kind="contract")
    write(
        tmp_path, "9103", "create index concurrently x on weft.clients (tenant_id);",
        "python: op.get_bind().exec_driver_sql('select 1').scalar() + 1",
        before="9102", kind="contract", more='needs = "99.0"\nrequires_data = ("nobody",)',
    )  # fmt: skip
    found = problems(validate([tmp_path]))["every revision says what it must"]
    said = "\n".join(found)
    for words in (
        "9101: its kind is 'grow'",
        "9101: its way down does nothing",
        "9102: a contract revision names the oldest version",
        "9103: it needs weft 99.0, but it is part of",
        "9103: it requires the data migration 'nobody', which does not exist",
        "9103: its way up works concurrently",
        "9103: its way down cannot be written as SQL",
    ):
        assert words in said, said


def test_risks_are_problems_in_what_must_be_safe_and_warnings_in_contracts(tmp_path: Path) -> None:
    rename = "alter table weft.clients rename company to firm;"
    back = "alter table weft.clients rename firm to company;"
    drop = "alter table weft.clients drop column company;"
    write(tmp_path / "a", "9101", rename, back)
    write(tmp_path / "b", "9101", drop, "alter table weft.clients add column company text;", kind="contract",
          more='needs = "0.1"')  # fmt: skip
    write(tmp_path / "c", "9101", rename, back, more='accepts = {"renaming-column": "Nobody reads it yet."}')
    risky, removing, accepted = (_lint(Chain([tmp_path / folder])) for folder in ("a", "b", "c"))
    assert any("renaming-column" in line for line in risky.problems)
    assert removing.problems == ()
    assert any("ban-drop-column" in line for line in removing.warnings)
    assert accepted.problems == ()
    assert accepted.warnings[0].endswith("Nobody reads it yet.")


def test_two_heads_stop_everything_else(tmp_path: Path) -> None:
    write(tmp_path, "9101", "select 1;", "select 1;")
    write(tmp_path, "9102", "select 1;", "select 1;")
    [check] = validate([tmp_path])
    assert "2 heads" in check.problems[0]
