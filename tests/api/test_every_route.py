"""What holds for each route, whoever wrote it. New routers are found by themselves."""

from __future__ import annotations

import ast
import asyncio
import inspect
import itertools
import re
import textwrap
from collections.abc import AsyncIterator, Iterator, Sequence
from pathlib import Path
from typing import Any, Final
from uuid import uuid4

import httpx2
import pytest
import structlog
from fastapi.dependencies.models import Dependant
from fastapi.routing import APIRoute, iter_route_contexts
from starlette.types import Message
from tests.api.conftest import Whole
from tests.engine.triggers.hooks import hook
from tests.factories import identity

import weft
from weft.api import openapi, reference
from weft.api.app import PUBLIC as PUBLIC_PREFIX
from weft.api.app import create_app
from weft.api.routers import ROUTERS, UNVERSIONED
from weft.core.actor import system_actor
from weft.domain.identity import rules
from weft.domain.identity.access import open_scope
from weft.http.scope import Access, AccessKind
from weft.http.state import Services

PLAIN: Final = {
    "/",
    "/docs",
    "/docs/style.css",
    "/errors/{code}",
    "/healthz",
    "/healthz/recovery",
    "/openapi.json",
    "/readyz",
    "/hooks/{token}",
}
"""Routes outside the API proper: public, and each with tests of its own."""
PUBLIC: Final = {"login", "logout"}
"""Operations that ask for no credential. A new one is a decision: add it here."""
SOURCE: Final = Path(weft.__file__).parent
ERRORS: Final = SOURCE.parent.parent / "docs" / "reference" / "errors.md"

# The routes do not depend on a database; only answering does.
_APP: Final = create_app(Services(None, open_scope, b""), ROUTERS, unversioned=UNVERSIONED)  # type: ignore[arg-type]  # never asked
OPERATIONS: Final = [
    (method, str(context.path), str(context.name), access)
    for context, access in openapi.operations(_APP)
    for method in sorted(context.methods or ())
]
GUARDED: Final = [(method, path) for method, path, _, access in OPERATIONS if access.kind is not AccessKind.public]
BY_ID: Final = [(method, path) for method, path in GUARDED if re.search(r"\{\w*id\}", path)]
LISTS: Final = [
    (path, single)
    for method, path in GUARDED
    for other, single in BY_ID
    if method == other == "GET" and re.fullmatch(re.escape(path) + r"/\{\w*id\}", single) and "{" not in path
]
"""Lists, and the address of one thing on them."""


def filled(path: str) -> str:
    """The path with values of the right shape that nothing has."""
    values = {"number": "1", "permission": "workflows:read"}
    return re.sub(r"\{(\w+)\}", lambda found: values.get(found[1], str(uuid4())), path)


def test_there_are_routes() -> None:
    assert len(OPERATIONS) > 50
    assert BY_ID


def test_every_route_is_of_the_api_or_known() -> None:
    others = {
        str(context.path)
        for context in iter_route_contexts(_APP.routes)
        if not isinstance(context.original_route, APIRoute)
    }
    assert others == PLAIN


@pytest.mark.parametrize(("method", "path", "name", "access"), OPERATIONS, ids=lambda part: str(part)[:60])
def test_every_route_says_who_may_call_it(method: str, path: str, name: str, access: Access) -> None:
    match access.kind:
        case AccessKind.permission:
            assert access.permission is not None
            assert rules.known(access.permission), f"{access.permission} is not in the catalogue of permissions"
        case AccessKind.public:
            assert name in PUBLIC
        case AccessKind.signed_in:
            assert access.permission is None
    assert path.startswith("/v1/")


def test_changes_need_more_than_reading() -> None:
    """A permission to read never opens a route that changes something."""
    wrong = [
        (method, path)
        for method, path, _, access in OPERATIONS
        if method != "GET" and access.permission is not None and access.permission.endswith(":read")
    ]
    assert wrong == []


async def test_nobody_is_let_in_without_a_credential(whole: Whole) -> None:
    async with whole.client() as client:
        for method, path in GUARDED:
            answer = await ask(client, method, path)
            assert answer.status_code == 401, (method, path, answer.text)
            assert answer.headers["content-type"] == "application/problem+json"


async def test_nobody_is_let_in_with_a_made_up_credential(whole: Whole) -> None:
    made_up = [b"x", b"weft_sk_", b"weft_ss_AAAA", b"weft_sk_" + b"A" * 200, b"\xff\xfe"]
    async with whole.client() as client:
        for token, (method, path) in zip(itertools.cycle(made_up), GUARDED, strict=False):
            answer = await ask(client, method, path, [(b"Authorization", b"Bearer " + token)])
            assert answer.status_code == 401, (token, method, path, answer.text)


