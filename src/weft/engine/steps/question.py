"""`question`: ask people something, and go on with what one of them answers."""

from __future__ import annotations

from typing import Any, Final

from weft.engine.kinds import Call
from weft.engine.outcomes import Ask, Done, Outcome
from weft.engine.simulation.draws import Draws
from weft.engine.simulation.samples import sample
from weft.engine.steps.base import ConfigWrong, InstantStep, config_of
from weft.engine.steps.hearing import CORRELATION, ON_TIMEOUT, correlation_of
from weft.engine.steps.values import text, wrong

MAX_QUESTION: Final = 10_000
MAX_CHOICES: Final = 100
MAX_CHOICE: Final = 500


class Question(InstantStep):
    name = "question"
    title = "Question"
    description = "Asks a question and waits for the answer; `weft question list` shows the open ones."
    config_schema = config_of(
        {
            "question": {"type": "string", "minLength": 1, "maxLength": MAX_QUESTION, "description": "What is asked."},
            "choices": {
                "type": ["array", "string"],
                "minItems": 1,
                "minLength": 1,
                "maxItems": MAX_CHOICES,
                "items": {"type": "string", "minLength": 1, "maxLength": MAX_CHOICE},
                "description": "The answers that may be given; without them any answer may.",
            },
            "to": {
                "type": "string",
                "minLength": 1,
                "maxLength": 500,
                "description": "Whom it is for: an address or a role, for people to filter by.",
            },
            "correlation": CORRELATION,
            "on_timeout": ON_TIMEOUT,
        },
        required=("question",),
    )
    outputs_schema = {  # noqa: RUF012  a constant, as of every kind
        "type": ["object", "null"],
        "additionalProperties": False,
        "required": ["answer", "comment", "answered_by", "answered_at"],
        "properties": {
            "answer": {"description": "What was answered."},
            "comment": {"type": ["string", "null"], "description": "What was said with it."},
            "answered_by": {"type": ["string", "null"], "description": "The user's id."},
            "answered_at": {"type": "string", "format": "date-time", "description": "When, UTC."},
        },
    }
    hears = True

    def answer(self, call: Call) -> Outcome:
        asked = text(call.config, "question")
        if not asked.strip() or len(asked) > MAX_QUESTION:
            raise ConfigWrong(f"config.question must be text of at most {MAX_QUESTION:,} characters.")
        to = text(call.config, "to")[:500] if call.config.get("to") is not None else None
        return Ask(asked, _choices(call.config.get("choices")), to, correlation_of(call))

    def rehearse(self, call: Call, draws: Draws) -> Done:
        """One of the choices; any text where every answer may be given. Nobody has answered, and few comment."""
        choices = _choices(call.config.get("choices"))
        return Done(
            {
                "answer": draws.one_of(choices) if choices else sample({"type": "string"}, draws),
                "comment": sample({"type": "string"}, draws) if draws.chance(0.5) else None,
                "answered_by": None,
                "answered_at": call.now.isoformat(),
            }
        )


def _choices(value: Any) -> tuple[str, ...] | None:
    if value is None:
        return None
    if not isinstance(value, list | tuple) or not value or not all(isinstance(one, str) and one for one in value):
        raise wrong("choices", "a list of texts", value)
    if len(value) > MAX_CHOICES or any(len(one) > MAX_CHOICE for one in value):
        raise ConfigWrong(f"config.choices may have {MAX_CHOICES} texts of {MAX_CHOICE} characters.")
    return tuple(dict.fromkeys(value))


STEP = Question()
