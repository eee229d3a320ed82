-- Keeps updated_at and, where the table has it, row_version. Nobody can forget to.
create function weft.touch() returns trigger
language plpgsql set search_path = pg_catalog as $$
begin
  new.updated_at := clock_timestamp();
  return new;
end $$;

create function weft.touch_versioned() returns trigger
language plpgsql set search_path = pg_catalog as $$
begin
  new.updated_at := clock_timestamp();
  new.row_version := old.row_version + 1;
  return new;
end $$;
