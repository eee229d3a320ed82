"""Writes the golden histories anew: `python -m tests.interpreter.write_histories [NAME ...]`.

Never run by the tests. A file that exists is a promise to executions under way; see `test_histories.py`.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Callable
from dataclasses import asdict
from datetime import datetime
from pathlib import Path
from typing import Any, Final

from tests.interpreter.running import MENU, Run, document, for_each, loop

from weft.interpreter import events
from weft.interpreter.codec import dump_state
from weft.interpreter.definition import REVISION
from weft.interpreter.events import Event

FOLDER: Final = Path(__file__).parent / "histories"


def dump_event(event: Event) -> dict[str, Any]:
    return {"event": type(event).__name__, **asdict(event), "at": event.at.isoformat()}


def load_event(document: dict[str, Any]) -> Event:
    fields = {**document, "at": datetime.fromisoformat(document["at"])}
    if "holding" in fields:
        fields["holding"] = tuple(fields["holding"])
    kind: Callable[..., Event] = getattr(events, fields.pop("event"))
    return kind(**fields)


def sequence_with_retries_and_an_error_route() -> Run:
    retry = {"attempts": 3, "initial": "2s", "backoff": "exponential", "on": ["connection", "timeout"]}
    run = Run(
        document(
            "fetch",
            {"key": "score", "retry": retry, "timeout": "1m", "on_error": "manual"},
            "book",
            "manual",
            fetch="score",
            score="book",
            manual="book",
        )
    )
    run.succeed("fetch")
    run.fail("score", "connection", retry_after=7.5)
    run.fire("retry")
    run.wait("score")
    run.fire("timeout")
    run.fire("retry")
    run.fail("score", "connection")
    run.succeed("manual", "book")
    return run


def inclusive_choice_joined_by_all() -> Run:
    branches = [("x", "when"), ("y", "when"), ("z", "default")]
    run = Run(document({"key": "s", "split": "any"}, "x", "y", "z", {"key": "j", "type": "join"}, "end", s=branches,
                       x="j", y="j", z="j", j="end"))  # fmt: skip
    run.succeed("s")
    run.choose("s", "x", "y")
    run.succeed("y", "x", "j", "end")
    return run


def at_least_two_of_three_in_a_loop() -> Run:
    run = Run(
        document(
            {"key": "ask", "type": "parallel", "max_visits": 3, "on_error": "give_up"},
            "a",
            "b",
            "c",
            {"key": "enough", "type": "join", "join": {"at_least": 2}},
            "done",
            "give_up",
            ask=["a", "b", "c"],
            a="enough",
            b="enough",
            c="enough",
            enough=[("ask", "when"), ("done", "default")],
        )
    )
    run.succeed("ask", "b", "c", "enough")
    run.choose("enough", "ask")
    run.succeed("ask", "c", "a", "a", "b", "enough")
    run.choose("enough")
    run.succeed("done")
    return run


def a_join_that_starves() -> Run:
    run = Run(document("a", "b", "c", {"key": "j", "join": {"at_least": 2}}, a=[("b", "when"), ("c", "default")],
                       b="j", c="j"))  # fmt: skip
    run.succeed("a")
    run.choose("a", "b")
    run.succeed("b")
    return run


def for_each_that_fails_and_goes_on() -> Run:
    body = document("price", {"key": "tax", "retry": {"attempts": 2, "initial": "1s"}}, price="tax")
    run = Run(document("s", for_each("lines", body, 2), "sum", s="lines", lines="sum"))
    run.succeed("s")
    run.items("lines", 4)
    run.succeed("lines.price", "lines.tax", "lines.price")
    run.fail("lines.tax")
    run.fire("retry")
    run.fail("lines.tax", "refused", retryable=False)
    run.retry()
    run.items("lines", 4)
    run.succeed("lines.tax", "lines.price", "lines.price")
    return run


def nested_for_each_passed_over() -> Run:
    inner = for_each("cells", document("x", "y", x="y"), 3, required=False)
    run = Run(document(for_each("rows", document(inner, "total", cells="total"), 2), "end", rows="end"))
    run.items("rows", 2)
    run.items("rows.cells", 2)
    run.items("rows.cells", 0)
    run.succeed("rows.cells.x")
    run.fail("rows.cells.y", "broken")
    run.succeed("rows.total", "rows.cells", "rows.total", "rows", "end")
    return run


def two_bodies_in_one_loop_until_the_visits_are_used_up() -> Run:
    run = Run(MENU)
    run.succeed("s", "menu")
    run.choose("menu", "q")
    run.succeed("q", "d", "c", "j", "menu")
    run.choose("menu", "p")
    run.succeed("p", "a", "b", "i", "z")
    return run


def cancelled_while_everything_waits() -> Run:
    patient, stubborn = {"key": "b", "timeout": "2d"}, {"key": "c", "retry": {"attempts": 2}}
    run = Run(document({"key": "a", "type": "parallel"}, patient, stubborn, a=["b", "c"]))
    run.succeed("a")
    run.wait("b")
    run.fail("c")
    run.cancel("no longer needed")
    return run


def items_that_fail_are_passed_over() -> Run:
    step = for_each("lines", document("price", "tax", price="tax"), 2)
    step["config"]["on_item_error"] = "continue"
    run = Run(document("s", step, "z", s="lines", lines="z"))
    run.succeed("s")
    run.items("lines", 4)
    run.fail("lines.price", "broken")
    run.succeed("lines.price", "lines.tax")
    run.succeed("lines.price")
    run.fail("lines.price")
    run.succeed("lines.tax")
    return run


def in_the_midst_of_everything() -> Run:
    """Stops half way: a late branch, a waiting join, open items and a choice that is not made yet."""
    run = Run(
        document(
            {"key": "p", "type": "parallel"},
            "slow",
            "quick",
            {"key": "each", **for_each("each", document("x", "y", x=[("y", "default")]), 2)},
            "choice",
            "left",
            "right",
            {"key": "first", "type": "join", "join": "any"},
            {"key": "last", "type": "join"},
            p=["slow", "quick", "each", "choice"],
            slow="first",
            quick="first",
            first="last",
            each="last",
            choice=[("left", "when"), ("right", "default")],
            left="last",
            right="last",
        )
    )
    run.succeed("p", "quick", "first")
    run.items("each", 3)
    run.succeed("each.x", "choice")
    return run


def paused_while_everything_goes_on() -> Run:
    """A retry, an item, a timeout and an answer come while it is paused; it is moved, and resumed at last."""
    run = Run(
        document(
            {"key": "p", "type": "parallel"},
            {"key": "stubborn", "retry": {"attempts": 3, "initial": "2s"}},
            for_each("each", document("x", "y", x="y"), 2),
            {"key": "late", "timeout": "1m", "on_error": "mend"},
            "quick",
            "after",
            "mend",
            {"key": "end", "type": "join"},
            p=["stubborn", "each", "late", "quick"],
            quick="after",
            stubborn="end",
            each="end",
            late="end",
            mend="end",
            after="end",
        )
    )
    run.succeed("p")
    run.items("each", 3)
    run.wait("late")
    run.fail("stubborn", "connection")
    run.pause("parent")
    run.succeed("quick", "each.x")
    run.fire("retry")
    run.fire("timeout")
    run.pause()
    run.resume()
    run.succeed("after", "each.y", "stubborn", "each.x", "each.y", "mend")
    return run


def moved_to_another_version_in_its_midst() -> Run:
    """Items, an arrival, a renamed step that is under way, and a branch that the join no longer waits for."""
    lines = for_each("lines", document("price", "tax", price="tax"), 2)
    rows = for_each("rows", document("price", "check", "tax", price="check", check="tax"), 2)
    fork = {"key": "p", "type": "parallel"}
    run = Run(
        document(fork, lines, "call", "never", {"key": "j", "type": "join"}, "end",
                 p=["lines", "call", "never"], lines="j", call="j", never="j", j="end")
    )  # fmt: skip
    run.succeed("p")
    run.items("lines", 3)
    run.succeed("lines.price")
    run.wait("never")
    run.move(
        document(fork, rows, "pay", "never", {"key": "meet", "type": "join"}, "end",
                 p=["rows", "pay", "never"], rows="meet", pay="meet", meet="end"),
        {"lines": "rows", "call": "pay", "j": "meet"},
    )  # fmt: skip
    run.succeed("pay", "rows.price", "rows.check", "rows.tax", "rows.tax", "rows.price", "rows.check", "rows.tax")
    run.succeed("rows", "meet")
    return run


def a_loop_that_fails_and_goes_on() -> Run:
    body = document("ask", {"key": "book", "retry": {"attempts": 2, "initial": 1}}, ask="book")
    run = Run(document(loop("turns", body, 5, retry={"attempts": 2, "initial": 3}), "end", turns="end"))
    run.turn("turns", again=True)
    run.succeed("turns.ask", "turns.book")
    run.turn("turns", again=True)
    run.succeed("turns.ask")
    run.fail("turns.book")
    run.fire("retry")
    run.fail("turns.book")
    run.fire("retry")
    run.turn("turns", again=True)
    run.succeed("turns.book")
    run.turn("turns", again=False)
    run.succeed("turns", "end")
    return run


def a_loop_in_a_for_each_until_its_turns_are_used_up() -> Run:
    inner = document(loop("turns", document("a"), 2, **{"while": "input.x"}))
    run = Run(document(for_each("each", inner, 2), "end", each="end"))
    run.items("each", 2)
    run.turn("each.turns", again=False)
    run.succeed("each.turns")
    run.turn("each.turns", again=True)
    run.succeed("each.turns.a")
    run.turn("each.turns", again=True)
    run.succeed("each.turns.a")
    run.turn("each.turns", again=True)
    return run


def undone_after_a_failure() -> Run:
    car = {"key": "car", "compensate": "cancel_car"}
    hotel = {"key": "hotel", "compensate": "cancel_hotel"}
    patient = {"key": "cancel_car", "retry": {"attempts": 2, "initial": 1}}
    run = Run(document(car, hotel, "pay", patient, "cancel_hotel", car="hotel", hotel="pay"))
    run.succeed("car", "hotel")
    run.fail("pay", "declined", retryable=False)
    run.fail("cancel_hotel", "gone", retryable=False)
    run.fail("cancel_car")
    run.fire("retry")
    run.succeed("cancel_car")
    return run


def undone_in_the_midst_and_cancelled_while_more_is_undone() -> Run:
    first = {"key": "first", "compensate": "un_first"}
    second = {"key": "second", "compensate": "un_second"}
    back = {"key": "back", "type": "compensate", "config": {"steps": ["second"]}}
    run = Run(
        document(first, second, back, "wait", "un_first", "un_second", first="second", second="back", back="wait")
    )
    run.succeed("first", "second")
    run.undo("back")
    run.succeed("un_second", "back")
    run.wait("wait")
    run.cancel("not wanted any more")
    run.wait("un_first")
    run.cancel("really not")
    return run


HISTORIES: Final[tuple[Callable[[], Run], ...]] = (
    sequence_with_retries_and_an_error_route,
    inclusive_choice_joined_by_all,
    at_least_two_of_three_in_a_loop,
    a_join_that_starves,
    for_each_that_fails_and_goes_on,
    nested_for_each_passed_over,
    two_bodies_in_one_loop_until_the_visits_are_used_up,
    cancelled_while_everything_waits,
    in_the_midst_of_everything,
    paused_while_everything_goes_on,
    moved_to_another_version_in_its_midst,
    a_loop_that_fails_and_goes_on,
    a_loop_in_a_for_each_until_its_turns_are_used_up,
    undone_after_a_failure,
    undone_in_the_midst_and_cancelled_while_more_is_undone,
    items_that_fail_are_passed_over,
)


def write(names: list[str]) -> None:
    FOLDER.mkdir(exist_ok=True)
    for play in HISTORIES:
        if names and play.__name__ not in names:
            continue
        run = play()
        history = {
            "revision": REVISION,
            "definition": run.first.document,
            "events": [dump_event(event) for event in run.events],
            "state": dump_state(run.state),
        }
        if run.moves:
            history["moves"] = [
                {"after": after, "definition": written, "mapping": dict(mapping)}
                for after, written, mapping in run.moves
            ]
        (FOLDER / f"{play.__name__}.json").write_text(json.dumps(history, indent=1) + "\n")


if __name__ == "__main__":
    write(sys.argv[1:])
