"""The dashboard and the alert rules ask for nothing that the processes do not say."""

from __future__ import annotations

import json
import re
from dataclasses import replace
from pathlib import Path
from typing import Any

import asyncpg
import httpx2
import pytest
import yaml
from prometheus_client.parser import text_string_to_metric_families
from tests.conftest import TestDatabase
from tests.deploy.promql import Query, parse
from tests.ports import reserved

from weft.api.metrics import Metrics, listener
from weft.core.clock import utc_now
from weft.db.database import Database
from weft.ops.monitoring import runs
from weft.ops.monitoring.facts import Sampler, Slot
from weft.settings import Settings, load_settings
from weft.worker.run import open_worker

ROOT = Path(__file__).parents[2]
DASHBOARD = ROOT / "deploy" / "grafana" / "weft.json"
ALERTS = ROOT / "deploy" / "prometheus" / "weft-alerts.yaml"


def dashboard() -> dict[str, Any]:
    return dict(json.loads(DASHBOARD.read_text()))


def rules() -> list[dict[str, Any]]:
    return [rule for group in yaml.safe_load(ALERTS.read_text())["groups"] for rule in group["rules"]]


def queries() -> list[Query]:
    drawn = [target["expr"] for panel in dashboard()["panels"] for target in panel.get("targets", ())]
    return [parse(text) for text in [*drawn, *(rule["expr"] for rule in rules())]]


async def series_of(*texts: str) -> dict[str, set[str]]:
    """Every series of these scrapes, and the labels that it has; Prometheus adds job and instance."""
    found: dict[str, set[str]] = {}
    for text in texts:
        for family in text_string_to_metric_families(text):
            for sample in family.samples:
                found.setdefault(sample.name, {"job", "instance"}).update(sample.labels)
    return found


async def _of_worker(dsn: str, place: Path) -> str:
    """A scrape of a worker, over its own listener."""
    with reserved() as port:
        environ = {"WEFT_HOME": str(place), "WEFT_WORKER_METRICS_PORT": str(port), "WEFT_MONITOR_EVERY_SECONDS": "0"}
        return await _scraped(load_settings(environ, directory=place), dsn, port)


async def _scraped(settings: Settings, dsn: str, port: int) -> str:
    async with open_worker(settings, dsn, bytes(32)), httpx2.AsyncClient(trust_env=False, timeout=60) as client:
        first = await client.get(f"http://127.0.0.1:{port}/metrics")
        assert first.status_code == 200
        counted = (await client.get(f"http://127.0.0.1:{port}/statements")).json()
        assert counted["statements"]["monitoring.server"]["count"] >= 1
        assert (await client.get(f"http://127.0.0.1:{port}/elsewhere")).status_code == 404
        return str((await client.get(f"http://127.0.0.1:{port}/metrics")).text)


async def _of_api(database: Database) -> str:
    """A scrape of the API's metrics, of a server that has a replication slot."""
    metrics, sampler = Metrics(), Sampler(database, 3600)
    await sampler.fresh()
    assert sampler.facts is not None
    sampler.facts = replace(sampler.facts, slots=(Slot("standby", True, "reserved", 17),))
    metrics.watch(database, sampler)
    metrics.watch_streams(lambda: 0)
    metrics.observe("GET", "/v1/clients", 200, 0.01)
    app = listener(metrics, database, sampler)
    async with httpx2.AsyncClient(transport=httpx2.ASGITransport(app=app), base_url="http://metrics") as client:
        return str((await client.get("/metrics")).text)


@pytest.fixture
async def said(database: Database, test_database: TestDatabase, tmp_path: Path) -> dict[str, set[str]]:
    """The series of both processes, of a database in which whatever can be told has happened once."""
    owner = await asyncpg.connect(test_database.owner)
    await runs.record(owner, runs.MAINTENANCE, utc_now(), is_ok=True)
    await owner.close()
    admin = await asyncpg.connect(test_database.admin)
    await admin.execute(
        "insert into weft.dispatch_jobs (tenant_id, id, kind, state, run_at)"
        " values (gen_random_uuid(), gen_random_uuid(), 'x', 'scheduled', now() + interval '1 day')"
    )
    await admin.close()
    return await series_of(await _of_worker(test_database.app, tmp_path), await _of_api(database))


async def test_every_metric_and_label_that_the_files_name_is_there(said: dict[str, set[str]]) -> None:
    for query in queries():
        assert query.metrics
        missing = query.metrics - said.keys()
        assert not missing, f"nobody says {missing}: {query.text}"
        known = set[str]().union(*(said[name] for name in query.metrics))
        assert query.labels <= known, f"{query.labels - known} in {query.text}"


async def test_every_metric_about_the_database_is_drawn_or_watched(said: dict[str, set[str]]) -> None:
    used = set[str]().union(*(query.metrics for query in queries()))
    about = {name for name in said if name.startswith("weft_database_") and not name.endswith("_created")}
    used |= {base + end for name in used for base in [name.removesuffix("_bucket")] for end in ("_count", "_sum")}
    used |= {base + "_bucket" for name in used for base in [name.removesuffix("_sum").removesuffix("_count")]}
    assert about - used == set()


def test_alerts_say_how_bad_it_is_and_what_to_do() -> None:
    names = [rule["alert"] for rule in rules()]
    assert len(names) == len(set(names)) > 10
    for rule in rules():
        assert set(rule) <= {"alert", "expr", "for", "labels", "annotations"}
        assert rule["labels"]["severity"] in ("warning", "critical")
        assert rule["annotations"]["summary"].endswith(".")
        assert rule["annotations"]["description"].endswith(".")
        told = set(re.findall(r"\$labels\.(\w+)", rule["annotations"]["summary"]))
        assert told <= parse(rule["expr"]).labels


def test_the_dashboard_is_one_that_can_be_imported() -> None:
    board = dashboard()
    assert board["templating"]["list"][0]["name"] == "datasource"
    ids = [panel["id"] for panel in board["panels"]]
    assert len(ids) == len(set(ids))
    taken: set[tuple[int, int]] = set()
    for panel in board["panels"]:
        place = panel["gridPos"]
        cells = {
            (x, y)
            for x in range(place["x"], place["x"] + place["w"])
            for y in range(place["y"], place["y"] + place["h"])
        }
        assert not cells & taken, f"{panel['title']} lies on another panel"
        taken |= cells
        refs = [target["refId"] for target in panel.get("targets", ())]
        assert len(refs) == len(set(refs))


@pytest.mark.parametrize(
    "wrong",
    [
        "sum(", "rate(weft_a)", "weft_a[5m] > 1", "weft_a{b=1}", "sum by job (weft_a)", "weft_a weft_b",
        "histogram_quantile(0.9)", "sum(weft_a))", "weft_a ! 1", "increase(weft_a[5])", "topk(weft_a)",
    ],
)  # fmt: skip
def test_the_check_of_queries_refuses_what_is_wrong(wrong: str) -> None:
    with pytest.raises(ValueError):
        parse(wrong)


def test_the_check_of_queries_finds_what_is_named() -> None:
    query = parse('max by (state) (a_b{kind="x"}) - min_over_time(max(c)[1h:1m]) > 2e9 and absent(d) or time() > 8 * 3')
    assert query.metrics == {"a_b", "c", "d"}
    assert query.labels == {"state", "kind"}
