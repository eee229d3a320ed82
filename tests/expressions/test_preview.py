"""What an editor shows while somebody types."""

from __future__ import annotations

from typing import Any

from weft.expressions.guard import Guard
from weft.expressions.preview import preview


async def test_a_preview_gives_the_value_or_what_is_wrong(guard: Guard, context: dict[str, Any]) -> None:
    shown = await preview(guard, {"names": "{{ input.lines | sort(attribute='sku') | map(attribute='sku') }}"}, context)
    assert shown.value == {"names": ["a", "b"]}
    assert shown.issues == ()
    assert shown.paths == {"input.lines"}

    unreadable = await preview(guard, "x {{ input.amount | mony }}", context)
    assert unreadable.value is None
    assert "Did you mean `money`?" in unreadable.issues[0].message
    assert unreadable.issues[0].extra["column"] == 21

    failing = await preview(guard, "{{ input.missing.deeper | sort }}", context)
    assert "`input.missing` is not there" in failing.issues[0].message
    assert failing.issues[0].extra["line"] == 1
