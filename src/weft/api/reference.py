"""Every error code that weft can answer with, collected from the classes that raise them.

`python -m weft.api.reference` prints `docs/reference/errors.md`; the running API shows the same at `/errors/<code>`.
"""

from __future__ import annotations

import ast
import importlib
import inspect
import pkgutil
import textwrap
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Final

import weft
from weft.core.errors import WeftError
from weft.http.problems import PROTOCOL, STATUS, title_of

_NOT_IMPORTED: Final = ("weft.migrations.env", "weft.migrations.versions", "weft.__main__", "weft.cli.__main__")


@dataclass(frozen=True, slots=True)
class Explained:
    """One error code: what it means, and the sentence that comes with it (names in braces stand for values)."""

    code: str
    status: int
    sentence: str

    @property
    def title(self) -> str:
        return title_of(self.code)


def import_everything() -> None:
    """Import every module of weft, so that every error class is known."""
    for module in pkgutil.walk_packages(weft.__path__, "weft.", onerror=_raise):
        if not module.name.startswith(_NOT_IMPORTED):
            importlib.import_module(module.name)


def _raise(name: str) -> None:
    raise ImportError(f"{name} cannot be imported")


def explain(code: str) -> Explained | None:
    """One code, if anything imported so far has it."""
    if code in PROTOCOL:
        return Explained(code, *PROTOCOL[code])
    error = next((error for error in _subclasses(WeftError) if vars(error).get("code") == code), None)
    return None if error is None else Explained(code, STATUS[error.kind], _sentence(error))


def catalogue() -> Mapping[str, Explained]:
    """All codes of the classes imported so far, by code."""
    found = {code: Explained(code, status, sentence) for code, (status, sentence) in PROTOCOL.items()}
    for error in _subclasses(WeftError):
        if "code" in vars(error) and error.__module__.startswith("weft.") and error.code not in found:
            found[error.code] = Explained(error.code, STATUS[error.kind], _sentence(error))
    return dict(sorted(found.items()))


def _subclasses(base: type[WeftError]) -> Iterator[type[WeftError]]:
    for error in base.__subclasses__():
        yield error
        yield from _subclasses(error)


_sentences: dict[type[WeftError], str] = {}


def _sentence(error: type[WeftError]) -> str:
    """The sentence that the class builds, else what its docstring says of it; read once from the source."""
    if error not in _sentences:
        _sentences[error] = _read_sentence(error)
    return _sentences[error]


def _read_sentence(error: type[WeftError]) -> str:
    try:
        tree = ast.parse(textwrap.dedent(inspect.getsource(error)))
    except (OSError, TypeError, SyntaxError):
        tree = ast.Module([], [])
    for node in ast.walk(tree):
        if isinstance(node, ast.Call) and ast.unparse(node.func) == "super().__init__" and node.args:
            text = _template(node.args[0])
            if text is not None:
                return text
    documented = inspect.cleandoc(error.__doc__ or "").partition("\n\n")[0].replace("\n", " ")
    return documented or _GENERIC.get(error.code, f"{title_of(error.code)}: the answer's `detail` says what exactly.")


_GENERIC: Final = {
    "invalid": "The request itself is wrong; repeating it changes nothing. The answer says what to correct.",
    "unauthenticated": "Nobody is signed in, or the credential is not valid. Sign in again or use another key.",
    "forbidden": "You may not do this here. Ask an administrator of the tenant.",
    "not_found": "It does not exist, or not in this tenant.",
    "conflict": "It exists, but not in a state that allows this.",
    "stale": "Somebody changed it first. Read it again and repeat your change.",
    "exhausted": "A limit is reached. Later may work: see `Retry-After`.",
    "unavailable": "Something that weft needs does not answer. Try again: see `Retry-After`.",
}


def _template(node: ast.expr) -> str | None:
    match node:
        case ast.Constant(value=str(text)):
            return text
        case ast.JoinedStr(values=values):
            return "".join(_part(value) for value in values)
        case ast.BinOp(left=left, op=ast.Add(), right=right):
            first, second = _template(left), _template(right)
            return None if first is None else first + (second or "{...}")
        case _:
            return None


def _part(node: ast.expr) -> str:
    match node:
        case ast.Constant(value=str(text)):
            return text
        case ast.FormattedValue(value=ast.Name(id=name)):
            return f"{{{name}}}"
        case ast.FormattedValue(value=ast.Attribute(attr=name)):
            return f"{{{name}}}"
        case _:
            return "{...}"


def page() -> str:
    """`docs/reference/errors.md`."""
    import_everything()
    lines = [
        "# Errors",
        "",
        "<!-- Written by `python -m weft.api.reference`; a test fails when it is out of date. -->",
        "",
        "Every refusal is a problem document (RFC 9457, `application/problem+json`). Its `type` is `/errors/<code>`,",
        "its `detail` the sentence below; its `correlation_id` is found again in logs and audit. Programs should look",
        "at the code: sentences may be reworded. Names in braces stand for values.",
        "",
        "| code | status | sentence |",
        "|---|---|---|",
    ]
    lines += [f"| `{e.code}` | {e.status} | {e.sentence.replace('|', chr(92) + '|')} |" for e in catalogue().values()]
    return "\n".join(lines).replace("\n\n\n", "\n\n") + "\n"


if __name__ == "__main__":
    import sys

    sys.stdout.write(page())
