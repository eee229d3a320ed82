"""What Prometheus reads about the database and this process's way to it. Labels are bounded: names of ours, no tenants.

Reading costs nothing but the copying of numbers: those of the process are counted already, those of the database come
from the `Sampler`, which asks at most every so many seconds.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from typing import TYPE_CHECKING, Any, Final

from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, HistogramMetricFamily
from prometheus_client.registry import Collector
from sqlalchemy.pool import QueuePool

from weft.db.measure import BUCKETS, MeasuredQueuePool, Timing, Waits
from weft.db.pools import HotPool
from weft.ops.monitoring.facts import Facts, Sampler

if TYPE_CHECKING:
    from weft.db.database import Database

Family = CounterMetricFamily | GaugeMetricFamily | HistogramMetricFamily

_ENDS: Final = [*(str(end) for end in BUCKETS), "+Inf"]


def _cumulated(timing: Timing) -> list[tuple[str, float]]:
    total = 0
    found: list[tuple[str, float]] = []
    for end, count in zip(_ENDS, timing.buckets, strict=True):
        total += count
        found.append((end, float(total)))
    return found


class ProcessCollector(Collector):
    """This process's statements and pools: `rooms` is SQLAlchemy's pool, `hot` is the engine's."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def collect(self) -> Iterator[Family]:
        yield from self._statements()
        yield from self._connections()
        yield from self._waits()

    def _statements(self) -> Iterator[Family]:
        statements = self._database.statements
        took = HistogramMetricFamily(
            "weft_database_statement_seconds",
            "How long statements took, from here to the database and back, by their name.",
            labels=("statement",),
        )
        for label, timing in list(statements.timings.items()):
            took.add_metric((label,), _cumulated(timing), timing.seconds)
        yield took
        slow = CounterMetricFamily("weft_database_slow_statements", "Statements above WEFT_LOG_SLOW_MS.")
        slow.add_metric((), statements.slow_count)
        yield slow

    def _connections(self) -> Iterator[Family]:
        size = GaugeMetricFamily("weft_database_connections", "Connections that are open.", labels=("pool",))
        used = GaugeMetricFamily("weft_database_connections_used", "Connections in use now.", labels=("pool",))
        idle = GaugeMetricFamily(
            "weft_database_connections_idle", "Open connections that nobody uses.", labels=("pool",)
        )
        most = GaugeMetricFamily("weft_database_connections_most", "Connections that may be open.", labels=("pool",))
        over = GaugeMetricFamily(
            "weft_database_connections_overflow", "Open connections beyond the pool's usual size.", labels=("pool",)
        )
        rooms = self._database.engine.pool
        if isinstance(rooms, QueuePool):
            free, busy = rooms.checkedin(), rooms.checkedout()
            values = (free + busy, busy, free, rooms.size() + max(0, rooms._max_overflow), max(0, rooms.overflow()))  # noqa: SLF001 - there is no other way to ask
            for family, value in zip((size, used, idle, most, over), values, strict=True):
                family.add_metric(("rooms",), value)
        hot = self._database.pool
        opened, free = hot.get_size(), hot.get_idle_size()
        for family, value in zip(
            (size, used, idle, most, over), (opened, opened - free, free, hot.get_max_size(), 0), strict=True
        ):
            family.add_metric(("hot",), value)
        yield from (size, used, idle, most, over)

    def _waits(self) -> Iterator[Family]:
        waiting = GaugeMetricFamily(
            "weft_database_connections_awaited", "Tasks that wait for a connection now.", labels=("pool",)
        )
        took = HistogramMetricFamily(
            "weft_database_checkout_seconds", "How long a connection of the pool was waited for.", labels=("pool",)
        )
        for name, pool in (("rooms", self._database.engine.pool), ("hot", self._database.pool)):
            waits: Waits | None = pool.waits if isinstance(pool, HotPool | MeasuredQueuePool) else None
            if waits is not None:
                waiting.add_metric((name,), waits.waiting)
                took.add_metric((name,), _cumulated(waits.timing), waits.timing.seconds)
        refused = CounterMetricFamily(
            "weft_database_refused", "Who was told to come back, because too many waited.", labels=("pool",)
        )
        for name, gate in (("rooms", self._database.gate), ("hot", self._database.pool.gate)):
            refused.add_metric((name,), gate.refused)
        yield from (waiting, took, refused)


