"""Every way the studio says no."""

from __future__ import annotations

from weft.core.errors import Conflict, Exhausted, Forbidden, Invalid, NotFound, Stale, Unauthenticated


class HostNotLoopback(Invalid):
    code = "studio_host_not_loopback"

    def __init__(self, host: str) -> None:
        super().__init__(
            f"'{host}' could be reached from other machines, and the studio shows all of a tenant's data without TLS. "
            "Listen on 127.0.0.1 and reach it through a tunnel: ssh -L 5555:127.0.0.1:5555 HOST."
        )


class TenantNeeded(Invalid):
    code = "studio_tenant_needed"

    def __init__(self) -> None:
        super().__init__(
            "Name a tenant with --tenant. Without the owner's address (WEFT_DATABASE_OWNER_URL) the studio cannot list "
            "the tenants; its users sign in as members of the one that you name."
        )


class MemberNeedsTenant(Invalid):
    code = "studio_member_needs_tenant"

    def __init__(self) -> None:
        super().__init__("--as names a member or a role: say of which tenant with --tenant.")


class TenantMissing(NotFound):
    code = "studio_tenant_missing"

    def __init__(self, tenant: str) -> None:
        super().__init__(f"There is no tenant '{tenant[:80]}'. `weft tenant list` shows those there are.")


class MemberMissing(NotFound):
    code = "studio_member_missing"

    def __init__(self, email: str) -> None:
        super().__init__(
            f"'{email[:200]}' is no active member of this tenant. `weft member list` shows those there are."
        )


class RoleMissing(NotFound):
    code = "studio_role_missing"

    def __init__(self, role: str) -> None:
        super().__init__(
            f"There is no role '{role[:80]}' in this tenant. `weft role list` shows those there are; a member is named "
            "by the e-mail address."
        )


class RoleNeedsOperator(Forbidden):
    code = "studio_role_needs_operator"

    def __init__(self) -> None:
        super().__init__(
            "Looking as a role is for operators, who know the owner's address (WEFT_DATABASE_OWNER_URL). Without it "
            "members sign in, and see what they may: leave --as out."
        )


class StudioForbidden(Forbidden):
    code = "studio_forbidden"

    def __init__(self) -> None:
        super().__init__(
            "The studio shows raw rows, so it is open to members who may search the audit log (audit:read). "
            "Ask an administrator of the tenant, or sign in as somebody else."
        )


class SignInNeeded(Unauthenticated):
    code = "studio_sign_in_needed"

    def __init__(self) -> None:
        super().__init__("Sign in first.")


class TableClosed(Forbidden):
    code = "studio_table_closed"

    def __init__(self, table: str, permission: str) -> None:
        super().__init__(f"Looking at '{table}' needs the permission '{permission}', which you do not have here.")


class TableUnknown(NotFound):
    code = "studio_table_unknown"

    def __init__(self, table: str) -> None:
        super().__init__(f"There is no table '{table[:80]}'. The menu lists those there are.")


class RowMissing(NotFound):
    code = "studio_row_missing"

    def __init__(self) -> None:
        super().__init__("There is no such row in this tenant. It may have been deleted, or belong to somebody else.")


class TenantUnchosen(Forbidden):
    code = "studio_tenant_unchosen"

    def __init__(self, table: str) -> None:
        super().__init__(f"'{table}' holds rows of tenants. Choose a tenant first.")


class NoChoice(Forbidden):
    code = "studio_no_choice"

    def __init__(self) -> None:
        super().__init__("This studio looks into one tenant. Start it without --tenant, as an operator, to choose.")


class ReadOnly(Forbidden):
    """These rows cannot be changed here: without `--write`, because weft keeps them, or for want of a permission."""

    code = "studio_read_only"

    def __init__(self, why: str) -> None:
        super().__init__(why)


class RowChanged(Stale):
    code = "studio_row_changed"

    def __init__(self) -> None:
        super().__init__(
            "Somebody changed this row after you opened it. Nothing was saved: open it again, and repeat your change."
        )


class TooSlow(Exhausted):
    code = "studio_too_slow"

    def __init__(self, seconds: float, advice: str) -> None:
        super().__init__(f"The database did not finish this within {seconds:g} seconds, so it was stopped. {advice}")


class ChangeRefused(Conflict):
    """The database refused a change; the sentence says why."""

    code = "studio_change_refused"


class QuestionInvalid(Invalid):
    """An address asks for what cannot be answered: a filter, a page or a format that there is not."""

    code = "studio_question_invalid"


class ValuesInvalid(Invalid):
    """Values of a form: `problems` says, for each column, what is wrong."""

    code = "studio_values_invalid"

    def __init__(self, problems: dict[str, str]) -> None:
        super().__init__("Some values cannot be saved; see beside them.")
        self.problems = problems
