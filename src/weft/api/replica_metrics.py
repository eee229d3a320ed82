"""What Prometheus is told of the replica, as this process sees it."""

from __future__ import annotations

from collections.abc import Iterator

from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from weft.db.replica import Replica, State


class ReplicaNumbers(Collector):
    def __init__(self, replica: Replica) -> None:
        self.replica = replica

    def collect(self) -> Iterator[Metric]:
        replica = self.replica
        yield GaugeMetricFamily(
            "weft_replica_ready", "1 if lists may be read from the replica now, else 0.", replica.state is State.ready
        )
        if replica.lag_seconds is not None:
            yield GaugeMetricFamily(
                "weft_replica_lag_seconds", "How far the replica is behind, by the primary's log.", replica.lag_seconds
            )
        if replica.lag_bytes is not None:
            yield GaugeMetricFamily("weft_replica_lag_bytes", "Log that it has not replayed.", replica.lag_bytes)
        reads = CounterMetricFamily(
            "weft_replica_reads", "Reads that the replica could answer, by who did.", labels=("answered_by",)
        )
        for who, count in replica.reads.items():
            reads.add_metric((who,), count)
        yield reads
