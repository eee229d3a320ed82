"""Before anything is served: is this database the one we need, and would its promises hold?

Row security binds a role only while that role is an ordinary one. A superuser, a role with BYPASSRLS or a member of
the owner sees every tenant's rows, without an error and without a trace, so weft does not start as one.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING

import weft
import weft.migrations
from weft.core.errors import Conflict, Unavailable
from weft.db.missing import SchemaMissing
from weft.ops.connections import ServerUnreachable, connect
from weft.ops.roles import APP, OLDEST_MAJOR, ROLES

if TYPE_CHECKING:
    import asyncpg

SCHEMA = "weft"
MIGRATIONS = Path(weft.migrations.__file__).parent
"""Both known here too, because importing `weft.db` would bring SQLAlchemy along."""

GUARDED_TABLE = f"{SCHEMA}.workflows"
NEWEST_MAJOR = 18
OLDEST_MINORS = {15: 18, 16: 14, 17: 10, 18: 4}
"""Releases that mend known holes (CVE-2026-6473 and before): older minors still start, with a warning."""


_APPLIED = """/* weft:schema.applied */
select l.revision, l.needs
  from (select distinct on (h.revision) h.revision, h.direction, h.needs from weft.migration_history h
         order by h.revision, h.applied_at desc) l
 where l.direction = 'up'"""


_EMPTY = """/* weft:schema.empty */
select not exists (
  select from pg_class c join pg_namespace n on n.oid = c.relnamespace
   where n.nspname = $1 and c.relkind in ('r', 'p') and c.relname <> 'alembic_version')"""


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing that is not as it must be. A warning is shown, everything else refuses the start."""

    code: str
    sentence: str
    warning: bool = False


class PreflightFailed(Conflict):
    code = "preflight_failed"

    def __init__(self, findings: Sequence[Finding]) -> None:
        sentences = [finding.sentence for finding in findings]
        head = "weft does not start, because it would not be safe or would not work:"
        super().__init__(sentences[0] if len(sentences) == 1 else head + "".join(f"\n  - {s}" for s in sentences))
        self.findings = tuple(findings)


class DatabaseNotReachable(Unavailable):
    code = "server_unreachable"


def require(findings: Sequence[Finding]) -> list[Finding]:
    """Raise if something forbids the start; hand the warnings back."""
    refusals = [finding for finding in findings if not finding.warning]
    if refusals and refusals[0].code == DatabaseNotReachable.code:
        raise DatabaseNotReachable(refusals[0].sentence)
    if refusals:
        raise PreflightFailed(refusals)
    return list(findings)


async def check(dsn: str) -> list[Finding]:
    """Look at the database with the application's own eyes. Nothing found: weft may start."""
    try:
        connection = await connect(dsn, application="weft preflight")
    except ServerUnreachable as error:
        return [Finding(error.code, error.message)]
    try:
        findings = _version_findings(int(await connection.fetchval("show server_version_num")))
        findings += await _role_findings(connection)
        findings += await _schema_findings(connection)
        return findings
    finally:
        await connection.close()


async def present_finding(dsn: str) -> Finding | None:
    """What the schema of a database means for this code, see `schema_finding`. Raises `ServerUnreachable`."""
    connection = await connect(dsn, application="weft preflight")
    try:
        async with connection.transaction():
            await connection.execute("set local app.maintenance = 'on'")  # for the owner, who sees no row without
            return await schema_finding(connection)
    finally:
        await connection.close()


async def require_schema(dsn: str) -> None:
    """Raises `SchemaMissing` where nobody has migrated yet, and `ServerUnreachable`."""
    connection = await connect(dsn, application="weft preflight")
    try:
        if await connection.fetchval(_EMPTY, SCHEMA):
            raise SchemaMissing
    finally:
        await connection.close()


def newest_revision() -> str:
    """The schema that this code was written for. Read from the files: Alembic is slow to import, and not needed."""
    revisions = _revisions(MIGRATIONS / "versions")
    return next(revision for revision in revisions if revision not in set(revisions.values()))


async def schema_finding(connection: asyncpg.Connection, *, needed: str | None = None) -> Finding | None:
    """What the schema means for this code: nothing when it is the one that this code was written for.

    A newer one warns while no contract revision forbids this version: the version before works on the schema after,
    so that processes can be updated one by one, and back. `needed` is another revision than this code's own.
    """
    current = await _revision(connection)
    if current is not None and current == (needed or newest_revision()):
        return None
    finding = revision_finding(current)
    if finding is None or finding.code != "schema_newer":
        return finding or Finding("schema_older", f"The schema is at revision {current}, and {needed} is needed.")
    return await _newer_finding(connection, current or "", finding)


async def _newer_finding(connection: asyncpg.Connection, current: str, refusal: Finding) -> Finding:
    """The database itself says what its newer revisions need: this code has no files of them."""
    if not await connection.fetchval("select to_regclass($1) is not null", f"{SCHEMA}.migration_history"):
        return refusal
    applied = await connection.fetch(_APPLIED)
    if current not in {row["revision"] for row in applied}:
        return refusal  # somebody set the revision by hand: nobody knows what else was done
    needs = max((row["needs"] for row in applied if row["needs"]), key=_number, default=None)
    if needs is not None and _number(weft.__version__) < _number(needs):
        sentence = (
            f"The schema no longer works with this weft ({weft.__version__}): it needs weft {needs} or later. "
            "Start that; nothing was changed."
        )
        return Finding("schema_too_new", sentence)
    sentence = (
        f"The schema (revision {current}) is newer than this weft (revision {newest_revision()}), and still works with "
        "it. Update soon: a later migration may end that."
    )
    return Finding("schema_ahead", sentence, warning=True)


