"""Who is next, when several tenants wait."""

from __future__ import annotations

from collections import deque
from collections.abc import Hashable
from typing import Generic, TypeVar

Item = TypeVar("Item")


class FairQueue(Generic[Item]):
    """First come, first served within a tenant; tenants take turns. One that queues a thousand delays nobody
    else by more than one."""

    def __init__(self) -> None:
        self._lanes: dict[Hashable, deque[Item]] = {}
        self._turns: deque[Hashable] = deque()
        self._size = 0

    def __len__(self) -> int:
        return self._size

    def count(self, tenant: Hashable) -> int:
        """How many of this tenant wait."""
        return len(self._lanes.get(tenant, ()))

    def push(self, tenant: Hashable, item: Item) -> None:
        lane = self._lanes.get(tenant)
        if lane is None:
            lane = self._lanes[tenant] = deque()
            self._turns.append(tenant)
        lane.append(item)
        self._size += 1

    def pop(self) -> Item | None:
        """The next item, or None when nobody waits."""
        if not self._turns:
            return None
        tenant = self._turns.popleft()
        lane = self._lanes[tenant]
        item = lane.popleft()
        self._size -= 1
        if lane:
            self._turns.append(tenant)
        else:
            del self._lanes[tenant]
        return item
