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
