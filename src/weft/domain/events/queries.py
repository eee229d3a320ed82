"""Statements of this room as values."""

from __future__ import annotations

from datetime import datetime
from typing import Final
from uuid import UUID

from sqlalchemy import Select, select

from weft.domain.events.models import Event, Question

STORE: Final = """/* weft:events.store */
with stored as (
  insert into weft.events (tenant_id, id, type, correlation, payload, source, key, execution_id, depth, received_at)
  select $1, u.id, u.type, u.correlation, u.payload::jsonb, u.source, u.key, u.execution_id, u.depth,
         coalesce(u.received_at, clock_timestamp())
    from unnest($2::uuid[], $3::text[], $4::text[], $5::text[], $6::text[], $7::text[], $8::uuid[], $9::integer[],
                $10::timestamptz[])
           as u (id, type, correlation, payload, source, key, execution_id, depth, received_at)
  on conflict (tenant_id, key) where key is not null do nothing
  returning id, received_at
), put as (
  insert into weft.dispatch_jobs (tenant_id, id, kind, detail, state, run_at)
  select $1, j.id, 'event', jsonb_build_object('event', j.event), 'ready', s.received_at
    from unnest($11::uuid[], $2::uuid[]) as j (id, event)
    join stored s on s.id = j.event
)
select s.id, s.received_at, pg_notify('weft_jobs', 'job') from stored s
"""
"""Events and their dispatch jobs, in one statement. Returns those that are new, with the time at which they came."""

STORED: Final = """/* weft:events.stored */
select u.id as sent, e.id, e.type, e.correlation, e.received_at,
       e.type = u.type and e.correlation = u.correlation and e.payload is not distinct from u.payload::jsonb as same
  from unnest($2::uuid[], $3::text[], $4::text[], $5::text[], $6::text[])
         as u (id, key, type, correlation, payload)
  join weft.events e on e.tenant_id = $1 and e.key = u.key
"""
"""Events that were there before those that are `sent`, and whether they are the same. The database compares: jsonb
gives some numbers back otherwise than they came, 1e23 as an integer."""

INTEREST: Final = """/* weft:events.interest */
insert into weft.event_interests as i (tenant_id, version, ends) values ($1, 1, $2)
on conflict (tenant_id) do update set version = i.version + 1, ends = i.ends or excluded.ends
"""
"""Said in the transaction that changes an event trigger: whoever knew the tenant's triggers looks again.

`ends` stays once it is true, until a delivery finds that nobody asks any more.
"""


def listed(
    tenant_id: UUID,
    *,
    type_: str | None = None,
    correlation: str | None = None,
    since: datetime | None = None,
    until: datetime | None = None,
) -> Select[Event]:
    query = select(Event).where(Event.tenant_id == tenant_id)
    if type_ is not None:
        query = query.where(Event.type == type_)
    if correlation is not None:
        query = query.where(Event.correlation == correlation)
    if since is not None:
        query = query.where(Event.received_at >= since)
    if until is not None:
        query = query.where(Event.received_at < until)
    return query


def by_id(tenant_id: UUID, event_id: UUID) -> Select[Event]:
    return select(Event).where(Event.tenant_id == tenant_id, Event.id == event_id)


def questions(
    tenant_id: UUID, *, status: str | None = None, execution_id: UUID | None = None, to: str | None = None
) -> Select[Question]:
    query = select(Question).where(Question.tenant_id == tenant_id)
    for column, wanted in (
        (Question.status, status),
        (Question.execution_id, execution_id),
        (Question.to, to),
    ):
        if wanted is not None:
            query = query.where(column == wanted)
    return query


def question(tenant_id: UUID, question_id: UUID) -> Select[Question]:
    return select(Question).where(Question.tenant_id == tenant_id, Question.id == question_id)
