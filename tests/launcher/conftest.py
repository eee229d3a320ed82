"""A small project around the real `./weft`, so that its installation takes a second."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).parents[2]
SOMEBODY = 54321
"""An account that owns nothing else on the machine."""

MODULE = """
import os, sys
def main():
    print(os.getcwd(), *sys.argv[1:], sep="|")
"""

PROJECT = """
[build-system]
requires = ["hatchling>=1.27"]
build-backend = "hatchling.build"
[project]
name = "weft"
version = "0.0.1"
requires-python = ">=3.11"
[project.scripts]
weft = "weft:main"
[tool.hatch.build.targets.wheel]
packages = ["src/weft"]
"""

MAIN = ("annotated-doc",)
BUILD = ("hatchling", "packaging", "pathspec", "pluggy", "tomlkit", "trove-classifiers")
DEV = ("iniconfig",)


@dataclass(frozen=True)
class Project:
    """A clone, and how to call its `./weft`."""

    root: Path
    environment: Mapping[str, str]

    def command(self, *words: str, by: Path | str | None = None) -> list[str]:
        return [str(by or self.root / "weft"), *words]

    def weft(
        self,
        *words: str,
        by: Path | str | None = None,
        cwd: Path | None = None,
        user: int | None = None,
        timeout: float = 600,
        env: Mapping[str, str] | None = None,
    ) -> subprocess.CompletedProcess[str]:
        account: dict[str, Any] = {} if user is None else {"user": user, "group": user, "extra_groups": []}
        done: subprocess.CompletedProcess[str] = subprocess.run(
            self.command(*words, by=by),
            capture_output=True,
            text=True,
            check=False,
            cwd=cwd or self.root,
            timeout=timeout,
            env={**self.environment, **(env or {})},
            **account,
        )
        return done

    def offline(self) -> dict[str, str]:
        """An environment in which any use of a network, of uv, of pip or of another Python would fail."""
        return {"PATH": "/nonexistent" + os.pathsep + str(self.tools()), **UNREACHABLE, "UV_OFFLINE": "1"}

    def tools(self, *without: str) -> Path:
        """A directory with nothing but what a bare system has: no Python, no uv."""
        directory = Path(tempfile.mkdtemp(dir=self.root.parent, prefix="tools-"))
        directory.chmod(0o755)
        for name in (
            "sh",
            "dirname",
            "readlink",
            "cat",
            "cksum",
            "find",
            "id",
            "tr",
            "rm",
            "mv",
            "mkdir",
            "rmdir",
            "sleep",
        ):
            _link(directory, name)
        for name in {"flock", "env"} - set(without):
            _link(directory, name)
        return directory


BARE = frozenset(
    ("sh", "dirname", "readlink", "cat", "cksum", "find", "id", "tr", "rm", "mv", "mkdir", "rmdir", "sleep", "env")
) | {"flock"}

UNREACHABLE = dict.fromkeys(
    ("http_proxy", "https_proxy", "HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY"), "http://127.0.0.1:9"
)


def _link(directory: Path, name: str) -> None:
    found = shutil.which(name)
    if found:
        (directory / name).symlink_to(found)


def blocks(text: str, names: tuple[str, ...]) -> str:
    """The lines of some packages, with their hashes, of a lock file."""
    found = [re.search(rf"^{re.escape(name)}==.*(?:\n    .*)*", text, re.MULTILINE) for name in names]
    return "".join(match.group(0) + "\n" for match in found if match)


@pytest.fixture(scope="session")
def uv() -> Iterator[Path]:
    """A uv that every account may run, and a download cache, shared by the tests of one run."""
    with tempfile.TemporaryDirectory(prefix="weft-launcher-uv-") as name:
        place = Path(name)
        place.chmod(0o755)
        given = shutil.which("uv")
        if given:
            (place / "bin").mkdir()
            shutil.copy(Path(given).resolve(), place / "bin" / "uv")
        else:
            pythons = [Path(sys.base_prefix) / "bin" / "python3", Path("/usr/bin/python3")]
            if not any(_install_uv(python, place) for python in pythons):
                pytest.skip("there is neither uv nor an index to get it from")
        for path in (place / "bin", place / "bin" / "uv"):
            path.chmod(0o755)
        yield place


def _install_uv(python: Path, place: Path) -> bool:
    if not python.exists():
        return False
    command = [str(python), "-m", "pip", "install", "-q", "--target", str(place), "uv"]
    return subprocess.run(command, capture_output=True, check=False).returncode == 0


def system_python() -> str | None:
    """A Python that every account may run."""
    for place in ("/usr/bin", "/usr/local/bin"):
        path = Path(place) / "python3"
        check = [str(path), "-c", "import sys; sys.exit(sys.version_info < (3, 11))"]
        if path.exists() and subprocess.run(check, check=False).returncode == 0:
            return place
    return None


@pytest.fixture
def project(uv: Path) -> Iterator[Project]:
    """A fresh clone in a path with a space, installed by nobody yet."""
    with tempfile.TemporaryDirectory(prefix="weft-launcher-") as name:
        place = Path(name)
        place.chmod(0o755)
        root = place / "a clone"
        (root / "src" / "weft").mkdir(parents=True)
        (root / "src" / "weft" / "__init__.py").write_text(MODULE)
        (root / "pyproject.toml").write_text(PROJECT)
        shutil.copy(ROOT / "weft", root / "weft")
        lock = (ROOT / "requirements-dev.lock").read_text()
        (root / "requirements.lock").write_text(blocks(lock, MAIN))
        (root / "requirements-dev.lock").write_text(blocks(lock, MAIN + BUILD + DEV))
        kept = {n: v for n, v in os.environ.items() if not n.startswith(("WEFT_", "VIRTUAL_ENV", "PYTHON", "XDG_"))}
        python = system_python() or str(Path(sys.base_prefix) / "bin")
        path = os.pathsep.join([str(uv / "bin"), python, "/usr/bin", "/bin"])
        home = place / "home"
        home.mkdir(mode=0o777)
        yield Project(root, {**kept, "PATH": path, "HOME": str(home), "UV_CACHE_DIR": str(uv / "cache")})
