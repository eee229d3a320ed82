"""An errand in another process: results, refusals and bugs come back."""

from __future__ import annotations

import os
import signal

import pytest

from weft.core.errors import Invalid, Issue, Kind
from weft.ops.forked import ErrandFailed, Refused, in_fork


class SortOfWrong(Invalid):
    code = "sort_of_wrong"


def test_the_result_comes_back_from_another_process() -> None:
    assert in_fork(lambda: {"pid": os.getpid()})["pid"] != os.getpid()


def test_a_refusal_comes_back_as_one() -> None:
    def refuse() -> None:
        raise SortOfWrong("No.", issues=[Issue("here", ("a", 1), "odd", {"x": 1})])

    with pytest.raises(Refused, match="No") as refused:
        in_fork(refuse)
    assert (refused.value.kind, refused.value.code) == (Kind.invalid, "sort_of_wrong")
    assert refused.value.issues == (Issue("here", ("a", 1), "odd", {"x": 1}),)


def test_a_bug_comes_back_with_its_place() -> None:
    with pytest.raises(ErrandFailed, match=r"(?s)test_forked.*ZeroDivisionError"):
        in_fork(lambda: 1 // 0)


def test_a_killed_errand_is_noticed() -> None:
    with pytest.raises(ErrandFailed, match="-9"):
        in_fork(lambda: os.kill(os.getpid(), signal.SIGKILL))
