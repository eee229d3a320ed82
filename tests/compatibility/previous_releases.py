"""The two releases before on the schema of this one: `python -m tests.compatibility.previous_releases`.

Each of their tags is checked out beside this clone, makes its own environment, and runs its own smoke suite on a
database that the present code has migrated. While there is no tag this says so and is done.
"""

from __future__ import annotations

import asyncio
import os
import re
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from weft.db import migrate
from weft.ops.postgres import ephemeral_cluster
from weft.ops.roles import APP, OWNER, bootstrap

CLONE = Path(__file__).resolve().parents[2]
RELEASES = 2
SMOKE = ("./weft", "test", "tests/smoke", "-q")
MINUTES = 20

Say = Callable[[str], None]
Version = tuple[int, int, int]


@dataclass(frozen=True, order=True)
class Release:
    version: Version
    tag: str


def releases(clone: Path, *, most: int = RELEASES) -> list[Release]:
    """The newest releases before what is checked out, oldest first: of each minor version the last patch."""
    here = set(_git(clone, "tag", "--points-at", "HEAD").split())
    lines: dict[tuple[int, int], Release] = {}
    for tag in _git(clone, "tag", "--merged", "HEAD", "--list", "v*").split():
        match = re.fullmatch(r"v(\d+)\.(\d+)\.(\d+)", tag)
        if match is None or tag in here:
            continue
        major, minor, patch = (int(part) for part in match.groups())
        release = Release((major, minor, patch), tag)
        lines[major, minor] = max(release, lines.get((major, minor), release))
    return sorted(lines.values())[-most:]


def check(clone: Path, dsn: Callable[[str], str], say: Say, *, command: Sequence[str] = SMOKE) -> list[str]:
    """Run the smoke suites; hands back the tags of those that failed. `dsn` gives a database for a tag."""
    found = releases(clone)
    if not found:
        say("There is no release yet (no tag vX.Y.Z before this one): nothing to run.")
        return []
    failed = []
    for release in found:
        with _checked_out(clone, release.tag) as place:
            if not (place / "tests" / "smoke").is_dir():
                say(f"{release.tag} has no smoke suite")
                failed.append(release.tag)
                continue
            say(f"{release.tag} on the schema of this version")
            environment = {name: value for name, value in os.environ.items() if not name.startswith("WEFT_")}
            done = subprocess.run(
                list(command), cwd=place, env=environment | {"WEFT_SMOKE_DATABASE": dsn(release.tag)},
                timeout=MINUTES * 60, check=False,
            )  # fmt: skip
            say(f"{release.tag}: {'ok' if done.returncode == 0 else f'FAILED ({done.returncode})'}")
            if done.returncode != 0:
                failed.append(release.tag)
    return failed


@contextmanager
def _checked_out(clone: Path, tag: str) -> Iterator[Path]:
    with tempfile.TemporaryDirectory(prefix="weft-release-") as directory:
        place = Path(directory) / tag
        _git(clone, "worktree", "add", "--detach", "--quiet", str(place), tag)
        try:
            yield place
        finally:
            _git(clone, "worktree", "remove", "--force", str(place))


def _git(clone: Path, *words: str) -> str:
    return subprocess.run(["git", *words], cwd=clone, check=True, capture_output=True, text=True).stdout


def main() -> int:
    with tempfile.TemporaryDirectory(prefix="weft-previous-") as directory:
        if not releases(CLONE):
            check(CLONE, lambda _: "", print)
            return 0
        with ephemeral_cluster(Path(directory)) as facts:

            def database(tag: str) -> str:
                name = f"weft_{re.sub(r'[^0-9]', '_', tag)}"
                asyncio.run(bootstrap(facts.superuser_dsn, name))
                asyncio.run(migrate.upgrade(facts.dsn(OWNER, None, name)))
                return facts.dsn(APP, None, name)

            return 1 if check(CLONE, database, print) else 0


if __name__ == "__main__":
    sys.exit(main())
