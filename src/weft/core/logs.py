"""How weft logs: one line per fact on standard error, JSON for machines or text for people, and never a secret.

    log = structlog.get_logger("weft.engine")
    log.info("execution ended", execution_id=str(id), status="completed")

Whatever the standard library's loggers say (uvicorn, SQLAlchemy, asyncio) goes through the same processors. What
`structlog.contextvars` binds, such as the correlation id of a request, stands in every line of its task.
"""

from __future__ import annotations

import logging
import re
import sys
from collections.abc import Mapping, MutableMapping, Sequence
from typing import Any, Final, Literal, TextIO

import structlog

HIDDEN: Final = "***"

_SECRET_NAME: Final = re.compile(
    r"authorization|cookie|passw(or)?d|secret|token|credential|api_?key|private_?key|master_?key|\bdsn\b", re.IGNORECASE
)
_SECRET_TEXT: Final = (
    (re.compile(r"weft_[a-z]{2}_[A-Za-z0-9_\-]+"), f"weft_{HIDDEN}"),
    (re.compile(r"(?i)\b(bearer|basic)\s+[A-Za-z0-9._~+/=\-]{8,}"), rf"\1 {HIDDEN}"),
    (re.compile(r"(?P<scheme>[a-z][a-z0-9+.\-]*://[^\s:/@]*):[^\s@/]+@"), rf"\g<scheme>:{HIDDEN}@"),
)
_QUIET: Final = {
    "uvicorn.access": logging.CRITICAL,
    "uvicorn.error": logging.WARNING,  # of each of a process's listeners it would tell how it starts and stops
    "asyncio": logging.WARNING,
    "alembic": logging.WARNING,
}
_DEEPEST: Final = 6

Processor = structlog.typing.Processor


def configure(
    *,
    level: str = "info",
    style: Literal["auto", "json", "text"] = "auto",
    stream: TextIO | None = None,
) -> None:
    """Set up logging for this process. `auto` is text when a terminal reads standard error, else JSON."""
    target = stream if stream is not None else sys.stderr
    as_text = style == "text" or (style == "auto" and target.isatty())
    shared: list[Processor] = [
        structlog.contextvars.merge_contextvars,
        structlog.stdlib.add_log_level,
        structlog.stdlib.add_logger_name,
        structlog.stdlib.PositionalArgumentsFormatter(),
        structlog.processors.TimeStamper(fmt="iso", utc=True),
        structlog.processors.StackInfoRenderer(),
        structlog.processors.format_exc_info,
        redact,
    ]
    renderer: Processor = (
        structlog.dev.ConsoleRenderer(colors=target.isatty()) if as_text else structlog.processors.JSONRenderer()
    )
    handler = logging.StreamHandler(target)
    handler.setFormatter(
        structlog.stdlib.ProcessorFormatter(
            foreign_pre_chain=shared,
            processors=[structlog.stdlib.ProcessorFormatter.remove_processors_meta, renderer],
        )
    )
    root = logging.getLogger()
    root.handlers = [handler]
    root.setLevel(level.upper())
    for name, quiet in _QUIET.items():
        logging.getLogger(name).setLevel(quiet)
    structlog.configure(
        processors=[
            structlog.stdlib.filter_by_level,
            *shared,
            structlog.stdlib.ProcessorFormatter.wrap_for_formatter,
        ],
        logger_factory=structlog.stdlib.LoggerFactory(),
        wrapper_class=structlog.stdlib.BoundLogger,
    )


def redact(_logger: Any, _method: str, event: MutableMapping[str, Any]) -> MutableMapping[str, Any]:
    """A structlog processor: hides values under telling names, and tokens and passwords inside any text."""
    for name, value in event.items():
        event[name] = HIDDEN if _is_secret(name, value) else _without_secrets(value)
    return event


def _is_secret(name: str, value: object) -> bool:
    """Counts and flags keep their value: `tokens=1200` is what a model used."""
    return _SECRET_NAME.search(name) is not None and not isinstance(value, int | float | None)


def _without_secrets(value: Any, depth: int = 0) -> Any:
    if isinstance(value, str):
        for pattern, shown in _SECRET_TEXT:
            value = pattern.sub(shown, value)
        return value
    if depth >= _DEEPEST:
        return value
    if isinstance(value, Mapping):
        return {
            name: HIDDEN if _is_secret(str(name), inner) else _without_secrets(inner, depth + 1)
            for name, inner in value.items()
        }
    if isinstance(value, Sequence) and not isinstance(value, bytes | bytearray):
        return [_without_secrets(inner, depth + 1) for inner in value]
    return value
