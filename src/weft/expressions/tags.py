"""The statements of a template: which exist, how far they may nest, and which names they make."""

from __future__ import annotations

from collections.abc import Sequence

from weft.expressions.catalogue import suggestion
from weft.expressions.lexer import Part, Token, Unreadable

MAX_TAGS = 400
MAX_NESTING = 32
MAX_ELIFS = 100

_BLOCKS = frozenset({"if", "for", "with", "macro", "call", "filter", "autoescape"})
_INNER = frozenset({"elif", "else", "break", "continue", "do"})
_REFUSED = {
    "include": "A template here stands alone",
    "import": "A template here stands alone",
    "from": "A template here stands alone",
    "extends": "A template here stands alone",
    "block": "Blocks are filled in by other templates, and a template here stands alone",
}
_KNOWN = _BLOCKS | _INNER | {"set", "raw"} | {f"end{name}" for name in (*_BLOCKS, "set")}


def check_tags(pieces: Sequence[Part]) -> None:
    """Refuse unknown tags, tags that need other templates, and more nesting than the parser can hold."""
    nesting = 0
    count = 0
    elifs = 0
    for part in pieces:
        if part.kind != "tag":
            continue
        if not part.tokens:
            raise Unreadable("There is no statement here.", part.start, part.end)
        _check_tag(part)
        name = part.tokens[0].text
        count += 1
        elifs += name == "elif"
        if name in _BLOCKS or _is_set_block(part.tokens):
            nesting += 1
        elif name.startswith("end"):
            nesting -= 1
        if nesting > MAX_NESTING or count > MAX_TAGS or elifs > MAX_ELIFS:
            raise Unreadable(
                f"A template has at most {MAX_TAGS} tags, {MAX_ELIFS} `elif` and {MAX_NESTING} levels. "
                "Split it over several steps.",
                part.start,
                part.end,
            )


def _check_tag(part: Part) -> None:
    token = part.tokens[0]
    name = token.text
    if token.kind != "name" or name not in _KNOWN | _REFUSED.keys():
        meant = suggestion(name, _KNOWN)
        hint = f"Did you mean `{meant}`?" if meant else "There are: if, for, set, with, macro, call, filter, raw."
        raise Unreadable(f"There is no tag `{name}`. {hint}", token.start, token.end)
    if name in _REFUSED:
        raise Unreadable(f"{_REFUSED[name]}: `{name}` cannot be used.", token.start, token.end)


def expression_tokens(part: Part) -> tuple[Token, ...]:
    """What of a print or tag is written in the expression language."""
    if part.kind == "print":
        return part.tokens
    first, rest = part.tokens[0], part.tokens[1:]
    if first.is_name("filter"):  # `{% filter upper %}` begins with the filter itself
        return (Token("operator", "|", first.end, first.end), *rest)
    if first.is_name("for") and rest and rest[-1].is_name("recursive"):
        return rest[:-1]
    return rest


def _is_set_block(tokens: Sequence[Token]) -> bool:
    """`{% set x %}…{% endset %}` has no `=` of its own."""
    return tokens[0].is_name("set") and not any(token.is_operator("=") for token in tokens)


def declared_names(pieces: Sequence[Part]) -> frozenset[str]:
    """Names that tags make, and that may therefore be called: macros, and anything set or looped over."""
    names = {"caller", "loop"}
    for part in pieces:
        if part.kind != "tag" or len(part.tokens) < 2:
            continue
        tokens = part.tokens
        if tokens[0].is_name("macro"):
            names |= {token.text for token in tokens[1:] if token.kind == "name"}
        elif tokens[0].is_name("set", "with", "for", "call"):
            names |= _targets(tokens[1:])
    return frozenset(names)


def _targets(tokens: Sequence[Token]) -> set[str]:
    """Every name before `in`, or directly before `=` or `,`."""
    found: set[str] = set()
    for index, token in enumerate(tokens):
        if token.is_name("in"):
            break
        following = tokens[index + 1] if index + 1 < len(tokens) else None
        if token.kind == "name" and (following is None or following.is_operator("=", ",", ")") or _is_in(following)):
            found.add(token.text)
    return found


def _is_in(token: Token | None) -> bool:
    return token is not None and token.is_name("in")
