"""What a text reads from the context, found without evaluating it.

The engine's parser knows scopes: what a template sets or loops over is not read from outside. It overlooks what is
sliced (`input.lines[0:2]`) and the arguments of tags, and takes a method for a field (`input.customer.items()`);
those come from the tokens.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence

from minijinja import Environment, TemplateError

from weft.expressions import classify
from weft.expressions.catalogue import FUNCTIONS
from weft.expressions.lexer import Token

_parser = Environment(undefined_behavior="strict", fuel=0, keep_trailing_newline=True)


def check_syntax(expression: str) -> None:
    """Raises the engine's TemplateError when the expression is not well formed.

    The engine offers no way to only parse an expression; without fuel it stops before the first instruction.
    """
    try:
        _parser.eval_expr(expression)
    except TemplateError as error:
        if error.kind != "OutOfFuel":
            raise


# What the engine itself provides inside loops, macros and call blocks.
_PROVIDED = frozenset({"loop", "caller", *FUNCTIONS})


def undeclared_paths(
    template: str, expressions: Sequence[Sequence[Token]], declared: Collection[str] = ()
) -> frozenset[str]:
    """The dotted paths that the template reads and does not set itself. Raises TemplateError.

    A subscript reports what stands before it: `steps['a b'].output` is `steps`. `expressions` are the tokens of its
    prints and tags, `declared` the names its tags make.
    """
    named: set[str] = set()
    methods: set[str] = set()
    for tokens in expressions:
        for index in range(len(tokens)):
            if classify.is_variable(tokens, index):
                if tokens[index].text not in declared:
                    named.add(_path(tokens, index))
            elif _is_method(tokens, index):
                methods.add(tokens[index].text)
    found = _parser.undeclared_variables_in_str(template, nested=True)
    paths = named | {_without_method(path, methods) if path not in named else path for path in found}
    return frozenset(path for path in paths if path.partition(".")[0] not in _PROVIDED)


def _path(tokens: Sequence[Token], index: int) -> str:
    """The fields that follow the variable at `index`, up to an index, a subscript, a slice or a method."""
    steps = [tokens[index].text]
    while index + 2 < len(tokens) and tokens[index + 1].is_operator(".") and tokens[index + 2].kind == "name":
        index += 2
        if _is_method(tokens, index):
            break
        steps.append(tokens[index].text)
    return ".".join(steps)


def _is_method(tokens: Sequence[Token], index: int) -> bool:
    return (
        index + 1 < len(tokens)
        and tokens[index].kind == "name"
        and tokens[index + 1].is_operator("(")
        and tokens[index - 1].is_operator(".")
        and index > 0
    )


def _without_method(path: str, methods: Collection[str]) -> str:
    before, _, last = path.rpartition(".")
    return before if before and last in methods else path
