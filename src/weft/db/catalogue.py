"""What is read of a schema, kind by kind: the name of an object, and its facts as JSON that two servers agree on.

`$1` is the schema. The search path is empty meanwhile, so that names in definitions are qualified.
"""

from __future__ import annotations

from typing import Final

_STORAGE: Final = "case {} when 'p' then 'plain' when 'e' then 'external' when 'm' then 'main' else 'extended' end"
PRIVILEGES: Final = """json_agg(a.privilege_type || case when a.is_grantable then ' with grant option' else '' end
                          order by a.privilege_type)"""

_KEPT = """(o.polname = 'owner_maint' and o.polcmd = '*' and o.polpermissive
                  and o.polroles = array[to_regrole('weft_owner')::oid]
                  and pg_get_expr(o.polqual, o.polrelid)
                      = '(current_setting(''app.maintenance''::text, true) = ''on''::text)'
                  and pg_get_expr(o.polwithcheck, o.polrelid) = pg_get_expr(o.polqual, o.polrelid))"""
"""The one policy of a partition, as `weft.ensure_partition` makes it."""

OBJECTS: Final = {
    "schema": """
        select n.nspname::text, json_build_object('owner', pg_get_userbyid(n.nspowner))
          from pg_namespace n where n.nspname = $1""",
    "table": """
        select c.relname::text, json_build_object(
               'name', c.relname,
               'kind', case c.relkind when 'r' then 'table' when 'p' then 'partitioned table' when 'v' then 'view'
                                      when 'f' then 'foreign table' else 'materialized view' end,
               'row security', c.relrowsecurity, 'row security forced', c.relforcerowsecurity,
               'owner', pg_get_userbyid(c.relowner), 'options', coalesce(to_json(c.reloptions), '[]'),
               'partitioned by', pg_get_partkeydef(c.oid), 'logged', c.relpersistence = 'p',
               'query', case when c.relkind in ('v', 'm') then pg_get_viewdef(c.oid) end,
               'replica identity', case when c.relkind in ('r', 'p') then
                  case c.relreplident when 'd' then 'default' when 'f' then 'full' when 'n' then 'nothing'
                  else (select 'using index ' || quote_ident(x.relname) from pg_index i
                          join pg_class x on x.oid = i.indexrelid
                         where i.indrelid = c.oid and i.indisreplident) end end,
               'comment', obj_description(c.oid, 'pg_class'))
          from pg_class c
         where c.relnamespace = $1::regnamespace and c.relkind in ('r', 'p', 'v', 'm', 'f') and not c.relispartition""",
    "column": f"""
        select c.relname || '.' || a.attname, json_build_object(
               'table', c.relname, 'name', a.attname, 'type', format_type(a.atttypid, a.atttypmod),
               'nullable', not a.attnotnull or exists (
                  select from pg_constraint k where k.conrelid = c.oid and k.contype = 'n' and not k.convalidated
                     and a.attnum = any(k.conkey)),
               'default', case when a.attgenerated = '' then pg_get_expr(d.adbin, d.adrelid) end,
               'collation', case when a.attcollation <> t.typcollation then l.collname end,
               'generated', case when a.attgenerated <> '' then
                  pg_get_expr(d.adbin, d.adrelid)
                  || case a.attgenerated when 's' then ' stored' else ' virtual' end end,
               'identity', case a.attidentity when 'a' then 'always' when 'd' then 'by default' end,
               'identity options', case when a.attidentity <> '' then (
                  select json_build_array('increment by ' || s.seqincrement, 'minvalue ' || s.seqmin,
                         'maxvalue ' || s.seqmax, 'start with ' || s.seqstart, 'cache ' || s.seqcache,
                         case when s.seqcycle then 'cycle' else 'no cycle' end)
                    from pg_depend o join pg_sequence s on s.seqrelid = o.objid
                   where o.classid = 'pg_class'::regclass and o.refclassid = 'pg_class'::regclass
                     and o.refobjid = c.oid and o.refobjsubid = a.attnum and o.deptype = 'i') end,
               'storage', case when a.attstorage <> t.typstorage then {_STORAGE.format("a.attstorage")} end,
               'usual storage', {_STORAGE.format("t.typstorage")},
               'comment', col_description(c.oid, a.attnum))
          from pg_attribute a join pg_class c on c.oid = a.attrelid join pg_type t on t.oid = a.atttypid
          left join pg_collation l on l.oid = a.attcollation
          left join pg_attrdef d on d.adrelid = a.attrelid and d.adnum = a.attnum
         where c.relnamespace = $1::regnamespace and c.relkind in ('r', 'p', 'v', 'm', 'f') and not c.relispartition
           and a.attnum > 0 and not a.attisdropped
         order by c.relname, a.attnum""",
    "constraint": """
        select c.relname || '.' || k.conname, json_build_object(
               'table', c.relname, 'name', k.conname,
               'kind', case k.contype when 'p' then 'primary key' when 'u' then 'unique' when 'f' then 'reference'
                                      when 'c' then 'check' when 'n' then 'not null' else 'exclusion' end,
               'definition', regexp_replace(pg_get_constraintdef(k.oid), ' NOT VALID$', ''),
               'validated', k.convalidated,
               'enforced by triggers', not exists (
                  select from pg_trigger t where t.tgconstraint = k.oid and t.tgisinternal and t.tgenabled <> 'O'),
               'columns', (select coalesce(json_agg(a.attname order by a.attnum), '[]') from pg_attribute a
                            where a.attrelid = c.oid and a.attnum = any(k.conkey)),
               'references', r.relname, 'comment', obj_description(k.oid, 'pg_constraint'))
          from pg_constraint k join pg_class c on c.oid = k.conrelid left join pg_class r on r.oid = k.confrelid
         where c.relnamespace = $1::regnamespace and not c.relispartition
           and (k.contype in ('p', 'u', 'f', 'c', 'x') or k.contype = 'n' and not k.convalidated)""",
    "index": """
        select x.relname::text, json_build_object(
               'table', c.relname, 'name', x.relname, 'unique', i.indisunique,
               'definition', replace(pg_get_indexdef(i.indexrelid), ' ON ONLY ', ' ON '), 'valid', i.indisvalid,
               'columns', (select coalesce(json_agg(a.attname order by a.attnum), '[]') from pg_attribute a
                            where a.attrelid = c.oid and a.attnum = any(i.indkey)),
               'constraint', (select k.conname from pg_constraint k
                               where k.conindid = i.indexrelid and k.contype in ('p', 'u', 'x')),
               'partitioned', c.relkind = 'p', 'comment', obj_description(x.oid, 'pg_class'))
          from pg_index i join pg_class c on c.oid = i.indrelid join pg_class x on x.oid = i.indexrelid
         where c.relnamespace = $1::regnamespace and not c.relispartition""",
    "policy": """
        select c.relname || '.' || p.polname, json_build_object(
               'table', c.relname, 'name', p.polname, 'permissive', p.polpermissive,
               'for', case p.polcmd when 'r' then 'select' when 'a' then 'insert' when 'w' then 'update'
                                    when 'd' then 'delete' else 'all' end,
               'to', (select json_agg(coalesce(r.rolname, 'public') order by r.rolname)
                        from unnest(p.polroles) o left join pg_roles r on r.oid = o),
               'using', pg_get_expr(p.polqual, p.polrelid), 'check', pg_get_expr(p.polwithcheck, p.polrelid),
               'comment', obj_description(p.oid, 'pg_policy'))
          from pg_policy p join pg_class c on c.oid = p.polrelid
         where c.relnamespace = $1::regnamespace and not c.relispartition""",
    "trigger": """
        select c.relname || '.' || t.tgname, json_build_object(
               'table', c.relname, 'name', t.tgname, 'definition', pg_get_triggerdef(t.oid),
               'enabled', case t.tgenabled when 'O' then 'yes' when 'D' then 'no' when 'A' then 'always'
                                           else 'on replicas only' end,
               'comment', obj_description(t.oid, 'pg_trigger'))
          from pg_trigger t join pg_class c on c.oid = t.tgrelid
         where c.relnamespace = $1::regnamespace and not t.tgisinternal and not c.relispartition""",
    "function": """
        select format('%s(%s)', p.proname, oidvectortypes(p.proargtypes)), json_build_object(
               'name', p.proname, 'arguments', oidvectortypes(p.proargtypes), 'owner', pg_get_userbyid(p.proowner),
               'kind', case p.prokind when 'p' then 'procedure' when 'a' then 'aggregate' else 'function' end,
               'returns', pg_get_function_result(p.oid), 'argument names', to_json(p.proargnames),
               'defaults', pg_get_expr(p.proargdefaults, 0), 'security definer', p.prosecdef,
               'settings', coalesce(to_json(p.proconfig), '[]'), 'body', p.prosrc,
               'definition', case when p.prokind <> 'a' then pg_get_functiondef(p.oid) end,
               'comment', obj_description(p.oid, 'pg_proc'))
          from pg_proc p
         where p.pronamespace = $1::regnamespace and not exists (select from pg_depend d
                  where d.classid = 'pg_proc'::regclass and d.objid = p.oid and d.deptype in ('e', 'i'))""",
    "sequence": """
        select c.relname::text, json_build_object(
               'name', c.relname, 'owner', pg_get_userbyid(c.relowner), 'type', format_type(s.seqtypid, null),
               'start', s.seqstart, 'increment', s.seqincrement, 'least', s.seqmin, 'most', s.seqmax,
               'cache', s.seqcache, 'cycles', s.seqcycle)
          from pg_sequence s join pg_class c on c.oid = s.seqrelid
         where c.relnamespace = $1::regnamespace
           and not exists (select from pg_depend d where d.objid = c.oid and d.classid = 'pg_class'::regclass
                              and d.deptype = 'i')""",
    "type": """
        select t.typname::text, json_build_object(
               'name', t.typname, 'owner', pg_get_userbyid(t.typowner),
               'kind', case t.typtype when 'e' then 'enumeration' when 'd' then 'domain' when 'r' then 'range'
                                      else 'composite' end,
               'values', (select json_agg(e.enumlabel order by e.enumsortorder) from pg_enum e
                           where e.enumtypid = t.oid),
               'base', case when t.typtype = 'd' then format_type(t.typbasetype, t.typtypmod) end,
               'default', t.typdefault, 'not null', t.typnotnull,
               'checks', (select json_object_agg(k.conname, pg_get_constraintdef(k.oid) order by k.conname)
                            from pg_constraint k where k.contypid = t.oid and k.contype = 'c'))
          from pg_type t left join pg_class c on c.oid = t.typrelid
         where t.typnamespace = $1::regnamespace and t.typelem = 0
           and (t.typtype in ('e', 'd', 'r') or c.relkind = 'c')""",
    "rule": """
        select tablename || '.' || rulename, json_build_object('table', tablename, 'name', rulename,
               'definition', definition)
          from pg_rules where schemaname = $1""",
    "statistics": """
        select s.stxname::text, json_build_object('name', s.stxname, 'table', c.relname,
               'definition', pg_get_statisticsobjdef(s.oid))
          from pg_statistic_ext s join pg_class c on c.oid = s.stxrelid where s.stxnamespace = $1::regnamespace""",
    "grant": f"""
        select format('%s to %s', c.relname, coalesce(r.rolname, 'public')), json_build_object(
               'table', c.relname, 'to', coalesce(r.rolname, 'public'), 'privileges', {PRIVILEGES},
               'of a sequence', c.relkind = 'S')
          from pg_class c cross join lateral aclexplode(c.relacl) a left join pg_roles r on r.oid = a.grantee
         where c.relnamespace = $1::regnamespace and c.relowner <> a.grantee and not c.relispartition
         group by c.relname, c.relkind, r.rolname""",
    "column grant": f"""
        select format('%s.%s to %s', c.relname, t.attname, coalesce(r.rolname, 'public')), json_build_object(
               'table', c.relname, 'column', t.attname, 'to', coalesce(r.rolname, 'public'),
               'privileges', {PRIVILEGES})
          from pg_attribute t join pg_class c on c.oid = t.attrelid
         cross join lateral aclexplode(t.attacl) a left join pg_roles r on r.oid = a.grantee
         where c.relnamespace = $1::regnamespace and not c.relispartition and not t.attisdropped
         group by c.relname, t.attname, r.rolname""",
    "function grant": f"""
        select format('%s(%s) to %s', p.proname, oidvectortypes(p.proargtypes), coalesce(r.rolname, 'public')),
               json_build_object('function', format('%s(%s)', p.proname, oidvectortypes(p.proargtypes)),
               'to', coalesce(r.rolname, 'public'), 'privileges', {PRIVILEGES})
          from pg_proc p cross join lateral aclexplode(coalesce(p.proacl, acldefault('f', p.proowner))) a
          left join pg_roles r on r.oid = a.grantee
         where p.pronamespace = $1::regnamespace and p.proowner <> a.grantee
           and not exists (select from pg_depend d where d.classid = 'pg_proc'::regclass and d.objid = p.oid
                              and d.deptype in ('e', 'i'))
         group by p.proname, p.proargtypes, r.rolname""",
    "schema grant": f"""
        select format('%s to %s', n.nspname, coalesce(r.rolname, 'public')), json_build_object(
               'to', coalesce(r.rolname, 'public'), 'privileges', {PRIVILEGES})
          from pg_namespace n cross join lateral aclexplode(n.nspacl) a left join pg_roles r on r.oid = a.grantee
         where n.nspname = $1 and n.nspowner <> a.grantee group by n.nspname, r.rolname""",
    # Whatever else a schema can hold, by the words of `drop`.
    "object": """
        select format('%s %s', i.type, i.identity), json_build_object('kind', i.type, 'identity', i.identity)
          from pg_depend d cross join lateral pg_identify_object(d.classid, d.objid, 0) i
         where d.refclassid = 'pg_namespace'::regclass and d.refobjid = $1::regnamespace
           and d.classid::regclass::text = any (array['pg_operator', 'pg_opclass', 'pg_opfamily', 'pg_collation',
               'pg_conversion', 'pg_ts_config', 'pg_ts_dict', 'pg_ts_parser', 'pg_ts_template', 'pg_extension'])
           and not exists (select from pg_depend o
                            where o.classid = d.classid and o.objid = d.objid and o.deptype in ('e', 'i'))""",
    # Only those that are not as they must be: made by `weft.ensure_partition`, and left alone since.
    "partition": f"""
        select c.relname::text, json_build_object(
               'table', p.relname, 'name', c.relname, 'kind', case c.relkind when 'r' then 'table' else 'another' end,
               'row security', c.relrowsecurity, 'row security forced', c.relforcerowsecurity,
               'owner', pg_get_userbyid(c.relowner), 'logged', c.relpersistence = 'p', 'grants', f.grants,
               'policies', f.policies, 'kept for the owner', f.maintained, 'triggers', f.triggers,
               'silent triggers', f.silent, 'references enforced', f.enforced, 'constraints', f.constraints)
          from pg_class c join pg_inherits h on h.inhrelid = c.oid join pg_class p on p.oid = h.inhparent
         cross join lateral (select
               (select coalesce(json_agg(distinct coalesce(r.rolname, 'public')), '[]')
                  from (select c.relacl as acl union all
                        select t.attacl from pg_attribute t where t.attrelid = c.oid and not t.attisdropped) l
                 cross join lateral aclexplode(l.acl) a left join pg_roles r on r.oid = a.grantee
                 where a.grantee <> c.relowner) as grants,
               (select coalesce(json_agg(o.polname), '[]') from pg_policy o
                 where o.polrelid = c.oid and not {_KEPT}) as policies,
               exists (select from pg_policy o where o.polrelid = c.oid and {_KEPT}) as maintained,
               (select coalesce(json_agg(t.tgname), '[]') from pg_trigger t
                 where t.tgrelid = c.oid and not t.tgisinternal and t.tgparentid = 0) as triggers,
               (select coalesce(json_agg(t.tgname), '[]') from pg_trigger t join pg_trigger u on u.oid = t.tgparentid
                 where t.tgrelid = c.oid and not t.tgisinternal and t.tgenabled <> u.tgenabled) as silent,
               not exists (select from pg_trigger t
                            where t.tgrelid = c.oid and t.tgisinternal and t.tgenabled <> 'O') as enforced,
               (select coalesce(json_agg(k.conname), '[]') from pg_constraint k
                 where k.conrelid = c.oid and k.contype in ('p', 'u', 'f', 'c', 'x')
                   and k.conparentid = 0 and k.coninhcount = 0) as constraints) f
         where c.relnamespace = $1::regnamespace and c.relispartition and c.relkind in ('r', 'p', 'f')
           and (c.relkind <> 'r' or not c.relrowsecurity or not c.relforcerowsecurity or c.relowner <> p.relowner
                or c.relpersistence <> 'p' or not f.maintained or not f.enforced
                or '[]' <> any (array[f.grants::text, f.policies::text, f.triggers::text, f.silent::text,
                                      f.constraints::text]))""",
}
