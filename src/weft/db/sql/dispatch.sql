-- Claims go across tenants, therefore they are definer functions: the application role itself sees one
-- tenant's jobs at a time. They return ids; the work is done in the tenant's own transaction.
create policy dispatch_all on weft.dispatch_jobs to weft_dispatch using (true) with check (true);
grant usage on schema weft to weft_dispatch;
grant select, update on weft.dispatch_jobs to weft_dispatch;
create policy dispatch_all on weft.dispatch_limits to weft_dispatch using (true) with check (true);
grant select, update on weft.dispatch_limits to weft_dispatch;
create policy dispatch_counts on weft.dispatch_dead for select to weft_dispatch using (true);
grant select on weft.dispatch_dead to weft_dispatch;

-- Takes up to p_limit ready jobs, visiting the tenants that have any in the order of their ids, from
-- p_after on and then from the beginning, at most p_quantum from each in the first round: a tenant with
-- 100,000 jobs costs another tenant's first job one round, not 100,000 turns. A tenant's weight multiplies its
-- part of the first round. Whoever has as many jobs in hand as it may is left alone; the lock on its limit makes that
-- hold for all workers, and it is never waited for: another worker is claiming from this tenant just now.
-- Tenants in p_but are passed over: few, for each costs a probe.
create function weft.claim_jobs(
  p_owner text, p_limit integer, p_quantum integer, p_after uuid, p_lease interval, p_but uuid[])
returns table (tenant_id uuid, id uuid, kind text, execution_id uuid, visit integer, attempt integer,
               detail jsonb, epoch integer, claims integer, run_at timestamptz, lapses smallint, limits integer)
language plpgsql security definer set search_path = pg_catalog as $$
#variable_conflict use_column
declare
  limit_ weft.dispatch_limits%rowtype;
  room integer;
  cursor_ uuid := p_after;
  start_ uuid := p_after;
  found_ uuid;
  wrapped boolean := false;
  round_ integer := 0;
  taken integer := 0;
  in_round integer := 0;
  n integer;
  quantum integer := p_quantum;
begin
  loop
    select j.tenant_id into found_ from weft.dispatch_jobs j
     where j.state = 'ready' and j.tenant_id > cursor_ order by j.tenant_id limit 1;
    if found_ is null or (wrapped and found_ > start_) then
      if not wrapped and start_ > '00000000-0000-0000-0000-000000000000' then
        wrapped := true;
        cursor_ := '00000000-0000-0000-0000-000000000000';
        continue;
      end if;
      -- Everybody had a turn. Whoever has more may use what is left.
      exit when in_round = 0 or round_ > 0;
      round_ := round_ + 1;
      in_round := 0;
      wrapped := false;
      cursor_ := start_;
      quantum := p_limit;
      continue;
    end if;
    cursor_ := found_;
    continue when found_ = any(p_but);
    room := p_limit - taken;
    select * into limit_ from weft.dispatch_limits l where l.tenant_id = found_;
    if limit_.concurrent_jobs is not null then
      perform 1 from weft.dispatch_limits l where l.tenant_id = found_ for update skip locked;
      continue when not found;
      room := least(room, limit_.concurrent_jobs - (
        select count(*) from weft.dispatch_jobs j where j.tenant_id = found_ and j.state = 'leased' and j.capped));
      continue when room <= 0;
    end if;
    return query
      with picked as (
        select j.tenant_id, j.id from weft.dispatch_jobs j
         where j.tenant_id = found_ and j.state = 'ready'
         order by j.priority desc, j.run_at, j.id
         limit least(quantum * coalesce(limit_.weight, 1), room)
         for update skip locked
      )
      update weft.dispatch_jobs j
         set state = 'leased', lease_owner = p_owner, lease_until = clock_timestamp() + p_lease,
             epoch = j.epoch + 1, claims = j.claims + 1, capped = limit_.concurrent_jobs is not null
        from picked p
       where j.tenant_id = p.tenant_id and j.id = p.id
      returning j.tenant_id, j.id, j.kind, j.execution_id, j.visit, j.attempt, j.detail, j.epoch,
                j.claims, j.run_at, j.lapses, coalesce(limit_.version, 0);
    get diagnostics n = row_count;
    taken := taken + n;
    in_round := in_round + n;
    exit when taken >= p_limit;
  end loop;
end $$;

