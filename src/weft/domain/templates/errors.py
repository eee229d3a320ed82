"""Every way message templates say no."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from weft.core.errors import Invalid, Issue, NotFound

LONGEST_NAME: Final = 100
"""Characters."""


class TemplateNotFound(NotFound):
    code = "template_not_found"

    def __init__(self, name: str, version: int | None = None) -> None:
        which = f"version {version} of the message template '{name}'" if version else f"message template '{name}'"
        super().__init__(f"There is no {which} in this tenant. `weft template list` shows those that exist.")


class TemplateNameInvalid(Invalid):
    code = "template_name_invalid"

    def __init__(self) -> None:
        super().__init__(
            "A template's name has letters, digits, points, - and _, begins and ends with a letter or digit, and is at "
            f"most {LONGEST_NAME} characters long. Choose another name."
        )


class TemplateInvalid(Invalid):
    code = "template_invalid"

    def __init__(self, issues: Sequence[Issue]) -> None:
        super().__init__(f"The template cannot be used: {issues[0].message}", issues=issues)
