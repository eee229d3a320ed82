"""The weft command without the check of what it meets: only for measuring on a schema that was made unsafe."""

from __future__ import annotations

from collections.abc import Sequence

from weft.cli import main
from weft.ops import preflight


def require_nothing(findings: Sequence[preflight.Finding]) -> list[preflight.Finding]:
    return list(findings)


preflight.require = require_nothing

if __name__ == "__main__":
    main()
