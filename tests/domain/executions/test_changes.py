"""What a stream shows of values that are stored in a form of their own."""

from __future__ import annotations

from typing import Any

import pytest

from weft.core.ids import new_id
from weft.domain.executions import changes
from weft.domain.executions.payloads import Reference, packed


@pytest.mark.parametrize("value", [None, 3, "text", {"a": 1}, {"$payload": "mine"}, [{"$payload": 1}]])
def test_values_are_shown_as_they_were(value: Any) -> None:
    assert changes._here(packed(value)) == value


def test_what_lies_elsewhere_is_not_shown_and_its_place_is_not_told() -> None:
    assert changes._here(packed(Reference(new_id(), 700_000))) is None
