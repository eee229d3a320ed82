-- Events are kept for a time. Going across tenants, and by age alone, this is a definer function; it says only how many.
create policy dispatch_events on weft.events to weft_dispatch using (true) with check (true);
grant select, delete on weft.events to weft_dispatch;

create function weft.prune_events(p_before timestamptz, p_limit integer) returns integer
language plpgsql security definer set search_path = pg_catalog as $$
declare
  n integer;
begin
  with old as (
    select e.tenant_id, e.id from weft.events e
     where e.received_at < p_before
     order by e.received_at limit p_limit
  )
  delete from weft.events e using old where e.tenant_id = old.tenant_id and e.id = old.id;
  get diagnostics n = row_count;
  return n;
end $$;
