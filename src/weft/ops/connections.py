"""Connection strings, and one connection for an operator's errand, with sentences when there is none."""

from __future__ import annotations

import contextlib
import re
from typing import TYPE_CHECKING
from urllib.parse import parse_qsl, quote, unquote, urlencode, urlsplit, urlunsplit

from weft.core.errors import Unavailable
from weft.settings_sections import without_schema

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterable

    import asyncpg

_SECONDS = 10.0
_LOCK_SECONDS = 5


class ServerUnreachable(Unavailable):
    code = "server_unreachable"

    def __init__(self, dsn: str, said: str) -> None:
        super().__init__(f"No connection to {without_password(dsn)}: {said}")

    @property
    def is_refused(self) -> bool:
        """Whether the server knows the role, and does not let it into this database."""
        return getattr(self.__cause__, "sqlstate", None) == "42501"

    @property
    def is_missing(self) -> bool:
        """Whether the server is there, and has no such database."""
        return getattr(self.__cause__, "sqlstate", None) == "3D000"


class TableHeld(Unavailable):
    code = "table_held"

    def __init__(self) -> None:
        super().__init__(
            "Somebody holds a table for themselves, and what is asked needs a look at it. Wait until they are done, or "
            "find them: select * from pg_stat_activity where pid in (select pid from pg_locks where mode = "
            "'AccessExclusiveLock' and granted)"
        )


@contextlib.asynccontextmanager
async def reading(connection: asyncpg.Connection) -> AsyncIterator[None]:
    """A transaction that only reads. Even a table's size wants a lock: raises `TableHeld` when it is not given."""
    import asyncpg

    try:
        async with connection.transaction(readonly=True):
            await connection.execute(f"set local lock_timeout = '{_LOCK_SECONDS}s'")
            yield
    except asyncpg.LockNotAvailableError as error:
        raise TableHeld from error


async def connect(dsn: str, *, application: str = "weft") -> asyncpg.Connection:
    """One connection; raises `ServerUnreachable` with a sentence that tells what to look at."""
    import asyncpg

    try:
        return await asyncpg.connect(
            driver_dsn(dsn),
            timeout=_SECONDS,
            server_settings={"application_name": application},
            statement_cache_size=0,  # an errand asks once; names of statements would not survive a pooler
        )
    except (OSError, TimeoutError, ValueError, asyncpg.PostgresError, asyncpg.InterfaceError) as error:
        raise ServerUnreachable(dsn, _advice(error, dsn)) from error


def driver_dsn(dsn: str) -> str:
    """The plain form that asyncpg reads, also of an address written for SQLAlchemy (`postgresql+asyncpg://`)."""
    scheme, separator, rest = without_schema(dsn).partition("://")
    return f"{scheme.partition('+')[0]}{separator}{rest}"


def with_database(dsn: str, database: str) -> str:
    """The same server and role, another database."""
    parts = urlsplit(dsn)
    query = [(key, value) for key, value in parse_qsl(parts.query) if key not in ("database", "dbname")]
    return urlunsplit(parts._replace(path="/" + quote(database, safe=""), query=query_text(query)))


def with_role(dsn: str, role: str, password: str) -> str:
    """The same server and database, another role."""
    parts = urlsplit(dsn)
    query = [(key, value) for key, value in parse_qsl(parts.query) if key not in ("user", "password")]
    host = parts.netloc.rpartition("@")[2]
    netloc = f"{quote(role, safe='')}:{quote(password, safe='')}@{host}"
    return urlunsplit(parts._replace(netloc=netloc, query=query_text(query)))


def query_text(pairs: Iterable[tuple[str, str]]) -> str:
    """What stands behind the `?`. A space is `%20`: PostgreSQL's programs take a `+` for itself."""
    return urlencode(list(pairs), quote_via=quote)


def database_of(dsn: str) -> str:
    """The database that an address names, or nothing."""
    parts = urlsplit(dsn)
    query = dict(parse_qsl(parts.query))
    return unquote(parts.path.lstrip("/")) or query.get("database") or query.get("dbname") or ""


def user_of(dsn: str) -> str:
    """The role that an address names, or nothing."""
    parts = urlsplit(dsn)
    return unquote(parts.username or "") or dict(parse_qsl(parts.query)).get("user", "")


def without_password(dsn: str) -> str:
    """A connection string fit for logs and messages."""
    parts = urlsplit(dsn)
    credentials, _, host = parts.netloc.rpartition("@")
    user = credentials.partition(":")[0]
    query = query_text(
        [(key, "***" if key in ("password", "sslpassword") else value) for key, value in parse_qsl(parts.query)]
    )
    return urlunsplit(parts._replace(netloc=f"{user}@{host}" if user else host, query=query))


def _advice(error: Exception, dsn: str) -> str:
    """What went wrong, then what to do about it; decided by SQLSTATE, not by words."""
    import ssl

    # Of a server's error the sentence alone: what it adds stands in lines of its own.
    said = str(getattr(error, "message", None) or error).strip().rstrip(".") or type(error).__name__
    match getattr(error, "sqlstate", None):
        case "28P01" | "28000":
            return f"{said}. Check role and password in the address, and pg_hba.conf; `weft db init` makes the roles."
        case "3D000":
            return f"{said}. Make the database with `weft db init --admin-url ...`, or correct its name."
        case "53300":
            return f"{said}. The server has no free connection: raise max_connections or stop other clients."
        case "57P03":
            return f"{said}. The server is starting or stopping: try again in a moment."
        case "42704":
            return f"{said}. What stands behind the ? of the address has to be something that PostgreSQL knows."
        case "42501":
            return (
                f"{said}. `weft db init --admin-url ...` lets weft's own roles in; another role needs "
                f"`grant connect on database {_identifier(database_of(dsn))} to {_identifier(user_of(dsn))}`."
            )
        case _:
            pass
    if isinstance(error, TimeoutError):
        return f"no answer within {_SECONDS:.0f} seconds. Check the host, the port and any firewall between."
    if isinstance(error, ssl.SSLCertVerificationError):
        said = error.verify_message.rstrip(".")
    if isinstance(error, ssl.SSLError):
        return f"{said}. The address demands more (sslmode, sslrootcert) than the server's certificate gives."
    if isinstance(error, FileNotFoundError) and "ssl" in urlsplit(dsn).query:
        return f"{said}. Check the files that sslrootcert, sslcert and sslkey name."
    if isinstance(error, OSError):
        return f"{said}. Check that the server runs and that host and port are right."
    return f"{said}. Check the address: postgresql://role:password@host:5432/database"


def _identifier(name: str) -> str:
    """A name as SQL takes it."""
    return name if re.fullmatch(r"[a-z_][a-z0-9_]*", name) else '"' + name.replace('"', '""') + '"'