-- The suspect that has waited longest, to be tried by a worker that has nothing else in hand.
create function weft.claim_suspect(p_owner text, p_lease interval)
returns table (tenant_id uuid, id uuid, kind text, execution_id uuid, visit integer, attempt integer,
               detail jsonb, epoch integer, claims integer, run_at timestamptz, lapses smallint, limits integer)
language sql security definer set search_path = pg_catalog as $$
  with picked as (
    select j.tenant_id, j.id from weft.dispatch_jobs j
     where j.state = 'suspect' order by j.run_at limit 1 for update skip locked
  )
  update weft.dispatch_jobs j
     set state = 'leased', lease_owner = p_owner, lease_until = clock_timestamp() + p_lease,
         epoch = j.epoch + 1, claims = j.claims + 1, capped = false
    from picked p
   where j.tenant_id = p.tenant_id and j.id = p.id
  returning j.tenant_id, j.id, j.kind, j.execution_id, j.visit, j.attempt, j.detail, j.epoch, j.claims, j.run_at,
            j.lapses,
            coalesce((select l.version from weft.dispatch_limits l where l.tenant_id = j.tenant_id), 0)
$$;

-- Timers that are due become ready; leases that lapsed are given back, those that lapsed p_most_lapses times as
-- suspects. Returns what was moved, when the next timer is due, and whether there are suspects.
create function weft.promote_jobs(p_now timestamptz, p_limit integer, p_most_lapses integer)
returns table (promoted integer, recovered integer, next_due timestamptz, suspects boolean)
language plpgsql security definer set search_path = pg_catalog as $$
begin
  with due as (
    select j.tenant_id, j.id from weft.dispatch_jobs j
     where j.state = 'scheduled' and j.run_at <= p_now
     order by j.run_at limit p_limit for update skip locked
  )
  update weft.dispatch_jobs j set state = 'ready'
    from due where j.tenant_id = due.tenant_id and j.id = due.id;
  get diagnostics promoted = row_count;
  with lapsed as (
    select j.tenant_id, j.id from weft.dispatch_jobs j
     where j.state = 'leased' and j.lease_until < clock_timestamp()
     order by j.lease_until limit p_limit for update skip locked
  )
  update weft.dispatch_jobs j
     set state = case when j.lapses + 1 >= p_most_lapses then 'suspect' else 'ready' end, lapses = j.lapses + 1,
         lease_owner = null, lease_until = null
    from lapsed where j.tenant_id = lapsed.tenant_id and j.id = lapsed.id;
  get diagnostics recovered = row_count;
  select min(j.run_at) into next_due from weft.dispatch_jobs j where j.state = 'scheduled';
  suspects := exists (select from weft.dispatch_jobs j where j.state = 'suspect');
  return next;
end $$;

-- The heartbeat: which of these leases are still ours, prolonged.
create function weft.extend_leases(p_owner text, p_ids uuid[], p_epochs integer[], p_lease interval)
returns setof uuid language sql security definer set search_path = pg_catalog as $$
  update weft.dispatch_jobs j set lease_until = clock_timestamp() + p_lease
    from unnest(p_ids, p_epochs) as held (id, epoch)
   where j.id = held.id and j.epoch = held.epoch and j.state = 'leased' and j.lease_owner = p_owner
  returning j.id
$$;

-- Gives jobs back unharmed (a graceful stop): the claim is not counted. Suspects stay suspects.
create function weft.release_jobs(p_owner text, p_ids uuid[], p_epochs integer[], p_most_lapses integer)
returns integer language plpgsql security definer set search_path = pg_catalog as $$
declare
  n integer;
begin
  update weft.dispatch_jobs j
     set state = case when j.lapses >= p_most_lapses then 'suspect' else 'ready' end,
         lease_owner = null, lease_until = null, claims = j.claims - 1
    from unnest(p_ids, p_epochs) as held (id, epoch)
   where j.id = held.id and j.epoch = held.epoch and j.state = 'leased' and j.lease_owner = p_owner;
  get diagnostics n = row_count;
  return n;
end $$;

-- For metrics: how much waits, and since when; how much is dead, counted up to 10,000. Counts only.
create function weft.queue_depth()
returns table (state text, jobs bigint, oldest timestamptz)
language sql stable security definer set search_path = pg_catalog as $$
  select j.state, count(*), min(j.run_at) from weft.dispatch_jobs j group by j.state
  union all
  select 'dead', count(*), min(d.died_at)
    from (select died_at from weft.dispatch_dead limit 10000) d having count(*) > 0
$$;
