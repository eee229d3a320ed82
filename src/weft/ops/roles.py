"""The database roles that keep weft's promises, and the database they work in.

    weft_owner     owns the schema and migrates it; row security binds it too (FORCE)
    weft_app       serves the API and the worker: only what policies and grants allow, member of nothing
    weft_auth      owns the functions that run before a tenant is known; nobody signs in as it
    weft_audit     owns the function that writes the audit log; nobody signs in as it
    weft_dispatch  owns the functions that claim jobs of all tenants; nobody signs in as it
    weft_retention owns the function that deletes old executions; nobody signs in as it

Works on PostgreSQL 15 to 18, as a superuser or as an administrator who may only create roles and databases (managed
services give no more). Since 16 such an administrator must give itself the right to act as a role that it made.
Repeating it changes nothing but the passwords that it is given.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import secrets
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from weft.core.errors import Conflict, Forbidden, Invalid
from weft.ops.connections import connect, with_database

if TYPE_CHECKING:
    import asyncpg

OWNER = "weft_owner"
APP = "weft_app"
DEFINERS = ("weft_auth", "weft_audit", "weft_dispatch", "weft_retention")
ROLES = (OWNER, APP, *DEFINERS)

OLDEST_MAJOR = 15

_LOCK = 0x77656674_726F6C65  # two administrators at once take turns
_LONGEST_NAME = 63
_SCRAM_ROUNDS = 4096  # PostgreSQL's own default

_APP_SETTINGS = {
    "statement_timeout": "15s",
    "lock_timeout": "3s",
    "idle_in_transaction_session_timeout": "30s",
    "search_path": "weft, pg_temp",
    "timezone": "UTC",
}
_OWNER_SETTINGS = {"search_path": "weft, pg_temp", "timezone": "UTC"}


class ServerTooOld(Conflict):
    code = "server_too_old"

    def __init__(self, version: str) -> None:
        super().__init__(
            f"This server is PostgreSQL {version}; weft needs {OLDEST_MAJOR} or newer. "
            "Upgrade the server, or leave WEFT_DATABASE_URL away to use the embedded one."
        )


class RoleUnsafe(Conflict):
    code = "role_unsafe"

    def __init__(self, role: str, fact: str, remedy: str) -> None:
        super().__init__(f"The database role '{role}' {fact}, so row security would not bind it. {remedy}")


class AdministratorTooWeak(Forbidden):
    code = "administrator_too_weak"

    def __init__(self, administrator: str, said: str) -> None:
        super().__init__(
            f"The database role '{administrator}' may not prepare the database ({said}). "
            "Use one with CREATEROLE and CREATEDB, or a superuser, in WEFT_DATABASE_ADMIN_URL."
        )


class DatabaseEncodingDiffers(Conflict):
    code = "database_encoding_differs"

    def __init__(self, database: str, encoding: str) -> None:
        super().__init__(
            f"The database '{database}' stores text as {encoding}; weft needs UTF8. "
            "Let weft make a database of its own: choose another name."
        )


class DatabaseNameInvalid(Invalid):
    code = "database_name_invalid"

    def __init__(self) -> None:
        super().__init__(f"A database's name has 1 to {_LONGEST_NAME} bytes, and no zero among them. Choose another.")


@dataclass(slots=True)
class BootstrapReport:
    """What was missing and is there now."""

    database: str
    server_version: str
    created: list[str] = field(default_factory=list)
    passwords_set: list[str] = field(default_factory=list)


async def bootstrap(
    admin_dsn: str, database: str = "weft", passwords: Mapping[str, str] | None = None
) -> BootstrapReport:
    """Make sure that the roles and the database exist and are safe; safe to repeat and to run twice at once.

    `passwords` maps the login roles to their new passwords; a role that is not named keeps its own. The server
    never sees a password, only its SCRAM verifier. Raises `DatabaseNameInvalid`, `ServerTooOld`, `RoleUnsafe`,
    `AdministratorTooWeak`.
    """
    import asyncpg

    if not 1 <= len(database.encode()) <= _LONGEST_NAME or "\0" in database:
        raise DatabaseNameInvalid
    connection = await connect(admin_dsn)
    try:
        administrator = await connection.fetchval("select current_user")
        try:
            await connection.execute(f"select pg_advisory_lock({_LOCK})")
            return await _Bootstrap(connection, admin_dsn, database, dict(passwords or {})).run()
        except asyncpg.InsufficientPrivilegeError as error:
            raise AdministratorTooWeak(administrator, str(error)) from error
    finally:
        await connection.close()


async def existing_roles(admin_dsn: str) -> frozenset[str]:
    """Which of weft's roles a server has already."""
    connection = await connect(admin_dsn)
    try:
        found = await connection.fetch("select rolname from pg_roles where rolname = any($1)", list(ROLES))
        return frozenset(row[0] for row in found)
    finally:
        await connection.close()


