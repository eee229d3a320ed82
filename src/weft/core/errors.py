"""How weft says no.

    WeftError
    ├── Invalid           the request itself is wrong; repeating it changes nothing       400 / 422
    ├── Unauthenticated   nobody is signed in, or the credential is not valid             401
    ├── Forbidden         somebody is signed in, but may not do this                      403
    ├── NotFound          it does not exist, or not for this tenant                       404
    ├── Conflict          it exists, but not in a state that allows this                  409
    ├── Stale             somebody changed it first (`If-Match`, `row_version`)           412
    ├── Exhausted         a limit is reached; later may work                              429
    └── Unavailable       something weft needs does not answer; later will work           503

A room's errors subclass one of these, carry a stable `code` (`noun_fact`) and a sentence that tells the
reader what to do next. HTTP turns kinds into statuses, the CLI into exit codes, the worker into retry or
not. Any exception that is not a `WeftError` is a bug: it is logged whole and shown as nothing.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any, ClassVar


class Kind(StrEnum):
    """What sort of no it is; each edge maps it to its own vocabulary."""

    invalid = "invalid"
    unauthenticated = "unauthenticated"
    forbidden = "forbidden"
    not_found = "not_found"
    conflict = "conflict"
    stale = "stale"
    exhausted = "exhausted"
    unavailable = "unavailable"


@dataclass(frozen=True, slots=True)
class Issue:
    """One thing that is wrong, where it is, and how to mend it.

    `path` is a JSON path of names and indexes into the document that was sent: `("steps", 3, "config", "url")`.
    """

    message: str
    path: tuple[str | int, ...] = ()
    code: str = "invalid"
    extra: Mapping[str, Any] = field(default_factory=dict)

    def as_json(self) -> dict[str, Any]:
        return {"message": self.message, "path": list(self.path), "code": self.code, **self.extra}


class WeftError(Exception):
    """Anything weft refuses on purpose. `message` may be shown to whoever asked."""

    kind: ClassVar[Kind] = Kind.invalid
    code: ClassVar[str] = "invalid"

    def __init__(self, message: str, *, issues: Sequence[Issue] = (), retry_after: float | None = None) -> None:
        super().__init__(message)
        self.message = message
        self.issues = tuple(issues)
        self.retry_after = retry_after


class Invalid(WeftError):
    kind = Kind.invalid
    code = "invalid"


class Unauthenticated(WeftError):
    kind = Kind.unauthenticated
    code = "unauthenticated"


class Forbidden(WeftError):
    kind = Kind.forbidden
    code = "forbidden"


class NotFound(WeftError):
    kind = Kind.not_found
    code = "not_found"


class Conflict(WeftError):
    kind = Kind.conflict
    code = "conflict"


class Stale(WeftError):
    kind = Kind.stale
    code = "stale"


class Exhausted(WeftError):
    kind = Kind.exhausted
    code = "exhausted"


class Unavailable(WeftError):
    kind = Kind.unavailable
    code = "unavailable"
