"""Tenants, roles, members, their direct permissions, and keys."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

import asyncpg

from weft.core.actor import system_actor
from weft.core.errors import WeftError
from weft.core.ids import new_id
from weft.db.scope import Scope, enter
from weft.domain.identity import passwords, rules
from weft.domain.identity import queries as identity
from weft.domain.identity.addresses import email_key, normal_email
from weft.domain.identity.errors import RoleNotFound
from weft.domain.identity.models import Member
from weft.domain.identity.schemas import KeyCreate
from weft.domain.identity.service import accounts, keys, roles, tenants
from weft.domain.identity.service.accounts import NewAccount
from weft.ops.seeds.document import KeySeed, MemberSeed
from weft.ops.seeds.ground import Ground, Thing, take_turns, user_of
from weft.ops.seeds.reading import Path_

_CREATE: Final = "select weft.create_tenant($1, $2, $3, $4)"
_ROLES: Final = """/* weft:seed.roles */
select lower(name) from weft.roles where tenant_id = $1 and lower(name) = any($2::text[])"""
_MEMBERS: Final = """/* weft:seed.members */
select email_key from weft.tenant_users where tenant_id = $1 and email_key = any($2::text[])"""
_KEYS: Final = """/* weft:seed.keys */
select name from weft.api_keys where tenant_id = $1 and name = any($2::text[])"""
_GRANTED: Final = """/* weft:seed.granted */
select count(*) from weft.user_permissions g
  join unnest($3::text[], $4::text[]) as p (resource, action) on p.resource = g.resource and p.action = g.action
 where g.tenant_id = $1 and g.user_id = $2"""
_GRANT: Final = """/* weft:seed.grant */
insert into weft.user_permissions (tenant_id, id, user_id, resource, action)
select $1, p.id, $2, p.resource, p.action from unnest($3::uuid[], $4::text[], $5::text[]) as p (id, resource, action)
on conflict (tenant_id, user_id, resource, action) do nothing returning id"""


async def tenant(ground: Ground) -> None:
    """The tenant with its built-in roles and a first member, in one transaction: none is ever without anybody."""
    wanted, database = ground.tenant, ground.run.database
    ground.tenant_id = await tenants.find(database, wanted.slug)
    made = ground.tenant_id is None
    if made and ground.run.dry:
        _require_owner(ground)
    elif made:
        made = await _found(ground)
    ground.report.add(f"tenant {wanted.slug}", made=made)


def _require_owner(ground: Ground) -> None:
    """The systems' documents name no OWNER; whoever writes a file of his own says who it is."""
    if not ground.loaded.is_system and not any(_is_owner(member) for member in ground.tenant.members):
        said = f"The tenant '{ground.tenant.slug}' is new and needs a member with the role OWNER. Add one."
        ground.loaded.wrong(said, ground.path, "owner_missing")


def _is_owner(member: MemberSeed) -> bool:
    return rules.builtin(member.role) == rules.OWNER


async def _found(ground: Ground) -> bool:
    wanted = ground.tenant
    builtin = [member for member in wanted.members if rules.builtin(member.role)]
    first = next((member for member in builtin if _is_owner(member)), builtin[0] if builtin else None)
    account = None if first is None else await _prepare(ground, first)
    tenant_id = new_id()
    try:
        async with enter(ground.run.database, system_actor(tenant_id, "seed")) as scope:
            await scope.raw.execute(_CREATE, tenant_id, wanted.slug, wanted.name, wanted.tier.value)
            await tenants.ensure_builtin_roles(scope)
            if first is not None and account is not None:
                await _join(ground, scope, first, account)
                ground.founded.append(email_key(first.email))
        ground.tenant_id = tenant_id
    except asyncpg.UniqueViolationError:  # somebody else seeds at this moment
        ground.founded.clear()
        ground.tenant_id = await tenants.find(ground.run.database, wanted.slug)
        if ground.tenant_id is None:
            raise
        return False
    return True


async def tenant_roles(ground: Ground) -> None:
    def thing(place: int) -> Thing:
        role = ground.tenant.roles[place]
        return Thing(f"role {role.name}", role.name.lower(), lambda scope: roles.create(scope, role))

    await ground.settle(_ROLES, [thing(place) for place in range(len(ground.tenant.roles))], by_author=False)


async def members(ground: Ground) -> None:
    """Each member, and what is granted to him directly."""
    known = await ground.present(_MEMBERS, [email_key(member.email) for member in ground.tenant.members])
    if ground.run.dry:
        await _require_roles(ground)
    for place, member in enumerate(ground.tenant.members):
        key = email_key(member.email)
        made = key in ground.founded
        if key not in known:
            made = await _member(ground, member, (*ground.path, "members", place))
        ground.report.add(ground.named(f"member {normal_email(member.email)} ({member.role})"), made=made)
        words = list(map(rules.word, rules.PERMISSIONS)) if member.permissions == "all" else member.permissions
        if words:
            await _permissions(ground, member, words)


