"""SQL text as statements, for those who judge it; revisions split it with the same code, a floor below."""

from __future__ import annotations

from weft.db.script import Statement, statements

__all__ = ["Statement", "statements"]
