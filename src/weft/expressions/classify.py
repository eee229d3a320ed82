"""Judges an expression by its tokens: may it be saved, and may it run in weft's own process?

Four passes over the tokens of one expression or tag, before any engine sees the text:

* `check_depth` bounds what a recursive parser would have to remember. The engine's own parser overflows the stack
  of a small thread at a few thousand operators, which is a crash and not an error.
* `check_names` refuses unknown filters, tests and functions, and says which one was probably meant.
* `multiplications` finds both sides of every `*`. In this language `*` multiplies numbers and nothing else, because
  `[0] * 100000000` asks for gigabytes in one step: a check is inserted behind each operand.
* `Weights` says whether the rest is *simple*: one pass over the given data at most a fixed number of times, so that
  time and memory are bounded by the size of the data. Whatever is not recognised is not simple.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass

from weft.expressions import catalogue
from weft.expressions.lexer import Token, Unreadable

MAX_DEPTH = 200
"""Operators, attributes, filters and brackets that may hang on one another."""
MAX_BRACKETS = 32
MAX_UNARY = 8
MAX_PASSES = 6
"""Passes over the items of lists and objects in one simple expression: some of them cost a microsecond an item."""
MAX_TOUCHES = 24
"""Filters that read a whole text in one simple expression, a thousand times faster."""
MAX_JOINS = 16
"""`~` and `+` in one simple expression: each may copy what stands before it."""

_WORDS = frozenset({"and", "or", "not", "in", "is", "if", "else"})
_CONSTANTS = frozenset({"true", "True", "false", "False", "none", "None"})
_COMPARISONS = frozenset({"==", "!=", "<", "<=", ">", ">="})
_COMPARING_TESTS = frozenset({"in", "eq", "equalto", "ne", "sameas", "ge", "greaterthan", "gt", "le", "lessthan", "lt"})
_PASSING_FILTERS = frozenset({"map", "sum", "min", "max", "tojson", "string"})


def _ends_operand(tokens: Sequence[Token], index: int) -> bool:
    """Whether the token before `index` ends a value, so that what follows continues it."""
    if index == 0:
        return False
    token = tokens[index - 1]
    if token.kind == "name":
        return token.text not in _WORDS or _is_attribute(tokens, index - 1)
    return token.kind != "operator" or token.text in {")", "]", "}"}


def _is_attribute(tokens: Sequence[Token], index: int) -> bool:
    return index > 0 and tokens[index - 1].is_operator(".")


def _is_filter(tokens: Sequence[Token], index: int) -> bool:
    return index > 0 and tokens[index - 1].is_operator("|")


def _is_test(tokens: Sequence[Token], index: int) -> bool:
    """Whether the name at `index` follows `is` or `is not`."""
    before = index - 1
    if before > 0 and tokens[before].is_name("not"):
        before -= 1
    return (
        before >= 0
        and tokens[before].is_name("is")
        and not _is_attribute(tokens, before)
        and not tokens[index].is_name("not")
    )


def is_variable(tokens: Sequence[Token], index: int) -> bool:
    """Whether the token names something of the context, of a tag, or a function."""
    token = tokens[index]
    if token.kind != "name" or token.text in _WORDS or token.text in _CONSTANTS:
        return False
    if _is_attribute(tokens, index) or _is_filter(tokens, index) or _is_test(tokens, index):
        return False
    is_keyword = index + 1 < len(tokens) and tokens[index + 1].is_operator("=")
    return not is_keyword


# --- depth ---------------------------------------------------------------------------------------------------


def check_depth(tokens: Sequence[Token]) -> None:
    """Refuse what nests or chains further than anybody writes by hand."""
    totals = [0]
    largest = [0]
    unary = 0
    for index, token in enumerate(tokens):
        unary = unary + 1 if _is_unary(tokens, index) else 0
        if unary > MAX_UNARY:
            raise Unreadable(f"`{token.text}` stands here many times in a row.", token.start, token.end)
        if token.is_operator("(", "[", "{"):
            totals.append(0)
            largest.append(0)
            if len(totals) > MAX_BRACKETS:
                raise Unreadable(
                    f"Brackets nest deeper than {MAX_BRACKETS}. Compute a part in a step of its own.",
                    token.start,
                    token.end,
                )
        elif token.is_operator(")", "]", "}") and len(totals) > 1:
            inner = max(largest.pop(), totals.pop())
            totals[-1] += inner + 1
        elif token.is_operator(",", ":"):
            largest[-1] = max(largest[-1], totals[-1])
            totals[-1] = 0
        elif token.kind == "operator" or token.text in _WORDS:
            totals[-1] += 1
        if totals[-1] > MAX_DEPTH:
            raise Unreadable(
                f"This chains more than {MAX_DEPTH} operators. Compute a part in a step of its own.",
                token.start,
                token.end,
            )


def _is_unary(tokens: Sequence[Token], index: int) -> bool:
    token = tokens[index]
    if token.is_operator("-"):
        return not _ends_operand(tokens, index)
    return token.is_name("not") and not _is_attribute(tokens, index)


# --- names ---------------------------------------------------------------------------------------------------


def check_names(tokens: Sequence[Token], callables: Collection[str] = ()) -> None:
    """Refuse names the language does not have. `callables` are macros and variables of the same template."""
    for index, token in enumerate(tokens):
        if token.is_operator("|") and index + 1 < len(tokens) and tokens[index + 1].is_operator("|"):
            raise Unreadable("Write `or` instead of `||`.", token.start, tokens[index + 1].end)
        if token.kind != "name" or _is_attribute(tokens, index):
            continue
        if _is_filter(tokens, index):
            _known(tokens, index, "filter", catalogue.FILTERS)
        elif _is_test(tokens, index):
            _known(tokens, index, "test", catalogue.TESTS)
        elif token.text in _WORDS or token.text in _CONSTANTS:
            continue
        elif index + 1 < len(tokens) and tokens[index + 1].is_operator("("):
            _check_call(token, callables)
        elif token.text in catalogue.FUNCTIONS and token.text not in callables:
            if index + 1 == len(tokens) or not tokens[index + 1].is_operator("="):
                raise Unreadable(f"`{token.text}` is a function: call it.", token.start, token.end)
        elif token.text in {"null", "nil"}:
            raise Unreadable(f"Write `none` instead of `{token.text}`.", token.start, token.end)


def _known(tokens: Sequence[Token], index: int, what: str, names: Collection[str]) -> None:
    token = tokens[index]
    name = token.text
    first = name
    end = token.end
    while index + 2 < len(tokens) and tokens[index + 1].is_operator(".") and tokens[index + 2].kind == "name":
        index += 2
        name = f"{name}.{tokens[index].text}"
        end = tokens[index].end
    if name in names:
        return
    if first in names:
        rest = name.removeprefix(first)
        advice = f"Put the part before `{rest}` in brackets: `(value | {first}){rest}`."
        raise Unreadable(f"`{rest}` cannot follow a {what} directly. {advice}", token.start, end)
    meant = catalogue.suggestion(name, names)
    hint = f"Did you mean `{meant}`?" if meant else f"The reference lists every {what}."
    raise Unreadable(f"There is no {what} `{name}`. {hint}", token.start, end)


def _check_call(token: Token, callables: Collection[str]) -> None:
    name = token.text
    if name in catalogue.FUNCTIONS or name in callables:
        return
    if name in catalogue.FILTERS:
        raise Unreadable(f"`{name}` is a filter: write `value | {name}`.", token.start, token.end)
    if name == "now":
        raise Unreadable("`now` is a value: write `now` without brackets.", token.start, token.end)
    filters = catalogue.suggestion(name, catalogue.FILTERS)
    functions = catalogue.suggestion(name, catalogue.FUNCTIONS)
    hint = (
        f"Did you mean `{functions}`?"
        if functions
        else f"Did you mean the filter `value | {filters}`?"
        if filters
        else f"There are: {', '.join(catalogue.FUNCTIONS)}."
    )
    raise Unreadable(f"There is no function `{name}`. {hint}", token.start, token.end)


# --- multiplication ------------------------------------------------------------------------------------------


def multiplications(tokens: Sequence[Token]) -> tuple[int, ...]:
    """Where (in characters) each operand of a `*` ends that is not a number as it stands."""
    ends: set[int] = set()
    for index, token in enumerate(tokens):
        if not token.is_operator("*") or not _ends_operand(tokens, index):
            continue
        left = tokens[index - 1]
        if not (left.is_number and not _is_attribute(tokens, index - 1)):
            _refuse_repetition(tokens, _opening(tokens, index - 1), left)
            ends.add(left.end)
        right = index + 1
        while right < len(tokens) and tokens[right].is_operator("-"):
            right += 1
        last = _operand_end(tokens, right)
        if last is None:
            continue  # the engine's parser says what is missing
        if last == right and tokens[right].is_number:
            continue
        if last == right or _opening(tokens, last) == right:
            _refuse_repetition(tokens, right, tokens[last])
        ends.add(tokens[last].end)
    return tuple(sorted(ends))


def _refuse_repetition(tokens: Sequence[Token], first: int, last: Token) -> None:
    """Lists and text as they stand are refused at save; what comes from the data is checked when it runs."""
    literal = last.kind == "string" or (last.is_operator("]", "}") and not _ends_operand(tokens, first))
    if literal:
        raise Unreadable("`*` multiplies numbers; text and lists cannot be repeated.", last.start, last.end)


def _opening(tokens: Sequence[Token], index: int) -> int:
    """The index of the bracket that `tokens[index]` closes; `index` itself for any other token."""
    if not tokens[index].is_operator(")", "]", "}"):
        return index
    depth = 0
    for position in range(index, -1, -1):
        if tokens[position].is_operator(")", "]", "}"):
            depth += 1
        elif tokens[position].is_operator("(", "[", "{"):
            depth -= 1
            if depth == 0:
                return position
    return index


def _closing(tokens: Sequence[Token], index: int) -> int:
    """The index of the bracket that closes `tokens[index]`."""
    depth = 0
    for position in range(index, len(tokens)):
        if tokens[position].is_operator("(", "[", "{"):
            depth += 1
        elif tokens[position].is_operator(")", "]", "}"):
            depth -= 1
            if depth == 0:
                return position
    return index


def _operand_end(tokens: Sequence[Token], index: int) -> int | None:
    """The last token of the value that starts at `index`, its attributes, subscripts and filters included."""
    if index >= len(tokens):
        return None
    if tokens[index].kind == "operator":
        if not tokens[index].is_operator("(", "[", "{"):
            return None
        index = _closing(tokens, index)
    while index + 1 < len(tokens):
        following = tokens[index + 1]
        if following.is_operator(".", "|") and index + 2 < len(tokens):
            index += 2
        elif following.is_operator("(", "["):
            index = _closing(tokens, index + 1)
        elif following.kind == "string" and tokens[index].kind == "string":
            index += 1
        else:
            break
    return index


# --- simple or guarded ---------------------------------------------------------------------------------------


@dataclass(slots=True)
class Weights:
    """What a simple expression or template costs at most; filled while its tokens are read."""

    passes: int = 0
    touches: int = 0
    joins: int = 0

    def guarded_because(self, tokens: Sequence[Token]) -> str | None:
        """Why these tokens, with those read before, must run in the guard; None when they need not."""
        for index, token in enumerate(tokens):
            reason = self._operator(tokens, index) if token.kind == "operator" else self._name(tokens, index)
            if reason is not None:
                return reason
        if self.passes > MAX_PASSES:
            return f"more than {MAX_PASSES} passes over the data"
        if self.touches > MAX_TOUCHES:
            return f"more than {MAX_TOUCHES} filters"
        if self.joins > MAX_JOINS:
            return f"more than {MAX_JOINS} joins"
        return None

    def _operator(self, tokens: Sequence[Token], index: int) -> str | None:
        token = tokens[index]
        continues = _ends_operand(tokens, index)
        if token.text == "**":
            return "powers"
        if token.text == "*":
            return None if continues else "unpacked arguments"
        if token.text == "(" and continues:
            filtered = _is_filter(tokens, index - 1) or _is_test(tokens, index - 1)
            return None if filtered else "a call"
        if token.text == "[" and continues:
            return "a slice" if _has_colon(tokens, index) else None
        if token.text in {"~", "+"}:
            self.joins += 1
        elif token.text in _COMPARISONS and not _beside_literal(tokens, index):
            self.passes += 1
        return None

    def _name(self, tokens: Sequence[Token], index: int) -> str | None:
        token = tokens[index]
        if token.kind != "name" or _is_attribute(tokens, index):
            return None
        if _is_filter(tokens, index):
            return self._filter(tokens, index)
        if _is_test(tokens, index):
            self.passes += token.text in _COMPARING_TESTS
            return None if token.text in catalogue.SIMPLE_TESTS else f"the test `{token.text}`"
        if token.text == "in" and not _before_bracket(tokens, index):
            self.passes += 1
        return None

    def _filter(self, tokens: Sequence[Token], index: int) -> str | None:
        name = tokens[index].text
        following = tokens[index + 1 : index + 4]
        has_arguments = bool(following) and following[0].is_operator("(")
        if name not in catalogue.SIMPLE_FILTERS:
            return f"the filter `{name}`"
        if has_arguments and name not in catalogue.SIMPLE_WITH_ARGUMENTS:
            return f"the arguments of `{name}`"
        if name in {"map", "sum"} and (has_arguments or name == "map") and not _by_attribute(tokens, index):
            return f"`{name}` other than by attribute"
        if name in _PASSING_FILTERS:
            self.passes += 1
        elif name not in {"default", "d"}:
            self.touches += 1
        return None


def _before_bracket(tokens: Sequence[Token], index: int) -> bool:
    """`x in ['a', 'b']` is no longer than it is written."""
    return index + 1 < len(tokens) and tokens[index + 1].is_operator("[", "(")


def _has_colon(tokens: Sequence[Token], index: int) -> bool:
    depth = 0
    for position in range(index, _closing(tokens, index)):
        if tokens[position].is_operator("(", "[", "{"):
            depth += 1
        elif tokens[position].is_operator(")", "]", "}"):
            depth -= 1
        elif depth == 1 and tokens[position].is_operator(":"):
            return True
    return False


def _by_attribute(tokens: Sequence[Token], index: int) -> bool:
    """`map(attribute='price')`, with a `default=…` or without: one field by a literal name."""
    arguments = tokens[index + 1 : index + 8]
    if len(arguments) < 5 or not (
        arguments[0].is_operator("(")
        and arguments[1].is_name("attribute")
        and arguments[2].is_operator("=")
        and arguments[3].kind == "string"
    ):
        return False
    if arguments[4].is_operator(")"):
        return True
    return len(arguments) == 7 and arguments[4].is_operator(",") and arguments[5].is_name("default")


def _beside_literal(tokens: Sequence[Token], index: int) -> bool:
    """Whether a comparison has a number, a text or a constant on one side: it then costs nothing to compare."""

    def is_literal(position: int) -> bool:
        if not 0 <= position < len(tokens):
            return False
        token = tokens[position]
        if token.kind == "name":
            return token.text in _CONSTANTS and not _is_attribute(tokens, position)
        return token.kind != "operator" and not _is_attribute(tokens, position)

    after = index + 1
    if after < len(tokens) and tokens[after].is_operator("-"):
        after += 1
    return is_literal(index - 1) or is_literal(after)
