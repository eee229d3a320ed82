"""Configuration to something that can be evaluated: checked, classified and measured once, when it is saved.

    compile_expression("input.amount > 1000")       an Expression: gives a value of any JSON type
    compile_condition("{{ input.amount > 1000 }}")   the same, braces allowed
    compile_template("Dear {{ input.name }}")        a Template: gives text
    compile_value({"to": "{{ input.email }}"})       a whole configuration tree

In a tree, a string that is exactly one `{{ … }}` is an Expression and keeps its native type; any other string with
`{{` or `{%` is a Template; everything else is literal. Keys are always literal.

Whatever is wrong is an `ExpressionInvalid` that names all places at once; `check_value` gives the same as a list.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, TypeAlias

from minijinja import TemplateError

from weft.core.errors import Issue
from weft.expressions import classify, sandbox
from weft.expressions.errors import ExpressionInvalid
from weft.expressions.lexer import Part, Token, Unreadable, parts, tokenize
from weft.expressions.positions import Origin, insert, where
from weft.expressions.tags import check_tags, declared_names, expression_tokens
from weft.expressions.undeclared import check_syntax, undeclared_paths

MAX_EXPRESSION_BYTES = 4096
MAX_TEMPLATE_BYTES = 16_384
MAX_CONFIG_DEPTH = 64

Path: TypeAlias = tuple[str | int, ...]


@dataclass(frozen=True, slots=True, eq=False, kw_only=True)
class Compiled:
    """What every compiled value tells.

    `is_literal`: nothing to evaluate. `is_simple`: may be evaluated in this process (literals are simple).
    `paths`: the dotted paths of the context that it reads; a subscript reports what stands before it.
    `issues`: what is wrong with it; empty unless it was compiled with `refuse=False`.
    """

    is_literal: bool = False
    is_simple: bool = False
    paths: frozenset[str] = frozenset()
    issues: tuple[Issue, ...] = ()

    def leaves(self) -> Iterator[Expression | Template]:
        """The expressions and templates inside, in the order in which they are written."""
        yield from ()


@dataclass(frozen=True, slots=True, eq=False, kw_only=True)
class Literal(Compiled):
    value: Any
    is_literal: bool = True
    is_simple: bool = True


@dataclass(frozen=True, slots=True, eq=False, kw_only=True)
class _Text(Compiled):
    """`source` as written, for an expression without the space around it; `run` as the engine gets it.

    `roots` are the names of the context that it begins from. `guarded_because` says what keeps it out of this
    process; None when it is simple.
    """

    source: str
    run: str
    origin: Origin
    roots: tuple[str, ...]
    guarded_because: str | None


@dataclass(frozen=True, slots=True, eq=False, kw_only=True)
class Expression(_Text):
    """Gives a value of any JSON type. `route` is set for a plain path, which needs no engine."""

    route: tuple[str | int, ...] | None

    def leaves(self) -> Iterator[Expression | Template]:
        yield self


@dataclass(frozen=True, slots=True, eq=False, kw_only=True)
class Template(_Text):
    """Gives text."""

    def leaves(self) -> Iterator[Expression | Template]:
        yield self


@dataclass(frozen=True, slots=True, eq=False, kw_only=True)
class Tree(Compiled):
    """An object or a list with something dynamic inside."""

    children: dict[str, Compiled] | list[Compiled]

    def leaves(self) -> Iterator[Expression | Template]:
        children = self.children.values() if isinstance(self.children, dict) else self.children
        for child in children:
            yield from child.leaves()


@dataclass(frozen=True, slots=True, eq=False, kw_only=True)
class Refused(Compiled):
    """What could not be compiled, and why. It cannot be evaluated."""


# --- the entrances --------------------------------------------------------------------------------------


def compile_expression(source: str, path: Path = ()) -> Expression:
    """One expression without braces. `path` leads to it in the document, for issues. Raises ExpressionInvalid."""
    try:
        _cap(source, MAX_EXPRESSION_BYTES, "An expression")
        return _expression(source, 0, len(source), tokenize(source)[0])
    except Unreadable as problem:
        raise ExpressionInvalid([_issue(problem, source, path)]) from None


def compile_condition(source: str, path: Path = ()) -> Expression:
    """One expression, with or without braces around it. Raises ExpressionInvalid."""
    if not source.lstrip().startswith("{{"):
        return compile_expression(source, path)
    compiled = compile_value(source.strip(), path)
    if not isinstance(compiled, Expression):
        problem = Unreadable(
            "A condition is one expression: remove the braces, and join parts by `and` or `or`.", 0, len(source)
        )
        raise ExpressionInvalid([_issue(problem, source, path)])
    return compiled


def compile_template(source: str, path: Path = ()) -> Template:
    """Text with expressions in it; always gives text. Raises ExpressionInvalid."""
    try:
        _cap(source, MAX_TEMPLATE_BYTES, "A template")
        return _template(source, parts(source))
    except Unreadable as problem:
        raise ExpressionInvalid([_issue(problem, source, path)]) from None


def compile_value(value: Any, path: Path = (), *, refuse: bool = True) -> Compiled:
    """A configuration tree. `path` leads to it in the document, for issues.

    Raises ExpressionInvalid with every issue in the tree; with `refuse=False` it answers a Refused instead, which
    knows the paths of what could be read.
    """
    issues: list[Issue] = []
    compiled = _value(value, path, issues, 0)
    if issues and refuse:
        raise ExpressionInvalid(issues)
    return Refused(issues=tuple(issues), paths=compiled.paths) if issues else compiled


def check_value(value: Any, path: Path = ()) -> tuple[Issue, ...]:
    """Everything that is wrong with the expressions of a configuration tree."""
    return compile_value(value, path, refuse=False).issues


# --- trees ---------------------------------------------------------------------------------------------------


def _value(value: Any, path: Path, issues: list[Issue], depth: int) -> Compiled:
    if isinstance(value, str):
        return _string(value, path, issues)
    if not isinstance(value, dict | list | tuple):
        return Literal(value=value)
    if depth >= MAX_CONFIG_DEPTH:
        issues.append(Issue(f"This nests deeper than {MAX_CONFIG_DEPTH} levels.", path, ExpressionInvalid.code))
        return Literal(value=None)
    children: dict[str, Compiled] | list[Compiled]
    if isinstance(value, dict):
        children = {key: _value(item, (*path, key), issues, depth + 1) for key, item in value.items()}
        members = list(children.values())
    else:
        members = [_value(item, (*path, index), issues, depth + 1) for index, item in enumerate(value)]
        children = members
    if all(member.is_literal for member in members):
        return Literal(value=value)
    return Tree(
        children=children,
        is_simple=all(member.is_simple for member in members),
        paths=frozenset().union(*(member.paths for member in members)),
    )


def _string(value: str, path: Path, issues: list[Issue]) -> Compiled:
    if "{{" not in value and "{%" not in value:
        return Literal(value=value)
    try:
        _cap(value, MAX_TEMPLATE_BYTES, "A template")
        only = _only_expression(value)
        if only is not None:
            return _expression(value, *only.inner, only.tokens)
        return _template(value, parts(value))
    except Unreadable as problem:
        issues.append(_issue(problem, value, path))
        return Literal(value=value)


def _only_expression(value: str) -> Part | None:
    """The print that is the whole string; a line break after it, as YAML block text has, does not count."""
    pieces = [part for part in parts(value) if value[part.start : part.end].strip("\r\n") or part.start == 0]
    return pieces[0] if len(pieces) == 1 and pieces[0].kind == "print" else None


def _issue(problem: Unreadable, source: str, path: Path) -> Issue:
    place = where(source, problem.start, problem.end)
    return Issue(problem.message, path, ExpressionInvalid.code, place)


def _cap(source: str, limit: int, what: str, start: int = 0) -> None:
    if len(source.encode(errors="surrogatepass")) > limit:
        sentence = f"{what} has at most {limit:,} bytes. Split it over several steps."
        raise Unreadable(sentence, start, start + len(source))
    if not source.isascii() and any("\ud800" <= sign <= "\udfff" for sign in source):
        raise Unreadable("The text holds half a character (a lone surrogate).", start, start + len(source))


# --- one expression, one template ----------------------------------------------------------------------------


def _expression(written: str, start: int, end: int, tokens: tuple[Token, ...]) -> Expression:
    source = written[start:end]
    _cap(source, MAX_EXPRESSION_BYTES, "An expression", start)
    if not tokens:
        raise Unreadable("There is no expression here.", start, end)
    classify.check_depth(tokens)
    classify.check_names(tokens)
    spots = tuple(position - start for position in classify.multiplications(tokens))
    _checked(lambda: check_syntax(source), source, start)
    paths = _checked(lambda: undeclared_paths("{{ " + source + " }}", [tokens]), source, start, lead=3)
    reason = classify.Weights().guarded_because(tokens)
    return Expression(
        source=source.strip(),
        run=_with_checks(source, spots),
        origin=_origin(written, start, spots),
        paths=paths,
        roots=_roots(paths, start, end),
        guarded_because=reason,
        is_simple=reason is None,
        route=_route(tokens),
    )


def _template(source: str, pieces: list[Part]) -> Template:
    check_tags(pieces)
    dynamic = [part for part in pieces if part.kind in {"print", "tag"}]
    declared = declared_names(dynamic)
    expressions = [_part_tokens(source, part) for part in dynamic]
    spots: list[int] = []
    for tokens in expressions:
        classify.check_depth(tokens)
        classify.check_names(tokens, declared)
        spots += classify.multiplications(tokens)
    paths = _checked(lambda: undeclared_paths(source, expressions, declared), source, 0)
    reason = _template_guarded_because(dynamic, expressions)
    return Template(
        source=source,
        run=_with_checks(source, tuple(spots)),
        origin=_origin(source, 0, tuple(spots)),
        paths=paths,
        roots=_roots(paths, 0, len(source)),
        guarded_because=reason,
        is_simple=reason is None,
    )


def _part_tokens(source: str, part: Part) -> tuple[Token, ...]:
    start, end = part.inner
    _cap(source[start:end], MAX_EXPRESSION_BYTES, "An expression", start)
    if not part.tokens:
        raise Unreadable("There is no expression here.", part.start, part.end)
    return expression_tokens(part)


def _template_guarded_because(dynamic: Sequence[Part], expressions: Sequence[tuple[Token, ...]]) -> str | None:
    for part in dynamic:
        if part.kind == "tag" and not part.tokens[0].is_name("if", "elif", "else", "endif"):
            return f"the tag `{part.tokens[0].text}`"
    weights = classify.Weights()
    for tokens in expressions:
        reason = weights.guarded_because(tokens)
        if reason is not None:
            return reason
    return None


_CHECK = f"|{sandbox.MULTIPLICAND}"


def _with_checks(source: str, spots: tuple[int, ...]) -> str:
    return insert(source, spots, _CHECK) if spots else source


def _origin(written: str, offset: int, spots: tuple[int, ...]) -> Origin:
    return Origin(written, offset, tuple((spot, len(_CHECK)) for spot in spots))


def _checked(ask: Any, source: str, start: int, lead: int = 0) -> Any:
    """Ask the engine's parser, and put its complaint into our words and positions."""
    try:
        return ask()
    except TemplateError as error:
        at, to = sandbox.characters(" " * lead + source, error.range)
        begin = start + max(0, (at or 0) - lead)
        detail = (error.detail or error.message).replace("variable block", "expression")
        sentence = f"This cannot be read: {detail}."
        raise Unreadable(sentence, begin, max(begin + 1, start + (to or 0) - lead)) from None


