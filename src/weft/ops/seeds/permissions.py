"""The AI-native orchestration platform's first content: the system permissions, and the roles that are made of them.

The catalogue comes with the migrations. What this adds is that it is looked at: a permission that somebody took away
is put back, and the built-in roles of every tenant get what an upgrade has brought.
"""

from __future__ import annotations

from typing import Final

from weft.core.actor import system_actor
from weft.core.ids import new_id
from weft.db.scope import enter
from weft.domain.identity import rules
from weft.domain.identity.service import tenants
from weft.ops.connections import connect
from weft.ops.seeds.errors import PermissionsIncomplete
from weft.ops.seeds.ground import Run, take_turns

_CATALOGUE: Final = "/* weft:seed.catalogue */ select resource, action from weft.permissions"
_PUT_BACK: Final = """/* weft:seed.put_back */
insert into weft.permissions (resource, action, description)
select * from unnest($1::text[], $2::text[], $3::text[]) on conflict do nothing"""
_TENANTS: Final = "/* weft:seed.tenants */ select tenant_id from weft.retention_tenants()"
_MISSING: Final = """/* weft:seed.missing */
select count(*) from unnest($2::text[], $3::text[], $4::text[]) as p (role, resource, action)
 where not exists (select from weft.roles r join weft.role_permissions x
                    on x.tenant_id = r.tenant_id and x.role_id = r.id
                    where r.tenant_id = $1 and r.name = p.role and r.is_builtin
                      and x.resource = p.resource and x.action = p.action)"""


async def seed(run: Run, owner: str | None) -> None:
    """`owner` is the address of the database's owner, who alone may write the catalogue."""
    await _catalogue(run, owner)
    await _roles(run)


async def _catalogue(run: Run, owner: str | None) -> None:
    async with enter(run.database, system_actor(new_id(), "seed"), read_only=True) as scope:
        there = {(row["resource"], row["action"]) for row in await scope.raw.fetch(_CATALOGUE)}
    missing = [pair for pair in rules.PERMISSIONS if pair not in there]
    if missing and owner is None:
        raise PermissionsIncomplete([rules.word(pair) for pair in missing])
    if missing and owner is not None and not run.dry:
        connection = await connect(owner, application="weft seed")
        try:
            async with connection.transaction():
                await connection.execute("set local app.maintenance = 'on'")
                columns = [list(part) for part in zip(*missing, strict=True)]
                await connection.execute(_PUT_BACK, *columns, [rules.PERMISSIONS[pair] for pair in missing])
        finally:
            await connection.close()
    for made, count in ((True, len(missing)), (False, len(rules.PERMISSIONS) - len(missing))):
        if count:
            run.report.add(f"{count} system permissions", made=made)


async def _roles(run: Run) -> None:
    """Each tenant by itself, within its row security."""
    async with enter(run.database, system_actor(new_id(), "seed"), read_only=True) as scope:
        ids = [row["tenant_id"] for row in await scope.raw.fetch(_TENANTS)]
    rows = [(role, *pair) for role, (_, pairs) in rules.ROLES.items() for pair in sorted(pairs)]
    names, resources, actions = (list(part) for part in zip(*rows, strict=True))
    completed = 0
    for tenant_id in ids:
        async with enter(run.database, system_actor(tenant_id, "seed"), read_only=run.dry) as scope:
            if not run.dry:
                await take_turns(scope)
            lacks = await scope.raw.fetchval(_MISSING, tenant_id, names, resources, actions)
            if lacks and not run.dry:
                await tenants.ensure_builtin_roles(scope)
        completed += bool(lacks)
    for made, count in ((True, completed), (False, len(ids) - completed)):
        if count:
            run.report.add(f"built-in roles of {count} tenant{'s' if count != 1 else ''}", made=made)
