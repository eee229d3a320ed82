"""The API does what its OpenAPI document says, whatever it is sent.

Every operation, with data that fits the document and with data that does not, over a socket to the real application
on a real database, as somebody who may do everything. `WEFT_SCHEMA_EXAMPLES` sets the number of examples for each
operation and kind of data.
"""

from __future__ import annotations

import asyncio
import os
import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any, Final
from uuid import uuid4

import asyncpg
import pytest
import requests
import schemathesis
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st
from schemathesis import GenerationMode
from schemathesis.checks import not_a_server_error
from schemathesis.core.result import Ok
from schemathesis.specs.openapi.checks import (
    content_type_conformance,
    negative_data_rejection,
    response_headers_conformance,
    response_schema_conformance,
    status_code_conformance,
)
from tests.conftest import Cluster, TestDatabase
from tests.factories import executions, identity

from weft.api import openapi, serve
from weft.api.app import create_app
from weft.api.assemble import assembled
from weft.api.routers import ROUTERS, UNVERSIONED
from weft.db.database import Database
from weft.db.scope import enter
from weft.domain.clients.models import Client
from weft.domain.identity.access import open_scope
from weft.http.state import Services

EXAMPLES: Final = int(os.environ.get("WEFT_SCHEMA_EXAMPLES", "5"))
CHECKS: Final = [
    not_a_server_error,
    status_code_conformance,
    content_type_conformance,
    negative_data_rejection,
    response_headers_conformance,
    response_schema_conformance,
]
DOCUMENT: Final = openapi.describe(
    create_app(Services(None, open_scope, b""), ROUTERS, unversioned=UNVERSIONED)  # type: ignore[arg-type]  # never asked
)
SCHEMA: Final = schemathesis.openapi.from_dict(DOCUMENT)
OPERATIONS: Final = [result.ok() for result in SCHEMA.get_all_operations() if isinstance(result, Ok)]
CASES: Final = [
    (operation, mode)
    for operation in OPERATIONS
    for mode in GenerationMode
    # What takes nothing cannot be sent anything wrong.
    if mode is GenerationMode.POSITIVE
    or any((operation.body, operation.query, operation.headers, operation.path_parameters))
]
ANONYMOUS: Final = {"/v1/auth/logout"}
"""Would end the session that the others use."""


@dataclass
class Running:
    """The application on a port, in a thread with an event loop of its own."""

    address: str
    known: dict[str, str]
    """Path parameters that name something that exists."""
    session: requests.Session = field(default_factory=requests.Session)
    statuses: dict[str, set[int]] = field(default_factory=dict)


async def _stock(database: Database) -> tuple[dict[str, str], dict[str, str]]:
    """A tenant with one of everything. What may be destroyed is not what the tests stand on."""
    owner = await identity.tenant(database, "acme")
    token = await identity.api_key(database, owner, list(identity.ALL))
    other = await identity.member(database, owner)
    actor = await identity.actor(database, owner)
    async with enter(database, actor) as scope:
        client = await scope.add(Client(name="Grace"))
    workflow_id = str(await executions.workflow(database, actor))
    known = {
        "member_id": str(other.member_id),
        "client_id": str(client.id),
        "workflow_id": workflow_id,
        "workflow": workflow_id,
        "number": "1",
        "permission": "workflows:read",
    }
    return {"Authorization": f"Bearer {token}"}, known


@contextmanager
def _database(cluster: Cluster, template: str) -> Iterator[TestDatabase]:
    """As the fixture `test_database`, for a whole module."""
    name = f"weft_test_{uuid4().hex}"

    async def run(*statements: str) -> None:
        admin = await asyncpg.connect(cluster.dsn("postgres"))
        try:
            for statement in statements:
                await admin.execute(statement)
        finally:
            await admin.close()

    asyncio.run(
        run(
            f"create database {name} template {template} strategy {cluster.strategy} owner weft_owner",
            f"revoke all on database {name} from public",
            f"grant connect on database {name} to weft_app",
        )
    )
    try:
        yield TestDatabase(name, cluster)
    finally:
        asyncio.run(run(f"drop database {name} with (force)"))


@dataclass
class _Process:
    """What the thread and the test tell each other."""

    ready: threading.Event = field(default_factory=threading.Event)
    running: Running | None = None
    server: serve.Server | None = None
    error: Exception | None = None

    async def work(self, dsn: str, bound: socket.socket) -> None:
        database = await Database.open(dsn, size=5, hot_size=5, master_key=bytes(32))
        try:
            headers, known = await _stock(database)
            address = f"http://127.0.0.1:{bound.getsockname()[1]}"
            self.running = Running(address, known)
            self.running.session.headers.update(headers)
            self.running.session.trust_env = False
            services = Services(database, open_scope, cursor_key=bytes(32), public_url=address)
            async with assembled(services) as app:
                self.server = serve.server(app)
                self.ready.set()
                await self.server.serve(sockets=[bound])
        finally:
            await database.close()

    def run(self, dsn: str, bound: socket.socket) -> None:
        try:
            asyncio.run(self.work(dsn, bound))
        except Exception as error:  # shown by whoever waits
            self.error = error
        finally:
            self.ready.set()


@pytest.fixture(scope="module")
def running(cluster: Cluster, template: str) -> Iterator[Running]:
    with _database(cluster, template) as test_database, serve.listen("127.0.0.1", 0) as bound:
        process = _Process()
        thread = threading.Thread(target=process.run, args=(test_database.app, bound), daemon=True)
        thread.start()
        process.ready.wait(120)
        if process.running is None or process.server is None:
            raise RuntimeError("the application did not start") from process.error
        try:
            yield process.running
        finally:
            process.running.session.close()
            process.server.stop()
            thread.join(60)
        assert not thread.is_alive()


@pytest.mark.parametrize(("operation", "mode"), CASES, ids=lambda part: getattr(part, "label", str(part)))
def test_what_is_promised_is_kept(running: Running, operation: Any, mode: GenerationMode) -> None:
    chosen = operation.as_strategy(generation_mode=mode)
    names = {parameter.name for parameter in operation.path_parameters}
    if names and names <= running.known.keys():
        there = operation.as_strategy(
            generation_mode=mode, path_parameters={name: running.known[name] for name in names}
        )
        chosen = st.one_of(there, chosen)
    headers = {"Authorization": None} if operation.path in ANONYMOUS else None

    @settings(
        max_examples=EXAMPLES,
        deadline=None,
        database=None,
        phases=[Phase.generate],
        suppress_health_check=list(HealthCheck),
        derandomize=True,
    )
    @given(case=chosen)
    def send(case: Any) -> None:
        response = case.call_and_validate(
            base_url=running.address, session=running.session, headers=headers, checks=CHECKS, timeout=60
        )
        running.statuses.setdefault(operation.label, set()).add(response.status_code)

    send()


def test_every_operation_can_be_read_by_others() -> None:
    assert len(OPERATIONS) == sum(len(item) for item in DOCUMENT["paths"].values())


def test_the_examples_got_past_the_door(running: Running) -> None:
    """If the credential had been lost on the way, everything above would have been a 401 and proved nothing."""
    assert running.session.get(f"{running.address}/v1/me").status_code == 200
    answered = [label for label, statuses in running.statuses.items() if any(status < 300 for status in statuses)]
    assert len(answered) > len(running.statuses) / 3
