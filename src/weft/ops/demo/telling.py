"""A report for people. It reads the same without colour, and holds nothing that a terminal would obey."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Final

from rich import box
from rich.console import Console
from rich.padding import Padding
from rich.table import Table
from rich.text import Text

from weft.ops.demo.examples import OUTCOMES
from weft.ops.demo.report import AuditNote, JournalLine, Outcome, Report

WIDTH: Final = 118
"""Of what is written into a file or a pipe."""

MEANINGS: Final[Mapping[str, str]] = {
    "paid": "checked, paid once",
    "credited": "a credit note, booked once",
    "nothing due": "adds up to zero",
    "needs attention": "for a person, with the reasons",
    "failed": "on purpose: payments are stopped",
    "refused": "by the input schema, field named",
    "duplicate": "the execution that was there already",
    "conflict": "same number, other content: refused",
}
_SHOWN: Final = 4
_LONGEST_COMMAND: Final = 70
_STYLES: Final = {"COMPLETED": "green", "FAILED": "red", "SKIPPED": "yellow", "CANCELLED": "yellow"}


def tell(console: Console, report: Report, further: Sequence[tuple[str, str]], *, everything: bool = False) -> None:
    """The whole report: outcomes, one journal, numbers, the verdict, and the commands with which to look further."""
    console.print()
    console.print(_summary(report.outcomes, _ticks(console)))
    if everything:
        console.print(_each(report.outcomes, _ticks(console)))
    _heading(console, f"Journal of {report.journal_of.key}", f"execution {report.journal_of.execution_id}")
    console.print(_journal(report.journal))
    _heading(console, "In numbers")
    for line in _numbers(report):
        console.print(Padding(_plain(line), (0, 0, 0, 2)))
    if report.differences:
        _heading(console, "Not as expected")
        for difference in report.differences:
            console.print(Padding(_plain(difference, "red"), (0, 0, 0, 2)))
    _heading(console, "To look further")
    for command in _commands(further):
        console.print(command, soft_wrap=True)
    console.print()
    console.print(_verdict(report))


def _ticks(console: Console) -> tuple[str, str]:
    return ("✓", "✗") if "utf" in console.encoding.lower() else ("ok", "NO")


def _heading(console: Console, text: str, more: str = "") -> None:
    console.print()
    console.print(Text.assemble((text, "bold"), (f"   {more}" if more else "", "dim")))


def _summary(outcomes: Sequence[Outcome], ticks: tuple[str, str]) -> Table:
    """One line for each sort of outcome."""
    table = _table("outcome", "expected", "came", "", "what it means", "for example")
    for column in (1, 2):
        table.columns[column].justify = "right"
    for name in OUTCOMES:
        wanted = [one for one in outcomes if one.wanted["outcome"] == name]
        came = [one for one in outcomes if one.got["outcome"] == name]
        if not wanted and not came:
            continue
        right = all(one.as_expected for one in wanted) and all(one.as_expected for one in came)
        table.add_row(
            Text(name, "bold"),
            str(len(wanted)),
            str(len(came)),
            _tick(right, ticks),
            MEANINGS[name],
            _plain(_instances(name, came), "dim"),
        )
    odd = [one for one in outcomes if one.got["outcome"] not in OUTCOMES]
    if odd:
        table.add_row(Text("(other)", "bold"), "0", str(len(odd)), _tick(False, ticks), "", _names(odd))
    return table


def _instances(outcome: str, came: Sequence[Outcome]) -> str:
    """What tells the most about a sort: the fields, the reasons, the sums."""
    match outcome:
        case "refused":
            return _some(one.got["field"] for one in came)
        case "needs attention":
            return _some(reason for one in came for reason in one.got.get("reasons", ()))
        case "paid" | "credited":
            largest = sorted(came, key=lambda one: -float(one.got.get("amount", 0)))
            return _some(f"{one.got.get('currency')} {one.got.get('amount'):,.2f}" for one in largest)
        case "duplicate" | "conflict":
            return _some(f"{one.key} is {one.got['of']}" for one in came)
        case _:
            return _names(came)


def _names(outcomes: Iterable[Outcome]) -> str:
    return _some(one.key for one in outcomes)


def _some(words: Iterable[str]) -> str:
    """The first few different ones."""
    different = list(dict.fromkeys(words))
    rest = len(different) - _SHOWN
    return ", ".join(different[:_SHOWN]) + (f" and {rest} more" if rest > 0 else "")


def _each(outcomes: Sequence[Outcome], ticks: tuple[str, str]) -> Table:
    """One line for each invoice."""
    table = _table("invoice", "", "outcome", "what came", "ms")
    table.columns[4].justify = "right"
    for one in outcomes:
        facts = ", ".join(
            f"{name} {_value(value)}" for name, value in one.got.items() if name not in ("outcome", "message")
        )
        words = facts or str(one.got.get("message", ""))
        took = str(round(one.seconds * 1000))
        table.add_row(one.key, _tick(one.as_expected, ticks), str(one.got["outcome"]), _plain(words), took)
    return table


def _journal(lines: Sequence[JournalLine]) -> Table:
    table = _table("after ms", "step", "attempt", "status", "ms", "what happened")
    for column in (0, 2, 4):
        table.columns[column].justify = "right"
    for line in lines:
        table.add_row(
            str(line.after),
            _plain(line.step),
            str(line.attempt) if line.attempt != 1 or line.status == "FAILED" else "",
            Text(line.status, _STYLES.get(line.status, "")),
            "" if line.took is None else str(line.took),
            _plain(line.words, "" if line.status == "FAILED" else "dim"),
        )
    return table


def _numbers(report: Report) -> list[str]:
    numbers = report.numbers
    once = "" if report.faults else ", none twice"
    return [
        f"{numbers.invoices} invoices in {numbers.seconds:.1f} s; {numbers.executions} executions with sub-workflows",
        f"{numbers.calls} HTTP calls to the ledger; {numbers.not_now} answered 'not now'; {numbers.retries} retries",
        f"{numbers.bookings} bookings{once}; {numbers.recognised} asked for again after a lost answer, and recognised",
        _audit(report.audit),
    ]


def _audit(audit: AuditNote | None) -> str:
    if audit is None:
        return "the audit log may not be read with this sign-in (it needs audit:read)"
    kinds = ", ".join(f"{count} {kind}" for kind, count in list(audit.kinds.items())[:_SHOWN])
    return f"{audit.entries} entries in the audit log by {', '.join(audit.actors) or 'nobody'}: {kinds or 'nothing'}"


def _commands(further: Sequence[tuple[str, str]]) -> list[Text]:
    """Each on a line of its own, however long: a command that was cut or broken is none."""
    width = max((len(command) for command, _ in further if len(command) <= _LONGEST_COMMAND), default=0)
    return [Text.assemble("  ", (f"{command:<{width}}", "cyan"), (f"   {words}", "dim")) for command, words in further]


def _verdict(report: Report) -> Text:
    count = len(report.outcomes)
    if report.passed:
        return Text(f"All {count} invoices came out as expected, and the ledger's books agree.", "bold green")
    differences = len(report.differences)
    words = "1 difference is" if differences == 1 else f"{differences} differences are"
    return Text(f"Not everything is as expected: {words} listed above.", "bold red")


def _table(*heads: str) -> Table:
    table = Table(box=box.SIMPLE_HEAD, header_style="bold", pad_edge=False)
    for head in heads:
        table.add_column(head, overflow="fold")
    return table


def _tick(right: bool, ticks: tuple[str, str]) -> Text:
    return Text(ticks[0], "green") if right else Text(ticks[1], "bold red")


def _value(value: Any) -> str:
    return ", ".join(map(str, value)) if isinstance(value, list) else str(value)


def _plain(text: str, style: str = "") -> Text:
    """Text from elsewhere: no markup, no control characters, no turning of the writing direction."""
    return Text("".join(sign if sign.isprintable() else "·" for sign in text), style)
