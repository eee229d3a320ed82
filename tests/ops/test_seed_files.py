"""Seed files of one's own: what they make, what is wrong with them by line, and what they leave alone."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path
from typing import Any

import asyncpg
import jsonschema_rs
import pytest
from tests.conftest import TestDatabase
from tests.docs.documents import DOCS, ROOT

from weft.db.database import Database
from weft.domain.identity.service import sessions
from weft.http.state import RequestFacts
from weft.ops import seed
from weft.ops.seeds import reference
from weft.ops.seeds.errors import ProfileRefused, SeedFileUnreadable, SeedInvalid
from weft.ops.seeds.reading import load
from weft.ops.seeds.systems import SYSTEMS

EXAMPLES = ROOT / "examples" / "seeds"
ACME = str(EXAMPLES / "acme.yaml")
VALUES = {"ACME_OWNER_PASSWORD": "correct horse battery", "ACME_LEDGER_TOKEN": "tok_live_12345"}
FACTS = RequestFacts(ip=None, user_agent=None, correlation_id="seed-test")
OWNER = "{email: o@ours.example, name: O, role: OWNER}"


async def planted(test_database: TestDatabase, *files: str, **options: Any) -> seed.SeedReport:
    profile = options.pop("profile", "production")
    environ = options.pop("environ", VALUES)
    return await seed.run(
        test_database.app, profile, files=files, environ=environ, master_key=bytes(32), **options
    )  # fmt: skip


async def value(test_database: TestDatabase, query: str) -> Any:
    connection = await asyncpg.connect(test_database.admin)
    try:
        return await connection.fetchval(query)
    finally:
        await connection.close()


def written(place: Path, text: str) -> str:
    file = place / "ours.yaml"
    file.write_text(text)
    return str(file)


def ours(place: Path, more: str = "", members: str = OWNER) -> str:
    """A file whose tenant begins on line 3; `more` begins on line 7."""
    head = f"seed: 1\ntenants:\n  - slug: ours\n    name: Ours\n    members:\n      - {members}\n"
    return written(place, head + more)


async def faults(test_database: TestDatabase, file: str, **options: Any) -> list[tuple[int, str]]:
    """Line and sentence of each; nothing may have been made."""
    with pytest.raises(SeedInvalid) as refused:
        await planted(test_database, file, **options)
    assert await value(test_database, "select count(*) from weft.tenants") == 0
    return [(issue.extra["line"], issue.message) for issue in refused.value.issues]


async def test_the_example_makes_all_that_it_says(test_database: TestDatabase, database: Database) -> None:
    planned = await planted(test_database, ACME, dry=True)
    report = await planted(test_database, ACME)
    assert report.made == planned.made == [
        "tenant acme",
        "role order desk",
        "member olga@acme.example (OWNER)",
        "member otto@acme.example (order desk)",
        "API key web shop",
        "limits of the tenant",
        "retention of executions",
        "client Blue Harbour",
        "secret ledger_token",
        "template order-confirmed",
        "rate limit ledger.example.com",
        "workflow Order",
        "limits of workflow Order",
        "trigger shop of workflow Order",
        "trigger every morning of workflow Order",
        "execution first-order of workflow Order",
        "execution rehearsal of workflow Order",
    ]  # fmt: skip
    assert [what for what, _ in report.shown] == [
        "password of otto@acme.example",
        "API key web shop of acme",
        "address of trigger shop of acme",
        "signing secret of trigger shop of acme",
    ]
    shown = dict(report.shown)
    for email, password in (
        ("olga@acme.example", VALUES["ACME_OWNER_PASSWORD"]),
        ("otto@acme.example", shown["password of otto@acme.example"]),
    ):
        await sessions.sign_in(database, email=email, password=password, tenant="acme", facts=FACTS)
    assert shown["API key web shop of acme"].startswith("weft_sk_")
    connection = await asyncpg.connect(test_database.admin)
    try:
        row = await connection.fetchrow(
            "select limits, retention, (select count(*) from weft.workflow_schedules) as schedules from weft.tenants"
        )
        runs = await connection.fetch("select status, simulation from weft.workflow_executions order by simulation")
        sealed = await connection.fetchval("select value from weft.secrets")
    finally:
        await connection.close()
    assert (json.loads(row["limits"]), json.loads(row["retention"]), row["schedules"]) == (
        {"concurrent_executions": 50},
        {"executions_days": 365},
        1,
    )
    # The first order has a place to wait for, which a worker gives; the rehearsal takes nobody's.
    assert [tuple(run) for run in runs] == [("PENDING", False), ("COMPLETED", True)]
    assert VALUES["ACME_LEDGER_TOKEN"].encode() not in sealed


async def test_a_second_run_needs_no_values_and_leaves_what_was_changed(test_database: TestDatabase) -> None:
    first = await planted(test_database, ACME)
    connection = await asyncpg.connect(test_database.admin)
    try:
        await connection.execute("update weft.tenants set limits = '{\"concurrent_executions\": 5}', name = 'New'")
        await connection.execute("update weft.clients set deleted_at = now()")
        await connection.execute("update weft.workflows set deleted_at = now()")
    finally:
        await connection.close()
    second = await planted(test_database, ACME, environ={})
    assert second.made == []
    gone = [thing for thing in first.made if "of workflow Order" in thing and not thing.startswith("execution")]
    assert set(second.kept) == set(first.made) - set(gone), "a deleted workflow gets no trigger and no limit"
    assert await value(test_database, "select limits->>'concurrent_executions' from weft.tenants") == "5"


async def test_two_at_once_make_everything_once(test_database: TestDatabase) -> None:
    one, other = await asyncio.gather(planted(test_database, ACME), planted(test_database, ACME))
    assert sorted(one.made + other.made) == sorted(set(one.made + other.made))
    shown = [what for what, _ in one.shown + other.shown]
    assert sorted(shown) == sorted(set(shown))


async def test_values_from_files(test_database: TestDatabase, database: Database, tmp_path: Path) -> None:
    (tmp_path / "password").write_text("a long password\n")
    file = ours(tmp_path, members="{email: o@ours.example, name: O, role: OWNER, password: {file: password}}")
    assert (await planted(test_database, file)).shown == []
    await sessions.sign_in(database, email="o@ours.example", password="a long password", tenant=None, facts=FACTS)


async def test_the_smallest_example(test_database: TestDatabase) -> None:
    report = await planted(test_database, str(EXAMPLES / "smallest.yaml"))
    assert report.made == ["tenant small", "member sam@small.example (OWNER)"]


async def test_a_file_may_add_to_a_tenant_that_exists(test_database: TestDatabase, tmp_path: Path) -> None:
    await planted(test_database, ours(tmp_path))
    more = written(tmp_path, "seed: 1\ntenants:\n  - slug: ours\n    name: Other\n    clients: [{name: New}]\n")
    assert (await planted(test_database, more)).made == ["client New"]
    assert await value(test_database, "select name from weft.tenants") == "Ours"


ACME_LINES = Path(ACME).read_text(encoding="utf-8").splitlines()


async def test_missing_values_are_told_before_anything_is_made(test_database: TestDatabase) -> None:
    assert await faults(test_database, ACME, environ={}) == [
        (
            next(n for n, line in enumerate(ACME_LINES, 1) if name in line),
            f"The environment variable {name} is not set. Set it.",
        )
        for name in VALUES
    ]


@pytest.mark.parametrize(
    ("more", "line", "said"),
    [
        ("    tier: GOLD\n", 7, "`tenants[0].tier`: Input should be 'FREE', 'PRO' or 'ENTERPRISE'."),
        ("    client: []\n", 7, "The field `client` is not known here. Did you mean `clients`?"),
        ("    clients: [{name: A}, {name: A}]\n", 7, "This name is there already, on line 7. Remove one of them."),
        ("    clients:\n      - {phone: '1'}\n", 8, "`tenants[0].clients[0].name` is required. Add it."),
        ("    keys:\n      - {name: k, member: x@y.example, scopes: []}\n", 8, "'x@y.example' is no member"),
        ("    roles:\n      - {name: r, permissions: ['a:b']}\n", 8, "No such permission: a:b."),
        ("    roles:\n      - {name: Owner, permissions: []}\n", 8, "'Owner' is a built-in role."),
        ("    secrets:\n      - {name: s, from: {file: gone}}\n", 8, "The file 'gone' cannot be read"),
        ("    secrets:\n      - {name: s, from: {}}\n", 8, "Say exactly one of environment, file."),
        (
            "    secrets:\n      - {name: s, value: x, from: {environment: X}}\n",
            8,
            "The field `value` is not known here.",
        ),
        ("    templates:\n      - {name: t, text: '{{ nobody.x }}'}\n", 8, "`nobody` is not there"),
        ("    rate_limits:\n      - {target: 'a b', calls: 1}\n", 8, "'a b' is no target"),
        ("    workflows:\n      - file: gone.yaml\n", 8, "The file 'gone.yaml' cannot be read"),
        ("    workflows:\n      - {client: x}\n", 8, "Say either definition or file."),
        ("    executions:\n      - {key: a, workflow: Nothing}\n", 8, "There is no workflow 'Nothing'"),
        ("    executions:\n      - {key: 'a b', workflow: N}\n", 8, "String should match pattern"),
    ],
)
async def test_what_is_wrong_is_told_with_its_line(
    test_database: TestDatabase, tmp_path: Path, more: str, line: int, said: str
) -> None:
    found = await faults(test_database, ours(tmp_path, more))
    assert [(where, said in message) for where, message in found] == [(line, True)], found


async def test_several_faults_are_told_at_once(test_database: TestDatabase, tmp_path: Path) -> None:
    workflow = """    workflows:
      - definition:
          name: W
          input: {type: object, required: [n], properties: {n: {type: integer}}}
          steps:
            - {key: a, type: set, config: {vars: {x: 1}}}
          transitions: []
        client: Nobody
        limits: {concurrent: 1, key: "steps.a"}
        triggers:
          - {name: t, kind: SCHEDULE, config: {cron: nonsense}}
    executions:
      - {key: e, workflow: W, input: {n: text}}
