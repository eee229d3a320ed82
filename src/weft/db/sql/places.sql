-- Places of limited executions. They run as the caller, inside the tenant's row security. Whoever gives or takes a
-- place locks the tenant's limit first, then those of the workflows in the order of their ids; so nobody waits in a
-- circle, and two processes never count the same free place. Nothing here runs for executions without a limit.
create function weft.lock_limits(p_tenant uuid, p_workflows uuid[]) returns void
language plpgsql security invoker set search_path = pg_catalog as $$
begin
  perform 1 from weft.tenant_limits t where t.tenant_id = p_tenant for update;
  perform 1 from weft.workflow_limits w
    where w.tenant_id = p_tenant and w.workflow_id = any(p_workflows) order by w.workflow_id for update;
end $$;

-- Gives what is free in these scopes (a workflow and a value of its key), most urgent first, then the oldest; then
-- what is free in the tenant. Jobs of those that may run now become ready. Reads as many rows as places are in use
-- and given, never the whole queue. At most 10,000 at once. The caller holds the locks.
create function weft.admit(p_tenant uuid, p_workflows uuid[], p_keys text[]) returns integer
language plpgsql security invoker set search_path = pg_catalog as $$
declare
  most integer;
  free integer := 10000;
  admitted uuid[];
begin
  with scopes as (
    select distinct s.workflow_id, s.key from unnest(p_workflows, p_keys) as s (workflow_id, key)
  ),
  room as (
    select s.workflow_id, s.key,
           case when w.concurrent is null then 10000
                else w.concurrent - (select count(*) from weft.execution_places p
                                      where p.tenant_id = p_tenant and p.workflow_id = s.workflow_id
                                        and p.key = s.key and p.state in ('placed', 'held')) end as places
      from scopes s
      left join weft.workflow_limits w on w.tenant_id = p_tenant and w.workflow_id = s.workflow_id
  ),
  chosen as (
    select c.execution_id
      from room r
     cross join lateral (
           select p.execution_id from weft.execution_places p
            where p.tenant_id = p_tenant and p.workflow_id = r.workflow_id and p.key = r.key and p.state = 'waiting'
            order by p.priority desc, p.since, p.execution_id
            limit greatest(r.places, 0)) c
  )
  update weft.execution_places p set state = 'placed'
    from chosen c where p.tenant_id = p_tenant and p.execution_id = c.execution_id;

  select t.concurrent_executions into most from weft.tenant_limits t where t.tenant_id = p_tenant;
  if most is not null then
    free := most - (select count(*) from weft.execution_places p
                     where p.tenant_id = p_tenant and p.state = 'held' and p.tenant_wide);
  end if;
  with chosen as (
    (select p.execution_id from weft.execution_places p
      where p.tenant_id = p_tenant and p.state = 'placed' and not p.tenant_wide limit 10000)
    union all
    (select p.execution_id from weft.execution_places p
      where p.tenant_id = p_tenant and p.state = 'placed' and p.tenant_wide
      order by p.priority desc, p.since, p.execution_id
      limit greatest(free, 0))
  ),
  moved as (
    update weft.execution_places p set state = 'held'
      from chosen c where p.tenant_id = p_tenant and p.execution_id = c.execution_id
    returning p.execution_id
  )
  select coalesce(array_agg(m.execution_id), '{}') into admitted from moved m;
  if cardinality(admitted) > 0 then
    update weft.dispatch_jobs j set state = 'ready'
     where j.tenant_id = p_tenant and j.execution_id = any(admitted) and j.state = 'parked';
    perform pg_notify('weft_jobs', 'job');
  end if;
  return cardinality(admitted);
end $$;

-- New executions, or retried ones, ask for a place. The caller has saved them with parked jobs.
create function weft.take_places(
  p_tenant uuid, p_executions uuid[], p_workflows uuid[], p_keys text[], p_wide boolean[], p_priorities integer[])
returns integer
language plpgsql security invoker set search_path = pg_catalog as $$
begin
  perform weft.lock_limits(p_tenant, p_workflows);
  insert into weft.execution_places (tenant_id, execution_id, workflow_id, key, tenant_wide, priority)
  select p_tenant, n.execution_id, n.workflow_id, n.key, n.wide, n.priority
    from unnest(p_executions, p_workflows, p_keys, p_wide, p_priorities) with ordinality
         as n (execution_id, workflow_id, key, wide, priority, place)
   order by n.place
  on conflict do nothing;
  return weft.admit(p_tenant, p_workflows, p_keys);
end $$;

-- Executions have ended: their places are free for the next ones.
create function weft.free_places(p_tenant uuid, p_executions uuid[], p_workflows uuid[]) returns integer
language plpgsql security invoker set search_path = pg_catalog as $$
declare
  workflows uuid[];
  keys text[];
begin
  perform weft.lock_limits(p_tenant, p_workflows);
  with freed as (
    delete from weft.execution_places p
     where p.tenant_id = p_tenant and p.execution_id = any(p_executions)
    returning p.workflow_id, p.key
  )
  select coalesce(array_agg(f.workflow_id), '{}'), coalesce(array_agg(f.key), '{}') into workflows, keys from freed f;
  delete from weft.dispatch_jobs j
   where j.tenant_id = p_tenant and j.execution_id = any(p_executions) and j.state = 'parked';
  return weft.admit(p_tenant, workflows, keys);
end $$;

-- For the chore: places whose execution is over and has no job that would go on with it are freed, and whatever
-- waits beside a free place gets it. Returns how many places were wrong.
create function weft.sweep_places(p_tenant uuid) returns integer
language plpgsql security invoker set search_path = pg_catalog as $$
declare
  wrong uuid[];
  workflows uuid[];
  keys text[];
begin
  perform weft.lock_limits(p_tenant, array(
    select distinct p.workflow_id from weft.execution_places p where p.tenant_id = p_tenant));
  select coalesce(array_agg(p.execution_id), '{}') into wrong
    from weft.execution_places p
    join weft.workflow_executions e on e.tenant_id = p.tenant_id and e.id = p.execution_id
   where p.tenant_id = p_tenant and e.status in ('COMPLETED', 'FAILED', 'CANCELLED')
     and not exists (select from weft.dispatch_jobs j
                      where j.tenant_id = p_tenant and j.execution_id = p.execution_id and j.kind = 'retry');
  delete from weft.execution_places p where p.tenant_id = p_tenant and p.execution_id = any(wrong);
  select coalesce(array_agg(s.workflow_id), '{}'), coalesce(array_agg(s.key), '{}') into workflows, keys
    from (select distinct p.workflow_id, p.key from weft.execution_places p
           where p.tenant_id = p_tenant and p.state = 'waiting') s;
  perform weft.admit(p_tenant, workflows, keys);
  return cardinality(wrong);
end $$;

-- For the chore: which tenants have any. Ids only.
create policy dispatch_reads on weft.execution_places for select to weft_dispatch using (true);
grant select on weft.execution_places to weft_dispatch;
create function weft.tenants_with_places() returns setof uuid
language sql stable security definer set search_path = pg_catalog as $$
  with recursive t as (
    (select p.tenant_id from weft.execution_places p order by p.tenant_id limit 1)
    union all
    select (select p.tenant_id from weft.execution_places p where p.tenant_id > t.tenant_id
             order by p.tenant_id limit 1)
      from t where t.tenant_id is not null
  )
  select t.tenant_id from t where t.tenant_id is not null
$$;
