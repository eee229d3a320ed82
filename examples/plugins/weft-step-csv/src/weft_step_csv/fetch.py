"""`csv_fetch`: an errand, which reaches outside through weft's guarded client and may be given secrets."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from weft.core.ports import HttpError, HttpRequest
from weft.engine.kinds import Call, Ports
from weft.engine.outcomes import Done, Failed, Outcome
from weft.engine.steps.base import ErrandStep, config_of
from weft.engine.steps.values import mapping, text
from weft_step_csv.parse import DELIMITER, OUTPUT, delimiter_of
from weft_step_csv.table import TableWrong, table

LARGEST = 1_000_000
TIMEOUT = 30.0


class CsvFetch(ErrandStep):
    name = "csv_fetch"
    title = "Fetch CSV"
    description = "Fetches a text with comma-separated values over HTTP, and makes rows of it."
    may_use_secrets = True
    config_schema = config_of(
        {
            "url": {"type": "string", "minLength": 1, "description": "Where it is."},
            "headers": {
                "type": "object",
                "additionalProperties": {"type": "string"},
                "description": "Request headers.",
            },
            "delimiter": DELIMITER,
        },
        required=("url",),
    )
    outputs_schema = OUTPUT

    def idempotent(self, config: Mapping[str, Any]) -> bool:
        """It only reads, so it may be done again when a worker dies."""
        del config
        return True

    async def call(self, call: Call, ports: Ports) -> Outcome:
        delimiter = delimiter_of(call)
        headers = {name: str(value) for name, value in mapping(call.config, "headers").items()}
        request = HttpRequest(
            method="GET",
            url=text(call.config, "url"),
            headers={"Accept": "text/csv", "Idempotency-Key": call.idempotency_key, **headers},
            timeout=min(TIMEOUT, call.timeout or TIMEOUT),
            max_bytes=LARGEST,
        )
        try:
            response = await ports.http.send(request)
        except HttpError as error:
            return Failed(error.kind, error.message, retryable=error.retryable)
        if response.status != 200:
            kind = f"http_{response.status // 100}xx"
            return Failed(kind, f"The answer's status is {response.status}.", retryable=response.status >= 500)
        try:
            return Done(table(response.body.decode("utf-8", "replace"), delimiter))
        except TableWrong as fault:
            return Failed("response_invalid", f"The answer is no table: {fault}", retryable=False)
