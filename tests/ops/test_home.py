"""The home directory: private files, one holder, and what runs."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from weft.ops.home import Home, HomeInUse, is_private
from weft.ops.processes import started_at


@pytest.fixture
def home(tmp_path: Path) -> Home:
    home = Home(tmp_path / "home")
    home.ensure()
    return home


def test_passwords_are_made_once_and_kept_for_us_alone(home: Home) -> None:
    password = home.password("weft_app")
    assert len(password) >= 40
    assert home.password("weft_app") == password
    assert home.password("weft_owner") != password
    assert is_private(home.credentials_file)


def test_the_lock_is_free_after_its_release(home: Home) -> None:
    lock = home.lock()
    with pytest.raises(HomeInUse, match=str(os.getpid())):
        home.lock()
    lock.release()
    home.lock().release()


HOLD = """
import sys
from pathlib import Path
from weft.ops.home import Home
lock = Home(Path(sys.argv[1])).lock()
print("held", flush=True)
input()
"""


def test_the_lock_of_a_killed_process_is_free(home: Home) -> None:
    command = [sys.executable, "-c", HOLD, str(home.path)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as holder:
        assert holder.stdout is not None
        assert holder.stdout.readline() == b"held\n"
        with pytest.raises(HomeInUse, match=str(holder.pid)):
            home.lock()
        holder.kill()
        holder.wait()
        home.lock().release()


def test_what_runs_is_believed_only_while_it_lives(home: Home) -> None:
    assert home.running() is None
    facts = {"pid": os.getpid(), "started": started_at(os.getpid()), "url": "http://x"}
    home.write_run(facts)
    assert home.running() == facts
    home.write_run({**facts, "started": "long ago"})
    assert home.running() is None
    home.write_run(facts)
    home.forget_run()
    assert home.running() is None


def test_a_damaged_run_file_is_no_installation(home: Home) -> None:
    home.run_file.write_text("{")
    assert home.running() is None
    home.run_file.write_text(json.dumps(["x"]))
    assert home.running() is None
