"""Every way secrets say no. No sentence ever holds a value."""

from __future__ import annotations

from typing import Final

from weft.core.errors import Invalid, NotFound

LONGEST_NAME: Final = 64
"""Characters."""


class SecretNotFound(NotFound):
    code = "secret_not_found"

    def __init__(self, name: str) -> None:
        super().__init__(f"There is no secret '{name}' in this tenant. `weft secret list` shows those that exist.")


class SecretNameInvalid(Invalid):
    code = "secret_name_invalid"

    def __init__(self) -> None:
        super().__init__(
            f"A secret's name is a word: letters, digits and _, at most {LONGEST_NAME} characters, and no digit first. "
            "Choose another name."
        )
