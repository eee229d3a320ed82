"""Lists for people in a terminal: a table where one fits, else a block of lines for each row.

What the next command needs (ids, names, times) is never broken over lines: it would have to be put together by hand.
Only longer prose is folded, between its words.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

_SHORT: Final = 20
"""Cells up to here are kept on one line even when there are spaces in them: a time, a duration, a name."""
_BETWEEN: Final = 2
"""Characters between two columns."""


def drawn(heads: Sequence[str], cells: Sequence[Sequence[str]], width: int) -> list[str] | None:
    """The lines of a table of at most `width` characters; None if none fits."""
    columns = [[head, *(row[index] for row in cells)] for index, head in enumerate(heads)]
    widths = _widths(columns, width - _BETWEEN * (len(columns) - 1))
    if widths is None:
        return None
    lines = [line for row in [[*heads], *cells] for line in _row(row, widths)]
    folded = len(_row([*heads], widths))
    rule = "─" * (sum(widths) + _BETWEEN * (len(widths) - 1))
    return [*lines[:folded], rule, *lines[folded:]]


def blocks(heads: Sequence[str], cells: Sequence[Sequence[str]]) -> list[str]:
    """A line for each field of each row, and an empty one between two rows. Each line is as long as it must be."""
    width = max(map(_length, heads))
    lines: list[str] = []
    for row in cells:
        lines += [""] if lines else []
        lines += [f"{_padded(head, width)}  {cell}".rstrip() for head, cell in zip(heads, row, strict=True)]
    return lines


def _widths(columns: Sequence[Sequence[str]], space: int) -> list[int] | None:
    """How wide each column is; what is left after the least that each needs goes to those that want more."""
    whole = [max(map(_length, column)) for column in columns]
    widths = [max(map(_least, column)) for column in columns]
    left = space - sum(widths)
    if left < 0:
        return None
    wanting = sorted(range(len(columns)), key=lambda index: whole[index] - widths[index])
    for position, index in enumerate(wanting):
        more = min(whole[index] - widths[index], left // (len(wanting) - position))
        widths[index] += more
        left -= more
    return widths


def _least(cell: str) -> int:
    length = _length(cell)
    return length if length <= _SHORT else max(_SHORT, *map(_length, cell.split() or [cell]))


def _row(row: Sequence[str], widths: Sequence[int]) -> list[str]:
    parts = [_folded(cell, width) for cell, width in zip(row, widths, strict=True)]
    lines = []
    for index in range(max(map(len, parts))):
        line = (" " * _BETWEEN).join(
            _padded(part[index] if index < len(part) else "", width) for part, width in zip(parts, widths, strict=True)
        )
        lines.append(line.rstrip())
    return lines


def _folded(cell: str, width: int) -> list[str]:
    if _length(cell) <= width and "\n" not in cell:
        return [cell]
    lines = [""]
    for word in cell.split():
        longer = f"{lines[-1]} {word}".lstrip()
        if _length(longer) <= width:
            lines[-1] = longer
        else:
            lines.append(word)
    return lines if lines[0] or len(lines) == 1 else lines[1:]


def _padded(text: str, width: int) -> str:
    return text + " " * (width - _length(text))


def _length(text: str) -> int:
    """How many columns of a terminal it takes: some characters take two, some none."""
    from rich.cells import cell_len

    return cell_len(text)
