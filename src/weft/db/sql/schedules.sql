-- Schedules of all tenants are due at the same moments, therefore they are claimed across tenants; only ids are
-- returned, and the work is done in each tenant's own transaction.
create policy dispatch_all on weft.workflow_schedules to weft_dispatch using (true) with check (true);
create policy dispatch_all on weft.schedule_runs to weft_dispatch using (true) with check (true);
grant select, update on weft.workflow_schedules to weft_dispatch;
grant select, delete on weft.schedule_runs to weft_dispatch;

-- Takes schedules that have to be looked at. Whoever takes one has it until the lease is over, or until the trigger
-- is changed: both begin another epoch, and nothing is written under an old one.
create function weft.claim_schedules(p_now timestamptz, p_limit integer, p_lease interval)
returns table (tenant_id uuid, trigger_id uuid, epoch integer)
language sql security definer set search_path = pg_catalog as $$
  with due as (
    select s.tenant_id, s.trigger_id from weft.workflow_schedules s
     where s.wake_at <= p_now
     order by s.wake_at limit p_limit for update skip locked
  )
  update weft.workflow_schedules s set wake_at = p_now + p_lease, epoch = s.epoch + 1
    from due where s.tenant_id = due.tenant_id and s.trigger_id = due.trigger_id
  returning s.tenant_id, s.trigger_id, s.epoch
$$;

-- When the next schedule has to be looked at; null: there is none.
create function weft.next_schedule() returns timestamptz
language sql stable security definer set search_path = pg_catalog as $$
  select min(s.wake_at) from weft.workflow_schedules s where s.wake_at is not null
$$;

-- Forgets runs that were decided long ago and are over, some at a time.
create function weft.prune_schedule_runs(p_before timestamptz, p_limit integer) returns integer
language plpgsql security definer set search_path = pg_catalog as $$
declare
  n integer;
begin
  with old as (
    select r.tenant_id, r.id from weft.schedule_runs r
     where r.decided_at < p_before and not r.open
     order by r.decided_at limit p_limit
  )
  delete from weft.schedule_runs r using old where r.tenant_id = old.tenant_id and r.id = old.id;
  get diagnostics n = row_count;
  return n;
end $$;
