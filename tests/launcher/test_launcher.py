"""`./weft` builds its environment by itself, once, wherever the clone lies and whoever calls it."""

from __future__ import annotations

import os
import shutil
import stat
import subprocess
from pathlib import Path

import pytest
from tests.launcher.conftest import ROOT, SOMEBODY, UNREACHABLE, Project, system_python
from tests.ops.waiting import until

pytestmark = pytest.mark.slow

as_root = pytest.mark.skipif(os.geteuid() != 0, reason="only root starts programs as another user")
with_system_python = pytest.mark.skipif(system_python() is None, reason="no Python >= 3.11 that all accounts may run")


def executable(path: Path, script: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(f"#!/bin/sh\n{script}\n")
    path.chmod(0o755)


def give(path: Path, account: int) -> None:
    for each in (path, *path.rglob("*")):
        os.lchown(each, account, account)


def test_it_is_plain_sh() -> None:
    for shell in ("sh", "dash", "bash"):
        if program := shutil.which(shell):
            assert subprocess.run([program, "-n", str(ROOT / "weft")], check=False).returncode == 0
    assert (ROOT / "weft").stat().st_mode & stat.S_IXUSR


def test_the_first_start_installs_and_the_second_needs_no_network(project: Project) -> None:
    first = project.weft("up", "a b", "", "*")
    assert first.returncode == 0, first.stderr
    assert first.stdout == f"{project.root}|up|a b||*\n"
    assert first.stderr.count("\n") == 1
    assert first.stderr.startswith("weft: first start: installing")

    second = project.weft("up", env=project.offline())
    assert (second.returncode, second.stdout, second.stderr) == (0, f"{project.root}|up\n", "")
    assert {p.name for p in project.root.iterdir() if p.name.startswith(".")} == {".venv", ".boot"}


def test_the_package_is_editable_and_its_dependencies_come_from_the_lock(project: Project) -> None:
    assert project.weft("up").returncode == 0
    (project.root / "src" / "weft" / "__init__.py").write_text("def main(): print('changed')")
    assert project.weft("up").stdout == "changed\n"
    code = "import annotated_doc, importlib.metadata as m; print(*sorted(d.name for d in m.distributions()))"
    names = subprocess.check_output([project.root / ".venv" / "bin" / "python", "-c", code], text=True)
    assert {"annotated-doc", "weft"} <= set(names.split())
    assert "iniconfig" not in names


def test_a_package_that_does_not_match_its_hash_is_refused(project: Project) -> None:
    lock = project.root / "requirements.lock"
    lock.write_text(lock.read_text().partition(" ")[0] + " --hash=sha256:" + "0" * 64 + "\n")
    refused = project.weft("up")
    assert refused.returncode == 1
    assert "hash" in refused.stderr.lower()
    assert not (project.root / ".venv" / ".weft-stamp").exists()


def test_it_is_found_through_links_and_keeps_the_working_directory(project: Project) -> None:
    elsewhere = project.root.parent / "bin"
    elsewhere.mkdir()
    (elsewhere / "one").symlink_to(Path("..") / project.root.name / "weft")
    (elsewhere / "two").symlink_to(elsewhere / "one")
    assert project.weft("x", by=elsewhere / "two", cwd=elsewhere).stdout == f"{elsewhere}|x\n"
    assert project.weft("x", by="./weft").stdout == f"{project.root}|x\n"
    by_path = {"PATH": f"{elsewhere}{os.pathsep}{project.environment['PATH']}"}
    assert project.weft("x", by="two", cwd=elsewhere, env=by_path).stdout == f"{elsewhere}|x\n"
    in_sh = subprocess.run(
        ["sh", "weft", "x"], cwd=project.root, env=dict(project.environment), capture_output=True, text=True, check=True
    )
    assert in_sh.stdout == f"{project.root}|x\n"


@pytest.mark.parametrize("without_flock", [False, True])
def test_two_at_once_install_once(project: Project, without_flock: bool) -> None:
    path = project.environment["PATH"]
    if without_flock:
        tools = project.tools("flock")
        python = shutil.which("python3", path=path)
        uv = shutil.which("uv", path=path)
        assert python
        assert uv
        (tools / "python3").symlink_to(python)
        (tools / "uv").symlink_to(uv)
        path = str(tools)
    environment = {**project.environment, "PATH": path}
    running = [
        subprocess.Popen(project.command(str(n)), env=environment, cwd=project.root, stdout=-1, stderr=-1, text=True)
        for n in range(3)
    ]
    results = [process.communicate(timeout=600) for process in running]
    assert [out for out, _ in results] == [f"{project.root}|{n}\n" for n in range(3)]
    assert sum("first start" in err for _, err in results) == 1
    assert not (project.root / ".boot" / "guard").exists()


def test_a_lock_of_the_dead_is_broken(project: Project) -> None:
    guard = project.root / ".boot" / "guard"
    guard.mkdir(parents=True)
    with subprocess.Popen(["true"]) as gone:
        pass
    (guard / "pid").write_text(f"{gone.pid}\n")
    tools = project.tools("flock")
    python, uv = (shutil.which(name, path=project.environment["PATH"]) for name in ("python3", "uv"))
    assert python
    assert uv
    (tools / "python3").symlink_to(python)
    (tools / "uv").symlink_to(uv)
    assert project.weft("x", env={"PATH": str(tools)}).stdout == f"{project.root}|x\n"


def test_a_killed_installation_is_repaired(project: Project) -> None:
    with subprocess.Popen(
        project.command("x"), env=dict(project.environment), cwd=project.root, stderr=subprocess.DEVNULL
    ) as killed:
        until(lambda: (project.root / ".venv").exists() or killed.poll() is not None, seconds=300)
        killed.kill()
    assert project.weft("x").stdout == f"{project.root}|x\n"


@pytest.mark.parametrize("missing", ["bin/python", "bin/weft", ".weft-stamp"])
def test_a_damaged_environment_is_repaired(project: Project, missing: str) -> None:
    assert project.weft("x").returncode == 0
    (project.root / ".venv" / missing).unlink()
    again = project.weft("x")
    assert again.stdout == f"{project.root}|x\n", again.stderr


def test_a_clone_that_was_moved_works_at_its_new_place(project: Project) -> None:
    assert project.weft("x").returncode == 0
    moved = project.root.parent / "moved here"
    project.root.rename(moved)
    again = Project(moved, project.environment).weft("x")
    assert again.stdout == f"{moved}|x\n", again.stderr


def test_a_changed_lock_updates_the_environment(project: Project) -> None:
    assert project.weft("x").returncode == 0
    with (project.root / "requirements.lock").open("a") as file:
        file.write("# a new line\n")
    assert project.weft("x").stderr.startswith("weft: updating the environment")
    assert project.weft("x").stderr == ""


def test_tests_get_the_development_packages_and_everything_else_does_not_lose_them(project: Project) -> None:
    assert project.weft("up").returncode == 0
    python = project.root / ".venv" / "bin" / "python"
    assert subprocess.run([python, "-c", "import iniconfig"], check=False, capture_output=True).returncode == 1
    second = project.weft("test")
    assert second.stdout == f"{project.root}|test\n", second.stderr
    assert subprocess.run([python, "-c", "import iniconfig"], check=False).returncode == 0
    assert project.weft("up").stderr == ""
    assert project.weft("bench").stderr == ""


def test_without_uv_it_installs_one_of_its_own(project: Project) -> None:
    path = ":".join(part for part in project.environment["PATH"].split(":") if not (Path(part) / "uv").exists())
    first = project.weft("x", env={"PATH": path})
    assert first.stdout == f"{project.root}|x\n", first.stderr
    assert first.stderr.count("\n") == 1
    assert (project.root / ".boot" / "tools" / "bin" / "uv").exists()


def test_when_uv_does_not_work_pip_does(project: Project) -> None:
    broken = project.root.parent / "broken"
    executable(broken / "uv", "exit 1")
    first = project.weft("x", env={"PATH": f"{broken}:{project.environment['PATH']}"})
    assert first.stdout == f"{project.root}|x\n", first.stderr


def test_uv_hears_what_pip_was_told_about_indexes_and_certificates(project: Project) -> None:
    fake = project.root.parent / "fake"
    executable(fake / "uv", f'env > "{fake}/seen"; exit 1')
    told = {
        "PIP_INDEX_URL": "http://127.0.0.1:9/simple",
        "PIP_EXTRA_INDEX_URL": "http://127.0.0.1:9/a http://127.0.0.1:9/b",
    }
    told |= {"PIP_FIND_LINKS": "/one /two", "PIP_CERT": "/a/bundle.pem", "PIP_DEFAULT_TIMEOUT": "1"}
    environment = {n: v for n, v in project.environment.items() if not n.startswith(("UV_", "SSL_"))}
    refused = Project(project.root, environment).weft("x", env={"PATH": f"{fake}:{environment['PATH']}", **told})
    assert refused.returncode == 1
    seen = dict(line.partition("=")[::2] for line in (fake / "seen").read_text().splitlines())
    assert seen["UV_DEFAULT_INDEX"] == "http://127.0.0.1:9/simple"
    assert seen["UV_INDEX"] == "http://127.0.0.1:9/a http://127.0.0.1:9/b"
    assert seen["UV_INDEX_STRATEGY"] == "unsafe-best-match"
    assert seen["UV_FIND_LINKS"] == "/one,/two"
    assert seen["SSL_CERT_FILE"] == "/a/bundle.pem"


def test_without_a_network_at_first_it_says_what_to_do(project: Project) -> None:
    environment = {
        "PIP_CONFIG_FILE": os.devnull,
        "PIP_FIND_LINKS": "",
        **UNREACHABLE,
        "UV_CACHE_DIR": str(project.root.parent / "empty"),
        "UV_HTTP_RETRIES": "0",
    }
    refused = project.weft("x", env=environment)
    assert refused.returncode == 1
    assert "If this machine has no network" in refused.stderr.splitlines()[-1]
    assert project.weft("x").stdout == f"{project.root}|x\n", "with one it goes on"


def test_without_python_it_says_what_to_install(project: Project) -> None:
    refused = project.weft("x", env={"PATH": str(project.tools())})
    assert refused.returncode == 1
    assert refused.stderr.splitlines()[-1].startswith(
        "weft: Python 3.11 or newer is needed, and there is none on PATH."
    )


def test_an_old_python_is_named(project: Project) -> None:
    tools = project.tools()
    executable(tools / "python3", "exit 1")
    refused = project.weft("x", env={"PATH": str(tools)})
    assert refused.returncode == 1
    assert f"these are older: {tools}/python3." in refused.stderr
    chosen = project.weft("x", env={"WEFT_PYTHON": str(tools / "python3")})
    assert f"WEFT_PYTHON={tools}/python3 is not Python 3.11 or newer" in chosen.stderr


def test_an_incomplete_clone_is_named(project: Project) -> None:
    (project.root / "requirements.lock").unlink()
    refused = project.weft("x")
    assert refused.returncode == 1
    assert "Clone it again" in refused.stderr


@as_root
@with_system_python
def test_an_ordinary_user_installs_into_a_clone_of_its_own(project: Project, uv: Path) -> None:
    give(project.root, SOMEBODY)
    first = project.weft("x", user=SOMEBODY, env={"UV_CACHE_DIR": str(project.root.parent / "home" / "uv")})
    assert first.stdout == f"{project.root}|x\n", first.stderr
    assert (project.root / ".venv").stat().st_uid == SOMEBODY


@as_root
@with_system_python
def test_a_clone_of_somebody_else_stays_untouched(project: Project, uv: Path) -> None:
    home = project.root.parent / "home"
    os.chown(home, SOMEBODY, SOMEBODY)
    first = project.weft("x", user=SOMEBODY, env={"UV_CACHE_DIR": str(home / "uv")})
    assert first.stdout == f"{project.root}|x\n", first.stderr
    assert not (project.root / ".venv").exists()
    assert not (project.root / ".boot").exists()
    assert [path.name for path in (home / ".cache" / "weft").iterdir()]
    second = project.weft("x", user=SOMEBODY, env=project.offline())
    assert (second.stdout, second.stderr) == (f"{project.root}|x\n", "")


@as_root
def test_root_does_not_install_into_a_clone_of_somebody_else(project: Project) -> None:
    give(project.root, SOMEBODY)
    first = project.weft("x", env={"XDG_CACHE_HOME": str(project.root.parent / "cache")})
    assert first.stdout == f"{project.root}|x\n", first.stderr
    assert not (project.root / ".venv").exists()
    assert (project.root.parent / "cache" / "weft").is_dir()


def test_the_real_clone_starts_from_nothing(project: Project) -> None:
    for name in ("pyproject.toml", "requirements.lock", "requirements-dev.lock", "README.md", "LICENSE"):
        shutil.copy(ROOT / name, project.root / name)
    shutil.rmtree(project.root / "src")
    for folder in ("src", "examples"):
        shutil.copytree(ROOT / folder, project.root / folder, ignore=shutil.ignore_patterns("__pycache__"))
    first = project.weft("version")
    assert first.returncode == 0, first.stderr
    assert first.stdout.startswith("weft ")
