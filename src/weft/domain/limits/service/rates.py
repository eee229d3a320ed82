"""Rate limits of targets. Workers learn of a change with their next claim."""

from __future__ import annotations

from uuid import UUID

from sqlalchemy import func, select

from weft.db.scope import Scope
from weft.domain.limits import queries, rules
from weft.domain.limits.errors import RateLimitNotFound, TargetInvalid, TooManyRateLimits
from weft.domain.limits.models import RateLimit
from weft.domain.limits.schemas import RateLimitWrite
from weft.http.paging import Paged, PageQuery, page

MOST = 500


async def listed(scope: Scope, query: PageQuery) -> Paged[RateLimit]:
    return await page(scope, queries.rates(scope.tenant_id), (RateLimit.created_at, RateLimit.id), query)


async def get(scope: Scope, limit_id: UUID) -> RateLimit:
    return await scope.one(queries.rate_by_id(scope.tenant_id, limit_id), missing=RateLimitNotFound(limit_id))


async def put(scope: Scope, wanted: RateLimitWrite) -> tuple[RateLimit, bool]:
    """Set the rate limit of a target, and whether it is a new one. What waits for it is measured again."""
    target = rules.normal_target(wanted.target)
    if target is None:
        raise TargetInvalid(wanted.target)
    # The tenant's number is locked first: two who set the same target at once come one after the other.
    await scope.raw.execute(queries.NEW_RATES, scope.tenant_id)
    limit = await scope.maybe(queries.rate_by_target(scope.tenant_id, target).with_for_update())
    if limit is None:
        count = await scope.one(
            select(func.count()).where(RateLimit.tenant_id == scope.tenant_id), missing=TooManyRateLimits(MOST)
        )
        if count >= MOST:
            raise TooManyRateLimits(MOST)
        made = RateLimit(target=target, calls=wanted.calls, seconds=wanted.seconds, burst=wanted.burst)
        limit, is_new = await scope.add(made), True
    else:
        limit.calls, limit.seconds, limit.burst = wanted.calls, wanted.seconds, wanted.burst
        is_new = False
        await scope.flush()
        await scope.raw.execute(queries.RESTAND, scope.tenant_id, limit.id)
    await scope.raw.execute(queries.ASK_AGAIN, scope.tenant_id)
    return limit, is_new


async def delete(scope: Scope, limit_id: UUID) -> None:
    """Take a rate limit away. What waits for it goes at once."""
    await scope.raw.execute(queries.NEW_RATES, scope.tenant_id)
    limit = await scope.one(
        queries.rate_by_id(scope.tenant_id, limit_id).with_for_update(), missing=RateLimitNotFound(limit_id)
    )
    await scope.session.delete(limit)
    await scope.flush()
    await scope.raw.execute(queries.ASK_AGAIN, scope.tenant_id)
