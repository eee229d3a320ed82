"""From a credential to a scope: what was revoked, expired, deactivated or removed stops working at once."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta
from uuid import UUID

import pytest
from tests.factories import identity

from weft.core.actor import ActorKind, PermissionMissing, system_actor
from weft.core.clock import utc_now
from weft.core.ids import new_id
from weft.db.database import Database
from weft.db.scope import enter
from weft.domain.identity import access, tokens
from weft.domain.identity.errors import CredentialExpired, CredentialInvalid, KeyBoundToTenant, TenantNotYours
from weft.domain.identity.models import MemberStatus
from weft.domain.identity.tokens import TokenKind


@dataclass(frozen=True)
class Shown:
    """A credential as a request would show it."""

    token: str
    tenant: str | None = None


@dataclass(frozen=True)
class From:
    ip: str | None = "203.0.113.7"
    user_agent: str | None = "test browser/1"
    correlation_id: str = "correlation-1"


async def change(database: Database, tenant_id: UUID, statement: str, *values: object) -> None:
    async with enter(database, system_actor(tenant_id)) as scope:
        await scope.raw.execute(statement, *values)


async def test_a_session_acts_as_its_member(database: Database) -> None:
    acme = await identity.tenant(database)
    mia = await identity.member(database, acme, role="VIEWER", name="Mia")
    token = await identity.session(database, mia)
    async with access.open_scope(database, Shown(token), From(), read_only=True) as scope:
        assert scope.tenant_id == acme.tenant_id
        assert (scope.actor.kind, scope.actor.id, scope.actor.user_id) == (ActorKind.user, mia.user_id, mia.user_id)
        assert scope.actor.name == "Mia"
        assert scope.actor.permissions == {"tenants:read", "clients:read", "workflows:read", "executions:read"}
        with pytest.raises(PermissionMissing):
            scope.actor.require("workflows:write")


async def test_a_key_acts_for_its_member_within_its_scopes(database: Database) -> None:
    acme = await identity.tenant(database)
    mia = await identity.member(database, acme, role="MEMBER")
    token = await identity.api_key(database, mia, ["workflows:write", "tenants:write"])
    async with access.open_scope(database, Shown(token), From(), read_only=True) as scope:
        assert scope.actor.kind is ActorKind.api_key
        assert scope.actor.id == tokens.parse(token).id
        assert scope.actor.user_id == mia.user_id
        assert scope.actor.permissions == {"workflows:write"}


async def test_direct_grants_and_denials_count(database: Database) -> None:
    acme = await identity.tenant(database)
    mia = await identity.member(database, acme, role="VIEWER")
    for resource, action, effect in (("keys", "read", "ALLOW"), ("clients", "read", "DENY")):
        await change(
            database,
            acme.tenant_id,
            "insert into weft.user_permissions (tenant_id, id, user_id, resource, action, effect)"
            " values ($1, $2, $3, $4, $5, $6)",
            acme.tenant_id,
            new_id(),
            mia.user_id,
            resource,
            action,
            effect,
        )
    actor = await identity.actor(database, mia)
    assert actor.may("keys:read")
    assert not actor.may("clients:read")
    assert actor.may("workflows:read")
    assert not actor.everything


async def test_changes_carry_who_and_from_where(database: Database) -> None:
    acme = await identity.tenant(database)
    token = await identity.session(database, acme)
    async with access.open_scope(database, Shown(token), From(), read_only=False) as scope:
        await scope.raw.execute("update weft.tenants set name = 'Acme Inc' where id = $1", acme.tenant_id)
    async with enter(database, system_actor(acme.tenant_id), read_only=True) as scope:
        row = await scope.raw.fetchrow(
            "select * from weft.audit_logs where resource_type = 'tenants' and action = 'update'"
        )
    assert row["actor_id"] == str(acme.user_id)
    assert (row["actor_kind"], row["actor_name"]) == ("user", "Owner of acme")
    assert (row["ip"], row["user_agent"], row["correlation_id"]) == ("203.0.113.7", "test browser/1", "correlation-1")


@pytest.mark.parametrize("kind", [TokenKind.session, TokenKind.key])
async def test_unknown_tokens_and_wrong_secrets_are_refused_alike(database: Database, kind: TokenKind) -> None:
    acme = await identity.tenant(database)
    make = identity.session if kind is TokenKind.session else identity.api_key
    genuine = tokens.parse(await make(database, acme))
    wrong = [
        tokens.mint(kind, genuine.tenant_id, genuine.id).text,  # the right row, another secret
        tokens.mint(kind, genuine.tenant_id, new_id()).text,  # no such row
        tokens.mint(kind, new_id(), genuine.id).text,  # no such tenant
        "weft_sk_nonsense",
        "",
    ]
    said = set()
    for text in wrong:
        with pytest.raises(CredentialInvalid) as refused:
            async with access.open_scope(database, Shown(text), From(), read_only=True):
                pass
        said.add((type(refused.value), refused.value.message))
    assert len(said) == 1


async def test_a_session_token_of_one_kind_does_not_open_the_other(database: Database) -> None:
    acme = await identity.tenant(database)
    genuine = tokens.parse(await identity.session(database, acme))
    body = f"weft_sk_{tokens._encode(genuine.tenant_id.bytes + genuine.id.bytes)}_{tokens._encode(genuine.secret)}"
    with pytest.raises(CredentialInvalid):
        async with access.open_scope(database, Shown(body + tokens._checksum(body)), From(), read_only=True):
            pass


async def refused(database: Database, token: str) -> CredentialInvalid:
    with pytest.raises(CredentialInvalid) as error:
        async with access.open_scope(database, Shown(token), From(), read_only=True):
            pass
    return error.value


async def test_an_expired_session_says_so_to_its_holder_only(database: Database) -> None:
    acme = await identity.tenant(database)
    token = await identity.session(database, acme, lifetime=timedelta(seconds=-1))
    error = await refused(database, token)
    assert isinstance(error, CredentialExpired)
    assert "expired" in error.message
    forged = tokens.parse(token)
    other = await refused(database, tokens.mint(TokenKind.session, forged.tenant_id, forged.id).text)
    assert not isinstance(other, CredentialExpired)


async def test_an_expired_key_says_so(database: Database) -> None:
    acme = await identity.tenant(database)
    token = await identity.api_key(database, acme, expires_at=utc_now() - timedelta(minutes=1))
    assert "API key expired" in (await refused(database, token)).message


@pytest.mark.parametrize("table", ["sessions", "api_keys"])
async def test_what_was_revoked_stops_at_once(database: Database, table: str) -> None:
    acme = await identity.tenant(database)
    token = await (identity.session if table == "sessions" else identity.api_key)(database, acme)
    async with access.open_scope(database, Shown(token), From(), read_only=True):
        pass
    await change(database, acme.tenant_id, f"update weft.{table} set revoked_at = now()")
    assert not isinstance(await refused(database, token), CredentialExpired)


@pytest.mark.parametrize("status", [MemberStatus.inactive, MemberStatus.suspended, MemberStatus.invited])
async def test_a_member_who_is_not_active_is_out_with_the_next_request(
    database: Database, status: MemberStatus
) -> None:
    acme = await identity.tenant(database)
    mia = await identity.member(database, acme)
    credentials = [await identity.session(database, mia), await identity.api_key(database, mia)]
    await change(
        database, acme.tenant_id, "update weft.tenant_users set status = $2 where id = $1", mia.member_id, status.value
    )
    for token in credentials:
        await refused(database, token)


async def test_sessions_and_keys_go_with_the_member(database: Database) -> None:
    acme = await identity.tenant(database)
    mia = await identity.member(database, acme)
    credentials = [await identity.session(database, mia), await identity.api_key(database, mia)]
    await change(database, acme.tenant_id, "delete from weft.tenant_users where id = $1", mia.member_id)
    for token in credentials:
        await refused(database, token)


async def test_a_deleted_tenant_lets_nobody_in(database: Database) -> None:
    acme = await identity.tenant(database)
    token = await identity.session(database, acme)
    await change(database, acme.tenant_id, "update weft.tenants set deleted_at = now()")
    await refused(database, token)


async def test_a_person_of_two_tenants_names_the_other_by_slug_or_id(database: Database) -> None:
    acme = await identity.tenant(database, "acme")
    globex = await identity.tenant(database, "globex")
    ada_at_globex = await identity.member(database, globex, email=acme.email, role="VIEWER")
    assert ada_at_globex.user_id == acme.user_id
    token = await identity.session(database, acme)
    for name in ("globex", "GLOBEX", str(globex.tenant_id)):
        async with access.open_scope(database, Shown(token, name), From(), read_only=False) as scope:
            assert scope.tenant_id == globex.tenant_id
            assert "workflows:write" not in scope.actor.permissions
            seen = await scope.raw.fetchval("select current_setting('app.tenant_id')")
            assert seen == str(globex.tenant_id)
    for home in ("acme", str(acme.tenant_id), None):
        async with access.open_scope(database, Shown(token, home), From(), read_only=True) as scope:
            assert scope.tenant_id == acme.tenant_id
            assert "workflows:write" in scope.actor.permissions


async def test_other_peoples_tenants_and_no_tenants_are_refused_alike(database: Database) -> None:
    acme = await identity.tenant(database, "acme")
    globex = await identity.tenant(database, "globex")
    suspended = await identity.member(database, globex, email=acme.email, status=MemberStatus.suspended)
    assert suspended.user_id == acme.user_id
    initech = await identity.tenant(database, "initech")
    token = await identity.session(database, acme)
    for name in ("globex", "initech", str(initech.tenant_id), "nowhere"):
        with pytest.raises(TenantNotYours) as error:
            async with access.open_scope(database, Shown(token, name), From(), read_only=True):
                pass
        assert error.value.message.replace(name, "X") == TenantNotYours("X").message


async def test_a_key_stays_in_its_tenant(database: Database) -> None:
    acme = await identity.tenant(database, "acme")
    globex = await identity.tenant(database, "globex")
    await identity.member(database, globex, email=acme.email)
    token = await identity.api_key(database, acme)
    with pytest.raises(KeyBoundToTenant, match="globex"):
        async with access.open_scope(database, Shown(token, "globex"), From(), read_only=True):
            pass
    async with access.open_scope(database, Shown(token, "acme"), From(), read_only=True) as scope:
        assert scope.tenant_id == acme.tenant_id


async def last_used(database: Database, tenant_id: UUID) -> object:
    async with enter(database, system_actor(tenant_id), read_only=True) as scope:
        return await scope.raw.fetchval("select last_used_at from weft.api_key_uses")


async def test_the_use_of_a_key_is_noted_beside_a_reading_request_once_a_minute(database: Database) -> None:
    acme = await identity.tenant(database)
    token = await identity.api_key(database, acme)
    async with access.open_scope(database, Shown(token), From(), read_only=True):
        pass
    await access.settle(database)
    first = await last_used(database, acme.tenant_id)
    assert first is not None
    async with access.open_scope(database, Shown(token), From(), read_only=False):
        pass
    await access.settle(database)
    assert await last_used(database, acme.tenant_id) == first

    # Another process noted it long ago, this one never did: it is due.
    await change(database, acme.tenant_id, "update weft.api_key_uses set last_used_at = now() - interval '2 minutes'")
    access._uses_of(database)._noted.clear()
    async with access.open_scope(database, Shown(token), From(), read_only=True):
        pass
    await access.settle(database)
    assert await last_used(database, acme.tenant_id) >= first  # type: ignore[operator]  # both are times


async def test_a_refused_key_is_not_noted_as_used(database: Database) -> None:
    acme = await identity.tenant(database)
    token = await identity.api_key(database, acme, expires_at=utc_now() - timedelta(minutes=1))
    await refused(database, token)
    await access.settle(database)
    assert await last_used(database, acme.tenant_id) is None
