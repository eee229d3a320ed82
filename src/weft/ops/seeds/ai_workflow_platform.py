"""The AI workflow platform's first content, as its document lists it: the default tenant, an administrator and a demo
user with their well-known passwords, direct permissions of both, and a sample workflow.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from importlib.resources import files
from typing import Final
from uuid import UUID

from weft.core.actor import Actor, system_actor
from weft.core.ids import new_id
from weft.db.database import Database
from weft.db.scope import Scope, enter
from weft.domain.identity import access, rules
from weft.domain.identity import queries as identity
from weft.domain.identity.addresses import email_key
from weft.domain.identity.errors import RoleNotFound, SlugTaken
from weft.domain.identity.models import Member
from weft.domain.identity.service import accounts, tenants

NAME: Final = "ai-workflow-platform"
SLUG: Final = "default"
_SAMPLE: Final = "customer_enquiry.yaml"

Report = Callable[..., None]


@dataclass(frozen=True, slots=True)
class SeededUser:
    """`permissions` are granted directly, beside the role: the document asks for rows unique by user and permission."""

    email: str
    password: str
    name: str
    role: str
    permissions: tuple[str, ...]


ADMIN: Final = SeededUser(
    "admin@example.com", "admin123", "Admin User", "OWNER", tuple(map(rules.word, rules.PERMISSIONS))
)
DEMO: Final = SeededUser(
    "demo@example.com",
    "demo123",
    "Demo User",
    "MEMBER",
    ("workflows:read", "workflows:write", "executions:read", "executions:start"),
)


async def seed(database: Database, report: Report) -> None:
    """Make what is missing. Each thing commits by itself, so a second run goes on where a first one stopped."""
    tenant_id, is_new = await _tenant(database, report)
    for user in (ADMIN, DEMO):
        user_id, made = await _member(database, tenant_id, user)
        report(f"member {user.email} ({user.role})", made=made or (is_new and user is ADMIN))
        await _permissions(database, tenant_id, user_id, user, report)
    await _sample_workflow(database, tenant_id, report)


async def _tenant(database: Database, report: Report) -> tuple[UUID, bool]:
    """The tenant's id, and whether it was made now: then with the administrator as its OWNER."""
    tenant_id = await tenants.find(database, SLUG)
    made = False
    if tenant_id is None:
        try:
            new = await tenants.create(
                database,
                slug=SLUG,
                name="Default",
                owner_email=ADMIN.email,
                owner_name=ADMIN.name,
                owner_password=ADMIN.password,
                check_password=False,
            )
            tenant_id, made = new.tenant_id, True
        except SlugTaken:  # somebody else seeds at this moment
            tenant_id = await tenants.find(database, SLUG)
            if tenant_id is None:
                raise
    report(f"tenant {SLUG}", made=made)
    return tenant_id, made


async def _member(database: Database, tenant_id: UUID, user: SeededUser) -> tuple[UUID, bool]:
    """The user's id, and whether the membership was made now. A known account keeps its password."""
    async with enter(database, _actor(tenant_id), read_only=True) as scope:
        found = await _find_member(scope, user)
    if found is not None:
        return found, False
    new = await accounts.prepare(user.email, user.name, user.password, check=False)
    async with enter(database, _actor(tenant_id)) as scope:
        await _take_turns(scope)
        found = await _find_member(scope, user)
        if found is not None:
            return found, False
        account = await accounts.ensure(scope, new)
        role = await scope.one(identity.role_by_name(tenant_id, user.role), missing=RoleNotFound(user.role))
        await scope.add(
            Member(
                user_id=account.id,
                role_id=role.id,
                email=user.email,
                email_key=email_key(user.email),
                name=user.name,
            )
        )
    return account.id, True


async def _find_member(scope: Scope, user: SeededUser) -> UUID | None:
    member = await scope.maybe(identity.member_by_email(scope.tenant_id, email_key(user.email)))
    return None if member is None else member.user_id


async def _take_turns(scope: Scope) -> None:
    """Two seeds at once: the second waits here, and then finds what the first made."""
    await scope.raw.execute("select pg_advisory_xact_lock(hashtextextended($1, 11))", str(scope.tenant_id))


async def _permissions(database: Database, tenant_id: UUID, user_id: UUID, user: SeededUser, report: Report) -> None:
    """Only what is missing: a grant that somebody turned into a denial stays a denial."""
    pairs = [rules.pair(word) for word in user.permissions]
    async with enter(database, _actor(tenant_id)) as scope:
        rows = await scope.raw.fetch(
            "insert into weft.user_permissions (tenant_id, id, user_id, resource, action)"
            " select $1, p.id, $2, p.resource, p.action"
            "   from unnest($3::uuid[], $4::text[], $5::text[]) as p (id, resource, action)"
            " on conflict (tenant_id, user_id, resource, action) do nothing returning id",
            tenant_id,
            user_id,
            [new_id() for _ in pairs],
            [resource for resource, _ in pairs],
            [action for _, action in pairs],
        )
    for made, count in ((True, len(rows)), (False, len(pairs) - len(rows))):
        if count:
            report(f"{count} permissions of {user.email}", made=made)


async def _sample_workflow(database: Database, tenant_id: UUID, report: Report) -> None:
    """Made by the administrator's hand, so that it has a creator. One that was deleted stays deleted."""
    from weft.domain.workflows import parsing
    from weft.domain.workflows import service as workflows
    from weft.domain.workflows.schemas import WorkflowCreate
    from weft.engine import registry

    registry.kinds()  # the check at save must know them
    definition = parsing.parse(files("weft.ops.seeds").joinpath(_SAMPLE).read_text(encoding="utf-8")).document
    name = str(definition["name"])
    async with enter(database, _actor(tenant_id)) as scope:
        await _take_turns(scope)
        made = not await _has_workflow(scope, name)
        if made:
            admin = await _find_member(scope, ADMIN)
            actor = None if admin is None else await access.member_actor(scope, admin)
            if actor is not None:
                await scope.become(actor)
            workflow = await workflows.create(scope, WorkflowCreate(definition=definition))
            await workflows.save_version(scope, workflow.id, note="The sample that comes with weft")
            await workflows.change_status(scope, workflow.id, "activate")
    report(f"workflow {name}", made=made)


async def _has_workflow(scope: Scope, name: str) -> bool:
    """Deleted or not."""
    from weft.domain.workflows.rules import name_key

    found = await scope.raw.fetchval(
        "select exists (select from weft.workflows where tenant_id = $1 and name_key = $2)",
        scope.tenant_id,
        name_key(name),
    )
    return bool(found)


def _actor(tenant_id: UUID) -> Actor:
    return system_actor(tenant_id, "seed")
