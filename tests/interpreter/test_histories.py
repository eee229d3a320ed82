"""Golden histories: what a release has run, every later one must replay to the same state.

Each file in `histories/` holds a definition document, the events of one execution, and the state they led to. A
difference means that executions which are under way would change their minds. When that is wanted, write the files
anew, and read the difference before committing it:

    python -m tests.interpreter.write_histories
"""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from tests.interpreter.write_histories import FOLDER, HISTORIES, load_event

from weft.interpreter.advance import replay
from weft.interpreter.codec import dump_state
from weft.interpreter.compile import compile_definition
from weft.interpreter.definition import REVISION
from weft.interpreter.migrate import migrate
from weft.interpreter.state import NEW

FILES = sorted(FOLDER.glob("*.json"))


@pytest.mark.parametrize("file", FILES, ids=lambda file: file.stem)
def test_a_history_replays_exactly(file: Path) -> None:
    history = json.loads(file.read_text())
    assert history["revision"] <= REVISION
    definition = compile_definition(history["definition"])
    events = [load_event(event) for event in history["events"]]
    state, done = NEW, 0
    for move in history.get("moves", ()):
        state, done = replay(definition, events[done : move["after"]], state), move["after"]
        other = compile_definition(move["definition"])
        moved = migrate(definition, other, state, move["mapping"]).state
        assert moved is not None
        definition, state = other, moved
    assert dump_state(replay(definition, events[done:], state)) == history["state"]


def test_every_history_is_written_down() -> None:
    assert {file.stem for file in FILES} >= {play.__name__ for play in HISTORIES}
    assert len(FILES) >= 8
