"""The schema as the catalogue has it, object by object, as facts that two servers agree on.

Unlike a comparison with the models it sees row security flags, policies, triggers, functions, grants, partial
predicates and validity: what a hand-made change leaves behind. Names of monthly partitions are left out, because
how many there are depends on the date; what they must be is checked by rule. So is the order of columns, which
depends on when they came.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from weft.db.base import SCHEMA

Facts = Mapping[str, Any]
"""What is known of one object. `name` and `table` say which; `definition` is its SQL where PostgreSQL has it."""

Key = tuple[str, str]
"""Kind and name, as people read them: `("policy", "clients.tenant_rw")`."""

Fingerprint = dict[Key, Facts]

_STORAGE = "case {} when 'p' then 'plain' when 'e' then 'external' when 'm' then 'main' else 'extended' end"
_PRIVILEGES = """json_agg(a.privilege_type || case when a.is_grantable then ' with grant option' else '' end
                          order by a.privilege_type)"""

_OBJECTS = {
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
               'comment', obj_description(c.oid, 'pg_class'))
          from pg_class c
         where c.relnamespace = $1::regnamespace and c.relkind in ('r', 'p', 'v', 'm', 'f') and not c.relispartition""",
    "column": f"""
        select c.relname || '.' || a.attname, json_build_object(
               'table', c.relname, 'name', a.attname, 'type', format_type(a.atttypid, a.atttypmod),
               'nullable', not a.attnotnull,
               'default', case when a.attgenerated = '' then pg_get_expr(d.adbin, d.adrelid) end,
               'collation', case when a.attcollation <> t.typcollation then l.collname end,
               'generated', case when a.attgenerated <> '' then
                  pg_get_expr(d.adbin, d.adrelid)
                  || case a.attgenerated when 's' then ' stored' else ' virtual' end end,
               'identity', case a.attidentity when 'a' then 'always' when 'd' then 'by default' end,
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
               'returns', pg_get_function_result(p.oid), 'security definer', p.prosecdef,
               'settings', coalesce(to_json(p.proconfig), '[]'), 'body', p.prosrc,
               'definition', case when p.prokind <> 'a' then pg_get_functiondef(p.oid) end,
               'comment', obj_description(p.oid, 'pg_proc'))
          from pg_proc p where p.pronamespace = $1::regnamespace""",
    "sequence": """
        select c.relname::text, json_build_object(
               'name', c.relname, 'owner', pg_get_userbyid(c.relowner), 'type', format_type(s.seqtypid, null),
               'start', s.seqstart, 'increment', s.seqincrement, 'least', s.seqmin, 'most', s.seqmax,
               'cycles', s.seqcycle)
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
               'checks', (select json_agg(pg_get_constraintdef(k.oid) order by k.conname) from pg_constraint k
                           where k.contypid = t.oid))
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
               'table', c.relname, 'to', coalesce(r.rolname, 'public'), 'privileges', {_PRIVILEGES})
          from pg_class c cross join lateral aclexplode(c.relacl) a left join pg_roles r on r.oid = a.grantee
         where c.relnamespace = $1::regnamespace and c.relowner <> a.grantee and not c.relispartition
         group by c.relname, r.rolname""",
    "column grant": f"""
        select format('%s.%s to %s', c.relname, t.attname, coalesce(r.rolname, 'public')), json_build_object(
               'table', c.relname, 'column', t.attname, 'to', coalesce(r.rolname, 'public'),
               'privileges', {_PRIVILEGES})
          from pg_attribute t join pg_class c on c.oid = t.attrelid
         cross join lateral aclexplode(t.attacl) a left join pg_roles r on r.oid = a.grantee
         where c.relnamespace = $1::regnamespace and not c.relispartition and not t.attisdropped
         group by c.relname, t.attname, r.rolname""",
    "function grant": f"""
        select format('%s(%s) to %s', p.proname, oidvectortypes(p.proargtypes), coalesce(r.rolname, 'public')),
               json_build_object('function', format('%s(%s)', p.proname, oidvectortypes(p.proargtypes)),
               'to', coalesce(r.rolname, 'public'), 'privileges', {_PRIVILEGES})
          from pg_proc p cross join lateral aclexplode(coalesce(p.proacl, acldefault('f', p.proowner))) a
          left join pg_roles r on r.oid = a.grantee
         where p.pronamespace = $1::regnamespace and p.proowner <> a.grantee
         group by p.proname, p.proargtypes, r.rolname""",
    "schema grant": f"""
        select format('%s to %s', n.nspname, coalesce(r.rolname, 'public')), json_build_object(
               'to', coalesce(r.rolname, 'public'), 'privileges', {_PRIVILEGES})
          from pg_namespace n cross join lateral aclexplode(n.nspacl) a left join pg_roles r on r.oid = a.grantee
         where n.nspname = $1 and n.nspowner <> a.grantee group by n.nspname, r.rolname""",
    "default privilege": f"""
        select format('%s of %s to %s', k.word, pg_get_userbyid(d.defaclrole), coalesce(r.rolname, 'public')),
               json_build_object('on', k.word, 'owner', pg_get_userbyid(d.defaclrole),
               'everywhere', d.defaclnamespace = 0, 'to', coalesce(r.rolname, 'public'), 'privileges', {_PRIVILEGES})
          from pg_default_acl d
         cross join lateral (select case d.defaclobjtype when 'r' then 'tables' when 'S' then 'sequences'
                                    when 'f' then 'functions' when 'T' then 'types' else 'schemas' end as word) k
         cross join lateral aclexplode(d.defaclacl) a left join pg_roles r on r.oid = a.grantee
         where d.defaclnamespace in (0, $1::regnamespace) and pg_get_userbyid(d.defaclrole) like 'weft\\_%'
           and d.defaclrole <> a.grantee
         group by k.word, d.defaclrole, d.defaclnamespace, r.rolname""",
    "role": """
        select rolname::text, json_build_object(
               'name', rolname, 'superuser', rolsuper, 'bypasses row security', rolbypassrls, 'inherits', rolinherit,
               'creates roles', rolcreaterole, 'creates databases', rolcreatedb, 'replicates', rolreplication,
               'logs in', rolcanlogin,
               'settings', (select coalesce(json_agg(s order by s), '[]') from unnest(rolconfig) s
                             where split_part(s, '=', 1) in
                                   ('search_path', 'row_security', 'role', 'session_replication_role')))
          from pg_roles where rolname like 'weft\\_%' and $1 <> ''""",
    "membership": """
        select distinct format('%s in %s', m.rolname, r.rolname),
               json_build_object('member', m.rolname, 'in', r.rolname)::text
          from pg_auth_members g join pg_roles m on m.oid = g.member join pg_roles r on r.oid = g.roleid
         where m.rolname like 'weft\\_%' and $1 <> ''""",
    "partition": """
        select c.relname::text, json_build_object(
               'table', p.relname, 'name', c.relname, 'row security', c.relrowsecurity,
               'row security forced', c.relforcerowsecurity, 'owner', pg_get_userbyid(c.relowner),
               'grants', f.grants, 'policies', f.policies, 'kept for the owner', f.maintained,
               'silent triggers', f.triggers)
          from pg_class c join pg_inherits h on h.inhrelid = c.oid join pg_class p on p.oid = h.inhparent
         cross join lateral (select
               (select coalesce(json_agg(distinct coalesce(r.rolname, 'public')), '[]') from aclexplode(c.relacl) a
                  left join pg_roles r on r.oid = a.grantee where a.grantee <> c.relowner) as grants,
               (select coalesce(json_agg(o.polname), '[]') from pg_policy o where o.polrelid = c.oid
                   and (o.polname <> 'owner_maint' or o.polroles <> array[c.relowner])) as policies,
               exists (select from pg_policy o where o.polrelid = c.oid and o.polname = 'owner_maint') as maintained,
               (select coalesce(json_agg(t.tgname), '[]') from pg_trigger t join pg_trigger u on u.oid = t.tgparentid
                 where t.tgrelid = c.oid and not t.tgisinternal and t.tgenabled <> u.tgenabled) as triggers) f
         where c.relnamespace = $1::regnamespace and c.relispartition and c.relkind = 'r'
           and (not c.relrowsecurity or not c.relforcerowsecurity or c.relowner <> p.relowner
                or not f.maintained
                or f.grants::text <> '[]' or f.policies::text <> '[]' or f.triggers::text <> '[]')""",
}

