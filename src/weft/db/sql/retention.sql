-- Finished executions go when their time is over. The application has no right to delete them; these functions have,
-- and row security binds their owner to the tenant of the transaction, like everybody else.
grant usage on schema weft to weft_retention;

-- Deletes these executions with everything that belongs to them: all of them or, with an error, none. Each must have
-- ended and must still be at the row version that the caller has seen (and archived).
create function weft.delete_executions(p_ids uuid[], p_versions integer[])
returns table (executions integer, belongings integer)
language plpgsql security definer set search_path = pg_catalog as $$
declare
  tenant uuid := nullif(current_setting('app.tenant_id', true), '')::uuid;
  n integer;
begin
  if tenant is null then
    raise exception 'executions are deleted in a tenant: set app.tenant_id first';
  end if;
  belongings := 0;
  -- {belongings}
  delete from weft.workflow_executions e
   using unnest(p_ids, p_versions) as wanted (id, version)
   where e.tenant_id = tenant and e.id = wanted.id and e.row_version = wanted.version
     and e.status in ('COMPLETED', 'FAILED', 'CANCELLED');
  get diagnostics executions = row_count;
  if executions <> cardinality(p_ids) then
    raise exception 'some of these executions have changed or have not ended: nothing was deleted'
      using errcode = 'serialization_failure';
  end if;
  return next;
end $$;

-- Deletes the journals of these executions, and the large values that only the journal names: all of them or, with an
-- error, none. The executions stay, and say so. Each must have ended and must still be at the row version that was seen.
create function weft.delete_journals(p_ids uuid[], p_versions integer[])
returns table (executions integer, belongings integer)
language plpgsql security definer set search_path = pg_catalog as $$
declare
  tenant uuid := nullif(current_setting('app.tenant_id', true), '')::uuid;
  n integer;
begin
  if tenant is null then
    raise exception 'journals are deleted in a tenant: set app.tenant_id first';
  end if;
  update weft.workflow_executions e set journal_gone = true, row_version = e.row_version + 1
    from unnest(p_ids, p_versions) as wanted (id, version)
   where e.tenant_id = tenant and e.id = wanted.id and e.row_version = wanted.version
     and e.status in ('COMPLETED', 'FAILED', 'CANCELLED');
  get diagnostics executions = row_count;
  if executions <> cardinality(p_ids) then
    raise exception 'some of these executions have changed or have not ended: nothing was deleted'
      using errcode = 'serialization_failure';
  end if;
  delete from weft.execution_logs l where l.tenant_id = tenant and l.execution_id = any(p_ids);
  get diagnostics belongings = row_count;
  delete from weft.item_chunks c where c.tenant_id = tenant and c.execution_id = any(p_ids);
  get diagnostics n = row_count;
  belongings := belongings + n;
  delete from weft.item_results r where r.tenant_id = tenant and r.execution_id = any(p_ids);
  get diagnostics n = row_count;
  belongings := belongings + n;
  delete from weft.payloads p using weft.workflow_executions e
   where p.tenant_id = tenant and p.execution_id = any(p_ids) and e.tenant_id = tenant and e.id = p.execution_id
     and p.id::text is distinct from e.input ->> '$payload' and p.id::text is distinct from e.output ->> '$payload';
  get diagnostics n = row_count;
  belongings := belongings + n;
  return next;
end $$;

-- Whose executions have to be looked through. Ids and policies only.
create function weft.retention_tenants() returns table (tenant_id uuid, slug text, retention jsonb)
language sql stable security definer set search_path = pg_catalog as $$
  select t.id, t.slug, t.retention from weft.tenants t where t.deleted_at is null order by t.id
$$;

-- Drops the journal's months before p_before that hold no row any more, and names them. A month with a row stays,
-- whoever asks; so do this month and the last, which ensure_partitions would make again.
create function weft.drop_empty_partitions(p_before date) returns setof text
language plpgsql security definer
set search_path = pg_catalog set lock_timeout = '500ms' as $$
declare
  found_ record;
  first_ timestamptz;
  until_ timestamptz;
  newest timestamptz := date_trunc('month', now() at time zone 'utc') at time zone 'utc' - interval '1 month';
begin
  -- The owner sees the rows of all tenants, for as long as this takes. A distributed PostgreSQL hands on SET LOCAL only.
  set local app.maintenance = 'on';
  for found_ in
    select c.relname::text as name from pg_inherits i join pg_class c on c.oid = i.inhrelid
     where i.inhparent = 'weft.execution_logs'::regclass order by c.relname
  loop
    first_ := to_date(right(found_.name, 6), 'YYYYMM')::timestamp at time zone 'utc';
    until_ := (to_date(right(found_.name, 6), 'YYYYMM') + interval '1 month') at time zone 'utc';
    continue when until_ > least(p_before::timestamp at time zone 'utc', newest)
      or exists (select from weft.execution_logs l where l.started_at >= first_ and l.started_at < until_);
    begin
      lock table only weft.execution_logs in access exclusive mode; -- first, in the order in which readers take them
      execute format('lock table weft.%I in access exclusive mode', found_.name);
      continue when exists (select from weft.execution_logs l where l.started_at >= first_ and l.started_at < until_);
      execute format('alter table weft.execution_logs detach partition weft.%I', found_.name);
      execute format('drop table weft.%I', found_.name);
      return next found_.name;
    exception when lock_not_available or deadlock_detected or undefined_table then
      null; -- traffic goes first; the next round tries again
    end;
  end loop;
  set local app.maintenance = '';
end $$;