async def _require_roles(ground: Ground) -> None:
    own = {role.name.lower() for role in ground.tenant.roles}
    asked = {member.role.lower() for member in ground.tenant.members if not rules.builtin(member.role)} - own
    unknown = asked - await ground.present(_ROLES, sorted(asked))
    for place, member in enumerate(ground.tenant.members):
        if member.role.lower() in unknown:
            said = f"There is no role '{member.role}': neither built in, nor in this file, nor in the tenant."
            ground.loaded.wrong(said, (*ground.path, "members", place, "role"), "role_unknown")


async def _member(ground: Ground, member: MemberSeed, path: Path_) -> bool:
    if ground.run.dry:
        _require_password(ground, member, (*path, "password"))
        return True
    account = await _prepare(ground, member)
    async with enter(ground.run.database, ground.system) as scope:
        await take_turns(scope)
        if await user_of(scope, member.email) is not None:
            return False
        await _join(ground, scope, member, account)
    return True


async def _join(ground: Ground, scope: Scope, member: MemberSeed, new: NewAccount) -> None:
    """A known account keeps its name and password."""
    account = await accounts.ensure(scope, new)
    name = rules.builtin(member.role) or member.role
    role = await scope.one(identity.role_by_name(scope.tenant_id, name), missing=RoleNotFound(name))
    await scope.add(
        Member(
            user_id=account.id,
            role_id=role.id,
            email=new.email,
            email_key=email_key(new.email),
            name=member.name,
            status=member.status,
        )
    )
    if account.is_new and new.password is not None:
        ground.report.show(f"password of {new.email}", new.password)


def _require_password(ground: Ground, member: MemberSeed, path: Path_) -> None:
    """Its value is there, and fit to be one. Well-known ones are as their documents have them."""
    source = member.password
    if source is None or source.well_known is not None:
        return
    value = ground.loaded.value(source, path)
    if value is not None:
        try:
            passwords.check(value, member.email, ())
        except WeftError as error:
            ground.loaded.wrong(error.message, path, error.code)


async def _prepare(ground: Ground, member: MemberSeed) -> NewAccount:
    source, email = member.password, normal_email(member.email)
    if source is None:
        return await accounts.prepare(email, member.name, None)
    if source.well_known is not None:
        known = source.well_known if ground.run.profile == "development" else None
        return await accounts.prepare(email, member.name, known, check=False)
    value = ground.loaded.value(source, (*ground.path, "members"))
    ground.loaded.require_sound()  # it was there a moment ago
    return await accounts.prepare(email, member.name, value)


async def _permissions(ground: Ground, member: MemberSeed, words: Sequence[str]) -> None:
    """Only what is missing: a grant that somebody turned into a denial stays a denial."""
    pairs = [rules.pair(word) for word in words]
    resources, actions = [pair[0] for pair in pairs], [pair[1] for pair in pairs]
    made = len(pairs)
    if ground.tenant_id is not None:
        async with enter(ground.run.database, ground.system, read_only=ground.run.dry) as scope:
            user_id = await user_of(scope, member.email)
            if not ground.run.dry:
                ids = [new_id() for _ in pairs]
                made = len(await scope.raw.fetch(_GRANT, scope.tenant_id, user_id, ids, resources, actions))
            elif user_id is not None:
                made -= await scope.raw.fetchval(_GRANTED, scope.tenant_id, user_id, resources, actions)
    for is_made, count in ((True, made), (False, len(pairs) - made)):
        if count:
            label = f"{count} permission{'s' if count != 1 else ''} of {normal_email(member.email)}"
            ground.report.add(ground.named(label), made=is_made)


async def api_keys(ground: Ground) -> None:
    if ground.run.dry:
        await _require_members(ground)

    def thing(key: KeySeed) -> Thing:
        async def make(scope: Scope) -> None:
            await ground.as_user(scope, await user_of(scope, key.member))
            made = await keys.create(scope, KeyCreate(name=key.name, scopes=key.scopes, expires_at=key.expires_at))
            ground.report.show(f"API key {key.name} of {ground.tenant.slug}", made.token or "")

        return Thing(f"API key {key.name}", key.name, make)

    await ground.settle(_KEYS, [thing(key) for key in ground.tenant.keys], by_author=False)


async def _require_members(ground: Ground) -> None:
    """Whoever the file lets act is a member, by this file or already."""
    named = [(key.member, ("keys", place, "member")) for place, key in enumerate(ground.tenant.keys)]
    for place, execution in enumerate(ground.tenant.executions):
        if execution.by is not None:
            named.append((execution.by, ("executions", place, "by")))
    own = {email_key(member.email) for member in ground.tenant.members}
    asked = {email_key(email) for email, _ in named} - own
    unknown = asked - await ground.present(_MEMBERS, sorted(asked))
    for email, where in named:
        if email_key(email) in unknown:
            said = f"'{email}' is no member of the tenant. Add the member, or name another."
            ground.loaded.wrong(said, (*ground.path, *where), "member_unknown")