_PERMISSIONS = """
    select format('%s:%s', resource, action), row_to_json(p)::text from weft.permissions p
    /* weft:fingerprint.permission */"""
"""The catalogue of permissions: rows, but of the schema's making, and changed by revisions only."""

_MAY_READ = "select coalesce(has_table_privilege(to_regclass('weft.permissions'), 'select'), false)"


@dataclass(frozen=True, slots=True)
class Difference:
    """One object that is not as it should be. `expected` or `found` is None when it is missing on that side."""

    kind: str
    name: str
    expected: Facts | None
    found: Facts | None

    @property
    def key(self) -> Key:
        return self.kind, self.name

    def changed(self) -> list[str]:
        """Which facts differ, in the order of the catalogue; empty when a side is missing."""
        if self.expected is None or self.found is None:
            return []
        return [fact for fact, value in self.expected.items() if self.found.get(fact) != value]

    def sentence(self) -> str:
        if self.found is None:
            return f"The {self.kind} {self.name} is missing."
        if self.expected is None:
            return f"The {self.kind} {self.name} should not be there."
        return f"The {self.kind} {self.name} differs in: {', '.join(self.changed())}."


async def take(connection: Any) -> Fingerprint:
    """Every object of the schema, by kind and name; empty when there is no schema. Any login will do.

    Within the transaction that is open, however it was begun (a backup's has its snapshot), or in one of its own.
    """
    if connection.is_in_transaction():
        return await _read(connection)
    async with connection.transaction():
        return await _read(connection)


