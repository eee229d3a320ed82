from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import pytest

from weft.domain.retention.errors import RetentionOutOfBounds
from weft.domain.retention.rules import Bounds, Policy, effective, require_long_enough, require_within

NOW = datetime(2026, 3, 31, tzinfo=UTC)


@pytest.mark.parametrize(
    ("stored", "bounds", "days", "archive"),
    [
        ({}, Bounds(), None, True),
        ({}, Bounds(default_days=90, archive=False), 90, False),
        ({"executions_days": 7}, Bounds(default_days=90), 7, True),
        ({"executions_days": "forever"}, Bounds(default_days=90), None, True),
        ({"executions_days": "forever"}, Bounds(longest_days=365), 365, True),
        ({}, Bounds(longest_days=365), 365, True),
        ({"executions_days": 400}, Bounds(longest_days=365), 365, True),
        ({"executions_days": 3}, Bounds(shortest_days=30), 30, True),
        ({"archive": False}, Bounds(default_days=1), 1, False),
        ({"archive": True}, Bounds(default_days=1, archive=False), 1, True),
    ],
)
def test_what_holds_is_what_was_said_within_the_bounds(
    stored: dict[str, Any], bounds: Bounds, days: int | None, archive: bool
) -> None:
    assert effective(stored, bounds) == Policy(days, archive)


def test_a_cutoff_is_so_many_days_ago() -> None:
    assert Policy(30, archive=True).cutoff(NOW) == datetime(2026, 3, 1, tzinfo=UTC)
    assert Policy(None, archive=True).cutoff(NOW) is None


@pytest.mark.parametrize("said", [29, 366, "forever"])
def test_what_is_out_of_bounds_is_refused(said: int | str) -> None:
    with pytest.raises(RetentionOutOfBounds, match="at least 30 and at most 365 days"):
        require_within(said, Bounds(shortest_days=30, longest_days=365))


@pytest.mark.parametrize("said", [None, 30, 365])
def test_what_is_within_them_is_fine(said: int | None) -> None:
    require_within(said, Bounds(shortest_days=30, longest_days=365))
    require_within("forever", Bounds(shortest_days=30))


@pytest.mark.parametrize(
    ("stored", "bounds", "days"),
    [
        ({}, Bounds(), None),
        ({}, Bounds(default_journal_days=30), 30),
        ({"journal_days": 7}, Bounds(default_journal_days=30), 7),
        ({"journal_days": "forever"}, Bounds(default_journal_days=30), None),
        ({"journal_days": 7}, Bounds(shortest_days=10), 10),
        ({"journal_days": 90, "executions_days": 90}, Bounds(), None),
        ({"journal_days": 90}, Bounds(longest_days=60), None),
        ({"journal_days": 30, "executions_days": 90}, Bounds(), 30),
    ],
)
def test_a_journal_goes_before_its_execution_or_with_it(
    stored: dict[str, Any], bounds: Bounds, days: int | None
) -> None:
    policy = effective(stored, bounds)
    assert policy.journal_days == days
    assert (policy.journal_cutoff(NOW) is None) == (days is None)


def test_journals_have_a_shortest_time_as_well() -> None:
    with pytest.raises(RetentionOutOfBounds, match="at least 30 days"):
        require_long_enough(29, Bounds(shortest_days=30, longest_days=60))
    for said in (None, "forever", 30, 400):
        require_long_enough(said, Bounds(shortest_days=30, longest_days=60))
