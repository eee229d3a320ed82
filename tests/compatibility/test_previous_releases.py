"""Which releases are tried, and how: with a repository made for the test."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

import pytest
from tests.compatibility.previous_releases import CLONE, check, releases


@pytest.fixture
def clone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Whatever the user has told git, and whichever repository a hook that runs us is about, is nothing to it."""
    for name in [name for name in os.environ if name.startswith("GIT_")]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("GIT_CONFIG_GLOBAL", os.devnull)
    place = tmp_path / "clone"
    (place / "tests" / "smoke").mkdir(parents=True)
    (place / "tests" / "smoke" / "test_smoke.py").write_text("")
    git(place, "init", "--quiet")
    commit(place, "begin")
    return place


def git(clone: Path, *words: str) -> str:
    who = ("-c", "user.name=Test", "-c", "user.email=test@example.com", "-c", "commit.gpgsign=false")
    return subprocess.run(["git", *who, *words], cwd=clone, check=True, capture_output=True, text=True).stdout


def commit(clone: Path, text: str) -> None:
    (clone / "VERSION").write_text(text)
    git(clone, "add", "-A")
    git(clone, "commit", "--quiet", "-m", text)


def tagged(clone: Path, *tags: str) -> None:
    for tag in tags:
        commit(clone, tag)
        git(clone, "tag", tag)
    commit(clone, "unreleased")


def test_without_a_release_it_says_so_and_does_nothing(clone: Path) -> None:
    said: list[str] = []
    assert check(clone, lambda _: "", said.append, command=["false"]) == []
    assert said == ["There is no release yet (no tag vX.Y.Z before this one): nothing to run."]


def test_of_each_minor_version_the_last_patch_and_two_of_them(clone: Path) -> None:
    tagged(clone, "v0.1.0", "v0.2.0", "v0.2.1", "v0.2.10", "v0.10.0", "v0.10.1rc1", "other")
    assert [release.tag for release in releases(clone)] == ["v0.2.10", "v0.10.0"]


def test_what_is_checked_out_is_not_its_own_predecessor(clone: Path) -> None:
    tagged(clone, "v0.1.0", "v0.2.0")
    git(clone, "checkout", "--quiet", "v0.2.0")
    assert [release.tag for release in releases(clone)] == ["v0.1.0"]


def test_each_runs_its_own_suite_on_the_new_schema(clone: Path) -> None:
    """The command runs in the tag's own files, and is told which database."""
    tagged(clone, "v0.1.0", "v0.2.0", "v0.3.0")
    heard = clone.parent / "heard"
    script = f'echo "$(cat VERSION) $WEFT_SMOKE_DATABASE" >> {heard}; test "$(cat VERSION)" != v0.3.0'
    said: list[str] = []
    failed = check(clone, lambda tag: f"postgresql://x/{tag}", said.append, command=["sh", "-c", script])
    assert failed == ["v0.3.0"]
    assert heard.read_text().split() == ["v0.2.0", "postgresql://x/v0.2.0", "v0.3.0", "postgresql://x/v0.3.0"]
    assert said[-1] == "v0.3.0: FAILED (1)"
    assert git(clone, "worktree", "list").count("\n") == 1, "nothing is left beside the clone"


def test_a_release_without_a_smoke_suite_is_a_failure(clone: Path) -> None:
    git(clone, "rm", "-r", "--quiet", "tests")
    tagged(clone, "v0.1.0")
    assert check(clone, lambda _: "", lambda _: None, command=["true"]) == ["v0.1.0"]


def test_this_clone_can_be_asked() -> None:
    assert isinstance(releases(CLONE), list)
