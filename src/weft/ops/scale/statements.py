"""Every labelled statement of weft, read from its source: `/* weft:engine.save */ ...`.

The source is read and not imported, so that floors above this one can be looked at as well. A text that is put together
from other texts of its module is put together here, too; what is only known at run time stays out.
"""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import weft

_LABEL = re.compile(r"/\* (weft:[\w.-]+) \*/")
SOURCE = Path(weft.__file__).parent


def labelled(source: Path = SOURCE) -> dict[str, str]:
    """Label to SQL. The same label at several places: their texts, one after the other."""
    found: dict[str, str] = {}
    for file in sorted(source.rglob("*.py")):
        text = file.read_text(encoding="utf-8")
        if "/* weft:" not in text:
            continue
        tree = ast.parse(text)
        known = dict(_assignments(tree))
        for said in [*(_text(node, known) for node in known.values()), *_in_functions(tree, known)]:
            if (label := _LABEL.match(said.lstrip())) is not None:
                found[label[1]] = found.get(label[1], "") + said
    return found


def _assignments(tree: ast.Module) -> Iterator[tuple[str, ast.expr]]:
    for node in tree.body:
        if isinstance(node, ast.Assign) and isinstance(node.targets[0], ast.Name):
            yield node.targets[0].id, node.value
        elif isinstance(node, ast.AnnAssign) and isinstance(node.target, ast.Name) and node.value is not None:
            yield node.target.id, node.value


def _in_functions(tree: ast.Module, known: dict[str, ast.expr]) -> Iterator[str]:
    """Texts inside functions. One that is only begun there has everything that the function may add to it."""
    for node in ast.walk(tree):
        if not isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            continue
        texts = [_text(inner, known) for inner in ast.walk(node) if isinstance(inner, ast.Constant | ast.JoinedStr)]
        names = dict.fromkeys(inner.id for inner in ast.walk(node) if isinstance(inner, ast.Name))
        pieces = "".join(_text(known[name], known) for name in names if name in known)
        yield from (text if "weft." in text else text + pieces for text in texts if _LABEL.match(text.lstrip()))


def _text(node: ast.expr, known: dict[str, ast.expr], depth: int = 0) -> str:
    if depth > 10:
        return ""
    match node:
        case ast.Constant(value=str(value)):
            return value
        case ast.Name(id=name) if name in known:
            return _text(known[name], known, depth + 1)
        case ast.JoinedStr(values=parts):
            return "".join(_text(part, known, depth + 1) for part in parts)
        case ast.FormattedValue(value=inner):
            return _text(inner, known, depth + 1)
        case ast.BinOp(left=left, op=ast.Add(), right=right):
            return _text(left, known, depth + 1) + _text(right, known, depth + 1)
        case ast.Call(func=ast.Attribute(value=inner)):
            return _text(inner, known, depth + 1)  # "...".replace(...), "...".format(...)
        case _:
            return ""
