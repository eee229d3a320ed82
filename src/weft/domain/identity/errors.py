"""Every way identity says no."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime

from weft.core.errors import Conflict, Exhausted, Forbidden, Invalid, Issue, NotFound, Unauthenticated


class CredentialInvalid(Unauthenticated):
    """Malformed, unknown, revoked, or its member may no longer sign in: one sentence, so that nothing is learned."""

    code = "credential_invalid"

    def __init__(
        self,
        message: str = "This credential is not valid here, or no longer. Sign in again, or ask for a new API key.",
    ) -> None:
        super().__init__(message)


class CredentialExpired(CredentialInvalid):
    """Told only to whoever holds the genuine secret."""

    code = "credential_expired"

    def __init__(self, thing: str, at: datetime) -> None:
        remedy = "Sign in again." if thing == "session" else "Make a new one: weft key create."
        super().__init__(f"This {thing} expired on {at:%Y-%m-%d at %H:%M} UTC. {remedy}")


class SignInRefused(Unauthenticated):
    """The same for an unknown address, a wrong password and a membership that is not active."""

    code = "sign_in_refused"

    def __init__(self) -> None:
        super().__init__(
            "The e-mail address or the password is not right, or this account may not sign in to that tenant. "
            "Check both; an administrator of the tenant can see whether your membership is active."
        )


class SignInsBusy(Exhausted):
    code = "sign_ins_busy"

    def __init__(self) -> None:
        super().__init__("Too many people sign in at this moment. Try again in a second.", retry_after=1.0)


class SessionNeeded(Forbidden):
    code = "session_needed"

    def __init__(self, what: str) -> None:
        super().__init__(f"{what} needs somebody who signed in with a password, not an API key.")


class KeyBoundToTenant(Forbidden):
    code = "key_bound_to_tenant"

    def __init__(self, tenant: str) -> None:
        super().__init__(
            f"This API key works in its own tenant only, not in '{tenant}'. "
            "Leave the Weft-Tenant header away, or use a key that was made there."
        )


class TenantNotYours(Forbidden):
    """Whether the tenant does not exist or is somebody else's is not said."""

    code = "tenant_not_yours"

    def __init__(self, tenant: str) -> None:
        super().__init__(
            f"You are not an active member of a tenant '{tenant}'. `weft whoami` lists the tenants that you can use."
        )


class PasswordUnfit(Invalid):
    code = "password_unfit"

    def __init__(self, message: str, path: tuple[str | int, ...] = ("password",)) -> None:
        super().__init__(message, issues=[Issue(message, path, self.code)])


class PasswordWrong(Forbidden):
    code = "password_wrong"

    def __init__(self) -> None:
        super().__init__("The current password is not right; nothing was changed.")


class EmailInvalid(Invalid):
    code = "email_invalid"

    def __init__(self, reason: str, path: tuple[str | int, ...] = ("email",)) -> None:
        message = f"This is not an e-mail address that can be used: {reason}"
        super().__init__(message, issues=[Issue(message, path, self.code)])


class SlugInvalid(Invalid):
    code = "slug_invalid"

    def __init__(self, slug: str, suggestion: str) -> None:
        hint = f" '{suggestion}' would do." if suggestion else ""
        message = (
            f"'{slug[:80]}' cannot be a tenant's slug: use 1 to 63 of a-z, 0-9 and single hyphens between them.{hint}"
        )
        super().__init__(message, issues=[Issue(message, ("slug",), self.code)])


class SlugTaken(Conflict):
    code = "slug_taken"

    def __init__(self, slug: str) -> None:
        super().__init__(f"There is a tenant with the slug '{slug}' already. Choose another slug.")


class TenantNotFound(NotFound):
    code = "tenant_not_found"

    def __init__(self, tenant: object = "") -> None:
        named = f" '{tenant}'" if tenant else ""
        super().__init__(f"There is no tenant{named}, or no longer. `weft tenant list` shows those that exist.")


