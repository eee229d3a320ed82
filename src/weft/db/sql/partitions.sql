-- Monthly partitions of the journal and the audit log, from last month to p_ahead months ahead. Each gets
-- forced row security, no grant, and no policy but the owner's for maintenance: reached directly it shows nothing to
-- the application, and a dump by the owner, which reads partitions one by one, is whole.
create function weft.ensure_partitions(p_ahead integer) returns integer
language plpgsql security definer set search_path = pg_catalog as $$
declare
  parent text;
  first_day date;
  name text;
  made integer := 0;
begin
  if p_ahead not between 0 and 24 then
    raise exception 'partitions can be made 0 to 24 months ahead, not %', p_ahead;
  end if;
  foreach parent in array array['execution_logs', 'audit_logs'] loop
    for i in -1 .. p_ahead loop
      first_day := (date_trunc('month', now() at time zone 'utc') + make_interval(months => i))::date;
      name := parent || '_' || to_char(first_day, 'YYYYMM');
      if to_regclass('weft.' || name) is null then
        execute format(
          'create table weft.%I partition of weft.%I for values from (%L) to (%L)',
          name, parent,
          to_char(first_day, 'YYYY-MM-DD') || ' 00:00:00+00',
          to_char(first_day + interval '1 month', 'YYYY-MM-DD') || ' 00:00:00+00');
        execute format('alter table weft.%I enable row level security', name);
        execute format('alter table weft.%I force row level security', name);
        execute format(
          'create policy owner_maint on weft.%I to weft_owner using (%s) with check (%s)', name,
          'current_setting(''app.maintenance'', true) = ''on''', 'current_setting(''app.maintenance'', true) = ''on''');
        made := made + 1;
      end if;
    end loop;
  end loop;
  return made;
end $$;
