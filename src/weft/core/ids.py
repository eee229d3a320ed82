"""UUIDv7 (RFC 9562 section 5.7), made in Python so that a row's id is known before it is stored.

Ids made by one process are strictly increasing: the 12 bits after the version count within a millisecond,
so that index inserts stay at the right-hand edge and `(created_at, id)` sorts as it happened.
"""

from __future__ import annotations

import os
import threading
import time
from datetime import UTC, datetime
from uuid import UUID

_lock = threading.Lock()
_last = 0  # 60 bits: milliseconds << 12 | counter


def new_id() -> UUID:
    """A fresh, time-ordered, unguessable-enough row id. It reveals when it was made: never a secret."""
    global _last
    now = (time.time_ns() // 1_000_000) << 12
    with _lock:
        _last = now if now > _last else _last + 1
        stamp = _last
    value = (stamp >> 12) << 80 | 0x7 << 76 | (stamp & 0xFFF) << 64
    value |= 0b10 << 62 | int.from_bytes(os.urandom(8), "big") >> 2
    return UUID(int=value)


def made_at(identifier: UUID) -> datetime:
    """When a UUIDv7 was made, to the millisecond."""
    return datetime.fromtimestamp((identifier.int >> 80) / 1000, UTC)
