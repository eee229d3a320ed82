"""A place to measure: an embedded server with fsync on, in a temporary directory that is gone afterwards."""

from __future__ import annotations

import asyncio
import contextlib
import os
import platform
import signal
import socket
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from statistics import median
from typing import Any
from uuid import UUID

import psutil

import weft
from benches.workload import FIVE_STEPS
from weft.core.actor import Actor, system_actor
from weft.core.ids import new_id
from weft.db import migrate
from weft.db.database import Database
from weft.db.scope import enter
from weft.domain.workflows import service as workflows
from weft.domain.workflows.schemas import TriggerCreate, WebhookConfig, WorkflowCreate
from weft.domain.workflows.service import triggers
from weft.engine import registry
from weft.ops.home import Home
from weft.ops.installation import DATABASE, login_passwords
from weft.ops.postgres import EmbeddedPostgres
from weft.ops.roles import APP, OWNER, bootstrap

MASTER_KEY = "00" * 32


@dataclass
class Tenant:
    actor: Actor
    workflow_id: UUID
    version_id: UUID
    step_ids: dict[str, UUID]
    hook: str


@dataclass
class Lab:
    """Addresses of the measured installation, and what was started in it."""

    home: Path
    app_dsn: str
    owner_dsn: str
    admin_dsn: str
    server: EmbeddedPostgres
    processes: list[subprocess.Popen[bytes]] = field(default_factory=list)

    def environment(self, **more: str) -> dict[str, str]:
        kept = {name: value for name, value in os.environ.items() if not name.startswith("WEFT_")}
        return {
            **kept,
            "WEFT_HOME": str(self.home),
            "WEFT_DATABASE_URL": self.app_dsn,
            "WEFT_MASTER_KEY": MASTER_KEY,
            "WEFT_LOG_LEVEL": "warning",
            "WEFT_METRICS_PORT": "0",
            "WEFT_WORKER_METRICS_PORT": "0",
            **more,
        }

    def start(self, *words: str, **environment: str) -> subprocess.Popen[bytes]:
        """A process of ours, ended with the lab at the latest."""
        process = subprocess.Popen([sys.executable, "-m", *words], env=self.environment(**environment))
        self.processes.append(process)
        return process

    def stop(self, process: subprocess.Popen[bytes]) -> None:
        if process.poll() is None:
            process.send_signal(signal.SIGTERM)
            try:
                process.wait(20)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()
        if process in self.processes:
            self.processes.remove(process)

    async def database(self, *, size: int = 8) -> Database:
        return await Database.open(
            self.app_dsn, application_name="weft bench", size=2, hot_size=size, master_key=bytes.fromhex(MASTER_KEY)
        )

    async def tenant(self, database: Database, slug: str) -> Tenant:
        """A tenant with the five-step workflow, active, and a webhook that answers with the output."""
        registry.kinds()
        actor = system_actor(new_id(), slug)
        async with enter(database, actor) as scope:
            await scope.raw.execute("select weft.create_tenant($1, $2, $2, 'PRO')", actor.tenant_id, slug)
        async with enter(database, actor) as scope:
            workflow = await workflows.create(scope, WorkflowCreate(definition=FIVE_STEPS))
            saved = await workflows.save_version(scope, workflow.id)
            await workflows.change_status(scope, workflow.id, "activate")
            made = await triggers.create(
                scope,
                workflow.id,
                TriggerCreate(name="bench", config=WebhookConfig(verify="none", respond="sync", wait_seconds=10)),
            )
            rows = await scope.raw.fetch(
                "select key, id from weft.workflow_steps where version_id = $1", saved.version.id
            )
        return Tenant(actor, workflow.id, saved.version.id, {r["key"]: r["id"] for r in rows}, str(made.token))

    async def admin(self, query: str, *values: Any) -> Any:
        import asyncpg

        connection = await asyncpg.connect(self.admin_dsn)
        try:
            return await connection.fetchval(query, *values)
        finally:
            await connection.close()

    async def until_none(self, rows: str, seconds: float = 300) -> None:
        """Wait until `select count(*) from <rows>` says 0. Raises when that takes too long."""
        import asyncpg

        connection = await asyncpg.connect(self.admin_dsn)
        try:
            async with asyncio.timeout(seconds):
                left = 1
                while left:
                    left = await connection.fetchval(f"select count(*) from {rows}")
                    await asyncio.sleep(0.05 if left else 0)
        finally:
            await connection.close()

    async def settle(self) -> None:
        """As a server is between two busy hours: checkpointed, vacuumed, with fresh statistics."""
        import asyncpg

        connection = await asyncpg.connect(self.admin_dsn)
        try:
            await connection.execute("vacuum analyze")
            await connection.execute("checkpoint")
        finally:
            await connection.close()


@contextlib.contextmanager
def lab() -> Iterator[Lab]:
    """A migrated installation of its own, durable as a real one, ended and removed at exit."""
    with tempfile.TemporaryDirectory(prefix="weft-bench-") as directory:
        home = Home(Path(directory) / "home")
        server = EmbeddedPostgres(home)
        with server as facts:
            passwords = login_passwords(home)
            asyncio.run(bootstrap(facts.superuser_dsn, DATABASE, passwords))
            owner = facts.dsn(OWNER, passwords[OWNER], DATABASE)
            asyncio.run(migrate.upgrade(owner))
            admin = facts.superuser_dsn.replace("/postgres?", f"/{DATABASE}?")
            place = Lab(home.path, facts.dsn(APP, passwords[APP], DATABASE), owner, admin, server)
            try:
                yield place
            finally:
                for process in list(place.processes):
                    place.stop(process)


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


def wait_for(url: str, process: subprocess.Popen[bytes], seconds: float = 30) -> None:
    """Until a server answers."""
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        if process.poll() is not None:
            raise RuntimeError(f"the server ended with {process.returncode} before it answered")
        with contextlib.suppress(OSError), urllib.request.urlopen(url, timeout=1) as answer:  # noqa: S310  loopback
            if answer.status < 500:
                return
        time.sleep(0.05)
    raise RuntimeError(f"nothing answered at {url}")


@dataclass(frozen=True)
class Use:
    """What a process tree has used: CPU seconds, and memory now in bytes."""

    cpu: float
    memory: int


def use_of(process: subprocess.Popen[bytes]) -> Use:
    parent = psutil.Process(process.pid)
    family = [parent, *parent.children(recursive=True)]
    cpu = sum(p.cpu_times().user + p.cpu_times().system for p in family)
    return Use(cpu, sum(p.memory_info().rss for p in family))


def percentile(values: Sequence[float], part: float) -> float:
    ordered = sorted(values)
    return ordered[min(len(ordered) - 1, int(len(ordered) * part))] if ordered else float("nan")


def middle(values: Sequence[float]) -> float:
    return median(values) if values else float("nan")


def surroundings() -> dict[str, Any]:
    return {
        "weft": weft.__version__,
        "python": platform.python_version(),
        "cpus": os.cpu_count(),
        "load": round(os.getloadavg()[0], 2),
    }