# The engine would answer these with methods of the mapping that holds the context.
_NOT_ROOTS = frozenset(name for name in dir(dict) if not name.startswith("_")) | {"self"}


def _roots(paths: frozenset[str], start: int, end: int) -> tuple[str, ...]:
    roots = sorted({path.partition(".")[0] for path in paths})
    for root in roots:
        if root in _NOT_ROOTS:
            raise Unreadable(
                f"There is nothing called `{root}` here. A field of the input is written `input.{root}`.",
                start,
                end,
            )
    return tuple(roots)


def _route(tokens: tuple[Token, ...]) -> tuple[str | int, ...] | None:
    """`input.customer.id`, `input.lines.0.price`: names and indexes joined by points, and nothing else."""
    if tokens[0].kind != "name" or tokens[0].is_name("true", "True", "false", "False", "none", "None", "not"):
        return None
    route: list[str | int] = [tokens[0].text]
    if len(tokens) % 2 == 0:
        return None
    for point, step in zip(tokens[1::2], tokens[2::2], strict=True):
        if not point.is_operator(".") or step.kind not in {"name", "integer"}:
            return None
        if step.kind == "integer" and not step.text.isdecimal():
            return None
        route.append(int(step.text) if step.kind == "integer" else step.text)
    return tuple(route)