class MemberNotFound(NotFound):
    code = "member_not_found"

    def __init__(self, member: object) -> None:
        super().__init__(f"There is no member {member} in this tenant. `weft member list` shows who there is.")


class MemberExists(Conflict):
    code = "member_exists"

    def __init__(self, email: str) -> None:
        super().__init__(f"{email} is a member of this tenant already. Change that membership instead.")


class MemberAbove(Forbidden):
    code = "member_above_you"

    def __init__(self, name: str, missing: Iterable[str]) -> None:
        super().__init__(
            f"{name} may do what you may not ({_some(missing)}), so you cannot change this membership. "
            "Ask an OWNER of the tenant."
        )


class AccountElsewhere(Conflict):
    """Whoever made that account in another tenant chose its password: it is no proof of who the person is."""

    code = "account_elsewhere"

    def __init__(self, email: str) -> None:
        super().__init__(
            f"{email} signs in to another tenant of this installation that you do not belong to. "
            "Have somebody who belongs to both tenants, or the operator of the installation, add this member."
        )


class LastOwner(Conflict):
    code = "last_owner"

    def __init__(self) -> None:
        super().__init__("This is the last active OWNER of the tenant. Make somebody else OWNER first, then try again.")


class OwnerNotDeniable(Conflict):
    code = "owner_not_deniable"

    def __init__(self) -> None:
        super().__init__("Nothing can be denied to an OWNER. Give the member another role first.")


class GrantBeyondOwn(Forbidden):
    """Nobody gives away what he does not have."""

    code = "grant_beyond_own"

    def __init__(self, missing: Iterable[str]) -> None:
        super().__init__(
            f"You can give or take only permissions that you have yourself; you lack {_some(missing)}. "
            "Leave them out, or ask somebody who has them."
        )


class GrantNotFound(NotFound):
    code = "grant_not_found"

    def __init__(self, permission: str) -> None:
        super().__init__(f"This member has neither a direct grant nor a denial of '{permission}'.")


class PermissionUnknown(Invalid):
    code = "permission_unknown"

    def __init__(self, unknown: Iterable[str], path: tuple[str | int, ...] = ("permissions",)) -> None:
        message = f"There is no permission {_some(unknown)}. `weft role permissions` lists those that exist."
        super().__init__(message, issues=[Issue(message, path, self.code)])


class RoleNotFound(NotFound):
    code = "role_not_found"

    def __init__(self, role: object) -> None:
        super().__init__(f"There is no role {role} in this tenant. `weft role list` shows those that exist.")


class RoleNameTaken(Conflict):
    code = "role_name_taken"

    def __init__(self, name: str) -> None:
        super().__init__(f"There is a role '{name}' already (upper and lower case count as the same). Choose another.")


class RoleBuiltin(Conflict):
    code = "role_builtin"

    def __init__(self, name: str) -> None:
        super().__init__(
            f"The role '{name}' is built in and stays as it is. Make a role of your own with what you need."
        )


class RoleInUse(Conflict):
    code = "role_in_use"

    def __init__(self, name: str, members: int) -> None:
        who = "One member has" if members == 1 else f"{members} members have"
        super().__init__(f"{who} the role '{name}'. Give them another role first, then delete it.")


class KeyNotFound(NotFound):
    code = "key_not_found"

    def __init__(self, key: object) -> None:
        super().__init__(f"There is no API key {key} in this tenant. `weft key list` shows those that exist.")


class ExpiryInPast(Invalid):
    code = "expiry_in_past"

    def __init__(self) -> None:
        message = "The expiry lies in the past. Give a later time, or none for a key that does not expire."
        super().__init__(message, issues=[Issue(message, ("expires_at",), self.code)])


def _some(words: Iterable[str], most: int = 4) -> str:
    """A short list for a sentence: `'a', 'b' and 3 more`."""
    ordered = sorted(words)
    shown = ", ".join(f"'{word}'" for word in ordered[:most])
    return shown if len(ordered) <= most else f"{shown} and {len(ordered) - most} more"
