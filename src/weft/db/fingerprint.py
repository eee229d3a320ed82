"""The schema as the catalogue has it, object by object, in words that two servers agree on.

Unlike a comparison with the models it sees row security flags, policies, triggers, functions, grants, partial
predicates and validity: what a hand-made change leaves behind. Names of monthly partitions are left out, because
how many there are depends on the date; what they must be is checked by rule.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from weft.db.base import SCHEMA

_OBJECTS = {
    "table": """
        select c.relname::text,
               format('kind %s, row security %s, forced %s, owner %s, options %s, partitioned %s',
                      c.relkind, c.relrowsecurity, c.relforcerowsecurity, pg_get_userbyid(c.relowner),
                      coalesce(array_to_string(c.reloptions, ','), '-'), coalesce(pg_get_partkeydef(c.oid), '-'))
          from pg_class c
         where c.relnamespace = $1::regnamespace and c.relkind in ('r', 'p', 'v', 'm') and not c.relispartition""",
    "column": """
        select c.relname || '.' || a.attname,
               format('%s, null %s, default %s', format_type(a.atttypid, a.atttypmod), not a.attnotnull,
                      coalesce(pg_get_expr(d.adbin, d.adrelid), '-'))
          from pg_attribute a join pg_class c on c.oid = a.attrelid
          left join pg_attrdef d on d.adrelid = a.attrelid and d.adnum = a.attnum
         where c.relnamespace = $1::regnamespace and c.relkind in ('r', 'p', 'v', 'm') and not c.relispartition
           and a.attnum > 0 and not a.attisdropped""",
    "constraint": """
        select c.relname || '.' || k.conname, pg_get_constraintdef(k.oid) || ', validated ' || k.convalidated
          from pg_constraint k join pg_class c on c.oid = k.conrelid
         where c.relnamespace = $1::regnamespace and k.contype in ('p', 'u', 'f', 'c', 'x') and not c.relispartition""",
    "index": """
        select i.indexrelid::regclass::text, pg_get_indexdef(i.indexrelid) || ', valid ' || i.indisvalid
          from pg_index i join pg_class c on c.oid = i.indrelid
         where c.relnamespace = $1::regnamespace and not c.relispartition""",
    "policy": """
        select tablename || '.' || policyname,
               format('%s, for %s, to %s, using %s, check %s', permissive, cmd, array_to_string(roles, ','),
                      coalesce(qual, '-'), coalesce(with_check, '-'))
          from pg_policies
         where schemaname = $1 and not (select c.relispartition from pg_class c
                                         where c.relnamespace = $1::regnamespace and c.relname = tablename)""",
    "trigger": """
        select c.relname || '.' || t.tgname, pg_get_triggerdef(t.oid) || ', enabled ' || t.tgenabled::text
          from pg_trigger t join pg_class c on c.oid = t.tgrelid
         where c.relnamespace = $1::regnamespace and not t.tgisinternal and not c.relispartition""",
    "function": """
        select p.oid::regprocedure::text,
               format('owner %s, definer %s, settings %s, body %s', pg_get_userbyid(p.proowner), p.prosecdef,
                      coalesce(array_to_string(p.proconfig, ','), '-'), md5(p.prosrc))
          from pg_proc p where p.pronamespace = $1::regnamespace""",
    "grant": """
        select format('%s to %s', c.relname, coalesce(r.rolname, 'public')),
               string_agg(a.privilege_type, ', ' order by a.privilege_type)
          from pg_class c cross join lateral aclexplode(c.relacl) a left join pg_roles r on r.oid = a.grantee
         where c.relnamespace = $1::regnamespace and c.relowner <> a.grantee
         group by c.relname, r.rolname""",
    "function grant": """
        select format('%s to %s', p.oid::regprocedure, coalesce(r.rolname, 'public')),
               string_agg(a.privilege_type, ', ' order by a.privilege_type)
          from pg_proc p cross join lateral aclexplode(p.proacl) a left join pg_roles r on r.oid = a.grantee
         where p.pronamespace = $1::regnamespace and p.proowner <> a.grantee
         group by p.oid, r.rolname""",
    "role": """
        select rolname::text, format('superuser %s, bypasses row security %s, inherits %s, creates roles %s',
                                     rolsuper, rolbypassrls, rolinherit, rolcreaterole)
          from pg_roles where rolname like 'weft\\_%' and $1 <> ''""",
    "partition": """
        select 'partition ' || c.relname,
               format('row security %s, forced %s, grants %s, policies %s', c.relrowsecurity, c.relforcerowsecurity,
                      (select count(*) from aclexplode(c.relacl) a where a.grantee <> c.relowner),
                      (select coalesce(string_agg(p.polname, ', ' order by p.polname), '-') from pg_policy p
                        where p.polrelid = c.oid))
          from pg_class c
         where c.relnamespace = $1::regnamespace and c.relispartition and c.relkind = 'r'
           and (not c.relrowsecurity or not c.relforcerowsecurity
                or exists (select from aclexplode(c.relacl) a where a.grantee <> c.relowner)
                or not exists (select from pg_policy p where p.polrelid = c.oid and p.polname = 'owner_maint')
                or exists (select from pg_policy p where p.polrelid = c.oid and p.polroles <> array[c.relowner]))""",
}


@dataclass(frozen=True, slots=True, order=True)
class Difference:
    """One object that is not as it should be. `expected` or `found` is None when it is missing on that side."""

    kind: str
    name: str
    expected: str | None
    found: str | None

    def sentence(self) -> str:
        if self.found is None:
            return f"The {self.kind} {self.name} is missing. It should be: {self.expected}"
        if self.expected is None:
            return f"The {self.kind} {self.name} should not be there: {self.found}"
        return f"The {self.kind} {self.name} differs. It should be: {self.expected} It is: {self.found}"


Fingerprint = dict[tuple[str, str], str]


async def take(connection: Any) -> Fingerprint:
    """Every object of the schema, by kind and name. Any login that may read the catalogue will do."""
    found: Fingerprint = {}
    for kind, query in _OBJECTS.items():
        for name, definition in await connection.fetch(query, SCHEMA):
            found[kind, name] = definition
    return found


def compare(expected: Fingerprint, found: Fingerprint) -> list[Difference]:
    """What differs, sorted by kind and name; empty when the schemas are the same."""
    return sorted(
        Difference(kind, name, expected.get((kind, name)), found.get((kind, name)))
        for kind, name in expected.keys() | found.keys()
        if expected.get((kind, name)) != found.get((kind, name))
    )
