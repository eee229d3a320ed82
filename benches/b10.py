"""B10: B1's load by 16 clients while a column, an index and a backfill are brought to a large table.

The journal has a million rows more than the load writes. Figures before, during and after; a request that fails is an
error of weft. The load comes from two processes of eight clients in turns that overlap, so that it never stops.
"""

from __future__ import annotations

import asyncio
import json
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, TypeVar

from benches import lab as labs
from benches.lab import Lab, Tenant, middle
from benches.workload import INPUT
from weft.db import data_definitions, migrate
from weft.ops.migrating import data
from weft.ops.preflight import newest_revision

CLIENTS = 16
T = TypeVar("T")

_COLUMN = '''"""A column of the benchmark."""
from alembic import op
from weft.db.migrate import run_script
revision, down_revision, kind = "b10_1", "{before}", "expand"
def upgrade():
    run_script(op.get_bind(), "alter table weft.execution_logs add column bench text;")
def downgrade():
    run_script(op.get_bind(), "alter table weft.execution_logs drop column bench;")
'''
_INDEX = '''"""Its index."""
from weft.db.concurrent import run_concurrently
revision, down_revision, kind, concurrently = "b10_2", "b10_1", "expand", True
def upgrade():
    run_concurrently(
        "create index concurrently if not exists execution_logs_bench_idx on weft.execution_logs (tenant_id, bench)"
    )
def downgrade():
    run_concurrently("drop index if exists weft.execution_logs_bench_idx")
'''
_FILL = """
from weft.db.data_definitions import DataMigration, batched_update
MIGRATION = DataMigration(
    name="b10_fill", title="The column of the benchmark", after="b10_1",
    **batched_update(
        "execution_logs", {"started_at": "timestamptz", "id": "uuid"}, "bench = left(t.id::text, 8)",
        "t.bench is null and t.step_key = 'planted'",
    ),
)
"""
_PLANT = """
insert into weft.execution_logs (tenant_id, id, started_at, execution_id, step_key, status, completed_at)
select $1, gen_random_uuid(), now() - n * interval '1 microsecond', gen_random_uuid(), 'planted', 'COMPLETED', now()
  from generate_series(1, $2::int) n"""


def run(*, quick: bool) -> dict[str, Any]:
    rows, seconds = (50_000, 4.0) if quick else (1_000_000, 15.0)
    with labs.lab() as lab, tempfile.TemporaryDirectory(prefix="weft-b10-") as place:
        folder = _revisions(Path(place))
        tenant = asyncio.run(_tenant(lab))
        asyncio.run(_plant(lab, tenant, rows))
        port = labs.free_port()
        server = lab.start("weft", "serve", WEFT_PORT=str(port))
        labs.wait_for(f"http://127.0.0.1:{port}/healthz", server)
        url = f"http://127.0.0.1:{port}/hooks/{tenant.hook}"
        _load(url, 2.0)  # warm-up
        asyncio.run(lab.settle())
        before, _ = _under_load(url, lambda: time.sleep(seconds))
        during_migration, migrated = _under_load(url, lambda: _timed(lambda: asyncio.run(_migrate(lab, folder))))
        during_backfill, (took, report) = _under_load(url, lambda: _timed(lambda: asyncio.run(_fill(lab, folder))))
        after, _ = _under_load(url, lambda: time.sleep(seconds))
        _check(lab, rows, report)
        phases = {"before": before, "migration": during_migration, "backfill": during_backfill, "after": after}
        return {
            "rows": rows,
            "errors": sum(int(phase["failures"]) for phase in phases.values()),
            "migration_seconds": round(migrated[0], 2),
            "backfill_seconds": round(took, 2),
            "backfill_gave_way": report.yielded,
            **phases,
        }


def _revisions(folder: Path) -> Path:
    (folder / "data").mkdir()
    (folder / "b10_1.py").write_text(_COLUMN.format(before=newest_revision()))
    (folder / "b10_2.py").write_text(_INDEX)
    (folder / "data" / "fill.py").write_text(_FILL)
    return folder


async def _tenant(lab: Lab) -> Tenant:
    database = await lab.database()
    try:
        return await lab.tenant(database, "weft")
    finally:
        await database.close()


async def _plant(lab: Lab, tenant: Tenant, rows: int) -> None:
    """Rows of executions that there never were: references are not looked at."""
    import asyncpg

    connection = await asyncpg.connect(lab.admin_dsn)
    try:
        await connection.execute("set session_replication_role = replica")
        await connection.execute(_PLANT, tenant.actor.tenant_id, rows)
    finally:
        await connection.close()


async def _migrate(lab: Lab, folder: Path) -> list[migrate.Revision]:
    return await migrate.upgrade(lab.owner_dsn, directories=[folder])


async def _fill(lab: Lab, folder: Path) -> data.DataReport:
    migration = data_definitions.load([folder])["b10_fill"]
    return await data.run(migration, app=lab.app_dsn, owner=lab.owner_dsn, directories=[folder])


def _timed(work: Callable[[], T]) -> tuple[float, T]:
    begun = time.monotonic()
    done = work()
    return time.monotonic() - begun, done


def _check(lab: Lab, rows: int, report: data.DataReport) -> None:
    filled = asyncio.run(lab.admin("select count(*) from weft.execution_logs where bench is not null"))
    valid = asyncio.run(
        lab.admin("select indisvalid from pg_index where indexrelid = 'weft.execution_logs_bench_idx'::regclass")
    )
    if filled != rows or report.rows != rows or not valid:
        raise RuntimeError(f"{filled} of {rows} rows are filled, {report.rows} were reported, the index: {valid}")


def _under_load(url: str, work: Callable[[], T]) -> tuple[dict[str, float], T]:
    """Do `work` while the load runs; the figures of the turns that overlapped with it."""
    with _load_meanwhile(url) as turns:
        done = work()
    if not turns:
        raise RuntimeError("nothing was measured")
    return {
        "requests": sum(turn["requests"] for turn in turns),
        "failures": sum(turn["failures"] for turn in turns),
        "per_second": round(2 * middle([turn["per_second"] for turn in turns])),
        "p50_ms": round(middle([turn["p50_ms"] for turn in turns]), 2),
        "p99_ms": round(middle([turn["p99_ms"] for turn in turns]), 2),
        "worst_p99_ms": round(max(turn["p99_ms"] for turn in turns), 2),
    }, done


@contextmanager
def _load_meanwhile(url: str) -> Iterator[list[dict[str, float]]]:
    over = threading.Event()
    turns: list[dict[str, float]] = []

    def ask(wait: float) -> None:
        over.wait(wait)
        while not over.is_set():
            turns.append(_load(url, 2.0))

    threads = [threading.Thread(target=ask, args=(wait,)) for wait in (0.0, 1.0)]
    for thread in threads:
        thread.start()
    over.wait(1.0)
    try:
        yield turns
    finally:
        over.set()
        for thread in threads:
            thread.join()


def _load(url: str, seconds: float) -> dict[str, float]:
    done = subprocess.run(
        [sys.executable, "-m", "benches.load", url, str(CLIENTS // 2), str(seconds)],
        input=json.dumps(INPUT).encode(), stdout=subprocess.PIPE, check=True, timeout=seconds + 60,
    )  # fmt: skip
    found: dict[str, float] = json.loads(done.stdout)
    return found
