"""The page of step kinds, from the code: `python -m weft.engine.steps_reference > docs/reference/steps.md`."""

from __future__ import annotations

import sys
from collections.abc import Iterator, Mapping
from typing import Any, Final

from weft.engine.registry import BUILT_IN
from weft.engine.steps.base import ErrandStep, InstantStep
from weft.interpreter.definition import JoinKind, Split

EXAMPLES: Final[Mapping[str, str]] = {
    "set": "vars: {total: '{{ input.net + input.tax }}', currency: EUR}",
    "transform": "output: {name: '{{ input.customer.name | trim }}', due: '{{ input.due }}'}",
    "for_each": """\
items: input.lines
concurrency: 5
body:
  steps:
    - {key: price, type: transform, config: {output: '{{ item.quantity * item.unit_price }}'}}""",
    "loop": """\
until: steps.ask.output.body.state == 'done'
max_iterations: 60
body:
  steps:
    - {key: ask, type: http, config: {url: 'https://jobs.example.com/{{ input.job }}'}}""",
    "delay": "for: 1h30m",
    "wait_until": "until: '{{ input.due }}'",
    "wait_for_event": """\
event: order.paid
correlation: '{{ input.order }}'
filter: event.payload.sum >= input.sum""",
    "emit_event": "{event: invoice.approved, correlation: '{{ input.number }}', payload: {by: '{{ vars.manager }}'}}",
    "question": "{question: 'May {{ input.customer }} have 10 %?', choices: ['yes', 'no'], to: sales}",
    "compensate": "steps: [hotel, car]",
    "sub_workflow": "{workflow: refund, input: {order: '{{ input.order_id }}'}}",
    "http": """\
method: POST
url: https://ledger.example.com/v1/payments
headers: {X-Source: weft}
body: {amount: '{{ vars.total }}', reference: '{{ execution.number }}'}
expect: [201, 409]
timeout: 20s""",
    "notification": """\
channel: email
to: ['{{ input.name }} <{{ input.email }}>', office@example.com]
subject: 'Invoice {{ execution.number }}'
text: 'Dear {{ input.name }}, your invoice is attached to your account.'""",
    "code": """\
inputs: {lines: '{{ input.lines }}'}
code: |
  totals = {}
  for line in lines:
      totals[line['group']] = totals.get(line['group'], 0) + line['net']
  {'groups': totals, 'highest': max(totals.values())}
timeout: 2s""",
    "end": "output: {paid: true, receipt: '{{ steps.pay.output.body.id }}'}",
    "fail": "{message: 'The invoice {{ input.number }} has no supplier. Add one and start again.'}",
}
"""A config of each kind that takes one, as people write it; tests hold them against the schemas."""

_INTRODUCTION: Final = """\
# Step kinds

<!-- Written by `python -m weft.engine.steps_reference`; a test fails when it is out of date. -->

The word in a step's `type`, and what may stand in its `config`. Any value in a config may be an expression in
`{{ }}`; it is evaluated before the step runs, and a value of the wrong sort then fails the step with the error kind
`invalid`, which is not retried. Fields that are not listed are refused.

`http`, `notification` and kinds of plug-ins may refer to secrets in their config: `secret://name` as a whole text,
`{{ secrets.name }}` within one. A secret that is not there fails the step with the error kind `secret_missing`.

*Instant* steps are functions of their config: they need no outside world, and many of them run in one transaction.
*Errands* reach outside: they are delivered at least once, under one key per attempt, and may be retried.
"""

_FAILURES: Final = """\
| error kind | when | tried again |
|---|---|---|
| `invalid` | a value in the config is of the wrong sort; nothing was sent | no |
| `blocked` | the address is not on the public internet, or cannot be called at all | no |
| `dns` | the host's name cannot be resolved | yes |
| `connection` | no connection, or it broke before the answer was whole | yes |
| `tls` | no secure connection | unless the certificate is not valid |
| `timeout` | no whole answer in time, or status 408 | yes |
| `rate_limit` | status 429 | yes, not before `Retry-After` (at most an hour) |
| `http_5xx` | status 500 to 599 | yes, not before `Retry-After` |
| `http_4xx` | status 400 to 499, other than 408 and 429 | only 425 |
| `http_2xx`, `http_3xx` | a status that `expect` does not list, or a redirect that is not followed | no |
| `redirect` | more than five redirects, or one to a place that may not be called | no |
| `too_large` | the body is larger than `max_bytes` | no |
| `response_invalid` | `response` is `json` and the body is none | no |
| `protocol` | the other side does not speak HTTP as it should | mostly |

The error's `data` has the answer's `status` and the first 2,048 bytes of its `body`. A redirect to another origin
takes along only headers that cannot be credentials (`Accept`, `Content-Type`, `Idempotency-Key` and the like).
"""

