"""`weft db slow`: which statements take the time.

Three sources: `pg_stat_statements`, where it is loaded, counts every statement of every program; API and workers count
their own by label, and hand that out beside their metrics; and sampling asks again and again what runs now.
"""

from __future__ import annotations

import asyncio
import json
import re
import urllib.error
import urllib.request
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from weft.core.errors import Conflict, NotFound
from weft.db.measure import label_of

if TYPE_CHECKING:
    from weft.db.database import Connection
    from weft.settings import Settings

PATIENCE: Final = 5.0
BETWEEN_SAMPLES: Final = 0.1

_EXTENSION: Final = """/* weft:insight.extension */
select n.nspname::text as schema,
       exists (select from pg_settings s where s.name = 'pg_stat_statements.max') as is_loaded
  from (select) one left join pg_extension e on e.extname = 'pg_stat_statements'
  left join pg_namespace n on n.oid = e.extnamespace
"""
_STATEMENTS: Final = """/* weft:insight.statements */
select s.query, sum(s.calls)::bigint as calls, sum(s.total_exec_time)::float8 / 1000 as seconds,
       max(s.max_exec_time)::float8 / 1000 as longest, sum(s.rows)::bigint as rows
  from {schema}.pg_stat_statements s
 where s.dbid = (select d.oid from pg_database d where d.datname = current_database())
 group by s.query order by 3 desc limit 300
"""
_RUNNING: Final = """/* weft:insight.running */
select a.query, coalesce(a.wait_event_type || ' ' || a.wait_event, 'working') as event from pg_stat_activity a
 where a.datname = current_database() and a.state = 'active' and a.pid <> pg_backend_pid()
   and a.backend_type = 'client backend'
"""


class StatementUnknown(NotFound):
    code = "statement_unknown"

    def __init__(self, label: str) -> None:
        super().__init__(
            f"No statement '{label}' was measured. `weft db slow` lists those that were; API and worker must run."
        )


class StatementsNotLoaded(Conflict):
    code = "statements_not_loaded"

    def __init__(self) -> None:
        super().__init__(
            "The server has not loaded pg_stat_statements. Add it to shared_preload_libraries and restart the server."
        )


class AdministratorNeeded(Conflict):
    code = "administrator_needed"

    def __init__(self) -> None:
        super().__init__(
            "Only an administrator may create the extension. Set WEFT_DATABASE_ADMIN_URL, or let one run in this "
            "database: `create extension pg_stat_statements`."
        )


@dataclass(frozen=True, slots=True)
class Measured:
    """A statement's times, in seconds. `p99` is None where only a mean is known."""

    label: str
    calls: int
    seconds: float
    longest: float
    p99: float | None
    text: str

    @property
    def mean(self) -> float:
        return self.seconds / self.calls if self.calls else 0.0

    def as_json(self) -> dict[str, Any]:
        return {
            "statement": self.label,
            "calls": self.calls,
            "total_seconds": round(self.seconds, 4),
            "mean_ms": round(self.mean * 1000, 3),
            "p99_ms": round(self.p99 * 1000, 3) if self.p99 is not None else None,
            "longest_ms": round(self.longest * 1000, 3),
        }


def addresses_of(settings: Settings) -> list[str]:
    """Where API and worker of these settings hand out their numbers."""
    host = {"0.0.0.0": "127.0.0.1", "::": "::1"}.get(settings.api.host, settings.api.host)  # noqa: S104 - compared
    shown = f"[{host}]" if ":" in host else host
    ports = (settings.api.metrics_port, settings.worker.metrics_port)
    return [f"http://{shown}:{port}" for port in ports if port]


def fetch(address: str) -> dict[str, Any] | None:
    """The statements of one process; None when nobody answers there."""
    try:
        with urllib.request.urlopen(f"{address.rstrip('/')}/statements", timeout=PATIENCE) as answer:  # noqa: S310 - an operator's address
            document = json.loads(answer.read(20_000_000))
    except (OSError, ValueError, urllib.error.URLError):
        return None
    return document if isinstance(document, dict) and "statements" in document else None


