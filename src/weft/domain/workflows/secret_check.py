"""Are a definition's references to secrets written as they can be resolved? Whether the secrets exist is asked when a
step runs: a definition may be imported before they are set."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, Final

from weft.core.errors import Issue
from weft.domain.secrets.errors import LONGEST_NAME
from weft.domain.secrets.rules import SCHEME, is_name, names_in, referred, texts_in, without_references
from weft.domain.workflows.kinds import StepKind, Where

MISPLACED: Final = (
    "`secrets` can be read only in the config of steps that call other systems, because every other value is kept in "
    "the journal. Move it there."
)


def may_use(kind: StepKind | None) -> bool:
    """Whether a step of this kind may be given secrets: it says so, and it reaches outside."""
    return kind is not None and kind.may_use_secrets


def reference_issues(kind: StepKind, config: Mapping[str, Any], where: Where) -> Iterator[Issue]:
    """Everything about `secret://name` in a config; `{{ secrets.name }}` is judged where expressions are."""
    shown = {name: value for name, value in config.items() if name != "body" or not _is_graph(value)}
    for path, text in texts_in(shown):
        name = referred(text)
        at = (*where, *path)
        if name is not None and not may_use(kind):
            yield Issue(MISPLACED, at, "secret_misplaced")
        elif name is not None and not is_name(name):
            yield Issue(f"{_called(name)}.", at, "secret_name_invalid")
        elif may_use(kind) and name is None and SCHEME in text:
            yield Issue(
                f"`{SCHEME}` is resolved only as a whole text. Within a text, write `{{{{ secrets.name }}}}`.",
                at,
                "secret_embedded",
            )


def expression_fault(text: str) -> Issue | None:
    """Why a text that reads `secrets` cannot be resolved; None if it is a plain `{{ secrets.name }}` in a text."""
    for name in names_in(text):
        if not is_name(name):
            return Issue(f"{_called(name)}.", (), "secret_name_invalid")
    if _speaks_of_secrets(without_references(text)):
        return Issue(
            "a secret is put in as it is, so `{{ secrets.name }}` takes no filters, operators or tags. Write the text "
            "around it, as in `Bearer {{ secrets.token }}`.",
            (),
            "secret_transformed",
        )
    return None


def _speaks_of_secrets(text: str) -> bool:
    """Whether `secrets` stands between braces."""
    for opening, closing in (("{{", "}}"), ("{%", "%}")):
        for part in text.split(opening)[1:]:
            if "secrets" in part.partition(closing)[0]:
                return True
    return False


def _is_graph(value: object) -> bool:
    return isinstance(value, Mapping) and "steps" in value


def _called(name: str) -> str:
    return (
        f"'{name[:LONGEST_NAME]}' cannot be a secret's name: it is a word of letters, digits and _, at most "
        f"{LONGEST_NAME} characters, and no digit first"
    )
