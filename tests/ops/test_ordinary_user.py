"""The embedded server under an ordinary account, as most people run it."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import asyncpg
import pytest

SCRIPT = """
import asyncio, os, sys
from pathlib import Path
import asyncpg
from weft.ops.installation import reach
from weft.settings import load_settings

async def who(dsn):
    connection = await asyncpg.connect(dsn)
    return await connection.fetchval("select current_user")

with reach(load_settings(os.environ)) as addresses:
    print(asyncio.run(who(addresses.app)), os.geteuid(), Path(os.environ["WEFT_HOME"], "postgres").stat().st_uid)
"""
NOBODY = 65534
SRC = Path(__file__).parents[2] / "src"


@pytest.mark.skipif(os.geteuid() != 0, reason="only root starts programs as another user; others are ordinary already")
def test_an_ordinary_account_runs_it_as_itself(place: Path) -> None:
    python = Path(f"/usr/bin/python3.{sys.version_info.minor}")
    packages = Path(asyncpg.__file__).parents[1]
    if not python.exists() or not packages.stat().st_mode & 0o005 or not _may_reach(SRC):
        pytest.skip("this Python, or its packages, cannot be used by another account")
    place.chmod(0o755)
    home = place / "home"
    home.mkdir()
    os.chown(home, NOBODY, NOBODY)
    done = subprocess.run(
        [str(python), "-c", SCRIPT],
        env={"PYTHONPATH": f"{SRC}{os.pathsep}{packages}", "WEFT_HOME": str(home), "PATH": "/usr/bin:/bin"},
        cwd=place,
        user=NOBODY,
        group=NOBODY,
        extra_groups=[],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.stdout.split() == ["weft_app", str(NOBODY), str(NOBODY)], done.stderr


def _may_reach(path: Path) -> bool:
    return all(each.stat().st_mode & 0o001 for each in path.parents)