async def _read(connection: Any) -> Fingerprint:
    found: Fingerprint = {}
    # Names are qualified in what PostgreSQL prints, whoever asks.
    path = await connection.fetchval("select current_setting('search_path')")
    await connection.execute("set local search_path = pg_catalog")
    maintained = await connection.fetchval("select coalesce(current_setting('app.maintenance', true), '')")
    await connection.execute("set local app.maintenance = 'on'")  # the owner, too, sees rows
    exists = await connection.fetchval("select to_regnamespace($1) is not null", SCHEMA)
    for kind, query in (_OBJECTS if exists else {}).items():
        for name, facts in await connection.fetch(f"{query} /* weft:fingerprint.{kind.replace(' ', '_')} */", SCHEMA):
            found[kind, name] = json.loads(facts)
    if exists and await connection.fetchval(_MAY_READ):
        for name, facts in await connection.fetch(_PERMISSIONS):
            found["permission", name] = json.loads(facts)
    await connection.execute(f"set local search_path = {path}; set local app.maintenance = '{maintained}'")
    return found


def compare(expected: Fingerprint, found: Fingerprint) -> list[Difference]:
    """What differs, sorted by kind and name; empty when the schemas are the same."""
    return [
        Difference(*key, expected.get(key), found.get(key))
        for key in sorted(expected.keys() | found.keys())
        if expected.get(key) != found.get(key)
    ]


def digest(fingerprint: Fingerprint) -> str:
    """The whole in one word, to be kept with a release or a backup."""
    lines = [[*key, dict(facts)] for key, facts in sorted(fingerprint.items())]
    return hashlib.sha256(json.dumps(lines, sort_keys=True).encode()).hexdigest()
