"""The `code` step: checked when it is saved, run in the sandbox, and what becomes of its failures."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator
from typing import Any

import pytest
from tests.engine.conftest import Engine
from tests.engine.steps.calls import EXECUTION, NOW, FakeHttp, call_of

from weft.core.ports import CodeError, CodeRequest, CodeResult
from weft.domain.workflows.check import check
from weft.domain.workflows.parsing import parse
from weft.engine import code_check, registry
from weft.engine.code_sandbox import CodeSandbox
from weft.engine.kinds import Ports
from weft.engine.outcomes import Done, Failed
from weft.engine.steps.code import STEP


class FakeRunner:
    def __init__(self, answer: CodeResult | CodeError) -> None:
        self.answer = answer
        self.asked: list[CodeRequest] = []

    async def run(self, request: CodeRequest) -> CodeResult:
        self.asked.append(request)
        if isinstance(self.answer, CodeError):
            raise self.answer
        return self.answer


async def perform(config: dict[str, Any], answer: CodeResult | CodeError, **more: Any) -> tuple[Any, FakeRunner]:
    runner = FakeRunner(answer)
    return await STEP.perform(call_of(config, **more), Ports(http=FakeHttp(), code=runner)), runner


async def test_what_the_sandbox_is_asked() -> None:
    done, runner = await perform(
        {"code": "x", "inputs": {"x": [1]}, "timeout": "2s", "memory": 10}, CodeResult([1], "said\n"), timeout=60
    )
    assert done == Done([1], message="Printed: said")
    (asked,) = runner.asked
    assert (asked.code, asked.inputs, asked.seconds, asked.memory) == ("x", {"x": [1]}, 2.0, 10_000_000)
    assert (asked.now, asked.seed) == (NOW, f"{EXECUTION}:lines.pay:4:2")
    _, runner = await perform({"code": "1"}, CodeResult(1, ""), timeout=3)
    assert (runner.asked[0].seconds, runner.asked[0].memory) == (3.0, 64_000_000)


async def test_failures_keep_their_kind_line_and_prints() -> None:
    failed, _ = await perform({"code": "x"}, CodeError("code_error", "It broke", line=3, column=7, printed="so far"))
    assert failed == Failed(
        "code_error", "It broke.", retryable=False, data={"line": 3, "column": 7, "printed": "so far"}
    )
    crashed, _ = await perform({"code": "x"}, CodeError("code_crashed", "It died."))
    assert (crashed.retryable, crashed.data) == (True, None)


@pytest.mark.parametrize(
    "config",
    [
        {"code": "x", "inputs": {"not a name": 1}},
        {"code": "x", "inputs": {"class": 1}},
        {"code": "x", "inputs": [1]},
        {"code": "x", "timeout": 31},
        {"code": "x", "memory": 257},
        {"code": 3},
    ],
)
async def test_values_that_do_not_fit_fail_without_a_run(config: dict[str, Any]) -> None:
    failed, runner = await perform(config, CodeResult(1, ""))
    assert (failed.kind, runner.asked) == ("invalid", [])


async def test_a_process_without_a_sandbox_says_so() -> None:
    failed = await STEP.perform(call_of({"code": "1"}), Ports(http=FakeHttp()))
    assert isinstance(failed, Failed)
    assert failed.kind == "unavailable"


@pytest.fixture(autouse=True)
def patient(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """A checker of each test's own that looks at everything, however slow the machine is."""
    checker = code_check._Checker()
    monkeypatch.setattr(code_check, "_CHECKER", checker)
    monkeypatch.setattr(code_check, "PATIENCE", 60.0)
    monkeypatch.setattr(code_check, "BUDGET", 600.0)
    code_check._known_faults.cache_clear()
    yield
    code_check._known_faults.cache_clear()
    checker.close()


def faults(code: str, **config: Any) -> list[str]:
    return [issue.message for issue in STEP.check({"code": code, **config}, ("steps", 0, "config"))]