_NOTIFICATION_FAILURES: Final = """\
| error kind | when | tried again |
|---|---|---|
| `mail_unconfigured` | the installation has no mail server | no |
| `smtp_4xx` | the mail server refused the message, or every recipient, for now | yes |
| `smtp_5xx` | it refused them for good | no |
| `smtp_auth` | it refused weft's sign-in | no |
| `template_missing`, `template_invalid` | there is no such template, or it does not work out with this data | no |

Otherwise those of `http`: `invalid`, `connection`, `timeout`, `tls`, and for webhooks and chats `blocked`, `dns`,
`rate_limit`, `http_4xx` and so on. [Secrets and notifications](../guides/notifications.md) has examples.
"""

_CODE_FAILURES: Final = """\
The error kinds are `code_error`, `code_timeout`, `code_memory`, `code_output` and `code_crashed`;
[code in a step](../guides/code.md) says when each of them comes.
"""

_AFTER: Final[Mapping[str, str]] = {
    "http": _FAILURES,
    "notification": _NOTIFICATION_FAILURES,
    "code": _CODE_FAILURES,
}

_OWN: Final = """\
## Kinds of your own

A distribution offers a kind by an entry point of the group `weft.step_kinds`, named like the kind:

```toml
[project.entry-points."weft.step_kinds"]
shout = "acme_steps:Shout"
```

```python
from weft.engine.kinds import Call
from weft.engine.outcomes import Done, Outcome
from weft.engine.steps.base import InstantStep, config_of


class Shout(InstantStep):
    name = "shout"
    title = "Shout"
    description = "Puts out the text in upper case."
    config_schema = config_of({"text": {"type": "string"}}, required=("text",))

    def answer(self, call: Call) -> Outcome:
        return Done(call.config["text"].upper())
```

A kind that reaches outside is an `ErrandStep` with `async def call(self, call, ports)`; it calls others through
`ports.http` and sends `call.idempotency_key`. weft's own kinds cannot be replaced, and two distributions cannot
offer the same name. A plug-in that cannot be loaded takes only its own kind down.
[Step kinds of your own](../guides/plugins.md) says more.
"""


def reference() -> str:
    """The page, `docs/reference/steps.md`."""
    parts = [_INTRODUCTION]
    for kind in BUILT_IN:
        parts.append("\n".join(_section(kind)))
        if kind.name in _AFTER:
            parts.append(_AFTER[kind.name])
    return "\n".join([*parts, _OWN])


def _section(kind: InstantStep | ErrandStep) -> Iterator[str]:
    sort = "Errand" if isinstance(kind, ErrandStep) else "Instant"
    yield f"## `{kind.name}`\n"
    yield f"{sort}. {kind.description}{_branching(kind)}\n"
    fields = _config(kind.config_schema)
    if fields:
        yield "| config | type | default | meaning |\n|---|---|---|---|"
        yield from fields
    else:
        yield "It takes no config."
    yield ""
    if kind.outputs_schema is not None and "properties" in kind.outputs_schema:
        yield "| output | type | meaning |\n|---|---|---|"
        for name, field in kind.outputs_schema["properties"].items():
            yield f"| `{name}` | {_type(field)} | {field['description']} |"
        yield ""
    if kind.name in EXAMPLES:
        yield f"```yaml\n{EXAMPLES[kind.name]}\n```\n"


def _branching(kind: InstantStep | ErrandStep) -> str:
    words = ""
    if kind.split is not Split.one:
        words += f" Unless the step says otherwise, `split` is `{kind.split}`."
    if kind.join.kind is not JoinKind.each:
        words += f" Unless the step says otherwise, `join` is `{kind.join.kind}`."
    return words


def _config(schema: Mapping[str, Any]) -> list[str]:
    required = schema.get("required", ())
    lines = []
    for name, field in schema["properties"].items():
        default = "required" if name in required else _default(field.get("default"))
        lines.append(f"| `{name}` | {_type(field)} | {default} | {field['description']} |")
    return lines


def _default(value: object) -> str:
    if value is None:
        return "—"
    if isinstance(value, bool):
        return f"`{str(value).lower()}`"
    return f"`[{', '.join(map(str, value))}]`" if isinstance(value, list) else f"`{value}`"


_WORDS: Final = {
    "string": "text",
    "object": "object",
    "array": "list",
    "integer": "whole number",
    "number": "number",
    "boolean": "true or false",
    "null": "null",
}


def _type(field: Mapping[str, Any]) -> str:
    if "enum" in field:
        return ", ".join(f"`{value}`" for value in field["enum"])
    for word in ("oneOf", "anyOf"):
        if word in field:
            return " or ".join(_type(one) for one in field[word])
    kinds = field.get("type")
    if kinds is None:
        return "any"
    words = [_WORDS[kind] for kind in (kinds if isinstance(kinds, list) else [kinds])]
    if kinds == "array" and "items" in field:
        return f"list of {_type(field['items'])}"
    return " or ".join(words)


if __name__ == "__main__":
    sys.stdout.write(reference())
