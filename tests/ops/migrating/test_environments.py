"""One table says what development, staging and production allow."""

from __future__ import annotations

from typing import get_args

import pytest
from sqlalchemy import CheckConstraint

from weft.db import emit
from weft.db.base import Base
from weft.ops import environments
from weft.ops.environments import RULES, Action, EnvironmentRefuses, Verdict, require, stricter
from weft.settings import Settings


def test_every_action_has_a_rule_and_production_is_never_milder() -> None:
    order = [Verdict.allowed, Verdict.asks, Verdict.refused]
    assert set(RULES) == set(Action)
    for rule in RULES.values():
        places = [order.index(rule.verdict(profile)) for profile in environments.PROFILES]
        assert places == sorted(places)
        assert rule.instead or Verdict.refused not in {rule.verdict(profile) for profile in environments.PROFILES}
        assert rule.sentence.endswith(".")


def test_what_is_refused_says_what_to_do_instead() -> None:
    with pytest.raises(EnvironmentRefuses, match=r"profile is production, which refuses to reset\. .*weft db init"):
        require("production", Action.reset, lambda: pytest.fail("nobody is asked"))


def test_asking_is_the_callers() -> None:
    asked: list[int] = []
    require("development", Action.reset, lambda: asked.append(1))
    require("development", Action.migrate, lambda: asked.append(2))
    assert asked == [1]


def test_the_stricter_of_two_counts() -> None:
    assert stricter("development", "production") == stricter("production", "development") == "production"
    assert stricter("staging", None) == "staging"


def test_the_table_is_whole() -> None:
    table = environments.table()
    assert [row["action"] for row in table] == [action.value for action in Action]
    assert table[-1]["production"] == "refused"


def test_profiles_are_the_same_everywhere() -> None:
    assert get_args(Settings.model_fields["profile"].annotation) == environments.PROFILES
    listed = ", ".join(f"'{profile}'" for profile in environments.PROFILES)
    constraints = Base.metadata.tables["weft.installation"].constraints
    assert f"profile in ({listed})" in {str(c.sqltext) for c in constraints if isinstance(c, CheckConstraint)}
    assert f"array[{listed}]" in emit.sql_file("operations")