def test_mistakes_are_found_at_save() -> None:
    assert faults("x + 1", inputs={"x": "{{ input.x }}"}) == []
    assert faults("total = 1 +") == ["The code, line 1, column 12: Expected an expression."]
    (unfit,) = faults("a = 1\nb = a + 'x'")
    assert unfit.startswith("The code, line 2, column 5: Operator `+` is not supported between objects of type")
    assert faults("amount * 2", inputs={"amuont": 1}) == [
        "The code, line 1, column 1: Name `amount` used when not defined."
    ]
    assert faults("1\nclass A(int): pass") == [
        "The code, line 2, column 1: The sandbox does not yet support class inheritance and metaclasses."
    ]
    assert faults("open('x')") == ["The code, line 1, column 1: Name `open` used when not defined."]
    assert faults("x", inputs={"my var": 1})[0].startswith("'my var' cannot be a variable")
    assert faults("1", timeout="1m") == ["Code may run for at most 30 seconds."]


def test_checking_runs_nothing() -> None:
    assert faults("while True: pass") == []
    assert faults("1 / 0") == []


def test_a_check_that_takes_too_long_is_let_pass(monkeypatch: pytest.MonkeyPatch) -> None:
    """And what nobody has looked at is looked at the next time."""
    with monkeypatch.context() as hurried:
        hurried.setattr(code_check, "BUDGET", -1.0)
        assert faults("y") == []
    assert faults("y") == ["The code, line 1, column 1: Name `y` used when not defined."]


DOCUMENT = """\
name: totals
steps:
  - key: total
    type: code
    config:
      inputs: {lines: '{{ input.lines }}'}
      code: |
        net = {line['name']: f"{{{line['net']:.2f}}}" for line in lines}
        {'net': net, 'total': sum(line['net'] for line in lines), 'brace': '{{ input.x }}'}
  - key: next
    type: transform
    config: {output: '{{ steps.total.output.total * 2 }}'}
transitions: [{from: total, to: next}]
"""


def test_a_fault_is_placed_in_the_file() -> None:
    registry.kinds()
    parsed = parse(DOCUMENT.replace("for line in lines}", "for line in linse}"))
    (issue,) = check(parsed.document).errors
    assert "line 1" in issue.message
    assert "linse" in issue.message
    assert issue.path == ("steps", 0, "config", "code")
    assert parsed.line(issue.path) == 7


@pytest.fixture
async def running(engine: Engine) -> AsyncIterator[Engine]:
    sandbox = CodeSandbox(processes=1)
    engine.ports = Ports(http=engine.http, code=sandbox)
    yield engine
    await sandbox.close()


async def test_code_in_a_workflow_with_its_braces_untouched(running: Engine) -> None:
    document = parse(DOCUMENT).document
    assert check(document).errors == ()
    started = await running.start(
        await running.workflow(dict(document)), {"lines": [{"name": "a", "net": 2}, {"name": "b", "net": 3}]}
    )
    await running.settle()
    row = await running.execution(started.id)
    assert (row["status"], row["output"]) == ("COMPLETED", 10), row["error"]
    (logged,) = await running.fetch(
        "select data from weft.execution_logs where execution_id = $1 and step_key = 'total'", started.id
    )
    assert logged["data"] == {"net": {"a": "{2.00}", "b": "{3.00}"}, "total": 5, "brace": "{{ input.x }}"}


async def test_code_that_breaks_fails_the_execution_with_its_line(running: Engine) -> None:
    document = {"steps": [{"key": "c", "type": "code", "config": {"code": "a = 0\n1 / a"}, "retry": {"attempts": 3}}]}
    started = await running.start(await running.workflow(document))
    await running.settle()
    row = await running.execution(started.id)
    assert (row["status"], row["error"]["kind"], row["error"]["data"]["line"]) == ("FAILED", "code_error", 2)
    assert await running.journal(started.id) == [("c", 1, "FAILED")]
