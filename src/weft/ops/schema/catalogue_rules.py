"""Our own rules on a live catalogue: what keeps tenants apart, and what row security makes of indexes.

Each is one query that names the objects that offend; `$1` are the tables of the whole installation.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from weft.ops.schema.finding import Finding
from weft.ops.schema.shared import shared_tables


@dataclass(frozen=True, slots=True)
class Rule:
    name: str
    message: str
    query: str


RULES = (
    Rule(
        "row-security", "Row level security is not enabled and forced.",
        """select c.relname::text from pg_class c
            where c.relnamespace = 'weft'::regnamespace and c.relkind in ('r', 'p') and c.relname <> 'alembic_version'
              and not (c.relrowsecurity and c.relforcerowsecurity) and $1::text[] is not null""",
    ),
    Rule(
        "tenant-column", "It has no tenant_id, and its model does not say that the whole installation shares it.",
        """select c.relname::text from pg_class c
            where c.relnamespace = 'weft'::regnamespace and c.relkind in ('r', 'p') and not c.relispartition
              and c.relname <> all($1)
              and not exists (select from pg_attribute a
                               where a.attrelid = c.oid and a.attname = 'tenant_id' and a.attnotnull)""",
    ),
    Rule(
        "primary-key", "It has no primary key.",
        """select c.relname::text from pg_class c
            where c.relnamespace = 'weft'::regnamespace and c.relkind in ('r', 'p') and $1::text[] is not null
              and not exists (select from pg_constraint k where k.conrelid = c.oid and k.contype = 'p')""",
    ),
    Rule(
        "tenant-key", "A unique key that does not begin with tenant_id tells one tenant of another's rows.",
        """select x.relname::text from pg_index i
             join pg_class c on c.oid = i.indrelid join pg_class x on x.oid = i.indexrelid
             left join pg_attribute a on a.attrelid = c.oid and a.attnum = i.indkey[0]
            where c.relnamespace = 'weft'::regnamespace and c.relkind in ('r', 'p') and i.indisunique
              and not c.relispartition and c.relname <> all($1) and a.attname is distinct from 'tenant_id'""",
    ),
    Rule(
        "tenant-reference", "A reference to a tenant's table does not carry tenant_id: row security does not guard it.",
        """select k.conname::text from pg_constraint k
             join pg_class c on c.oid = k.conrelid join pg_class t on t.oid = k.confrelid
            where k.contype = 'f' and c.relnamespace = 'weft'::regnamespace and t.relname <> all($1)
              and not exists (select from pg_attribute a where a.attrelid = k.conrelid and a.attnum = any(k.conkey)
                                 and a.attname = 'tenant_id')""",
    ),
    Rule(
        "unindexed-reference", "No index finds its rows: every delete of a parent reads the whole table.",
        """select k.conname::text from pg_constraint k
             join pg_class c on c.oid = k.conrelid join pg_class t on t.oid = k.confrelid
            where k.contype = 'f' and c.relnamespace = 'weft'::regnamespace and k.conparentid = 0
              and not (t.relname = any($1) and t.relname <> 'users')
              and not exists (select from pg_index i where i.indrelid = k.conrelid
                 and (i.indkey::int2[])[0:array_length(k.conkey, 1) - 1] @> k.conkey)""",
    ),
    Rule(
        "policy-restrictive", "A restrictive policy becomes permissive on a distributed PostgreSQL.",
        """select tablename || '.' || policyname from pg_policies
            where schemaname = 'weft' and permissive <> 'PERMISSIVE' and $1::text[] is not null""",
    ),
    Rule(
        "policy-sub-select", "A sub-select in a policy hides the tenant from the planner.",
        """select tablename || '.' || policyname from pg_policies
            where schemaname = 'weft' and concat(qual, ' ', with_check) ~* 'select' and $1::text[] is not null""",
    ),
    Rule(
        "policies-add-up", "Policies of one role are joined by OR: a second one opens the table.",
        """select tablename || ' to ' || role from
             (select tablename, unnest(roles)::text as role from pg_policies where schemaname = 'weft') p
            where $1::text[] is not null group by tablename, role having count(*) > 1""",
    ),
    Rule(
        "policy-always-true", "A policy lets the application see every tenant's rows.",
        """select tablename || '.' || policyname from pg_policies
            where schemaname = 'weft' and tablename <> all($1) and roles && array['weft_app', 'public']::name[]
              and (qual = 'true' or with_check = 'true')""",
    ),
    Rule(
        "leaky-index", "Its operator is not leakproof, so under row security the index is never used.",
        """select x.relname || ': ' || pg_get_indexdef(i.indexrelid, k.n, true) from pg_index i
             join pg_class x on x.oid = i.indexrelid
             join pg_class t on t.oid = i.indrelid and t.relrowsecurity and t.relnamespace = 'weft'::regnamespace
            cross join lateral generate_series(1, i.indnkeyatts) k(n)
             join pg_opclass oc on oc.oid = i.indclass[k.n - 1]
             join pg_amop a on a.amopfamily = oc.opcfamily and a.amoplefttype = oc.opcintype
              and (a.amoprighttype = oc.opcintype or oc.opcname like 'jsonb%')
             join pg_operator o on o.oid = a.amopopr join pg_proc p on p.oid = o.oprcode
            where $1::text[] is not null
            group by x.relname, i.indexrelid, i.indkey, k.n
           having bool_or(not p.proleakproof) or i.indkey[k.n - 1] = 0""",
    ),
    Rule(
        "invalid-index", "The index is invalid: it costs, and serves nobody.",
        """select x.relname::text from pg_index i
             join pg_class c on c.oid = i.indrelid join pg_class x on x.oid = i.indexrelid
            where c.relnamespace = 'weft'::regnamespace and not i.indisvalid and $1::text[] is not null""",
    ),
    Rule(
        "not-validated", "The constraint was never checked for the rows that are there.",
        """select c.relname || '.' || k.conname from pg_constraint k join pg_class c on c.oid = k.conrelid
            where c.relnamespace = 'weft'::regnamespace and not k.convalidated and $1::text[] is not null""",
    ),
    Rule(
        "partition-open", "A partition has rights or policies of its own: reached directly it is not its table.",
        """select c.relname::text from pg_class c
            where c.relnamespace = 'weft'::regnamespace and c.relispartition and $1::text[] is not null
              and (exists (select from aclexplode(c.relacl) a where a.grantee <> c.relowner)
                   or exists (select from pg_policy p where p.polrelid = c.oid
                               and (p.polname <> 'owner_maint' or p.polroles <> array[c.relowner])))""",
    ),
    Rule(
        "grant-to-public", "Everybody has a right to it.",
        """select c.relname::text from pg_class c cross join lateral aclexplode(c.relacl) a
            where c.relnamespace = 'weft'::regnamespace and a.grantee = 0 and $1::text[] is not null
            union select format('%s(%s)', p.proname, oidvectortypes(p.proargtypes)) from pg_proc p
             cross join lateral aclexplode(coalesce(p.proacl, acldefault('f', p.proowner))) a
            where p.pronamespace = 'weft'::regnamespace and a.grantee = 0
            union select n.nspname::text from pg_namespace n cross join lateral aclexplode(n.nspacl) a
            where n.nspname = 'weft' and a.grantee = 0""",
    ),
    Rule(
        "right-too-many", "The application may do more to it than read and write rows.",
        """select distinct c.relname::text from pg_class c cross join lateral aclexplode(c.relacl) a
             join pg_roles r on r.oid = a.grantee
            where c.relnamespace = 'weft'::regnamespace and r.rolname = 'weft_app' and $1::text[] is not null
              and a.privilege_type not in ('SELECT', 'INSERT', 'UPDATE', 'DELETE')""",
    ),
    Rule(
        "function-search-path", "The function does not fix its search_path, beginning with pg_catalog.",
        """select format('%s(%s)', p.proname, oidvectortypes(p.proargtypes)) from pg_proc p
            where p.pronamespace = 'weft'::regnamespace and $1::text[] is not null
              and not exists (select from unnest(p.proconfig) s where s like 'search\\_path=pg\\_catalog%')""",
    ),
    Rule(
        "view-of-its-owner", "The view shows what its owner sees: make it security_invoker.",
        """select c.relname::text from pg_class c
            where c.relnamespace = 'weft'::regnamespace and c.relkind in ('v', 'm') and $1::text[] is not null
              and not coalesce(c.reloptions @> array['security_invoker=true'], false)""",
    ),
    Rule(
        "column-type", "A time needs a zone; a state is text with a check, for a native enumeration cannot be indexed.",
        """select c.relname || '.' || a.attname from pg_attribute a join pg_class c on c.oid = a.attrelid
             join pg_type t on t.oid = a.atttypid
            where c.relnamespace = 'weft'::regnamespace and c.relkind in ('r', 'p') and a.attnum > 0
              and not a.attisdropped and not c.relispartition and $1::text[] is not null
              and (t.typtype = 'e' or t.typname in ('timestamp', 'timetz'))""",
    ),
    Rule(
        "role-unsafe", "The application's role has a right that lifts it above row security.",
        """select r.rolname::text from pg_roles r
            where r.rolname = 'weft_app' and $1::text[] is not null
              and (r.rolsuper or r.rolbypassrls or r.rolcreaterole or r.rolcreatedb or r.rolreplication
                   or exists (select from pg_auth_members m where m.member = r.oid))""",
    ),
)  # fmt: skip


async def offenders(connection: Any, rule: Rule) -> list[str]:
    """The objects that break a rule, by name."""
    found = await connection.fetch(f"{rule.query} /* weft:lint.{rule.name} */", sorted(shared_tables()))
    return sorted(row[0] for row in found)


def findings(rule: Rule, names: list[str]) -> Iterator[Finding]:
    for name in names:
        yield Finding(line=0, rule=rule.name, level="error", message=rule.message, object=name)
