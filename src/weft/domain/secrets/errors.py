"""Every way secrets say no. No sentence ever holds a value."""

from __future__ import annotations

from weft.core.errors import Invalid, NotFound
from weft.domain.secrets.rules import LONGEST_NAME


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