async def test_somebody_without_permissions_is_refused(whole: Whole) -> None:
    nobody = await identity.somebody(whole.database, whole.owner)
    async with whole.client(await identity.bearer(whole.database, nobody)) as client:
        for method, path, _, access in OPERATIONS:
            if access.kind is AccessKind.permission:
                answer = await ask(client, method, path)
                assert (answer.status_code, answer.json()["type"]) == (403, "/errors/permission_missing"), (
                    method,
                    path,
                )


def test_no_handler_waits_for_a_body_with_a_transaction_open() -> None:
    """Whoever sends slowly would hold a connection of the database, and a few of them all: declare the body, which is
    read first, or take the actor (`acting`) and open a scope when the body is here."""
    waiting = []
    for context, _ in openapi.operations(_APP):
        assert isinstance(context.original_route, APIRoute)
        endpoint = context.original_route.endpoint
        read = {
            node.func.attr
            for node in ast.walk(ast.parse(textwrap.dedent(inspect.getsource(endpoint))))
            if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute)
        }
        if _holds_a_scope(context.dependant) and read & {"body", "stream", "form", "json"}:
            waiting.append(str(context.name))
    assert waiting == []


def _holds_a_scope(dependant: Dependant) -> bool:
    """Whether a dependency that yields stays open while the handler runs."""
    return inspect.isasyncgenfunction(dependant.call) or any(map(_holds_a_scope, dependant.dependencies))


def test_what_nobody_has_signed_in_for_may_send_little() -> None:
    """Its body is read, and its mistakes are listed, for whoever asks."""
    public = [path for _, path, _, access in OPERATIONS if access.kind is AccessKind.public]
    assert public
    assert all(path.startswith(PUBLIC_PREFIX) for path in public)


async def test_a_form_that_is_no_form_is_refused_before_it_is_read(whole: Whole) -> None:
    large = {f"k{n}": 1 for n in range(2_000)}
    async with whole.client() as client:
        answer = await client.post("/v1/auth/login", json=large)
        assert (answer.status_code, answer.json()["type"]) == (413, "/errors/body_oversized")
        assert len(answer.content) < 1_000


async def test_a_sender_who_is_slow_holds_no_connection(whole: Whole) -> None:
    """More uploads than there are connections, none of which comes to an end; somebody else is answered."""
    stop, begun = asyncio.Event(), asyncio.Semaphore(0)

    async def slowly() -> AsyncIterator[bytes]:
        begun.release()
        yield b"name: "
        await stop.wait()
        yield b"x"

    mia = await identity.bearer(whole.database, await identity.member(whole.database, whole.owner, role="MEMBER"))
    async with whole.client(mia) as client, whole.client(whole.headers) as other, asyncio.timeout(60):
        uploads = [asyncio.create_task(client.post("/v1/workflows/import", content=slowly())) for _ in range(12)]
        for _ in uploads:
            await begun.acquire()
        assert (await other.get("/v1/me")).status_code == 200
        stop.set()
        assert {answer.status_code for answer in await asyncio.gather(*uploads)} == {422}


@pytest.mark.parametrize("path", ["/v1/workflows/import", "/hooks/{token}"])
async def test_a_client_that_leaves_while_it_sends_is_no_failure_of_ours(whole: Whole, path: str) -> None:
    path = path.format(token=(await hook(whole.database, system_actor(whole.owner.tenant_id))).token)
    messages: list[Message] = [{"type": "http.request", "body": b"{", "more_body": True}, {"type": "http.disconnect"}]
    answers: list[Message] = []

    async def receive() -> Message:
        return messages.pop(0)

    async def send(message: Message) -> None:
        answers.append(message)

    headers = [(name.lower().encode(), value.encode()) for name, value in whole.headers.items()]
    scope = {
        "type": "http", "http_version": "1.1", "method": "POST", "path": path, "raw_path": path.encode(),
        "query_string": b"", "headers": headers, "scheme": "http", "server": ("x", 80), "client": ("192.0.2.1", 1),
        "root_path": "", "app": whole.app,
    }  # fmt: skip
    with structlog.testing.capture_logs() as lines:
        await whole.app(scope, receive, send)
    assert answers == []
    assert [line["status"] for line in lines if line["event"] == "request"] == [499]
    assert [line for line in lines if line["log_level"] == "error"] == []


