"""B1: the five-step workload by webhook with a synchronous answer, at 1, 16 and 64 clients.

Ceiling: a minimal handler in the same sort of server that writes the same rows in one transaction a request.
Rounds alternate between the two, the first is warm-up, medians are told.
"""

from __future__ import annotations

import asyncio
import json
import subprocess
import sys
from typing import Any

from benches import lab as labs
from benches.lab import Lab, Tenant, middle
from benches.workload import INPUT


def run(*, quick: bool) -> dict[str, Any]:
    seconds, rounds = (1.5, 1) if quick else (4.0, 3)
    with labs.lab() as lab:
        tenant, twin = asyncio.run(_tenants(lab))
        port, ceiling_port = labs.free_port(), labs.free_port()
        server = lab.start("weft", "serve", WEFT_PORT=str(port))
        ceiling = lab.start(
            "benches.ceiling", CEILING_PORT=str(ceiling_port), CEILING_FACTS=json.dumps(_facts(lab, twin))
        )
        labs.wait_for(f"http://127.0.0.1:{port}/healthz", server)
        labs.wait_for(f"http://127.0.0.1:{ceiling_port}/", ceiling)
        ours, theirs = f"http://127.0.0.1:{port}/hooks/{tenant.hook}", f"http://127.0.0.1:{ceiling_port}/"
        result: dict[str, Any] = {}
        for clients in (1, 16, 64):
            result[f"c{clients}"] = _compare(lab, server, ours, theirs, clients, seconds, rounds)
        result["memory_mb"] = round(labs.use_of(server).memory / 1e6)
        result["bytes_per_execution"] = asyncio.run(_bytes(lab))
    return result


def _compare(
    lab: Lab, server: subprocess.Popen[bytes], ours: str, theirs: str, clients: int, seconds: float, rounds: int
) -> dict[str, Any]:
    weft_rounds, ceiling_rounds, cpu = [], [], []
    for number in range(rounds + 1):
        ceiling_rounds.append(_load(theirs, clients, seconds))
        before = labs.use_of(server).cpu
        weft_rounds.append(_load(ours, clients, seconds))
        cpu.append((labs.use_of(server).cpu - before) / max(1, weft_rounds[-1]["requests"]) * 1000)
        if number == 0:
            asyncio.run(lab.settle())
    weft_rounds, ceiling_rounds, cpu = weft_rounds[1:], ceiling_rounds[1:], cpu[1:]
    failures = sum(r["failures"] for r in (*weft_rounds, *ceiling_rounds))
    if failures:
        raise RuntimeError(f"{failures} requests failed: the figures would mean nothing")
    rate, ceiling = (middle([r["per_second"] for r in rs]) for rs in (weft_rounds, ceiling_rounds))
    return {
        "per_second": round(rate),
        "ceiling_per_second": round(ceiling),
        "ratio": round(rate / ceiling, 2),
        "p50_ms": round(middle([r["p50_ms"] for r in weft_rounds]), 2),
        "p99_ms": round(middle([r["p99_ms"] for r in weft_rounds]), 2),
        "ceiling_p50_ms": round(middle([r["p50_ms"] for r in ceiling_rounds]), 2),
        "cpu_seconds_per_1000": round(middle(cpu), 2),
    }


def _load(url: str, clients: int, seconds: float) -> dict[str, float]:
    done = subprocess.run(
        [sys.executable, "-m", "benches.load", url, str(clients), str(seconds)],
        input=json.dumps(INPUT).encode(), stdout=subprocess.PIPE, check=True, timeout=seconds + 60,
    )  # fmt: skip
    found: dict[str, float] = json.loads(done.stdout)
    return found


async def _tenants(lab: Lab) -> tuple[Tenant, Tenant]:
    database = await lab.database()
    try:
        return await lab.tenant(database, "weft"), await lab.tenant(database, "ceiling")
    finally:
        await database.close()


def _facts(lab: Lab, tenant: Tenant) -> dict[str, Any]:
    return {
        "dsn": lab.app_dsn,
        "tenant": str(tenant.actor.tenant_id),
        "workflow": str(tenant.workflow_id),
        "version": str(tenant.version_id),
        "steps": {key: str(value) for key, value in tenant.step_ids.items()},
    }


async def _bytes(lab: Lab) -> int:
    size: int = await lab.admin(
        "select sum(pg_total_relation_size(oid)) from pg_class where relnamespace = 'weft'::regnamespace"
        " and (relname = 'workflow_executions' or relname like 'execution_logs_%') and relkind = 'r'"
    )
    count: int = await lab.admin("select count(*) from weft.workflow_executions")
    return round(size / max(1, count))