def _gauge(name: str, sentence: str, value: float) -> GaugeMetricFamily:
    return GaugeMetricFamily(name, sentence, value=value)


def _by(name: str, sentence: str, label: str, values: Iterable[tuple[str, float]]) -> GaugeMetricFamily:
    family = GaugeMetricFamily(name, sentence, labels=(label,))
    for word, value in values:
        family.add_metric((word,), value)
    return family


class DatabaseCollector(Collector):
    """The database itself, as it was at the sampler's last look. Every process says the same: take the maximum."""

    def __init__(self, sampler: Sampler) -> None:
        self._sampler = sampler

    def collect(self) -> Iterator[Family]:
        sampler = self._sampler
        yield _gauge("weft_database_readable", "1 if the last look at the database went well.", int(sampler.is_current))
        yield _gauge("weft_database_look_seconds", "How long the last look at the database took.", sampler.seconds)
        yield _gauge("weft_queue_readable", "1 if the last look could read the queue, else 0.", int(sampler.is_current))
        if sampler.facts is not None and sampler.is_current:
            for part in _PARTS:
                yield from part(sampler.facts)


def _server(facts: Facts) -> Iterator[Family]:
    yield _gauge("weft_database_bytes", "Size of the database.", facts.bytes)
    yield _gauge(
        "weft_database_oldest_transaction_seconds", "Age of the oldest open transaction.", facts.oldest_transaction
    )
    yield _gauge("weft_database_xid_age", "Transactions since the oldest row was frozen.", facts.xid_age)
    yield _gauge(
        "weft_database_server_connections_allowed", "Connections that the server allows.", facts.connections_allowed
    )
    yield _by(
        "weft_database_server_connections", "Connections of the server, by state.", "state", facts.connections.items()
    )
    if facts.worker_silence is not None:
        yield _gauge("weft_worker_silence_seconds", "Seconds since any worker was last heard of.", facts.worker_silence)


def _queue(facts: Facts) -> Iterator[Family]:
    yield _by(
        "weft_queue_jobs", "Jobs that wait or run, by state.", "state",
        ((state, jobs) for state, (jobs, _) in facts.queue.items()),
    )  # fmt: skip
    yield _by(
        "weft_queue_oldest_seconds", "How long the oldest job has been due, by state.", "state",
        ((state, age) for state, (_, age) in facts.queue.items()),
    )  # fmt: skip


def _rows(facts: Facts) -> Iterator[Family]:
    yield _by("weft_database_dead_rows", "Dead rows that vacuum has yet to remove.", "table", facts.dead_rows.items())
    yield _by("weft_database_live_rows", "Rows, as the server estimates.", "table", facts.live_rows.items())
    yield _by(
        "weft_database_partition_runway_days", "Days until the last partition ends.", "table", facts.runway.items()
    )


def _slots(facts: Facts) -> Iterator[Family]:
    yield _by(
        "weft_database_slot_lag_bytes", "Write-ahead log that a replication slot holds back.", "slot",
        ((slot.name, slot.lag) for slot in facts.slots),
    )  # fmt: skip
    yield _by(
        "weft_database_slot_active", "1 if somebody reads the replication slot.", "slot",
        ((slot.name, int(slot.is_active)) for slot in facts.slots),
    )  # fmt: skip


def _runs(facts: Facts) -> Iterator[Family]:
    known = facts.runs.values()
    yield _by(
        "weft_last_run_timestamp_seconds", "When the last run of a kind ended, in seconds since 1970.", "kind",
        ((run.kind, run.ended_at.timestamp()) for run in known),
    )  # fmt: skip
    yield _by(
        "weft_last_run_success_timestamp_seconds", "When one last ended well, in seconds since 1970.", "kind",
        ((run.kind, run.succeeded_at.timestamp()) for run in known if run.succeeded_at is not None),
    )  # fmt: skip
    yield _by("weft_last_run_ok", "1 if the last run went well.", "kind", ((run.kind, int(run.is_ok)) for run in known))


_PARTS: Final[tuple[Callable[[Facts], Iterator[Family]], ...]] = (_server, _queue, _rows, _slots, _runs)


def statements_document(database: Database) -> dict[str, Any]:
    """What `weft db slow` reads of a process: its statements with their times and one text of each, no values."""
    return {
        "ends": list(BUCKETS),
        "slow": database.statements.slow_count,
        "statements": {label: timing.as_json() for label, timing in list(database.statements.timings.items())},
    }
