"""Every way this room says no."""

from __future__ import annotations

from collections.abc import Sequence
from uuid import UUID

from weft.core.errors import Conflict, Invalid, NotFound


class EventNotFound(NotFound):
    code = "event_not_found"

    def __init__(self, event_id: UUID) -> None:
        super().__init__(f"There is no event {event_id} in this tenant. `weft event list` shows those that are kept.")


class EventTypeReserved(Invalid):
    code = "event_type_reserved"

    def __init__(self, kind: str) -> None:
        super().__init__(
            f"'{kind}' is one of weft's own types of event, which nobody else may send. Choose a type that does not "
            "begin with `workflow.` or `question.`."
        )


class EventIdReused(Conflict):
    code = "event_id_reused"

    def __init__(self, key: str) -> None:
        super().__init__(
            f"An event with the id '{key}' was sent before, with another type, correlation or payload. Use a new id "
            "for a new event. Nothing of this request was accepted."
        )


class QuestionNotFound(NotFound):
    code = "question_not_found"

    def __init__(self, question_id: UUID) -> None:
        super().__init__(
            f"There is no question {question_id} in this tenant. `weft question list` shows the open ones."
        )


class QuestionClosed(Conflict):
    code = "question_closed"

    def __init__(self, status: str) -> None:
        why = "was answered already" if status == "ANSWERED" else "is not waited for any more"
        super().__init__(f"The question {why}. `weft question list` shows those that are open.")


class AnswerNotAmongChoices(Invalid):
    code = "answer_not_among_choices"

    def __init__(self, choices: Sequence[str]) -> None:
        super().__init__(f"The answer must be one of: {', '.join(choices)}. Nothing was answered.")