def merged(documents: Iterable[dict[str, Any]]) -> list[Measured]:
    """The numbers of several processes as those of one, the most time first."""
    buckets: dict[str, list[int]] = {}
    facts: dict[str, dict[str, Any]] = {}
    ends: list[float] = []
    for document in documents:
        ends = document["ends"]
        for label, one in document["statements"].items():
            so_far = facts.setdefault(label, {"count": 0, "seconds": 0.0, "longest": 0.0, "text": one["text"]})
            so_far["count"] += one["count"]
            so_far["seconds"] += one["seconds"]
            so_far["longest"] = max(so_far["longest"], one["longest"])
            counts = buckets.setdefault(label, [0] * len(one["buckets"]))
            buckets[label] = [a + b for a, b in zip(counts, one["buckets"], strict=True)]
    found = [
        Measured(
            label, one["count"], one["seconds"], one["longest"], quantile(buckets[label], ends, 0.99, one["longest"]),
            one["text"],
        )
        for label, one in facts.items()
    ]  # fmt: skip
    return sorted(found, key=lambda one: -one.seconds)


def quantile(buckets: Sequence[int], ends: Sequence[float], share: float, longest: float) -> float | None:
    """Where this share of the durations ends, within the bucket in which it falls; None without any."""
    total = sum(buckets)
    if not total:
        return None
    wanted, so_far, begin = share * total, 0, 0.0
    for count, end in zip(buckets, [*ends, longest], strict=True):
        if so_far + count >= wanted:
            return min(begin + (min(end, longest) - begin) * (wanted - so_far) / count, longest)
        so_far += count
        begin = end
    return longest


async def counted(connection: Connection, measured: Sequence[Measured] = ()) -> list[Measured] | None:
    """What pg_stat_statements has counted, by label; None where it is not there.

    Since 18 the server drops a comment at the beginning: then the label is that of the same text among `measured`.
    """
    row = await connection.fetchrow(_EXTENSION)
    if row["schema"] is None or not row["is_loaded"]:
        return None
    known = {_bare(one.text): one.label for one in measured}
    found: dict[str, Measured] = {}
    for one in await connection.fetch(_STATEMENTS.format(schema='"' + row["schema"].replace('"', '""') + '"')):
        label = known.get(_bare(one["query"])) or _label(one["query"])
        before = found.get(label, Measured(label, 0, 0.0, 0.0, None, one["query"]))
        found[label] = Measured(
            label,
            before.calls + one["calls"],
            before.seconds + one["seconds"],
            max(before.longest, one["longest"]),
            None,
            before.text,
        )
    return sorted(found.values(), key=lambda one: -one.seconds)


def _bare(text: str) -> str:
    """A statement without its label, however its lines are broken."""
    return " ".join(text.partition("*/")[2].split() if text.lstrip().startswith("/*") else text.split())


def _label(query: str) -> str:
    """A label, or a shape; of anything else the first words, in which values are placeholders already."""
    label = label_of(query)
    return label if label != "unnamed" else re.sub(r"\s+", " ", query).strip()[:60]


async def enable(connection: Connection) -> bool:
    """Create the extension; whether it was missing. Raises `StatementsNotLoaded`."""
    row = await connection.fetchrow(_EXTENSION)
    if not row["is_loaded"]:
        raise StatementsNotLoaded
    await connection.execute("create extension if not exists pg_stat_statements")
    return row["schema"] is None


async def sample(connection: Connection, seconds: float) -> list[dict[str, Any]]:
    """What runs, asked again and again for so long: by statement and by what it waits for, the most frequent first."""
    seen: Counter[tuple[str, str]] = Counter()
    looks = max(1, round(seconds / BETWEEN_SAMPLES))
    for _ in range(looks):
        for row in await connection.fetch(_RUNNING):
            seen[_label(row["query"] or ""), row["event"]] += 1
        await asyncio.sleep(BETWEEN_SAMPLES)
    return [
        {"statement": label, "event": event, "seen": count, "share": round(count / looks, 3)}
        for (label, event), count in seen.most_common()
    ]


def remark(one: Measured) -> str:
    """A word about a statement, from its times alone."""
    if one.mean >= 0.1:
        return "slow each time: look at its plan (--explain)"
    if one.p99 is not None and one.p99 >= 0.25 and one.p99 >= 20 * one.mean:
        return "quick as a rule, slow at times: locks, a cold cache, or tenants of unlike size"
    if one.longest >= 1.0 and one.longest >= 100 * one.mean:
        return "once it was very slow: the log of slow statements says when and for whom"
    return ""
