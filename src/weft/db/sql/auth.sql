-- Sign-in comes before any tenant is chosen. These few functions are the only way across tenants
-- for identities; they return ids and one hash, and are owned by a role that nobody can log in as.
create policy auth_all on weft.tenants to weft_auth using (true) with check (true);
create policy auth_all on weft.users to weft_auth using (true) with check (true);
create policy auth_read on weft.tenant_users for select to weft_auth using (true);
create policy auth_read on weft.roles for select to weft_auth using (true);
grant usage on schema weft to weft_auth;
grant select, insert on weft.tenants to weft_auth;
grant select, insert, update on weft.users to weft_auth;
grant select on weft.tenant_users to weft_auth;
grant select on weft.roles to weft_auth;

create function weft.find_user(p_email_key text)
returns table (id uuid, email text, name text, password_hash text)
language sql stable security definer set search_path = pg_catalog as $$
  select u.id, u.email, u.name, u.password_hash
    from weft.users u
   where u.email_key = p_email_key and u.deleted_at is null
$$;

create function weft.memberships_of(p_user_id uuid)
returns table (tenant_id uuid, slug text, tenant_name text, role text, status text, created_at timestamptz)
language sql stable security definer set search_path = pg_catalog as $$
  select m.tenant_id, t.slug, t.name, r.name, m.status, m.created_at
    from weft.tenant_users m
    join weft.tenants t on t.id = m.tenant_id and t.deleted_at is null
    join weft.roles r on r.tenant_id = m.tenant_id and r.id = m.role_id
   where m.user_id = p_user_id
   order by m.created_at, m.tenant_id
$$;

create function weft.find_tenant(p_slug text) returns uuid
language sql stable security definer set search_path = pg_catalog as $$
  select t.id from weft.tenants t where t.slug = p_slug and t.deleted_at is null
$$;

create function weft.create_tenant(p_id uuid, p_slug text, p_name text, p_tier text) returns void
language sql security definer set search_path = pg_catalog as $$
  insert into weft.tenants (id, slug, name, tier) values (p_id, p_slug, p_name, p_tier)
$$;

-- The user's id: a new one, or the one that this address already has (then name and password stay).
create function weft.ensure_user(p_id uuid, p_email text, p_email_key text, p_name text, p_password_hash text)
returns uuid language plpgsql security definer set search_path = pg_catalog as $$
declare
  found_id uuid;
begin
  insert into weft.users (id, email, email_key, name, password_hash)
  values (p_id, p_email, p_email_key, p_name, p_password_hash)
  on conflict (email_key) where deleted_at is null do nothing
  returning users.id into found_id;
  if found_id is null then
    select u.id into found_id from weft.users u where u.email_key = p_email_key and u.deleted_at is null;
  end if;
  return found_id;
end $$;

create function weft.set_password(p_user_id uuid, p_password_hash text) returns boolean
language sql security definer set search_path = pg_catalog as $$
  update weft.users set password_hash = p_password_hash where id = p_user_id and deleted_at is null
  returning true
$$;

create function weft.mark_sign_in(p_user_id uuid) returns void
language sql security definer set search_path = pg_catalog as $$
  update weft.users set last_sign_in_at = clock_timestamp() where id = p_user_id
$$;