def scram_verifier(password: str) -> str:
    """What PostgreSQL stores for a password (RFC 5803): so the password itself never stands in a statement."""
    salt = secrets.token_bytes(16)
    salted = hashlib.pbkdf2_hmac("sha256", password.encode(), salt, _SCRAM_ROUNDS)
    client = hashlib.sha256(hmac.digest(salted, b"Client Key", "sha256")).digest()
    server = hmac.digest(salted, b"Server Key", "sha256")
    encoded = [base64.b64encode(part).decode() for part in (salt, client, server)]
    return f"SCRAM-SHA-256${_SCRAM_ROUNDS}:{encoded[0]}${encoded[1]}:{encoded[2]}"


class _Bootstrap:
    """One run, on one administrator's connection."""

    def __init__(
        self, connection: asyncpg.Connection, admin_dsn: str, database: str, passwords: dict[str, str]
    ) -> None:
        self._connection = connection
        self._admin_dsn = admin_dsn
        self._database = database
        self._passwords = passwords
        self._number = 0
        self._superuser = False

    async def run(self) -> BootstrapReport:
        connection = self._connection
        self._number = int(await connection.fetchval("show server_version_num"))
        report = BootstrapReport(self._database, await connection.fetchval("show server_version"))
        if self._number // 10_000 < OLDEST_MAJOR:
            raise ServerTooOld(report.server_version)
        self._superuser = await connection.fetchval("select rolsuper from pg_roles where rolname = current_user")
        for role in ROLES:
            await self._role(role, report)
        await self._memberships()
        await self._settings()
        lent = await self._borrow_owner()
        try:
            await self._create_database(report)
            await self._close_database()
        finally:
            if lent:
                await connection.execute(f"revoke {OWNER} from current_user")
        return report

    async def _role(self, role: str, report: BootstrapReport) -> None:
        row = await self._connection.fetchrow(
            "select rolsuper, rolbypassrls, rolinherit, rolcanlogin, rolcreaterole, rolcreatedb, rolreplication"
            " from pg_roles where rolname = $1",
            role,
        )
        login = role not in DEFINERS
        wanted = f"{'login' if login else 'nologin'} {'noinherit' if role == OWNER else 'inherit'}"
        if row is None:
            await self._connection.execute(f"create role {role} {wanted}")
            report.created.append(role)
        else:
            await self._make_safe(role, row)
            if row["rolcanlogin"] != login or row["rolinherit"] == (role == OWNER):
                await self._connection.execute(f"alter role {role} {wanted}")
        if password := self._passwords.get(role):
            await self._connection.execute(f"alter role {role} password '{scram_verifier(password)}'")
            report.passwords_set.append(role)

    async def _make_safe(self, role: str, row: asyncpg.Record) -> None:
        """Take away what would lift a role above row security; only a superuser can."""
        rights = {"superuser": "rolsuper", "bypassrls": "rolbypassrls", "replication": "rolreplication"}
        too_much = [right for right, column in rights.items() if row[column]]
        own = {"createrole": "rolcreaterole", "createdb": "rolcreatedb"}
        too_much += [right for right, column in own.items() if row[column]]
        if not too_much:
            return
        remedy = f"alter role {role} {' '.join('no' + right for right in too_much)}"
        if not self._superuser:
            raise RoleUnsafe(
                role, f"has more rights than it may ({', '.join(too_much)})", f"Let a superuser run: {remedy};"
            )
        await self._connection.execute(remedy)

    async def _memberships(self) -> None:
        """The owner may hand functions to the definers; the application is a member of nothing."""
        option = " with inherit false, set true" if self._number >= 160_000 else ""
        for definer in DEFINERS:
            await self._connection.execute(f"grant {definer} to {OWNER}{option}")
        for parent in await self._connection.fetch(
            "select r.rolname from pg_auth_members m join pg_roles r on r.oid = m.roleid"
            " where m.member = $1::regrole::oid",
            APP,
        ):
            await self._connection.execute(f"revoke {_name(parent[0])} from {APP}")
            if await self._connection.fetchval("select pg_has_role($1, $2, 'member')", APP, parent[0]):
                raise RoleUnsafe(
                    APP, f"is a member of '{parent[0]}'", f"Run: revoke {_name(parent[0])} from {APP} cascade;"
                )

    async def _settings(self) -> None:
        app = dict(_APP_SETTINGS)
        if self._number >= 170_000:
            app["transaction_timeout"] = "60s"
        for role, settings in ((APP, app), (OWNER, _OWNER_SETTINGS)):
            for name, value in settings.items():
                # search_path is a list of names: quoted, it would be one strange name.
                text = value if name == "search_path" else f"'{value}'"
                await self._connection.execute(f"alter role {role} set {name} = {text}")

    async def _borrow_owner(self) -> bool:
        """Let an administrator without superuser act as the owner for the moment; whether it was lent now."""
        if self._superuser:
            return False
        right = "set" if self._number >= 160_000 else "member"
        if await self._connection.fetchval(f"select pg_has_role($1, '{right}')", OWNER):
            return False
        option = " with inherit true, set true" if self._number >= 160_000 else ""
        await self._connection.execute(f"grant {OWNER} to current_user{option}")
        return True

    async def _create_database(self, report: BootstrapReport) -> None:
        row = await self._connection.fetchrow(
            "select pg_encoding_to_char(encoding) as encoding, datdba::regrole::text as owner, datallowconn as open"
            " from pg_database where datname = $1",
            self._database,
        )
        if row is None:
            await self._connection.execute(
                f"create database {_name(self._database)} owner {OWNER} encoding 'UTF8' template template0"
            )
            report.created.append(f"database {self._database}")
            return
        if row["encoding"] != "UTF8":
            raise DatabaseEncodingDiffers(self._database, row["encoding"])
        if row["owner"] != OWNER:
            await self._connection.execute(f"alter database {_name(self._database)} owner to {OWNER}")
        if not row["open"]:  # a restore was killed while it exchanged databases
            await self._connection.execute(f"alter database {_name(self._database)} with allow_connections true")

    async def _close_database(self) -> None:
        """Take from everybody what only the two login roles need."""
        inside = await connect(with_database(self._admin_dsn, self._database))
        name = _name(self._database)
        try:
            async with inside.transaction():
                await inside.execute(f"set local role {OWNER}")
                await inside.execute(f"revoke all on database {name} from public")
                await inside.execute(f"revoke all on database {name} from {APP}")
                await inside.execute(f"grant connect on database {name} to {APP}")
                await inside.execute("revoke all on schema public from public")
        finally:
            await inside.close()


def _name(identifier: str) -> str:
    return '"' + identifier.replace('"', '""') + '"'
