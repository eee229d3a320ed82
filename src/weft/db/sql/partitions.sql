-- Monthly partitions of the journal and the audit log. Each gets forced row security, no grant, and no policy but the
-- owner's for maintenance: reached directly it shows nothing to the application, and a dump by the owner, which reads
-- partitions one by one, is whole.
create function weft.ensure_partition(p_parent text, p_month date) returns boolean
language plpgsql set search_path = pg_catalog as $$
declare
  first_day date := date_trunc('month', p_month)::date;
  name text := p_parent || '_' || to_char(first_day, 'YYYYMM');
begin
  if p_parent not in ('execution_logs', 'audit_logs') then
    raise exception '% has no months', p_parent;
  end if;
  if to_regclass('weft.' || name) is not null then
    return false;
  end if;
  execute format(
    'create table weft.%I partition of weft.%I for values from (%L) to (%L)',
    name, p_parent,
    to_char(first_day, 'YYYY-MM-DD') || ' 00:00:00+00',
    to_char(first_day + interval '1 month', 'YYYY-MM-DD') || ' 00:00:00+00');
  execute format('alter table weft.%I enable row level security', name);
  execute format('alter table weft.%I force row level security', name);
  execute format(
    'create policy owner_maint on weft.%1$I to weft_owner using (%2$s) with check (%2$s)', name,
    'current_setting(''app.maintenance'', true) = ''on''');
  return true;
end $$;

-- From last month to p_ahead months ahead; how many were made.
create function weft.ensure_partitions(p_ahead integer) returns integer
language plpgsql security definer set search_path = pg_catalog as $$
declare
  parent text;
  made integer := 0;
begin
  if p_ahead not between 0 and 24 then
    raise exception 'partitions can be made 0 to 24 months ahead, not %', p_ahead;
  end if;
  foreach parent in array array['execution_logs', 'audit_logs'] loop
    for i in -1 .. p_ahead loop
      made := made + weft.ensure_partition(
        parent, (date_trunc('month', now() at time zone 'utc') + make_interval(months => i))::date)::integer;
    end loop;
  end loop;
  return made;
end $$;
