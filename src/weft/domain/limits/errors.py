"""Every way this room says no."""

from __future__ import annotations

from uuid import UUID

from weft.core.errors import Invalid, Issue, NotFound


class RateLimitNotFound(NotFound):
    code = "rate_limit_not_found"

    def __init__(self, limit_id: UUID) -> None:
        super().__init__(f"There is no rate limit {limit_id} in this tenant. `weft limit rates` lists them.")


class TargetInvalid(Invalid):
    code = "rate_limit_target_invalid"

    def __init__(self, target: str) -> None:
        super().__init__(
            f"'{target[:100]}' is no target. Write a host (`api.example.com`), a domain and all below it "
            "(`*.example.com`), or `*` for every host that has no limit of its own; no address and no port."
        )


class TooManyRateLimits(Invalid):
    code = "too_many_rate_limits"

    def __init__(self, most: int) -> None:
        super().__init__(
            f"A tenant may have {most} rate limits. Remove one, or write a pattern such as `*.example.com`."
        )


class LimitKeyInvalid(Invalid):
    code = "limit_key_invalid"

    def __init__(self, key: str, issues: list[Issue]) -> None:
        said = issues[0].message if issues else "it may read nothing but `input`"
        super().__init__(
            f"The key '{key[:100]}' cannot be used: {said.rstrip('.')}. Write an expression over the input, such as "
            "`input.customer.id`.",
            issues=issues,
        )


class LimitEmpty(Invalid):
    code = "limit_empty"

    def __init__(self) -> None:
        super().__init__("`key` and `when_full` belong to a limit: say `concurrent` too, or leave them out.")
