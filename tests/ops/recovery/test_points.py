"""Restore points that the archive knows."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.ops.recovery.conftest import Installation, ask, install
from tests.ops.recovery.test_restoring import MARKS, TENANT, tmp_path

from weft.ops.recovery import points, restoring
from weft.ops.recovery.errors import PointNotArrived, RestorePointTaken
from weft.ops.recovery.restoring import Moment

__all__ = ["tmp_path"]
"""A fixture that is written elsewhere."""


@pytest.fixture(scope="module")
def installed(place: Path) -> Iterator[Installation]:
    yield from install(place)


def test_a_point_that_was_noted_is_known_before_anything_begins(installed: Installation, tmp_path: Path) -> None:
    one = installed
    with one.working() as archiver:
        one.make_base()
        made = points.mark(one.settings, "noted", one.said.append)
        assert made.noted
        vault = one.reader()
        with pytest.raises(PointNotArrived, match="has not arrived yet"):
            restoring.planned(vault, Moment(point="noted"))
        one.ask(TENANT.format("z-after-point"), "select pg_switch_wal()")
        one.bring_away(archiver)
        later = one.make_base()
        one.bring_away(archiver)
        with pytest.raises(RestorePointTaken, match="is already the moment"):
            points.mark(one.settings, "noted", one.said.append)
    plan = restoring.planned(vault, Moment(point="noted"))
    assert plan.base.id != later.id, "a base that was made after it does not lead there"
    moment = Moment(point="noted")
    with restoring.restored_to_point(vault, moment, tmp_path / "data", say=one.said.append) as (report, facts):
        assert report.base == plan.base.id
        assert "z-after-point" not in asyncio.run(ask(facts.dsn("postgres", None, "weft"), MARKS))