async def test_a_webhook_that_sends_too_much_is_told_so_and_its_address_is_told_nobody(whole: Whole) -> None:
    orders = await hook(whole.database, system_actor(whole.owner.tenant_id))

    async def pieces() -> AsyncIterator[bytes]:
        for _ in range(30):
            yield b" " * 50_000

    async with whole.client() as client:
        answers = [
            (413, await client.post(orders.path, content=pieces())),
            (413, await client.post(orders.path, content=b" " * 1_500_000)),
            (400, await client.post(f"{orders.path}?x=%ff", content=b"{}")),
            (400, await client.post(orders.path, content=b"{")),
            (405, await client.get(orders.path)),
            (404, await client.post(f"{orders.path}/x")),
        ]
    for status, answer in answers:
        assert answer.status_code == status, answer.text
        assert answer.json()["instance"] == "/hooks"
        assert orders.token not in answer.text


async def test_what_does_not_exist_is_404(whole: Whole) -> None:
    """A body that is plainly wrong may be said first."""
    async with whole.client(whole.headers) as client:
        for method, path in BY_ID:
            answer = await ask(client, method, path)
            allowed = (404,) if method in ("GET", "DELETE") else (404, 422)
            assert answer.status_code in allowed, (method, path, answer.text)
            assert answer.headers["content-type"] == "application/problem+json"


async def test_another_tenant_s_things_do_not_exist(whole: Whole) -> None:
    """For every row that a list shows its owner, its address says 404 to somebody else's owner."""
    other = await identity.tenant(whole.database, "other")
    async with (
        whole.client(whole.headers) as owner,
        whole.client(await identity.bearer(whole.database, other)) as stranger,
    ):
        assert (await owner.post("/v1/clients", json={"name": "Grace"})).status_code == 201
        asked = 0
        for method, path in GUARDED:
            single = next(
                (p for m, p in BY_ID if m == "GET" and re.fullmatch(re.escape(path) + r"/\{\w*id\}", p)), None
            )
            if method != "GET" or single is None or "{" in path:
                continue
            for row in (await owner.get(path)).json()["items"]:
                address = re.sub(r"\{\w+\}$", str(row["id"]), single)
                assert (await owner.get(address)).status_code == 200, address
                assert (await stranger.get(address)).status_code == 404, address
                asked += 1
    assert asked >= 3


async def ask(
    client: httpx2.AsyncClient, method: str, path: str, headers: Sequence[tuple[bytes, bytes]] = ()
) -> httpx2.Response:
    body: dict[str, str] | None = {} if method in ("POST", "PUT", "PATCH") else None
    return await client.request(method, filled(path), json=body, headers=list(headers))


class TestErrors:
    """`docs/reference/errors.md` is complete and current."""

    def test_the_page_is_what_the_code_says(self) -> None:
        assert ERRORS.read_text() == reference.page(), "run: python -m weft.api.reference > docs/reference/errors.md"

    def test_every_code_in_the_source_is_on_it(self) -> None:
        page = ERRORS.read_text()
        missing = {code for code in codes_in_source() if f"| `{code}` |" not in page}
        assert missing == set()

    def test_codes_look_alike(self) -> None:
        assert [code for code in reference.catalogue() if not re.fullmatch(r"[a-z]+(_[a-z]+)*", code)] == []

    def test_sentences_are_sentences(self) -> None:
        reference.import_everything()
        wrong = [e.code for e in reference.catalogue().values() if e.sentence.rstrip()[-1] not in ".!?})`"]
        assert wrong == []


def codes_in_source() -> Iterator[str]:
    """Every `code = "..."` in the body of a class that ends up being raised."""
    for file in SOURCE.rglob("*.py"):
        for node in ast.walk(ast.parse(file.read_text())):
            if isinstance(node, ast.ClassDef) and any(isinstance(base, ast.Name) for base in node.bases):
                for line in node.body:
                    match line:
                        case ast.Assign(targets=[ast.Name(id="code")], value=ast.Constant(value=str(code))):
                            yield code


def test_no_dependency_runs_in_a_thread() -> None:
    """FastAPI hands what is not async to a thread pool: under load each hop waits for the interpreter's lock."""
    routes = [context.route for context in iter_route_contexts(_APP.routes)]
    slow = {
        f"{call.__module__}.{call.__qualname__}"
        for route in routes
        if isinstance(route, APIRoute)
        for call in _calls(route.dependant)
        if not inspect.iscoroutinefunction(call) and not inspect.isasyncgenfunction(call)
    }
    assert slow == set()


def _calls(dependant: Dependant) -> Iterator[Any]:
    if dependant.call is not None:
        yield dependant.call
    for inner in dependant.dependencies:
        yield from _calls(inner)
