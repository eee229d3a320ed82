-- Processes say that they live. They belong to no tenant, so these functions are the only way to write here; whoever
-- has not been heard of for ten minutes is forgotten.
create policy dispatch_all on weft.app_instances to weft_dispatch using (true) with check (true);
grant select, insert, update, delete on weft.app_instances to weft_dispatch;

create function weft.beat(p_id uuid, p_kind text, p_host text, p_version text, p_revision text) returns void
language sql security definer set search_path = pg_catalog as $$
  insert into weft.app_instances (id, kind, host, version, revision)
  values (p_id, p_kind, p_host, p_version, p_revision)
  on conflict (id) do update set seen_at = clock_timestamp();
  delete from weft.app_instances where seen_at < clock_timestamp() - interval '10 minutes'
$$;

create function weft.leave(p_id uuid) returns void
language sql security definer set search_path = pg_catalog as $$
  delete from weft.app_instances where id = p_id
$$;

-- What the database is for, as the strictest of all that serve or migrate it say. Never milder: whoever forgets a
-- setting must not be able to empty a production database. Only the owner, by hand on the row, makes it milder.
create policy dispatch_all on weft.installation to weft_dispatch using (true) with check (true);
grant select, insert, update on weft.installation to weft_dispatch;

create function weft.serve_as(p_profile text) returns text
language sql security definer set search_path = pg_catalog as $$
  insert into weft.installation as i (profile) values (p_profile)
  on conflict (is_only) do update set profile = excluded.profile, since = clock_timestamp()
   where array_position(array['development', 'staging', 'production'], excluded.profile)
       > array_position(array['development', 'staging', 'production'], i.profile);
  select i.profile from weft.installation i
$$;
