"""The words of the language: filters, tests and functions, with a line each for the reference pages.

A name that is not here is refused when a definition is saved. `SIMPLE_*` name what may run in weft's own process:
their time and memory are bounded by the size of the data they are given, whatever their arguments are.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from difflib import get_close_matches

FILTERS: Mapping[str, str] = {
    "abs": "the number without its sign",
    "batch": "the list cut into lists of n items",
    "bool": "true or false, as a condition would see it",
    "capitalize": "text with its first letter upper case and the rest lower case",
    "chain": "several lists or objects as one",
    "count": "same as length",
    "d": "same as default",
    "default": "the value, or the given one when the field is missing: `input.note | default('')`",
    "dictsort": "an object as a list of (key, value), sorted",
    "e": "same as escape",
    "escape": "text made safe to stand in HTML",
    "filesizeformat": "a number of bytes as kB, MB, GB",
    "first": "the first item",
    "float": "text or number as a number with a fraction",
    "format": "text with %s, %d, %.2f filled in: `'%.1f' | format(x)`",
    "groupby": "a list of objects grouped by one of their fields",
    "indent": "text with every line moved to the right by n spaces",
    "int": "text or number as a whole number",
    "items": "an object as a list of (key, value)",
    "join": "the items as one text, with the given text between them",
    "last": "the last item",
    "length": "how many items, keys or characters",
    "lines": "text as a list of lines",
    "list": "the items, keys or characters as a list",
    "lower": "text in lower case",
    "map": "one field of every item: `items | map(attribute='price')`",
    "max": "the largest item",
    "min": "the smallest item",
    "money": "a number with two decimals: `1234.5 | money` is 1234.50, `money(thousands=',')` is 1,234.50",
    "pluralize": "'s' unless the number is 1",
    "pprint": "the value laid out for reading",
    "reject": "the items for which a test does not hold",
    "rejectattr": "the objects of which a field does not pass a test",
    "replace": "text with one part replaced by another",
    "reverse": "the items or characters in reverse",
    "round": "the number with n decimals; halves go to the even neighbour",
    "safe": "text that `escape` leaves alone",
    "select": "the items for which a test holds",
    "selectattr": "the objects of which a field passes a test",
    "slice": "the list cut into n lists",
    "sort": "the items in order",
    "split": "text cut at the given separator",
    "string": "the value as text",
    "striptags": "text without HTML tags",
    "sum": "the numbers added up: `items | sum(attribute='price')`",
    "title": "Text With Capital Initials",
    "tojson": "the value as JSON text; `tojson(indent=2)` for reading",
    "trim": "text without space at its ends",
    "truncate": "text cut at a length",
    "unique": "the items without repetition",
    "upper": "text in upper case",
    "urlencode": "text made safe to stand in an address",
    "wordwrap": "text broken into lines of a width",
    "zip": "two lists as one list of pairs",
}

TESTS: Mapping[str, str] = {
    "boolean": "true or false",
    "defined": "the field is there",
    "divisibleby": "a whole number without remainder: `x is divisibleby 3`",
    "endingwith": "text that ends so",
    "eq": "same as ==",
    "equalto": "same as ==",
    "escaped": "text already safe for HTML",
    "even": "2, 4, 6",
    "false": "exactly false",
    "filter": "the name of a filter",
    "float": "a number with a fraction",
    "ge": "same as >=",
    "greaterthan": "same as >",
    "gt": "same as >",
    "in": "one of the items of a list",
    "int": "a whole number",
    "integer": "a whole number",
    "iterable": "something with items",
    "le": "same as <=",
    "lessthan": "same as <",
    "lower": "text in lower case",
    "lt": "same as <",
    "mapping": "an object",
    "ne": "same as !=",
    "none": "none (null)",
    "number": "a number",
    "odd": "1, 3, 5",
    "safe": "text already safe for HTML",
    "sameas": "the same value",
    "sequence": "a list",
    "startingwith": "text that begins so",
    "string": "text",
    "test": "the name of a test",
    "true": "exactly true",
    "undefined": "the field is missing",
    "upper": "text in upper case",
}

FUNCTIONS: Mapping[str, str] = {
    "range": "whole numbers from 0, or from one number to before another, at most 10,000",
    "dict": "an object from named values",
    "namespace": "an object whose fields a loop may set",
}

# One pass over the value, no arguments, a result no larger than a small multiple of the value.
SIMPLE_FILTERS = frozenset(
    [
        "abs",
        "bool",
        "capitalize",
        "count",
        "first",
        "last",
        "length",
        "lower",
        "max",
        "min",
        "string",
        "title",
        "trim",
        "upper",
        "float",
        "int",
        "sum",
        "default",
        "d",
        "round",
        "tojson",
        "money",
        "map",
    ]
)
# Of those, the ones whose arguments cannot make the work or the result larger than the data.
SIMPLE_WITH_ARGUMENTS = frozenset(["default", "d", "round", "int", "float", "sum", "tojson", "money", "map"])

SIMPLE_TESTS = frozenset(
    [
        "boolean",
        "defined",
        "endingwith",
        "eq",
        "equalto",
        "even",
        "false",
        "float",
        "ge",
        "greaterthan",
        "gt",
        "in",
        "int",
        "integer",
        "iterable",
        "le",
        "lessthan",
        "lower",
        "lt",
        "mapping",
        "ne",
        "none",
        "number",
        "odd",
        "sameas",
        "sequence",
        "startingwith",
        "string",
        "true",
        "undefined",
        "upper",
    ]
)

# What people write who come from JavaScript, Python, Liquid or a spreadsheet.
_OTHER_NAMES: Mapping[str, str] = {
    "concat": "join",
    "downcase": "lower",
    "from_json": "tojson",
    "json": "tojson",
    "jsonify": "tojson",
    "len": "length",
    "lowercase": "lower",
    "number": "float",
    "size": "length",
    "str": "string",
    "strip": "trim",
    "to_json": "tojson",
    "tolowercase": "lower",
    "tostring": "string",
    "touppercase": "upper",
    "upcase": "upper",
    "uppercase": "upper",
    "empty": "none",
    "list": "sequence",
    "array": "sequence",
    "object": "mapping",
    "null": "none",
    "startswith": "startingwith",
    "endswith": "endingwith",
}


def suggestion(name: str, known: Iterable[str]) -> str | None:
    """The known name that was most likely meant."""
    names = tuple(known)
    other = _OTHER_NAMES.get(name.lower())
    if other is not None and other in names:
        return other
    close = get_close_matches(name.lower(), names, n=1, cutoff=0.6)
    return close[0] if close else None
