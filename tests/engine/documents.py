"""Small workflows that tests run."""

from __future__ import annotations

from itertools import pairwise
from typing import Any

Document = dict[str, Any]


def step(key: str, type_: str, config: dict[str, Any] | None = None, **more: Any) -> dict[str, Any]:
    return {"key": key, "type": type_, "config": config or {}, **more}


def chain(*steps: dict[str, Any], **more: Any) -> Document:
    """Steps one after the other."""
    keys = [s["key"] for s in steps]
    return {"steps": list(steps), "transitions": [{"from": a, "to": b} for a, b in pairwise(keys)], **more}


def call(key: str = "call", **more: Any) -> dict[str, Any]:
    return step(key, "http", {"method": "POST", "url": "http://stub/pay", "body": {"n": 1}}, **more)


FIVE = {
    "name": "five",
    "steps": [
        step("rename", "set", {"vars": {"tier": "{{ input.customer.tier }}", "customer": "{{ input.customer.id }}"}}),
        step("total", "transform", {"output": {"total": "{{ input['items'] | sum(attribute='price') }}"}}),
        step("check", "condition"),
        step("big", "transform", {"output": {"class": "big"}}),
        step("small", "transform", {"output": {"class": "small"}}),
        step(
            "done",
            "end",
            {
                "output": {
                    "customer": "{{ vars.customer }}",
                    "big": "{{ steps.big.status == 'COMPLETED' }}",
                    "total": "{{ steps.total.output.total }}",
                }
            },
        ),
    ],
    "transitions": [
        {"from": "rename", "to": "total"},
        {"from": "total", "to": "check"},
        {
            "from": "check",
            "to": "big",
            "when": {"field": "steps.total.output.total", "operator": "greater_than", "value": 1000},
        },
        {"from": "check", "to": "small", "default": True},
        {"from": "big", "to": "done"},
        {"from": "small", "to": "done"},
    ],
}

INPUT = {
    "amount": 1234,
    "customer": {"id": "c-1", "tier": "gold"},
    "items": [{"sku": f"s{i}", "price": 100 + i} for i in range(10)],
}
