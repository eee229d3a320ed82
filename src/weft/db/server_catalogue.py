"""What is read of the server around a schema: weft's roles, who may act as them, what is set for them, and what reaches
into the schema from outside.

Backups do not hold it, and it is not part of revisions. `$1` is the schema.
"""

from __future__ import annotations

from typing import Final

from weft.db.catalogue import PRIVILEGES

ROLES: Final = ("weft_owner", "weft_app", "weft_auth", "weft_audit", "weft_dispatch", "weft_retention")
"""Only these: who reads the log, or watches the server, may be called weft_something too."""

_OURS = "({})".format(", ".join(f"'{name}'" for name in ROLES))

_TELLING = """(s ~ '^(search_path|role|row_security|session_replication_role|session_preload_libraries'
                    '|local_preload_libraries|transform_null_equals|synchronous_commit|app[.].*)=')"""
"""Settings that change what a statement does or promises. How long it may take, and with how much memory, is for
operators to say. A tenant set for a login (`app.tenant_id`) would be the tenant of every connection."""

SERVER_OBJECTS: Final = {
    "role": f"""
        select rolname::text, json_build_object(
               'name', rolname, 'superuser', rolsuper, 'bypasses row security', rolbypassrls, 'inherits', rolinherit,
               'creates roles', rolcreaterole, 'creates databases', rolcreatedb, 'replicates', rolreplication,
               'logs in', rolcanlogin,
               'settings', (select coalesce(json_agg(s order by s), '[]') from unnest(rolconfig) s where {_TELLING}))
          from pg_roles where rolname in {_OURS} and $1 <> ''""",
    # Since PostgreSQL 16 whoever made a role without being a superuser may pass it on, and is a member by that alone;
    # before 16 a membership had no options, and its member's own decided.
    "membership": f"""
        select format('%s in %s', m.rolname, r.rolname), json_build_object(
               'member', m.rolname, 'in', r.rolname, 'passes it on', bool_or(g.admin_option),
               'inherits', bool_or(o.inherits), 'may act as it', bool_or(o.acts),
               'granted by', (json_agg(distinct pg_get_userbyid(g.grantor) order by pg_get_userbyid(g.grantor))
                                filter (where g.grantor <> 10 and not (m.rolname in {_OURS} and r.rolname in {_OURS}))))
          from pg_auth_members g join pg_roles m on m.oid = g.member join pg_roles r on r.oid = g.roleid
         cross join lateral (select coalesce((to_jsonb(g) ->> 'inherit_option')::boolean, m.rolinherit) as inherits,
                                    coalesce((to_jsonb(g) ->> 'set_option')::boolean, true) as acts) o
         where (m.rolname in {_OURS} or r.rolname in {_OURS} and not m.rolsuper) and $1 <> ''
           and not (m.rolname not in {_OURS} and m.rolcreaterole and not o.inherits and not o.acts)
         group by m.rolname, r.rolname""",
    "setting": f"""
        select format('%s of %s%s', split_part(s, '=', 1), coalesce(r.rolname, 'everybody'),
                      case when d.setdatabase <> 0 then ' in this database' else '' end),
               json_build_object('name', split_part(s, '=', 1), 'value', substr(s, strpos(s, '=') + 1),
               'role', r.rolname, 'database', b.datname)
          from pg_db_role_setting d cross join lateral unnest(d.setconfig) s
          left join pg_roles r on r.oid = d.setrole left join pg_database b on b.oid = d.setdatabase
         where (d.setrole = 0 or r.rolname in {_OURS}) and {_TELLING} and $1 <> ''
           and (b.datname = current_database() or d.setdatabase = 0 and d.setrole = 0)""",
    "parameter grant": f"""
        select format('%s to %s', p.parname, coalesce(r.rolname, 'public')), json_build_object(
               'parameter', p.parname, 'to', coalesce(r.rolname, 'public'), 'privileges', {PRIVILEGES})
          from pg_parameter_acl p cross join lateral aclexplode(p.paracl) a left join pg_roles r on r.oid = a.grantee
         where (a.grantee = 0 or r.rolname in {_OURS}) and $1 <> '' group by p.parname, r.rolname""",
    "event trigger": """
        select e.evtname::text, json_build_object(
               'name', e.evtname, 'event', e.evtevent, 'tags', coalesce(to_json(e.evttags), '[]'),
               'calls', e.evtfoid::regprocedure::text, 'enabled', e.evtenabled <> 'D')
          from pg_event_trigger e
         where $1 <> '' and not exists (select from pg_depend d where d.classid = 'pg_event_trigger'::regclass
                                           and d.objid = e.oid and d.deptype = 'e')""",
    "default privilege": f"""
        select format('%s of %s to %s%s', k.word, k.name, coalesce(r.rolname, 'public'),
                      case when d.defaclnamespace <> 0 then ' in this schema' else '' end),
               json_build_object('on', k.word, 'owner', k.name, 'everywhere', d.defaclnamespace = 0,
               'to', coalesce(r.rolname, 'public'), 'privileges', {PRIVILEGES})
          from pg_default_acl d
         cross join lateral (select pg_get_userbyid(d.defaclrole) as name,
                                    case d.defaclobjtype when 'r' then 'tables' when 'S' then 'sequences'
                                    when 'f' then 'functions' when 'T' then 'types' else 'schemas' end as word) k
         cross join lateral aclexplode(d.defaclacl) a left join pg_roles r on r.oid = a.grantee
         where (d.defaclnamespace = $1::regnamespace or d.defaclnamespace = 0 and k.name in {_OURS})
           and d.defaclrole <> a.grantee
         group by k.word, k.name, d.defaclnamespace, r.rolname""",
    # Rows of a child are read with its parent, by the parent's rights and policies.
    "inheritance": """
        select format('%s from %s', f.child, f.parent), json_build_object(
               'child', f.child, 'parent', f.parent, 'as partition', f.partition)
          from (select h.inhrelid::regclass::text as child, h.inhparent::regclass::text as parent,
                       c.relispartition as partition, c.relnamespace as here, p.relnamespace as there, p.relkind
                  from pg_inherits h join pg_class c on c.oid = h.inhrelid join pg_class p on p.oid = h.inhparent) f
         where f.relkind in ('r', 'p', 'f') and $1::regnamespace in (f.here, f.there)
           and not (f.partition and f.here = f.there)""",
}
