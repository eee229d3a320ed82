"""The example of a plug-in: built and installed like any other, found by its entry points, run by a real engine."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import zipfile
from collections.abc import Iterator
from importlib import metadata
from pathlib import Path

import pytest
from tests.docs.documents import DOCS, blocks
from tests.docs.test_first_steps import Shell
from tests.engine.conftest import Engine

from weft.core.ports import HttpResponse
from weft.db.scope import enter
from weft.domain.secrets import service as secrets
from weft.domain.secrets.schemas import SecretPut
from weft.domain.workflows import check as checking
from weft.domain.workflows import kinds as known
from weft.domain.workflows.kinds import KindRegistry
from weft.domain.workflows.parsing import parse
from weft.engine import plans, registry
from weft.engine.kinds import Ports
from weft.engine.registry import Registry
from weft.engine.vault import Vault

ROOT = Path(__file__).parents[2]
EXAMPLE = ROOT / "examples" / "plugins" / "weft-step-csv"

PAGE = blocks(DOCS / "guides" / "plugins.md")
DOCUMENT = next(block.text for block in PAGE if block.words == ("file", "prices.yaml"))


@pytest.fixture(scope="module")
def installed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The wheel, built with the tools of this environment and unpacked as an installer would."""
    built, place = tmp_path_factory.mktemp("wheel"), tmp_path_factory.mktemp("site-packages")
    command = [sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", str(built)]
    subprocess.run(command, cwd=EXAMPLE, check=True, capture_output=True)
    (wheel,) = built.glob("*.whl")
    with zipfile.ZipFile(wheel) as archive:
        archive.extractall(place)
    return place


@pytest.fixture
def with_plugin(installed: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[KindRegistry]:
    """This process as it would be with the plug-in installed: the registries are made anew, and put back."""
    monkeypatch.syspath_prepend(str(installed))
    checks = KindRegistry(plugins=True)
    found = Registry(checks)
    monkeypatch.setattr(known, "INSTALLED", checks)
    monkeypatch.setattr(registry, "INSTALLED", found)
    monkeypatch.setattr(plans, "find_kind", found.kind)
    found.kinds()
    yield checks
    for name in [name for name in sys.modules if name.startswith("weft_step_csv")]:
        del sys.modules[name]


def test_it_is_found_by_its_entry_points(with_plugin: KindRegistry) -> None:
    assert metadata.version("weft-step-csv") == "0.1.0"
    assert {"csv_parse", "csv_fetch"} <= set(with_plugin.names())
    assert registry.faults() == ()


def test_the_check_at_save_knows_its_schemas(with_plugin: KindRegistry) -> None:
    document = parse(DOCUMENT).document
    assert checking.check(document, with_plugin).errors == ()
    wrong = parse(DOCUMENT.replace("delimiter", "separator").replace("output.rows.0.price", "output.row.0")).document
    assert [issue.code for issue in checking.check(wrong, with_plugin).errors] == ["field_unknown", "field_unknown"]


async def test_a_workflow_runs_its_kinds(engine: Engine, with_plugin: KindRegistry) -> None:
    async with enter(engine.database, engine.actor) as scope:
        await secrets.put(scope, "prices", SecretPut(value="tok_prices_1234"))
    engine.http.replies = [HttpResponse(200, {}, b"item,price\nscrew,tok_prices_1234\n", "")]
    engine.ports = Ports(http=engine.http, secrets=Vault(engine.database))
    started = await engine.start(await engine.workflow(dict(parse(DOCUMENT).document)), {"file": "item;n\nscrew;3"})
    await engine.settle()
    row = await engine.execution(started.id)
    assert (row["status"], row["output"]) == ("COMPLETED", ["screw", "***"]), row["error"]
    assert engine.http.requests[0].headers["Authorization"] == "Bearer tok_prices_1234"
    assert await engine.journal(started.id) == [(k, 1, "COMPLETED") for k in ("rows", "prices", "both")]


def test_its_own_tests_pass() -> None:
    environment = {**os.environ, "PYTHONPATH": str(ROOT / "src")}
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "-p", "no:xdist", str(EXAMPLE / "tests")]
    ran = subprocess.run(
        [*command, "-c", str(EXAMPLE / "pyproject.toml"), "--rootdir", str(EXAMPLE)],
        env=environment, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert ran.returncode == 0, ran.stdout + ran.stderr
    assert "passed" in ran.stdout


def test_the_guide_works_as_it_is_written(installed: Path, tmp_path: Path) -> None:
    shell = Shell(tmp_path, PYTHONPATH=os.pathsep.join([str(installed), str(ROOT / "src")]))
    for block in PAGE:
        shell.run(block)
    assert {block.kind for block in PAGE} == {"file", "offline", "says"}


def test_commands_see_it_too(installed: Path, tmp_path: Path) -> None:
    """`weft workflow check` in a process of its own, with nothing but the place on its path."""
    file = tmp_path / "prices.yaml"
    file.write_text(DOCUMENT)
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join([str(installed), str(ROOT / "src")])}
    command = [sys.executable, "-m", "weft", "workflow", "check", str(file), "--json"]
    ran = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    assert ran.returncode == 0, ran.stderr
    assert json.loads(ran.stdout)["stats"]["steps"] == 3
