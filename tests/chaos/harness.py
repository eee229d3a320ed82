"""What the chaos test breaks: a real installation, a counting server for its effects, a client that never gives up."""

from __future__ import annotations

import asyncio
import http.client
import json
import os
import random
import signal
import subprocess
import threading
import time
import urllib.error
import urllib.request
from collections import Counter, defaultdict
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, quote, urlsplit
from uuid import UUID

import asyncpg
from benches.lab import Lab

from weft.core.actor import Actor, system_actor
from weft.core.ids import new_id
from weft.db.scope import enter
from weft.domain.workflows import service as workflows
from weft.domain.workflows.schemas import TriggerCreate, WebhookConfig, WorkflowCreate
from weft.domain.workflows.service import triggers
from weft.engine import registry

ITEMS = 3
AWAY = (OSError, asyncpg.PostgresError, asyncpg.InterfaceError, TimeoutError)


class Effects:
    """An HTTP server that remembers every call by its key. Now and then it is slow or unavailable."""

    def __init__(self) -> None:
        self.calls: dict[str, list[float]] = defaultdict(list)
        self.spans: list[tuple[str, str, float, float]] = []
        self.lock = threading.Lock()
        effects = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_POST(self) -> None:
                self.rfile.read(int(self.headers.get("content-length", "0")))
                key = self.headers["idempotency-key"]
                begun = time.time()
                with effects.lock:
                    effects.calls[key].append(begun)
                    count = len(effects.calls)
                time.sleep(random.random() * 0.02)
                with effects.lock:
                    effects.spans.append((self.path.strip("/"), key.partition(":")[0], begun, time.time()))
                status = 503 if count % 37 == 0 else 200
                body = json.dumps({"key": key}).encode()
                self.send_response(status)
                self.send_header("content-type", "application/json")
                self.send_header("content-length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

            def log_message(self, *_arguments: Any) -> None:
                pass

        class Server(ThreadingHTTPServer):
            daemon_threads = True

            def handle_error(self, *_arguments: Any) -> None:
                """A caller that was killed leaves a broken connection: that is the point."""

        self.server = Server(("127.0.0.1", 0), Handler)
        self.port: int = self.server.server_address[1]
        threading.Thread(target=self.server.serve_forever, daemon=True).start()

    def most_at_once(self, path: str) -> int:
        """How many executions had a call to this path open at the same moment, at most."""
        spans = [(execution, begun, ended) for where, execution, begun, ended in self.spans if where == path]
        moments = [(begun, 1, execution) for execution, begun, _ in spans]
        moments += [(ended, 0, execution) for execution, _, ended in spans]
        open_now: Counter[str] = Counter()
        most = 0
        for _, begins, execution in sorted(moments):
            open_now[execution] += 1 if begins else -1
            most = max(most, sum(count > 0 for count in open_now.values()))
        return most

    def close(self) -> None:
        self.server.shutdown()
        self.server.server_close()


def document(port: int) -> dict[str, Any]:
    """Effects one after the other, side by side, and for each item; every one is tried for as long as it takes."""

    def call(key: str) -> dict[str, Any]:
        return {
            "key": key,
            "type": "http",
            "config": {"method": "POST", "url": f"http://127.0.0.1:{port}/{key}", "body": {"n": "{{ input.n }}"}},
            "retry": {"attempts": 50, "initial": 0.05, "max": 0.5},
            "timeout": 10,
        }

    return {
        "name": "chaos",
        "steps": [
            {"key": "prepare", "type": "set", "config": {"vars": {"n": "{{ input.n }}"}}},
            call("first"),
            {"key": "fork", "type": "parallel", "config": {}},
            call("left"),
            call("right"),
            {"key": "meet", "type": "join", "config": {}},
            {
                "key": "items",
                "type": "for_each",
                "config": {
                    "items": "input.items",
                    "concurrency": 2,
                    "body": {"steps": [call("each")], "transitions": []},
                },
            },
            {"key": "pause", "type": "delay", "config": {"for": "50ms"}},
            {"key": "end", "type": "end", "config": {"output": {"n": "{{ vars.n }}"}}},
        ],
        "transitions": [
            {"from": "prepare", "to": "first"},
            {"from": "first", "to": "fork"},
            {"from": "fork", "to": "left"},
            {"from": "fork", "to": "right"},
            {"from": "left", "to": "meet"},
            {"from": "right", "to": "meet"},
            {"from": "meet", "to": "items"},
            {"from": "items", "to": "pause"},
            {"from": "pause", "to": "end"},
        ],
    }


EXPECTED_STEPS = sorted(
    ["prepare", "first", "fork", "left", "right", "meet", "items", "pause", "end"] + ["items.each"] * ITEMS
)


@dataclass
class Installation:
    """API and worker processes that are killed and started again."""

    lab: Lab
    effects: Effects
    port: int
    kills: Counter[str] = field(default_factory=Counter)
    more: dict[str, str] = field(default_factory=dict)
    network: Network | None = None
    clock: Path | None = None
    running: dict[str, subprocess.Popen[bytes]] = field(default_factory=dict)

    def start(self, name: str) -> None:
        """`far` is a worker behind a network that can be cut, with a clock of its own that can be set.

        What stands behind a hyphen tells processes of a kind apart.
        """
        more = dict(self.more)
        words: tuple[str, ...] = ("weft", name.partition("-")[0])
        if name == "far" and self.network is not None and self.clock is not None:
            words = ("tests.chaos.far_worker", str(self.clock))
            more["WEFT_DATABASE_URL"] = self.network.dsn(self.lab.app_dsn)
        self.running[name] = self.lab.start(
            *words,
            WEFT_PORT=str(self.port),
            WEFT_HTTP_ALLOW=f"127.0.0.1:{self.effects.port}",
            WEFT_WORKER_LEASE_SECONDS="3",
            WEFT_WORKER_POLL_SECONDS="0.2",
            WEFT_LOG_LEVEL="error",
            **more,
        )

    def kill(self, name: str) -> None:
        """-9, and a new one at once."""
        process = self.running[name]
        process.kill()
        process.wait()
        self.lab.processes.remove(process)
        self.kills[name] += 1
        self.start(name)

    def revive(self) -> None:
        """A process that refused to start while the database was away is started again, as a supervisor would."""
        for name, process in list(self.running.items()):
            if process.poll() is not None:
                self.lab.processes.remove(process)
                self.start(name)

    def kill_postgres(self) -> None:
        pid = int((self.lab.home / "postgres" / "postmaster.pid").read_text().splitlines()[0])
        os.kill(pid, signal.SIGKILL)
        self.kills["postgres"] += 1
        wait_until(lambda: not self._answers(), 10, "PostgreSQL survived SIGKILL")
        wait_until(self._revived, 30, "PostgreSQL did not come back")

    def _revived(self) -> bool:
        self.lab.server.start()  # changes nothing once it runs
        return self._answers()

    def _answers(self) -> bool:
        return bool(ask(self.lab, "select 1"))


def socket_directory(dsn: str) -> str:
    """Where the server's socket is."""
    return parse_qs(urlsplit(dsn).query)["host"][0]


class Network:
    """A way to PostgreSQL on which packets can be lost: connections stay open, and nothing comes through.

    When it is whole again, what was under way is broken off, as a router that has forgotten it would do.
    """

    def __init__(self, directory: Path, server: Path) -> None:
        self.directory = directory
        self.server = server
        self.is_cut = threading.Event()
        self.swallowed = 0
        self._loop = asyncio.new_event_loop()
        self._pipes: set[asyncio.StreamWriter] = set()
        self._name = next(server.glob(".s.PGSQL.*[0-9]")).name
        threading.Thread(target=self._serve, daemon=True).start()

    def dsn(self, app_dsn: str) -> str:
        return app_dsn.replace(quote(str(self.server), safe=""), quote(str(self.directory), safe="")).replace(
            str(self.server), str(self.directory)
        )

    def cut(self, revive: Callable[[], None]) -> None:
        """Once somebody is connected, who may have to be started first: a network that nobody uses is no loss."""

        def is_used() -> bool:
            revive()
            return len(self._pipes) >= 4

        wait_until(is_used, 120, "the far worker did not connect")
        self.is_cut.set()

    def mend(self) -> None:
        self.is_cut.clear()
        self._loop.call_soon_threadsafe(self._break_off)

    def close(self) -> None:
        self._loop.call_soon_threadsafe(self._loop.stop)

    def _serve(self) -> None:
        asyncio.set_event_loop(self._loop)
        self._loop.run_until_complete(asyncio.start_unix_server(self._connect, self.directory / self._name))
        self._loop.run_forever()

    async def _connect(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            behind, before = await asyncio.open_unix_connection(str(self.server / self._name))
        except OSError:
            writer.close()
            return
        self._pipes |= {writer, before}
        await asyncio.gather(self._pump(reader, before), self._pump(behind, writer))
        self._pipes -= {writer, before}

    async def _pump(self, source: asyncio.StreamReader, target: asyncio.StreamWriter) -> None:
        try:
            while data := await source.read(65536):
                if self.is_cut.is_set():
                    self.swallowed += 1
                    continue
                target.write(data)
                await target.drain()
        except OSError:
            pass
        finally:
            target.close()

    def _break_off(self) -> None:
        for writer in self._pipes:
            writer.transport.abort()


async def prepare(lab: Lab, port: int) -> tuple[Actor, UUID, str]:
    """A tenant with the workflow and a webhook; its token."""
    registry.kinds()
    database = await lab.database()
    actor = system_actor(new_id(), "chaos")
    try:
        async with enter(database, actor) as scope:
            await scope.raw.execute("select weft.create_tenant($1, 'chaos', 'Chaos', 'PRO')", actor.tenant_id)
        async with enter(database, actor) as scope:
            workflow = await workflows.create(scope, WorkflowCreate(definition=document(port)))
            await workflows.save_version(scope, workflow.id)
            await workflows.change_status(scope, workflow.id, "activate")
            made = await triggers.create(
                scope, workflow.id, TriggerCreate(name="chaos", config=WebhookConfig(verify="none", respond="async"))
            )
        return actor, workflow.id, str(made.token)
    finally:
        await database.close()


class Client(threading.Thread):
    """Starts executions one after the other; repeats a start under its key until it is accepted."""

    def __init__(self, url: str, numbers: list[int], pace: float) -> None:
        super().__init__(daemon=True)
        self.url = url
        self.numbers = numbers
        self.pace = pace
        self.accepted: dict[int, str] = {}
        self.repeated = 0

    def run(self) -> None:
        for number in self.numbers:
            body = json.dumps({"n": number, "items": list(range(ITEMS))}).encode()
            request = urllib.request.Request(  # noqa: S310  loopback
                self.url, body, {"content-type": "application/json", "idempotency-key": f"start-{number}"}
            )
            while number not in self.accepted:
                try:
                    with urllib.request.urlopen(request, timeout=10) as answer:  # noqa: S310  loopback
                        self.accepted[number] = json.load(answer)["execution_id"]
                except (OSError, http.client.HTTPException, ValueError) as refused:
                    if isinstance(refused, urllib.error.HTTPError):
                        refused.close()
                    self.repeated += 1
                    time.sleep(0.05)
            time.sleep(self.pace)


def wait_until(condition: Any, seconds: float, message: str) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > deadline:
            raise AssertionError(message)
        time.sleep(0.2)


def until_done(threads: Sequence[threading.Thread], installation: Installation, seconds: float, message: str) -> None:
    """Wait for clients. What ended meanwhile is started again: they repeat themselves until somebody answers."""

    def are_done() -> bool:
        installation.revive()
        return not any(thread.is_alive() for thread in threads)

    wait_until(are_done, seconds, message)


def ask(lab: Lab, query: str, *values: Any) -> list[Any]:
    """Rows as the superuser sees them; empty while the database is away."""
    try:
        return asyncio.run(_fetch(lab, query, values))
    except AWAY:
        return []


def insist(lab: Lab, query: str, *values: Any) -> list[Any]:
    """Rows as the superuser sees them, as soon as the database answers: nothing is concluded from its silence."""
    found: list[list[Any]] = []

    def answers() -> bool:
        try:
            found.append(asyncio.run(_fetch(lab, query, values)))
        except AWAY:
            return False
        return True

    wait_until(answers, 120, "the database does not answer")
    return found[0]


async def _fetch(lab: Lab, query: str, values: Sequence[Any]) -> list[Any]:
    connection = await asyncpg.connect(lab.admin_dsn, timeout=5)
    try:
        rows: list[Any] = await connection.fetch(query, *values)
        return rows
    finally:
        await connection.close()