"""
    found = await faults(test_database, ours(tmp_path, workflow))
    assert [line for line, _ in found] == [15, 17]
    sound = workflow.replace('key: "steps.a"', "key: input.n").replace("cron: nonsense", "cron: '0 7 * * *'")
    assert await faults(test_database, ours(tmp_path, sound)) == [
        (19, "'W' does not take this input: Expected a whole number, found \"text\".")
    ]
    sound = sound.replace("n: text", "n: 1")
    assert await faults(test_database, ours(tmp_path, sound)) == [
        (14, "There is no client 'Nobody', neither in this file nor in the tenant.")
    ]


async def test_faults_of_a_definition_are_told_in_its_own_file(test_database: TestDatabase, tmp_path: Path) -> None:
    (tmp_path / "w.yaml").write_text("name: W\nsteps:\n  - {key: a, type: sett}\ntransitions: []\n")
    with pytest.raises(SeedInvalid) as refused:
        await planted(test_database, ours(tmp_path, "    workflows:\n      - file: w.yaml\n"))
    (issue,) = refused.value.issues
    assert (issue.extra["file"], issue.extra["line"]) == (str(tmp_path / "w.yaml"), 3)
    assert "sett" in issue.message


@pytest.mark.parametrize(
    ("members", "said"),
    [
        ("{email: nonsense, name: O, role: OWNER}", "email"),
        ("{email: o@ours.example, name: O}", "needs a member with the role OWNER"),
        ("{email: o@ours.example, name: O, role: OWNER, password: {well_known: known}}", "for the development profile"),
        ("{email: o@ours.example, name: O, role: OWNER, password: {environment: SHORT}}", "at least 8 characters"),
    ],
)
async def test_members_that_cannot_be(test_database: TestDatabase, tmp_path: Path, members: str, said: str) -> None:
    found = await faults(test_database, ours(tmp_path, members=members), environ={"SHORT": "short"})
    assert any(said in message for _, message in found), found


async def test_a_role_that_nobody_knows(test_database: TestDatabase, tmp_path: Path) -> None:
    file = ours(tmp_path, members=OWNER + "\n      - {email: p@ours.example, name: P, role: pilot}")
    assert await faults(test_database, file) == [
        (7, "There is no role 'pilot': neither built in, nor in this file, nor in the tenant.")
    ]


@pytest.mark.parametrize(
    ("text", "line"),
    [("", 1), ("- a\n", 1), ("seed: 1\ntenants: [\n", 3), ("tenants: []\n", 1), ("seed: 2\ntenants: []\n", 1)],
)
def test_what_is_no_seed_file(tmp_path: Path, text: str, line: int) -> None:
    with pytest.raises(SeedInvalid) as refused:
        load(written(tmp_path, text))
    assert refused.value.issues[0].extra["line"] == line


def test_a_file_that_is_not_there() -> None:
    with pytest.raises(SeedFileUnreadable, match="nowhere"):
        load("nowhere.yaml")


async def test_a_file_for_other_profiles_is_refused(test_database: TestDatabase, tmp_path: Path) -> None:
    file = written(tmp_path, f"seed: 1\nprofiles: [staging]\ntenants: [{{slug: a, name: A, members: [{OWNER}]}}]\n")
    with pytest.raises(ProfileRefused, match="staging only"):
        await planted(test_database, file)
    assert (await planted(test_database, file, profile="staging")).made[0] == "tenant a"


def test_the_schema_is_published_and_fits_the_examples_and_the_systems() -> None:
    page = (DOCS / "reference" / "seed-file.schema.json").read_text(encoding="utf-8")
    advice = "run: python -m weft.ops.seeds.reference > docs/reference/seed-file.schema.json"
    assert page == reference.reference(), advice
    validator = jsonschema_rs.validator_for(json.loads(page), offline=True)
    paths = [system.path() for system in SYSTEMS.values()]
    files = [*EXAMPLES.glob("*.yaml"), *(Path(path) for path in paths if path is not None)]
    assert len(files) >= 6
    for file in files:
        assert [error.message for error in validator.iter_errors(load(str(file)).parsed.document)] == []
    assert not validator.is_valid({"seed": 1, "tenants": []})