def revision_finding(current: str | None) -> Finding | None:
    """What the revision of a database means for this code."""
    if current is None:
        return Finding(
            "schema_missing",
            "The database has no schema yet. Run `weft db migrate` (it needs WEFT_DATABASE_OWNER_URL).",
        )
    if current not in _revisions(MIGRATIONS / "versions"):
        return Finding(
            "schema_newer",
            f"The schema (revision {current}) is newer than this weft (revision {newest_revision()}). "
            "Start the weft that migrated it, or a later one; nothing was changed.",
        )
    if current != newest_revision():
        return Finding(
            "schema_older",
            f"The schema (revision {current}) is older than this weft (revision {newest_revision()}). "
            "Run `weft db migrate` (it needs WEFT_DATABASE_OWNER_URL).",
        )
    return None


def _version_findings(number: int) -> list[Finding]:
    major, minor = divmod(number, 10_000)
    if major < OLDEST_MAJOR:
        return [Finding("server_too_old", f"The server is PostgreSQL {major}; weft needs {OLDEST_MAJOR} or newer.")]
    if major > NEWEST_MAJOR:
        sentence = f"The server is PostgreSQL {major}, newer than this weft was tested with ({NEWEST_MAJOR})."
        return [Finding("server_untested", sentence, warning=True)]
    if minor < OLDEST_MINORS[major]:
        sentence = (
            f"The server is PostgreSQL {major}.{minor}; known security holes are mended in {major}."
            f"{OLDEST_MINORS[major]}. Update it soon (a restart, no dump)."
        )
        return [Finding("server_outdated", sentence, warning=True)]
    return []


async def _role_findings(connection: asyncpg.Connection) -> list[Finding]:
    role = await connection.fetchrow(
        "select rolname, rolsuper, rolbypassrls from pg_roles where rolname = current_user"
    )
    name = role["rolname"]
    advice = f"Use the role '{APP}' in WEFT_DATABASE_URL (`weft db init --admin-url ...` makes it)."
    if role["rolsuper"]:
        return [Finding("role_superuser", f"'{name}' is a superuser, whom row security does not bind. {advice}")]
    if role["rolbypassrls"]:
        return [Finding("role_bypasses", f"'{name}' may bypass row security (BYPASSRLS). {advice}")]
    memberships = await connection.fetch(
        "select rolname from pg_roles where rolname = any($1) and rolname <> current_user"
        " and pg_has_role(current_user, oid, 'member') order by rolname",
        list(ROLES),
    )
    if memberships:
        listed = ", ".join(f"'{row[0]}'" for row in memberships)
        direct = await connection.fetch(
            "select p.rolname from pg_auth_members m join pg_roles p on p.oid = m.roleid"
            " join pg_roles me on me.oid = m.member and me.rolname = current_user"
            " where exists (select from pg_roles w where w.rolname = any($1) and pg_has_role(p.oid, w.oid, 'member'))"
            " order by 1",
            list(ROLES),
        )
        remedy = f'Run: revoke {", ".join(row[0] for row in direct)} from "{name}";'
        return [Finding("role_member", f"'{name}' is a member of {listed} and could act as it. {remedy}")]
    if name != APP:
        return [Finding("role_unknown", f"'{name}' is not the role that weft's policies are written for. {advice}")]
    return []


async def _schema_findings(connection: asyncpg.Connection) -> list[Finding]:
    import asyncpg

    try:
        finding = await schema_finding(connection)
        if finding is not None and not finding.warning:
            return [finding]
        active = await connection.fetchval("select row_security_active($1::text)", GUARDED_TABLE)
    except asyncpg.InsufficientPrivilegeError as error:
        sentence = f"The application role may not read the schema ({error}). Run `weft db check` as the owner."
        return [Finding("grants_missing", sentence)]
    except asyncpg.UndefinedTableError:
        sentence = f"The table {GUARDED_TABLE} is missing. Run `weft db check` to see what else differs."
        return [Finding("schema_damaged", sentence)]
    if not active:
        sentence = (
            f"Row security is not active on {GUARDED_TABLE}: tenants would see each other. "
            "Run `weft db check` to see what else differs, and mend it before you start."
        )
        return [Finding("row_security_inactive", sentence)]
    return [] if finding is None else [finding]


async def _revision(connection: asyncpg.Connection) -> str | None:
    """Where the schema stands; None if nothing of weft's is there, whatever the role may look into."""
    if await connection.fetchval(_EMPTY, SCHEMA):
        return None
    if not await connection.fetchval("select to_regclass($1) is not null", f"{SCHEMA}.alembic_version"):
        return None
    current: str | None = await connection.fetchval(f"select version_num from {SCHEMA}.alembic_version")
    return current


def _number(version: str) -> tuple[int, ...]:
    """`0.3`, `0.3.1` and `0.3.0rc1` as numbers that compare, as `weft.db.history.version_number` does."""
    match = re.match(r"(\d+)(?:\.(\d+))?(?:\.(\d+))?", version)
    return tuple(int(part or 0) for part in match.groups()) if match else (0, 0, 0)


@cache
def _revisions(versions: Path) -> dict[str, str | None]:
    """Each revision's id and the one before it."""
    found: dict[str, str | None] = {}
    for path in versions.glob("*.py"):
        names = dict(re.findall(r"^(revision|down_revision)\b[^=\n]*= *(.+)$", path.read_text(), re.MULTILINE))
        if "revision" in names:
            before = names.get("down_revision", "None").strip().strip("\"'")
            found[names["revision"].strip().strip("\"'")] = None if before == "None" else before
    return found
