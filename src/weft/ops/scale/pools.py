"""How many connections each process opens, and whether all of them fit into the server."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from weft.settings_scale import ScaledDatabaseSettings

WORKER_ROOMS: Final = 2
"""A worker hardly uses the rooms: the engine's pool does its work."""

PROCESSES: Final = """/* weft:pools.processes */
select count(*) filter (where application_name = 'weft waiting requests') as api,
       count(*) filter (where application_name = 'weft worker listen') as workers
  from pg_stat_activity where datname = current_database()
"""
"""Each process listens on one connection of this name, with or without a pooler."""

SERVER: Final = """/* weft:pools.server */
select current_setting('max_connections')::integer - current_setting('superuser_reserved_connections')::integer
"""


@dataclass(frozen=True, slots=True)
class Pools:
    """What one process opens at most."""

    rooms: int
    hot: int
    listening: int
    """Connections that notifications come by: always to the server itself."""

    @property
    def total(self) -> int:
        return self.rooms + self.hot + self.listening


def of_api(database: ScaledDatabaseSettings) -> Pools:
    hot = database.hot_pool_size or max(2, database.pool_size // 2)
    return Pools(rooms=database.pool_size, hot=hot, listening=1)


def of_worker(database: ScaledDatabaseSettings) -> Pools:
    hot = database.hot_pool_size or max(4, database.pool_size)
    return Pools(rooms=WORKER_ROOMS, hot=hot, listening=2)


@dataclass(frozen=True, slots=True)
class Demand:
    """What the processes that run may open together, beside what the server has."""

    api: int
    workers: int
    wanted: int
    allowed: int
    pooled: bool
    """A pooler stands between: only the listening connections reach the server one by one."""

    @property
    def fits(self) -> bool:
        return self.wanted <= self.allowed

    def sentence(self) -> str:
        who = f"{_count(self.api, 'API process', 'API processes')} and {_count(self.workers, 'worker', 'workers')}"
        what = "connections for notifications beside the pooler's" if self.pooled else "connections"
        return f"{who} may open {self.wanted} {what}; the server allows {self.allowed}."


def demand(database: ScaledDatabaseSettings, *, api: int, workers: int, allowed: int) -> Demand:
    """The sum for so many processes that all have these settings; at least one of each is counted."""
    api, workers = max(1, api), max(1, workers)
    pooled = database.pooler == "transaction"
    one, other = of_api(database), of_worker(database)
    wanted = api * (one.listening if pooled else one.total) + workers * (other.listening if pooled else other.total)
    return Demand(api, workers, wanted, allowed, pooled)


def _count(number: int, one: str, many: str) -> str:
    return f"{number} {one if number == 1 else many}"
