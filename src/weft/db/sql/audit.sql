-- The audit row trigger. tg_argv: resource type, comma-separated secret columns.
-- The resource type is an argument because on a distributed PostgreSQL tg_table_name is a shard.
create function weft.audit_row() returns trigger
language plpgsql security definer set search_path = pg_catalog as $$
declare
  old_row jsonb := case when tg_op <> 'INSERT' then to_jsonb(old) end;
  new_row jsonb := case when tg_op <> 'DELETE' then to_jsonb(new) end;
  one_row jsonb := coalesce(new_row, old_row);
  before_ jsonb;
  after_ jsonb;
  secret text;
  tenant uuid;
begin
  -- A restore brings the log of its rows along. Only the owner may say so, who could drop the trigger as well.
  if current_setting('app.restore', true) = 'on' and session_user = 'weft_owner' then
    return null;
  end if;
  if tg_op = 'UPDATE' then
    select jsonb_object_agg(o.key, o.value), jsonb_object_agg(o.key, new_row -> o.key)
      into before_, after_
      from jsonb_each(old_row) o
     where new_row -> o.key is distinct from o.value
       and o.key not in ('updated_at', 'row_version');
    if before_ is null then
      return null;
    end if;
  else
    before_ := old_row;
    after_ := new_row;
  end if;
  foreach secret in array string_to_array(tg_argv[1], ',') loop
    if before_ -> secret <> 'null' then
      before_ := before_ || jsonb_build_object(secret, '***');
    end if;
    if after_ -> secret <> 'null' then
      after_ := after_ || jsonb_build_object(secret, '***');
    end if;
  end loop;
  tenant := coalesce(
    (one_row ->> 'tenant_id')::uuid,
    case when tg_argv[0] = 'tenants' then (one_row ->> 'id')::uuid end,
    nullif(current_setting('app.tenant_id', true), '')::uuid,
    '00000000-0000-0000-0000-000000000000'
  );
  insert into weft.audit_logs
    (tenant_id, id, action, resource_type, resource_id, before, after,
     actor_id, actor_kind, actor_name, ip, user_agent, correlation_id)
  values
    (tenant, gen_random_uuid(), lower(tg_op), tg_argv[0], one_row ->> 'id', before_, after_,
     nullif(current_setting('app.actor_id', true), ''), nullif(current_setting('app.actor_kind', true), ''),
     nullif(current_setting('app.actor_name', true), ''), nullif(current_setting('app.ip', true), ''),
     nullif(current_setting('app.user_agent', true), ''), nullif(current_setting('app.correlation_id', true), ''));
  return null;
end $$;

-- What no row change shows: sign-ins, refusals, exports, commands on executions.
create function weft.audit_event(p_action text, p_resource_type text, p_resource_id text, p_details jsonb)
returns void language plpgsql security definer set search_path = pg_catalog as $$
declare
  tenant uuid := nullif(current_setting('app.tenant_id', true), '')::uuid;
begin
  if tenant is null then
    raise exception 'an audit event needs a tenant: set app.tenant_id first';
  end if;
  insert into weft.audit_logs
    (tenant_id, id, action, resource_type, resource_id, after,
     actor_id, actor_kind, actor_name, ip, user_agent, correlation_id)
  values
    (tenant, gen_random_uuid(), p_action, p_resource_type, p_resource_id, p_details,
     nullif(current_setting('app.actor_id', true), ''), nullif(current_setting('app.actor_kind', true), ''),
     nullif(current_setting('app.actor_name', true), ''), nullif(current_setting('app.ip', true), ''),
     nullif(current_setting('app.user_agent', true), ''), nullif(current_setting('app.correlation_id', true), ''));
end $$;

create function weft.audit_is_append_only() returns trigger
language plpgsql set search_path = pg_catalog as $$
begin
  raise exception 'the audit log is append-only: % is refused', tg_op
    using hint = 'Rows leave by dropping a whole month after it was exported.';
end $$;
