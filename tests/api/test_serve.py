"""The process: listens, answers, measures, and stops without dropping anybody."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import socket
import subprocess
import sys
from pathlib import Path

import httpx2
import pytest
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response
from starlette.routing import Route
from tests.conftest import TestDatabase
from tests.ports import reserved

from weft.api import serve
from weft.api.serve import AddressTaken, Listening
from weft.ops.preflight import PreflightFailed
from weft.settings import Settings, load_settings

MASTER_KEY = bytes(range(32))


def settings_for(url: str, home: Path, **more: str) -> Settings:
    environ = {"WEFT_DATABASE_URL": url, "WEFT_HOME": str(home), "WEFT_MASTER_KEY": MASTER_KEY.hex()}
    ports = {"WEFT_PORT": "0", "WEFT_METRICS_PORT": "0"}
    return load_settings(environ | ports | more, directory=home)


def address(bound: socket.socket) -> str:
    host, port = bound.getsockname()[:2]
    return f"http://{host}:{port}"


async def test_it_serves_until_sigterm(test_database: TestDatabase, tmp_path: Path) -> None:
    settings = settings_for(test_database.app, tmp_path)
    listening = Listening(api=serve.listen("127.0.0.1", 0), metrics=serve.listen("127.0.0.1", 0))
    assert listening.metrics is not None
    api, measured = address(listening.api), address(listening.metrics)
    running = asyncio.create_task(serve.serve(settings, MASTER_KEY, listening))
    try:
        async with httpx2.AsyncClient(trust_env=False, timeout=60) as client:
            ready = await client.get(f"{api}/readyz")
            assert (ready.status_code, ready.json()["status"]) == (200, "ready")
            assert (await client.get(f"{api}/v1/clients")).status_code == 401
            assert "server" not in ready.headers
            metrics = await client.get(f"{measured}/metrics")
            assert 'route="/v1/clients",status="4xx"' in metrics.text
        os.kill(os.getpid(), signal.SIGTERM)
        await asyncio.wait_for(running, timeout=60)
    finally:
        running.cancel()
        listening.close()


async def test_running_requests_end_before_it_stops() -> None:
    entered, go_on = asyncio.Event(), asyncio.Event()

    async def slow(_request: Request) -> Response:
        entered.set()
        await go_on.wait()
        return PlainTextResponse("done")

    app = Starlette(routes=[Route("/slow", slow)])
    bound = serve.listen("127.0.0.1", 0)
    where = address(bound)
    running = asyncio.create_task(serve.until_stopped([(serve.server(app), bound)]))
    async with httpx2.AsyncClient(trust_env=False, timeout=60) as client:
        answer = asyncio.create_task(client.get(f"{where}/slow"))
        await entered.wait()
        os.kill(os.getpid(), signal.SIGTERM)
        assert not running.done()
        go_on.set()
        assert (await answer).text == "done"
    await asyncio.wait_for(running, timeout=60)
    assert bound.fileno() == -1, "nothing listens any more"


async def test_it_does_not_start_as_a_role_that_sees_everything(test_database: TestDatabase, tmp_path: Path) -> None:
    settings = settings_for(test_database.admin, tmp_path)
    listening = Listening(api=serve.listen("127.0.0.1", 0), metrics=None)
    try:
        with pytest.raises(PreflightFailed):
            await serve.serve(settings, MASTER_KEY, listening)
    finally:
        listening.close()


def test_a_taken_port_is_said_at_once(tmp_path: Path) -> None:
    with serve.listen("127.0.0.1", 0) as taken:
        port = taken.getsockname()[1]
        settings = settings_for("postgresql://nobody@nowhere/none", tmp_path, WEFT_PORT=str(port))
        with pytest.raises(AddressTaken, match=f"127.0.0.1:{port}.*WEFT_PORT"):
            Listening.on(settings)


def test_a_metrics_port_that_is_taken_leaves_nothing_open(tmp_path: Path) -> None:
    with serve.listen("127.0.0.1", 0) as taken, reserved() as free:
        port = taken.getsockname()[1]
        settings = settings_for(
            "postgresql://nobody@nowhere/none", tmp_path, WEFT_PORT=str(free), WEFT_METRICS_PORT=str(port)
        )
        with pytest.raises(AddressTaken, match=str(port)):
            Listening.on(settings)
        serve.listen("127.0.0.1", free).close()


def test_cursor_keys_are_the_installation_s_own() -> None:
    assert serve.cursor_key(MASTER_KEY) == serve.cursor_key(MASTER_KEY)
    assert serve.cursor_key(MASTER_KEY) != serve.cursor_key(bytes(32))
    assert len(serve.cursor_key(MASTER_KEY)) == 32


def test_a_whole_process_starts_logs_and_ends_well(test_database: TestDatabase, tmp_path: Path) -> None:
    with reserved() as port:
        _a_whole_process(test_database, tmp_path, port)


def _a_whole_process(test_database: TestDatabase, tmp_path: Path, port: int) -> None:
    program = "import os; from weft.api.serve import run; from weft.settings import load_settings; "
    program += "raise SystemExit(run(load_settings(os.environ)))"
    environment = {name: value for name, value in os.environ.items() if not name.startswith("WEFT_")}
    environment |= {
        "WEFT_DATABASE_URL": test_database.app,
        "WEFT_HOME": str(tmp_path),
        "WEFT_MASTER_KEY": MASTER_KEY.hex(),
        "WEFT_PORT": str(port),
        "WEFT_METRICS_PORT": "0",
        "WEFT_LOG_FORMAT": "json",
    }
    process = subprocess.Popen(
        [sys.executable, "-c", program], env=environment, cwd=tmp_path, stderr=subprocess.PIPE, text=True
    )
    output = process.stderr
    assert output is not None
    try:
        first = next(line for line in output if "serving" in line)
        assert json.loads(first)["address"] == f"http://127.0.0.1:{port}"
        answer = httpx2.get(f"http://127.0.0.1:{port}/healthz", trust_env=False, timeout=60)
        assert answer.status_code == 200
        process.send_signal(signal.SIGTERM)
        rest = output.read()
        assert process.wait(timeout=60) == 0
    finally:
        process.kill()
        process.wait()
        output.close()
    events = [json.loads(line)["event"] for line in rest.splitlines()]
    assert events[-1] == "stopped"
    assert "hunter2" not in rest
    assert "Traceback" not in rest
