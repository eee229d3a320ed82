"""Schedule triggers: checked when they are saved, and set going or stopped with their trigger and their workflow.

A schedule runs while its trigger is enabled and its workflow is active. Pausing forgets: time that passed meanwhile
is not caught up with.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any, Final
from uuid import UUID

from sqlalchemy import Select, select

from weft.core.errors import Issue
from weft.db.scope import Scope
from weft.domain.workflows import queries
from weft.domain.workflows.errors import ScheduleOnly, TriggerConfigInvalid, TriggerNotFound
from weft.domain.workflows.models import TriggerKind, Workflow, WorkflowStatus, WorkflowTrigger
from weft.domain.workflows.schedule_models import ScheduleRun
from weft.domain.workflows.schedule_schemas import DueTime, ScheduleConfig, SchedulePreview, SchedulePreviewAsked
from weft.domain.workflows.schedules import Calendar, ScheduleUnclear, read
from weft.domain.workflows.schedules.calendar import WAYS, YEARS, anchor_of, require_due
from weft.domain.workflows.service import rows
from weft.domain.workflows.service.mapping import check_mapping
from weft.http.paging import Paged, PageQuery, page
from weft.interpreter.durations import DurationUnclear, parse_duration

ROOTS: Final = ("scheduled_at", "trigger")
"""What the input mapping of a schedule may read."""

ARM = """/* weft:schedules.arm */
insert into weft.workflow_schedules (tenant_id, trigger_id, next_run_at, wake_at)
select $1, u.trigger_id, u.next_run_at, coalesce(u.next_run_at, $4)
  from unnest($2::uuid[], $3::timestamptz[]) as u (trigger_id, next_run_at)
on conflict (tenant_id, trigger_id) do update
   set next_run_at = excluded.next_run_at, wake_at = excluded.wake_at, epoch = workflow_schedules.epoch + 1
"""

DISARM = """/* weft:schedules.disarm */
update weft.workflow_schedules s set next_run_at = null, wake_at = $3, epoch = s.epoch + 1
  from weft.workflow_triggers t
 where s.tenant_id = $1 and t.tenant_id = $1 and t.id = s.trigger_id and t.workflow_id = any($2::uuid[])
"""


def checked(config: ScheduleConfig, now: datetime) -> dict[str, Any]:
    """The config as it is stored, with an anchor. Raises `TriggerConfigInvalid` for one that cannot work."""
    stored = config.model_dump(mode="json", exclude_none=True)
    calendar = calendar_of(stored, now)
    way = next(one for one in WAYS if one in stored)
    try:
        require_due(calendar, now, way)
    except ScheduleUnclear as error:
        raise _refused(error.field, error.message) from error
    if config.catch_up_window is not None:
        try:
            parse_duration(config.catch_up_window)
        except DurationUnclear as error:
            raise _refused("catch_up_window", f"`catch_up_window` cannot be read: {error}.") from error
    check_mapping(config.input, ROOTS, "A schedule")
    if way != "cron" and "anchor" not in stored:
        stored["anchor"] = anchor_of(stored, now).isoformat()
    return stored


def calendar_of(config: dict[str, Any], now: datetime) -> Calendar:
    """Raises `TriggerConfigInvalid`, naming the field."""
    try:
        return read(config, now)
    except ScheduleUnclear as error:
        raise _refused(error.field, error.message) from error


async def arm(
    scope: Scope, workflow: Workflow, triggers: Sequence[WorkflowTrigger], now: datetime | None = None
) -> None:
    """Let these schedules run from now on, or not any more, as trigger and workflow stand. Workers are told."""
    scheduled = [one for one in triggers if one.kind == TriggerKind.schedule.value]
    if not scheduled:
        return
    await scope.flush()
    moment = now or scope.now()
    active = workflow.status == WorkflowStatus.active.value and workflow.deleted_at is None
    due = [read(one.config, moment).next_after(moment) if active and one.enabled else None for one in scheduled]
    # One that stops is looked at once more: whatever waits in its queue is closed then.
    await scope.raw.execute(ARM, scope.tenant_id, [one.id for one in scheduled], due, moment)
    await scope.raw.execute("select pg_notify('weft_schedules', '')")
    for one in scheduled:
        await scope.session.refresh(one, ["schedule"])


async def disarm(scope: Scope, workflow_ids: Sequence[UUID]) -> None:
    """Workflows were deactivated together: their schedules stop, as by `arm`."""
    await scope.raw.execute(DISARM, scope.tenant_id, workflow_ids, scope.now())
    await scope.raw.execute("select pg_notify('weft_schedules', '')")


async def follow(scope: Scope, workflow: Workflow) -> None:
    """The workflow was activated, stopped, deleted or brought back: its schedules follow."""
    await arm(scope, workflow, await scope.all(queries.schedules(scope.tenant_id, workflow.id)))


def preview(config: dict[str, Any], start: datetime, count: int) -> SchedulePreview:
    """The next due times after `start`, whether or not the schedule runs."""
    if start.year not in YEARS:
        raise _refused("from", f"`from` must be in the years {YEARS.start} to {YEARS.stop - 1}.", within=())
    calendar = calendar_of(config, start)
    return SchedulePreview(
        sentence=calendar.sentence,
        timezone=calendar.zone.key,
        due=[
            DueTime(local=due.astimezone(calendar.zone).isoformat(), utc=due.astimezone(UTC))
            for due in calendar.upcoming(start, count)
        ],
    )


async def preview_new(scope: Scope, workflow_id: UUID, asked: SchedulePreviewAsked) -> SchedulePreview:
    """As `preview`, of a config that is not stored. Its expressions are not looked at."""
    await rows.find(scope, workflow_id)
    return preview(asked.config.model_dump(mode="json", exclude_none=True), asked.from_ or scope.now(), asked.count)


async def preview_of(
    scope: Scope, workflow_id: UUID, trigger_id: UUID, start: datetime | None, count: int
) -> SchedulePreview:
    trigger = await _find(scope, workflow_id, trigger_id)
    return preview(trigger.config, start or scope.now(), count)


async def runs(
    scope: Scope, workflow_id: UUID, trigger_id: UUID, query: PageQuery, *, status: str | None = None
) -> Paged[ScheduleRun]:
    """What became of the due times of a schedule."""
    await _find(scope, workflow_id, trigger_id)
    found: Select[ScheduleRun] = select(ScheduleRun).where(
        ScheduleRun.tenant_id == scope.tenant_id, ScheduleRun.trigger_id == trigger_id
    )
    if status is not None:
        found = found.where(ScheduleRun.status == status)
    return await page(scope, found, (ScheduleRun.due_at, ScheduleRun.id), query)


async def _find(scope: Scope, workflow_id: UUID, trigger_id: UUID) -> WorkflowTrigger:
    await rows.find(scope, workflow_id)
    query = queries.trigger(scope.tenant_id, workflow_id, trigger_id)
    trigger = await scope.one(query, missing=TriggerNotFound(trigger_id))
    if trigger.kind != TriggerKind.schedule.value:
        raise ScheduleOnly
    return trigger


def _refused(field: str, message: str, *, within: tuple[str, ...] = ("config",)) -> TriggerConfigInvalid:
    issue = Issue(message, (*within, field), "schedule_unclear")
    return TriggerConfigInvalid(f"The schedule cannot be used: {message}", issues=[issue])
