"""How much one execution and one tenant may hold. Read from the settings, handed down by the process."""

from __future__ import annotations

from dataclasses import dataclass

from weft.settings_sections import LimitSettings


@dataclass(frozen=True, slots=True)
class Limits:
    """`output`: bytes of one value as JSON. `items`: of one for-each. `payloads`: stored bytes of large values of one
    tenant, unless its own `limits.payload_bytes` says otherwise."""

    output: int = 10_000_000
    items: int = 100_000
    payloads: int = 5_000_000_000


USUAL = Limits()


def limits_of(settings: LimitSettings) -> Limits:
    return Limits(settings.output_limit, settings.max_items, settings.payload_quota)
