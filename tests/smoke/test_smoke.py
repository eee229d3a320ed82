"""The smoke suite: what must work on any schema that this version is allowed on.

It runs with everything else on the schema of its own version, and again, taken from the tags of the two releases
before, on the schema of the present one: `WEFT_SMOKE_DATABASE` names that database, as the application. So it asks
nothing but what a user of that release could: processes, HTTP, and a workflow from its definition to its end.
"""

from __future__ import annotations

import asyncio
import json
import os
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from threading import Event
from typing import Any
from uuid import uuid4

import pytest
from tests.conftest import TestDatabase

from weft.ops import seed

DEFINITION = {
    "name": f"smoke {uuid4().hex[:8]}",
    "steps": [
        {"key": "double", "type": "transform", "config": {"output": "{{ input.number * 2 }}"}},
        {"key": "done", "type": "end", "config": {"output": {"result": "{{ steps.double.output }}"}}},
    ],
    "transitions": [{"from": "double", "to": "done"}],
}
SECONDS = 120.0


@pytest.fixture
def dsn(request: pytest.FixtureRequest) -> str:
    given = os.environ.get("WEFT_SMOKE_DATABASE")
    if given:
        return given
    database: TestDatabase = request.getfixturevalue("test_database")
    return database.app


@contextmanager
def kept_port() -> Iterator[int]:
    """A port that nobody else is given before the API listens at it: bound, and shared with whoever listens there."""
    with socket.socket() as place:
        place.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        place.bind(("127.0.0.1", 0))
        yield place.getsockname()[1]


@contextmanager
def installation(dsn: str, place: Path, port: int) -> Iterator[str]:
    """An API and a worker of this version, as processes."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith("WEFT_")}
    environment = kept | {
        "WEFT_HOME": str(place), "WEFT_DATABASE_URL": dsn, "WEFT_MASTER_KEY": "00" * 32, "WEFT_PORT": str(port),
        "WEFT_METRICS_PORT": "0", "WEFT_WORKER_METRICS_PORT": "0", "WEFT_LOG_LEVEL": "warning",
    }  # fmt: skip
    processes = [
        subprocess.Popen([sys.executable, "-m", "weft", word], env=environment, cwd=place)
        for word in ("serve", "worker")
    ]
    try:
        url = f"http://127.0.0.1:{port}"
        until(lambda: status_of(f"{url}/readyz") == 200, processes)
        yield url
    finally:
        for process in processes:
            process.terminate()
        for process in processes:
            process.wait(SECONDS)


def until(question: Any, processes: list[subprocess.Popen[bytes]]) -> Any:
    deadline, never = time.monotonic() + SECONDS, Event()
    while time.monotonic() < deadline:
        assert [process.poll() for process in processes] == [None] * len(processes), "a process ended"
        if answer := question():
            return answer
        never.wait(0.05)
    raise AssertionError(f"it did not happen within {SECONDS:.0f} s")


def status_of(url: str) -> int:
    try:
        with urllib.request.urlopen(url, timeout=SECONDS) as answer:  # noqa: S310  loopback
            return int(answer.status)
    except urllib.error.HTTPError as error:
        with error:
            return error.code
    except OSError:
        return 0


def test_a_workflow_from_its_definition_to_its_end(dsn: str, tmp_path: Path) -> None:
    asyncio.run(seed.run(dsn, "development", master_key=bytes(32)))
    with kept_port() as port, installation(dsn, tmp_path, port) as url:
        token: str | None = None

        def ask(method: str, path: str, body: Any = None) -> Any:
            headers = {"Content-Type": "application/json"} | ({"Authorization": f"Bearer {token}"} if token else {})
            data = None if body is None else json.dumps(body).encode()
            request = urllib.request.Request(f"{url}{path}", data, headers, method=method)  # noqa: S310  loopback
            with urllib.request.urlopen(request, timeout=SECONDS) as answer:  # noqa: S310  loopback
                said = answer.read()
            return json.loads(said) if said else None

        token = ask("POST", "/v1/auth/login", {"email": "admin@example.com", "password": "admin123"})["token"]
        workflow = ask("POST", "/v1/workflows", {"definition": DEFINITION})["id"]
        ask("POST", f"/v1/workflows/{workflow}/versions", {})
        ask("POST", f"/v1/workflows/{workflow}/activate")
        started = ask("POST", "/v1/executions", {"workflow": workflow, "input": {"number": 21}})["id"]
        deadline = time.monotonic() + SECONDS
        while (found := ask("GET", f"/v1/executions/{started}"))["status"] != "COMPLETED":
            assert time.monotonic() < deadline, found
            Event().wait(0.05)
        assert found["output"] == {"result": 42}
        steps = {row["step"] for row in ask("GET", f"/v1/executions/{started}/logs")["items"]}
        assert {"double", "done"} <= steps
