"""`csv_parse`: an instant kind, a function of its config. It runs in weft's own transaction, so it is bounded."""

from __future__ import annotations

from weft.engine.kinds import Call
from weft.engine.outcomes import Done, Outcome
from weft.engine.steps.base import ConfigWrong, InstantStep, config_of
from weft.engine.steps.values import text, wrong
from weft_step_csv.table import TableWrong, table

DELIMITER = {
    "type": "string",
    "minLength": 1,
    "maxLength": 1,
    "default": ",",
    "description": "What stands between two values.",
}
OUTPUT = config_of(
    {
        "columns": {"type": "array", "items": {"type": "string"}, "description": "The names of the columns."},
        "rows": {"type": "array", "items": {"type": "object"}, "description": "The rows, by column."},
    },
    required=("columns", "rows"),
)
LONGEST = 1_000_000


class CsvParse(InstantStep):
    name = "csv_parse"
    title = "Parse CSV"
    description = "Makes rows of a text with comma-separated values."
    config_schema = config_of(
        {
            "text": {"type": "string", "maxLength": LONGEST, "description": "The text; its first line names columns."},
            "delimiter": DELIMITER,
        },
        required=("text",),
    )
    outputs_schema = OUTPUT

    def answer(self, call: Call) -> Outcome:
        written = text(call.config, "text")
        if len(written) > LONGEST:
            raise ConfigWrong(f"config.text has more than {LONGEST:,} characters. Split it.")
        try:
            return Done(table(written, delimiter_of(call)))
        except TableWrong as fault:
            raise ConfigWrong(f"config.text: {fault}") from fault


def delimiter_of(call: Call) -> str:
    delimiter = text(call.config, "delimiter", ",")
    if len(delimiter) != 1 or not (delimiter.isprintable() or delimiter == "\t") or delimiter == '"':
        raise wrong("delimiter", "one character, and no quote", delimiter)
    return delimiter
