"""A scope is one actor, one tenant, one transaction, and the only way to rows.

    async with enter(database, actor) as scope:
        workflow = await scope.one(queries.by_id(workflow_id), missing=WorkflowNotFound(workflow_id))

It commits on a clean exit and rolls back on any exception. Nothing inside it commits. The tenant, actor,
address and correlation id travel with `BEGIN` in one round trip, so pooled connections carry nothing over.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager, suppress
from datetime import datetime
from typing import TYPE_CHECKING, Any, TypeVar
from uuid import UUID

import asyncpg
from sqlalchemy import Select, event
from sqlalchemy.exc import DBAPIError, SQLAlchemyError
from sqlalchemy.exc import TimeoutError as PoolTimeout
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncSession
from sqlalchemy.orm import Mapper, ORMExecuteState, Session, with_loader_criteria
from sqlalchemy.pool import QueuePool

from weft.core.actor import Actor
from weft.core.clock import utc_now
from weft.core.errors import WeftError
from weft.core.ids import new_id
from weft.db.base import Base, SoftDelete
from weft.db.context import acting, opening
from weft.db.database import Connection, Database, DatabaseUnavailable
from weft.db.dispatch_tables import DispatchJob, JobState
from weft.db.hot import AWAY
from weft.db.keyring import Keyring, SecretsUnreadable
from weft.db.pools import DatabaseBusy

if TYPE_CHECKING:
    from weft.db.replica import Freshness

Row = TypeVar("Row")
Model = TypeVar("Model", bound=Base)
_NO_TENANT = object()


class _ScopedSession(Session):
    """A session that hides soft-deleted rows unless the query asks for them."""


@event.listens_for(_ScopedSession, "do_orm_execute")
def _hide_deleted(state: ORMExecuteState) -> None:
    if state.is_select and not state.execution_options.get("include_deleted", False):
        state.statement = state.statement.options(
            with_loader_criteria(SoftDelete, lambda cls: cls.deleted_at.is_(None), include_aliases=True)
        )


@event.listens_for(Mapper, "before_insert")
def _fill_tenant(_mapper: Any, _connection: Any, target: Any) -> None:
    """Rows that a scope did not `add` have no tenant; the database would refuse them less clearly."""
    if isinstance(target, Base) and getattr(target, "tenant_id", _NO_TENANT) is None:
        raise RuntimeError(f"{type(target).__name__} has no tenant: use scope.add()")


class Scope:
    """What a service needs: `session`, `actor`, `now()`, `one`, `all`, `add`, `enqueue`, `record`."""

    def __init__(
        self, session: AsyncSession, raw: Connection, actor: Actor, database: Database, *, read_only: bool = False
    ) -> None:
        self.session = session
        self.raw = raw
        """The driver's connection, in the same transaction: for set-based statements."""
        self.actor = actor
        self.database = database
        self.read_only = read_only
        self.from_replica = False
        self._now = utc_now()
        self._wakes = False

    @property
    def tenant_id(self) -> UUID:
        return self.actor.tenant_id

    @property
    def keyring(self) -> Keyring:
        """For `weft.db.secrets`; raises when this process was started without a master key."""
        if self.database.keyring is None:
            raise SecretsUnreadable
        return self.database.keyring

    def now(self) -> datetime:
        """One time for the whole transaction."""
        return self._now

    async def become(self, actor: Actor) -> None:
        """Go on as somebody else in the same transaction: sign-in begins as nobody, and learns who asks.

        What the session holds of another tenant is written out and forgotten first.
        """
        if actor.tenant_id != self.tenant_id:
            await self.session.flush()
            self.session.expunge_all()
        forget = "SET LOCAL app.user_id = ''; " if actor.user_id is None else ""
        await self.raw.execute(forget + acting(actor, read_only=self.read_only))
        self.actor = actor

    async def one(self, query: Select[Row], *, missing: WeftError) -> Row:
        """The one row that the query finds, or `missing` is raised."""
        row = (await self.session.execute(query)).scalar_one_or_none()
        if row is None:
            raise missing
        return row

    async def maybe(self, query: Select[Row]) -> Row | None:
        return (await self.session.execute(query)).scalar_one_or_none()

    async def all(self, query: Select[Row]) -> Sequence[Row]:
        return (await self.session.execute(query)).scalars().all()

    async def add(self, row: Model) -> Model:
        """Put a row of this tenant, and say at once if the database refuses it."""
        if "tenant_id" in type(row).__table__.columns:
            row.tenant_id = self.tenant_id  # type: ignore[attr-defined]  # a Tenanted model
        self.session.add(row)
        await self.session.flush()
        return row

    async def flush(self) -> None:
        await self.session.flush()

    async def record(
        self, action: str, resource_type: str, resource_id: object, details: dict[str, Any] | None = None
    ) -> None:
        """An audit event for what no row change shows: sign-ins, exports, commands on executions."""
        from weft.db.database import dumps

        await self.raw.execute(
            "select weft.audit_event($1, $2, $3, $4::text::jsonb)",
            action,
            resource_type,
            str(resource_id),
            dumps(details) if details is not None else None,
        )

    async def enqueue(
        self,
        kind: str,
        *,
        execution_id: UUID | None = None,
        visit: int = 0,
        attempt: int = 0,
        run_at: datetime | None = None,
        detail: dict[str, Any] | None = None,
    ) -> UUID:
        """A job that commits with this transaction. It carries ids, never a tenant's data."""
        job = await self.add(
            DispatchJob(
                id=new_id(),
                kind=kind,
                execution_id=execution_id,
                visit=visit,
                attempt=attempt,
                detail=detail,
                run_at=run_at or self._now,
                state=(JobState.scheduled if run_at and run_at > self._now else JobState.ready).value,
            )
        )
        if not self._wakes:
            self._wakes = True
            await self.raw.execute("select pg_notify('weft_jobs', '')")
        return job.id


