-- Payloads are compressed before they come: PostgreSQL stores them as they are, and out of line.
alter table weft.payloads alter column data set storage external;

-- Whoever deletes payloads (with their execution, or one by one) gives their room back to the tenant.
create function weft.payloads_gone() returns trigger
language plpgsql set search_path = pg_catalog as $$
declare
  g record;
begin
  -- Read first, then written: a distributed PostgreSQL cannot join what is gone with a table.
  for g in
    select tenant_id, count(*) as payloads, sum(size) as size, sum(stored_size) as stored_size
      from gone group by tenant_id
  loop
    update weft.payload_usage u
       set payloads = u.payloads - g.payloads, size = u.size - g.size, stored_size = u.stored_size - g.stored_size
     where u.tenant_id = g.tenant_id;
  end loop;
  return null;
end $$;

create trigger gone after delete on weft.payloads
  referencing old table as gone for each statement execute function weft.payloads_gone();

-- Retention deletes within the tenant of its transaction, like everybody else.
create policy retention_rw on weft.payload_usage to weft_retention
  using (tenant_id = nullif(current_setting('app.tenant_id', true), '')::uuid)
  with check (tenant_id = nullif(current_setting('app.tenant_id', true), '')::uuid);
grant select, update on weft.payload_usage to weft_retention;
