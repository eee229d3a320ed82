"""The five-step workload that all comparisons use: rename fields, total the items, branch, set the result, end."""

from __future__ import annotations

from typing import Any

INPUT: dict[str, Any] = {
    "amount": 1234,
    "customer": {"id": "c-1", "tier": "gold"},
    "items": [{"sku": f"sku-{n}", "name": f"Item {n}", "qty": n + 1, "price": 100 + n} for n in range(10)],
}

LARGE = {"field": "steps.total.output.total", "operator": "greater_than", "value": 1000}

FIVE_STEPS: dict[str, Any] = {
    "name": "five steps",
    "input": {
        "type": "object",
        "required": ["amount", "customer", "items"],
        "properties": {
            "amount": {"type": "number"},
            "customer": {"type": "object"},
            "items": {"type": "array"},
        },
    },
    "steps": [
        {
            "key": "rename",
            "type": "set",
            "config": {
                "vars": {
                    "value": "{{ input.amount }}",
                    "customer": "{{ input.customer.id }}",
                    "tier": "{{ input.customer.tier }}",
                }
            },
        },
        {
            "key": "total",
            "type": "transform",
            "config": {"output": {"total": "{{ input['items'] | sum(attribute='price') }}"}},
        },
        {"key": "check", "type": "condition", "config": {}},
        {
            "key": "large",
            "type": "transform",
            "config": {"output": {"class": "large", "customer": "{{ vars.customer }}"}},
        },
        {
            "key": "small",
            "type": "transform",
            "config": {"output": {"class": "small", "customer": "{{ vars.customer }}"}},
        },
        {
            "key": "record",
            "type": "end",
            "config": {
                "output": {
                    "customer": "{{ vars.customer }}",
                    "total": "{{ steps.total.output.total }}",
                    "tier": "{{ vars.tier }}",
                }
            },
        },
    ],
    "transitions": [
        {"from": "rename", "to": "total"},
        {"from": "total", "to": "check"},
        {"from": "check", "to": "large", "when": LARGE},
        {"from": "check", "to": "small", "default": True},
        {"from": "large", "to": "record"},
        {"from": "small", "to": "record"},
    ],
}  # fmt: skip

OUTPUT = {"customer": "c-1", "total": 1045, "tier": "gold"}

# What the ceiling writes: the same rows with the same data, by hand.
JOURNAL: list[tuple[str, Any]] = [
    ("rename", {"value": 1234, "customer": "c-1", "tier": "gold"}),
    ("total", {"total": 1045}),
    ("check", None),
    ("large", {"class": "large", "customer": "c-1"}),
    ("record", OUTPUT),
]
