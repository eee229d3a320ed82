"""The database of this installation, for commands that work on it directly (`weft db`, `weft tenant`).

Three cases: an operator's own server (`WEFT_DATABASE_URL`); the embedded one that a running `weft up` keeps; the
embedded one, started for the time of the command because nothing runs.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from weft.core.errors import Invalid
from weft.ops.home import Home
from weft.ops.postgres import ConnectionFacts, EmbeddedPostgres, find_running
from weft.ops.roles import APP, OWNER, bootstrap
from weft.settings import Settings

DATABASE = "weft"


class OwnerAddressMissing(Invalid):
    code = "owner_address_missing"

    def __init__(self) -> None:
        super().__init__(
            "This needs the rights of the schema's owner. Set WEFT_DATABASE_OWNER_URL (role 'weft_owner'); "
            "`weft db init --admin-url ...` makes the role and prints the address."
        )


class DatabaseAddressMissing(Invalid):
    code = "database_address_missing"

    def __init__(self) -> None:
        super().__init__(
            "No database is named, and no `weft up` runs here. Set WEFT_DATABASE_URL, or use `weft up`, "
            "which brings its own."
        )


@dataclass(frozen=True, slots=True)
class Addresses:
    """Connection strings by what they may do. `owner` and `admin` are None when the operator did not give them."""

    app: str
    owner: str | None
    admin: str | None
    embedded: bool

    def require_owner(self) -> str:
        if self.owner is None:
            raise OwnerAddressMissing
        return self.owner


@contextlib.contextmanager
def reach(settings: Settings) -> Iterator[Addresses]:
    """The addresses of this installation's database, running while the block does. Not inside an event loop."""
    database = settings.database
    if database.url is not None:
        yield Addresses(database.direct_url or database.url, database.owner_url, database.admin_url, embedded=False)
        return
    home = Home(settings.home)
    running = find_running(home)
    if running is not None:
        yield embedded_addresses(home, running)
        return
    with EmbeddedPostgres(home) as facts:
        addresses = embedded_addresses(home, facts)
        asyncio.run(bootstrap(facts.superuser_dsn, DATABASE, login_passwords(home)))
        yield addresses


def with_running_database(settings: Settings) -> Settings:
    """Settings that name a database: the operator's, or the embedded one that `weft up` runs here now."""
    if settings.database.url is not None:
        return settings
    home = Home(settings.home)
    running = find_running(home)
    if running is None:
        raise DatabaseAddressMissing
    database = settings.database.model_copy(update={"url": embedded_addresses(home, running).app})
    return settings.model_copy(update={"database": database})


def embedded_addresses(home: Home, facts: ConnectionFacts) -> Addresses:
    """The addresses of an embedded server; their passwords are this home's."""
    passwords = login_passwords(home)
    return Addresses(
        app=facts.dsn(APP, passwords[APP], DATABASE),
        owner=facts.dsn(OWNER, passwords[OWNER], DATABASE),
        admin=facts.superuser_dsn,
        embedded=True,
    )


def login_passwords(home: Home) -> dict[str, str]:
    return {role: home.password(role) for role in (OWNER, APP)}


def shown(path: Path) -> str:
    """A path as people write it: with `~` for their own directory."""
    with contextlib.suppress(ValueError, RuntimeError):
        return "~/" + str(path.relative_to(Path.home()))
    return str(path)