async def _connected(database: Database) -> AsyncConnection:
    try:
        with database.gate:
            return await database.engine.connect()
    except DatabaseBusy:
        raise
    except PoolTimeout:
        database.gate.refused += 1
        raise
    except (OSError, asyncpg.PostgresConnectionError, asyncpg.CannotConnectNowError, TimeoutError) as error:
        raise DatabaseUnavailable from error
    except DBAPIError as error:
        raise DatabaseUnavailable from error


async def _begun(
    database: Database, statement: str, connection: AsyncConnection | None
) -> tuple[AsyncConnection, Connection]:
    """A connection in a transaction: this one, or one of the pool's.

    A pooled connection may have lost its server while nobody looked: it is thrown away and the next one is asked, for
    nothing was done yet. When none is left a new one is made, and that says whether the server is there.
    """
    pool = database.engine.sync_engine.pool
    for _ in range((pool.size() if isinstance(pool, QueuePool) else 0) + 2):
        connection = connection or await _connected(database)
        try:
            raw: Connection | None = (await connection.get_raw_connection()).driver_connection
            if raw is None:
                raise DatabaseUnavailable
            await raw.execute(statement)
        except BaseException as error:
            with suppress(*AWAY, SQLAlchemyError):
                await connection.invalidate()  # it may have begun: never hand it to the next user
            await connection.close()
            if isinstance(error, TimeoutError):  # a network that swallows packets: asking again would take as long
                raise DatabaseUnavailable from error
            if not isinstance(error, AWAY):
                raise
            connection = None
        else:
            return connection, raw
    raise DatabaseUnavailable


@asynccontextmanager
async def enter(
    database: Database, actor: Actor, *, read_only: bool = False, freshness: Freshness | None = None
) -> AsyncIterator[Scope]:
    """Open a transaction as this actor in its tenant; see the module's head.

    A read that says how old its rows may be (`freshness`) may be answered by the replica.
    """
    found = None
    if freshness is not None and read_only and database.replica is not None:
        found = await database.replica.connection(freshness)
    connection, raw = await _begun(database, opening(actor, read_only=read_only), found)
    if database.replica is not None and found is not None and connection is not found:
        database.replica.lost()
    try:
        info = connection.info
        finished = False
        try:
            info["weft_scope"] = True
            session = AsyncSession(
                bind=connection, sync_session_class=_ScopedSession, expire_on_commit=False, autoflush=True
            )
            scope = Scope(session, raw, actor, database, read_only=read_only)
            scope.from_replica = connection is found
            try:
                yield scope
                await session.flush()
            finally:
                session.expunge_all()
            await raw.execute("COMMIT")
            finished = True
        finally:
            info["weft_scope"] = False
            if not finished:
                await _roll_back(connection, raw)
    finally:
        await connection.close()


async def _roll_back(connection: Any, raw: Connection) -> None:
    """End the transaction whatever happened; a connection that cannot is thrown away."""
    try:
        if raw.is_closed():
            await connection.invalidate()
        elif raw.is_in_transaction():
            await raw.execute("ROLLBACK")
    except Exception:
        await connection.invalidate()
