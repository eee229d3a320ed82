"""What a command says that runs until somebody stops it: notes in a terminal, elsewhere lines like its children's logs.

Its own few lines need no logging library, which would stay in memory as long as the command runs.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Callable
from datetime import UTC, datetime

_WARNING = "warning: "


def sayer(logger: str, called: str, style: str) -> Callable[[str], None]:
    """A function that says a sentence. `style` is WEFT_LOG_FORMAT; `called` stands before each sentence for people."""
    as_text = style == "text" or (style == "auto" and sys.stderr.isatty())

    def say(text: str) -> None:
        line = f"{called}: {text}" if as_text else _document(logger, text)
        sys.stderr.write(line + "\n")
        sys.stderr.flush()

    return say


def _document(logger: str, text: str) -> str:
    """With the names that `weft.core.logs` gives."""
    return json.dumps(
        {
            "event": text.removeprefix(_WARNING),
            "level": "warning" if text.startswith(_WARNING) else "info",
            "logger": logger,
            "timestamp": datetime.now(UTC).isoformat().replace("+00:00", "Z"),
        },
        ensure_ascii=False,
    )
