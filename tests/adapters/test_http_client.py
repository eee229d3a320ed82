"""The client against a real server on loopback: what is sent, what is followed, what is refused."""

from __future__ import annotations

import asyncio
import gzip
import zlib
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager

import httpcore2
import pytest
from tests.adapters.loopback import Loopback, addresses, loopback, redirect, reply
from tests.ports import reserved

from weft.adapters.addresses import Allow
from weft.adapters.http_client import MAX_REDIRECTS, SafeHttpClient
from weft.adapters.http_network import GuardedNetwork, SystemResolver
from weft.core.ports import HttpError, HttpRequest, HttpResponse

NAMES = {"server.test": ["127.0.0.1"], "other.test": ["127.0.0.1"], "inside.test": ["10.0.0.7"]}


@asynccontextmanager
async def client_for(*servers: Loopback, names: Mapping[str, Sequence[str]] = NAMES) -> AsyncIterator[SafeHttpClient]:
    allow = Allow.parse([f"127.0.0.1:{server.port}" for server in servers])
    async with SafeHttpClient(allow, resolve=addresses(names)) as client:
        yield client


@pytest.fixture
async def server() -> AsyncIterator[Loopback]:
    async with loopback() as state:
        yield state


@pytest.fixture
async def client(server: Loopback) -> AsyncIterator[SafeHttpClient]:
    async with client_for(server) as made:
        yield made


def get(url: str, *, timeout: float = 60.0, max_bytes: int = 1_000_000, **headers: str) -> HttpRequest:
    return HttpRequest("GET", url, headers, timeout=timeout, max_bytes=max_bytes)


async def refused(client: SafeHttpClient, request: HttpRequest) -> HttpError:
    with pytest.raises(HttpError) as caught:
        await client.send(request)
    return caught.value


# What is sent


async def test_an_answer_comes_back_whole(server: Loopback, client: SafeHttpClient) -> None:
    server.answers["/a"] = reply(201, b"made", {"Content-Type": "text/plain", "X-Many": "1"})
    response = await client.send(HttpRequest("POST", server.url("/a?b=c"), {"X-Own": "yes"}, body=b"payload"))

    assert response == HttpResponse(
        201, {"content-type": "text/plain", "x-many": "1", "content-length": "4"}, b"made", server.url("/a?b=c")
    )
    (received,) = server.received
    assert (received.method, received.target, received.body) == ("POST", "/a?b=c", b"payload")
    assert received.headers["host"] == f"server.test:{server.port}"
    assert received.headers["x-own"] == "yes"
    assert received.headers["accept-encoding"] == "gzip, deflate"
    assert received.headers["user-agent"].startswith("weft/")
    assert "cookie" not in received.headers


async def test_a_post_without_a_body_says_so(server: Loopback, client: SafeHttpClient) -> None:
    await client.send(HttpRequest("POST", server.url(), {}))
    await client.send(get(server.url()))
    assert [one.headers.get("content-length") for one in server.received] == ["0", None]


async def test_a_connection_is_used_again(server: Loopback, client: SafeHttpClient) -> None:
    for _ in range(3):
        await client.send(get(server.url()))
    assert server.connections == 1


@pytest.mark.parametrize("scheme", ["Negotiate", "ntlm"])
async def test_a_connection_that_authenticates_is_not_shared(
    server: Loopback, client: SafeHttpClient, scheme: str
) -> None:
    await client.send(get(server.url(), Authorization=f"{scheme} dG9rZW4="))
    await client.send(get(server.url()))
    assert [one.connection for one in server.received] == [1, 2]


async def test_cookies_are_forgotten(server: Loopback, client: SafeHttpClient) -> None:
    server.answers["/"] = reply(headers={"Set-Cookie": "session=1; Path=/"})
    await client.send(get(server.url()))
    await client.send(get(server.url()))
    assert all("cookie" not in one.headers for one in server.received)


async def test_proxies_of_the_environment_are_not_used(
    server: Loopback, client: SafeHttpClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("HTTP_PROXY", "http_proxy", "ALL_PROXY"):
        monkeypatch.setenv(name, "http://127.0.0.1:9")
    assert (await client.send(get(server.url()))).status == 404


@pytest.mark.parametrize(
    "headers",
    [
        {"Host": "elsewhere"},
        {"Content-Length": "5"},
        {"transfer-encoding": "chunked"},
        {"Connection": "upgrade"},
        {"Upgrade": "h2c"},
        {"X-A": "1\r\nX-B: 2"},
        {"X-A": "snow \N{SNOWMAN}"},
        {"X A": "1"},
        {"": "1"},
    ],
)
async def test_headers_that_would_change_the_message_are_refused(
    server: Loopback, client: SafeHttpClient, headers: dict[str, str]
) -> None:
    error = await refused(client, HttpRequest("GET", server.url(), headers))
    assert (error.kind, error.retryable) == ("protocol", False)
    assert server.received == []


@pytest.mark.parametrize("method", ["CONNECT", "TRACE", "get", "G T", "GET / HTTP/1.1\r\n"])
async def test_methods_that_are_no_calls_are_refused(client: SafeHttpClient, method: str) -> None:
    assert (await refused(client, HttpRequest(method, "http://server.test/", {}))).kind == "protocol"


# Where it may go


@pytest.mark.parametrize(
    "host",
    [
        "127.0.0.1", "localhost", "[::1]", "[::ffff:127.0.0.1]", "169.254.169.254", "0x7f000001",
        "2130706433", "127.1", "0", "0.0.0.0", "[::]", "[64:ff9b::7f00:1]", "[2002:7f00:1::]", "192.0.0.8",
        "100.64.0.1", "[fec0::1]", "[fe80::1]", "[fd00::1]", "10.0.0.1", "172.16.0.1", "192.168.0.1", "[::127.0.0.1]",
    ],
)  # fmt: skip
async def test_places_that_are_not_on_the_internet_are_refused(server: Loopback, host: str) -> None:
    """With the machine's own resolver, because the odd spellings are its specialty."""
    async with SafeHttpClient() as client:
        error = await refused(client, get(f"http://{host}:{server.port}/"))
    assert (error.kind, error.retryable) == ("blocked", False)
    assert "WEFT_HTTP_ALLOW" in error.message
    assert server.connections == 0


@pytest.mark.parametrize("port", [0, 22, 25, 6379])
async def test_ports_of_other_services_are_refused(port: int) -> None:
    async with client_for(names={"mail.test": ["93.184.216.34"]}) as client:
        assert (await refused(client, get(f"http://mail.test:{port}/"))).kind == "blocked"


@pytest.mark.parametrize(
    ("url", "kind"),
    [
        ("ftp://server.test/", "blocked"),
        ("file:///etc/passwd", "blocked"),
        ("gopher://server.test/", "blocked"),
        ("//server.test/", "blocked"),
        ("server.test/", "blocked"),
        ("http://", "blocked"),
        ("http://user:secret@server.test/", "blocked"),
        ("http://user@server.test/", "blocked"),
        ("http://server.test:99999/", "blocked"),
        ("http://server.test:http/", "protocol"),
        ("http://999.1.1.1/", "protocol"),
        ("http://[::1/", "protocol"),
        ("http://server.test/\r\nHost: evil", "protocol"),
        ("http://server.test/" + "a" * 70_000, "protocol"),
        ("http://\N{FULLWIDTH DIGIT ONE}27.0.0.1/", "protocol"),
    ],
)
async def test_addresses_that_cannot_be_called(client: SafeHttpClient, url: str, kind: str) -> None:
    error = await refused(client, get(url))
    assert (error.kind, error.retryable) == (kind, False)
    assert "secret" not in error.message


async def test_one_private_address_spoils_a_name() -> None:
    async with client_for(names={"mixed.test": ["93.184.216.34", "10.0.0.1"]}) as client:
        error = await refused(client, get("http://mixed.test/"))
    assert error.kind == "blocked"
    assert "10.0.0.1" not in error.message


async def test_a_name_server_that_changes_its_mind_gains_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    """Rebinding: the address that was checked is the address that is connected to, without asking again."""
    answers = [["93.184.216.34"], ["127.0.0.1"]]
    asked: list[str] = []
    connected: list[str] = []

    async def resolve(host: str, port: int) -> Sequence[str]:
        asked.append(host)
        return answers.pop(0)

    async def connect_tcp(self: object, host: str, port: int, **rest: object) -> httpcore2.AsyncNetworkStream:
        connected.append(host)
        raise httpcore2.ConnectError("nobody there")

    monkeypatch.setattr(httpcore2.AnyIOBackend, "connect_tcp", connect_tcp)
    async with SafeHttpClient(resolve=resolve) as client:
        assert (await refused(client, get("http://rebind.test/"))).kind == "connection"
        assert (asked, connected) == (["rebind.test"], ["93.184.216.34"])
        assert (await refused(client, get("http://rebind.test/"))).kind == "blocked"
        assert connected == ["93.184.216.34"]


async def test_the_next_address_is_tried_when_one_does_not_answer(monkeypatch: pytest.MonkeyPatch) -> None:
    connected: list[tuple[str, object]] = []

    async def connect_tcp(self: object, host: str, port: int, **rest: object) -> httpcore2.AsyncNetworkStream:
        connected.append((host, rest["timeout"]))
        raise httpcore2.ConnectTimeout("nobody there")

    monkeypatch.setattr(httpcore2.AnyIOBackend, "connect_tcp", connect_tcp)
    async with client_for(names={"two.test": ["93.184.216.34", "2606:4700::1111"]}) as client:
        assert (await refused(client, get("http://two.test/"))).kind == "timeout"
    assert connected == [("93.184.216.34", 3.0), ("2606:4700::1111", None)]


async def test_sockets_of_the_machine_cannot_be_called() -> None:
    network = GuardedNetwork(Allow(), addresses({}))
    with pytest.raises(HttpError, match="Sockets"):
        await network.connect_unix_socket("/run/docker.sock")


async def test_an_unknown_name(client: SafeHttpClient) -> None:
    error = await refused(client, get("http://missing.test/"))
    assert (error.kind, error.retryable) == ("dns", True)
    assert error.message == "The name missing.test cannot be resolved: name or service not known."


async def test_a_name_without_addresses() -> None:
    async with client_for(names={"empty.test": []}) as client:
        assert (await refused(client, get("http://empty.test/"))).kind == "dns"


async def test_the_system_resolver_knows_localhost_and_refuses_impossible_names() -> None:
    resolver = SystemResolver()
    try:
        assert set(await resolver("localhost", 80)) <= {"127.0.0.1", "::1"}
        async with SafeHttpClient(resolve=resolver) as client:
            assert (await refused(client, get("http://" + "a" * 64 + ".test/"))).kind == "dns"
    finally:
        resolver.close()


# Redirects


@pytest.mark.parametrize(
    ("status", "method", "then", "keeps_body"),
    [
        (301, "GET", "GET", False), (302, "GET", "GET", False), (301, "POST", "GET", False),
        (302, "POST", "GET", False), (301, "PUT", "PUT", True),
        (302, "DELETE", "DELETE", True), (303, "POST", "GET", False), (303, "PUT", "GET", False),
        (303, "HEAD", "HEAD", False), (307, "POST", "POST", True), (308, "PATCH", "PATCH", True),
    ],
)  # fmt: skip
async def test_how_a_redirect_changes_the_request(
    server: Loopback, client: SafeHttpClient, status: int, method: str, then: str, keeps_body: bool
) -> None:
    server.answers |= {"/from": redirect(status, "/to?x=1"), "/to": reply(200)}
    body = None if method in ("GET", "HEAD") else b"{}"
    headers = {"Content-Type": "application/json", "Authorization": "Bearer t"}
    response = await client.send(HttpRequest(method, server.url("/from"), headers, body=body))

    assert (response.status, response.url) == (200, server.url("/to?x=1"))
    last = server.received[-1]
    assert (last.method, last.target) == (then, "/to?x=1")
    assert last.body == (b"{}" if keeps_body else b"")
    if body is not None:
        assert ("content-type" in last.headers) == keeps_body
    assert last.headers["authorization"] == "Bearer t"


async def test_credentials_stay_with_their_origin(server: Loopback) -> None:
    async with loopback() as other:
        server.answers["/from"] = redirect(307, other.url("/back", host="other.test"))
        other.answers["/back"] = redirect(307, server.url("/to"))
        server.answers["/to"] = reply(200)
        headers = {
            "Authorization": "Bearer t",
            "Cookie": "a=b",
            "X-Api-Key": "k",
            "Idempotency-Key": "i",
            "Accept": "text/plain",
        }
        async with client_for(server, other) as client:
            response = await client.send(HttpRequest("POST", server.url("/from"), headers, body=b"x"))

    assert response.status == 200
    first, (second,), last = server.received[0], other.received, server.received[-1]
    assert {"authorization", "cookie", "x-api-key"} <= first.headers.keys()
    for later in (second, last):  # the way back does not bring them back
        assert not {"authorization", "cookie", "x-api-key"} & later.headers.keys()
        assert (later.headers["idempotency-key"], later.headers["accept"]) == ("i", "text/plain")
    assert second.headers["host"] == f"other.test:{other.port}"


async def test_another_port_or_name_is_another_origin(server: Loopback, client: SafeHttpClient) -> None:
    server.answers |= {"/from": redirect(302, server.url("/to", host="other.test")), "/to": reply(200)}
    await client.send(get(server.url("/from"), Authorization="Bearer t"))
    assert "authorization" not in server.received[-1].headers


async def test_a_loop_of_redirects_ends(server: Loopback, client: SafeHttpClient) -> None:
    server.answers["/"] = redirect(302, "/")
    error = await refused(client, get(server.url()))
    assert (error.kind, error.retryable) == ("redirect", False)
    assert len(server.received) == MAX_REDIRECTS + 1


async def test_five_redirects_are_followed(server: Loopback, client: SafeHttpClient) -> None:
    server.answers |= {f"/{n}": redirect(302, f"/{n + 1}") for n in range(5)} | {"/5": reply(200, b"here")}
    assert (await client.send(get(server.url("/0")))).body == b"here"


@pytest.mark.parametrize(
    ("location", "kind"),
    [
        ("http://inside.test/", "blocked"),
        ("http://169.254.169.254/latest/meta-data/", "blocked"),
        ("//127.0.0.1:1/", "blocked"),
        ("ftp://server.test/", "redirect"),
        ("file:///etc/passwd", "redirect"),
        ("http://user:pass@server.test/", "redirect"),
        ("http://[::1/", "redirect"),
        ("javascript:alert(1)", "redirect"),
    ],
)
async def test_a_redirect_to_a_forbidden_place(
    server: Loopback, client: SafeHttpClient, location: str, kind: str
) -> None:
    server.answers["/"] = redirect(302, location)
    error = await refused(client, get(server.url()))
    assert (error.kind, error.retryable) == (kind, False)


async def test_redirects_can_be_left_alone(server: Loopback, client: SafeHttpClient) -> None:
    server.answers["/"] = redirect(302, "http://inside.test/")
    response = await client.send(HttpRequest("GET", server.url(), {}, follow_redirects=False))
    assert (response.status, response.headers["location"]) == (302, "http://inside.test/")


@pytest.mark.parametrize("answer", [reply(302), reply(304, headers={"Location": "/x"}), reply(300, b"pick")])
async def test_what_looks_like_a_redirect_but_is_none(server: Loopback, client: SafeHttpClient, answer: bytes) -> None:
    server.answers["/"] = answer
    assert (await client.send(get(server.url()))).status in (300, 302, 304)
    assert len(server.received) == 1


# Size, time, and servers that misbehave


async def test_a_body_within_the_limit_and_one_beyond(server: Loopback, client: SafeHttpClient) -> None:
    server.answers["/"] = reply(200, b"x" * 1000)
    assert len((await client.send(get(server.url(), max_bytes=1000))).body) == 1000
    error = await refused(client, get(server.url(), max_bytes=999))
    assert (error.kind, error.retryable) == ("too_large", False)


async def test_a_body_that_never_ends_is_cut(server: Loopback, client: SafeHttpClient) -> None:
    sent = 0

    async def pour(writer: asyncio.StreamWriter) -> None:
        nonlocal sent
        writer.write(reply(200, headers={"Transfer-Encoding": "chunked"}, length=False))
        while not server.over.is_set():
            writer.write(b"1000\r\n" + b"x" * 4096 + b"\r\n")
            await writer.drain()
            sent += 4096

    server.answers["/"] = pour
    assert (await refused(client, get(server.url(), max_bytes=100_000))).kind == "too_large"
    assert sent < 50_000_000


@pytest.mark.parametrize(("coding", "pack"), [("gzip", gzip.compress), ("deflate", zlib.compress)])
async def test_compressed_bodies_are_unpacked(
    server: Loopback, client: SafeHttpClient, coding: str, pack: object
) -> None:
    assert callable(pack)
    server.answers["/"] = reply(200, pack(b"hello " * 100), {"Content-Encoding": coding})
    response = await client.send(get(server.url()))
    assert response.body == b"hello " * 100
    assert not {"content-encoding", "content-length"} & response.headers.keys()


async def test_a_bomb_is_cut_before_it_unfolds(server: Loopback, client: SafeHttpClient) -> None:
    once = gzip.compress(bytes(64_000_000), 9)
    server.answers["/once"] = reply(200, once, {"Content-Encoding": "gzip"})
    server.answers["/twice"] = reply(200, gzip.compress(once, 9), {"Content-Encoding": "gzip, gzip"})
    for path in ("/once", "/twice"):
        error = await refused(client, get(server.url(path), max_bytes=1_000_000))
        assert (error.kind, error.retryable) == ("too_large", False)


async def test_a_stream_that_unpacks_to_nothing_is_bounded_too(server: Loopback, client: SafeHttpClient) -> None:
    empty_blocks = b"\x00\x00\x00\xff\xff" * 60_000  # stored deflate blocks of length zero
    body = gzip.compress(b"")[:10] + empty_blocks
    server.answers["/"] = reply(200, headers={"Content-Encoding": "gzip", "Connection": "close"}, length=False) + body

    async def pour(writer: asyncio.StreamWriter) -> None:
        writer.write(reply(200, headers={"Content-Encoding": "gzip"}, length=False) + body)
        await writer.drain()

    server.answers["/"] = pour
    assert (await refused(client, get(server.url(), max_bytes=10_000))).kind == "too_large"


@pytest.mark.parametrize(
    "answer",
    [
        reply(200, b"not gzip at all", {"Content-Encoding": "gzip"}),
        reply(200, b"x", {"Content-Encoding": "br"}),
        reply(200, b"x", {"Content-Encoding": "gzip, " * 6 + "gzip"}),
    ],
)
async def test_a_body_that_cannot_be_unpacked(server: Loopback, client: SafeHttpClient, answer: bytes) -> None:
    server.answers["/"] = answer
    error = await refused(client, get(server.url()))
    assert (error.kind, error.retryable) == ("protocol", False)


@pytest.mark.parametrize(
    "beginning",
    [
        b"",
        b"HTTP/1.1 200 OK\r\nContent-",
        b"HTTP/1.1 100 Continue\r\n\r\n",
        reply(200, b"half", {"Content-Length": "8"}, length=False),
    ],
)
async def test_a_server_that_stalls_is_left_in_time(server: Loopback, client: SafeHttpClient, beginning: bytes) -> None:
    async def stall(writer: asyncio.StreamWriter) -> None:
        writer.write(beginning)
        await writer.drain()
        await server.over.wait()

    server.answers["/"] = stall
    error = await refused(client, get(server.url(), timeout=0.05))
    assert (error.kind, error.retryable) == ("timeout", True)


async def test_a_name_server_that_stalls_is_left_in_time() -> None:
    async def resolve(host: str, port: int) -> Sequence[str]:
        await asyncio.Event().wait()
        return []

    async with SafeHttpClient(resolve=resolve) as client:
        assert (await refused(client, get("http://slow.test/", timeout=0.02))).kind == "timeout"


async def test_the_time_covers_all_redirects_together(server: Loopback, client: SafeHttpClient) -> None:
    async def stall(writer: asyncio.StreamWriter) -> None:
        await server.over.wait()

    server.answers |= {"/": redirect(302, "/slow"), "/slow": stall}
    assert (await refused(client, get(server.url(), timeout=0.05))).kind == "timeout"


async def test_after_a_failure_the_client_still_works(server: Loopback, client: SafeHttpClient) -> None:
    async def stall(writer: asyncio.StreamWriter) -> None:
        await server.over.wait()

    server.answers |= {"/slow": stall, "/big": reply(200, b"x" * 5000), "/ok": reply(200, b"fine")}
    await refused(client, get(server.url("/slow"), timeout=0.02))
    await refused(client, get(server.url("/big"), max_bytes=10))
    assert (await client.send(get(server.url("/ok")))).body == b"fine"


async def test_nobody_listens(client: SafeHttpClient) -> None:
    with reserved() as port:
        gone = Loopback(port)
        async with client_for(gone) as other:
            error = await refused(other, get(gone.url()))
    assert (error.kind, error.retryable) == ("connection", True)


@pytest.mark.parametrize(
    ("answer", "kind"),
    [
        (b"", "connection"),
        (b"HTTP/1.1 200 OK\r\nContent-Le", "connection"),
        (reply(200, b"half", {"Content-Length": "8"}, length=False), "connection"),
        (b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhel", "connection"),
        (b"SSH-2.0-OpenSSH_9.2\r\n\r\n", "protocol"),
        (b"HTTP/1.1 200 OK\r\nno colon here\r\n\r\n", "protocol"),
        (b"HTTP/1.1 200 OK\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\nab", "protocol"),
        (b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n", "protocol"),
        (b"HTTP/1.1 200 OK\r\n" + b"X-Filler: 0123456789\r\n" * 20_000 + b"\r\n", "protocol"),
        (b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\n\r\n", "protocol"),
    ],
)
async def test_answers_that_are_broken(server: Loopback, client: SafeHttpClient, answer: bytes, kind: str) -> None:
    async def say(writer: asyncio.StreamWriter) -> None:
        writer.write(answer)
        await writer.drain()

    server.answers["/"] = say
    error = await refused(client, get(server.url()))
    assert (error.kind, error.retryable) == (kind, True)


async def test_cancelling_a_call_closes_its_connection(server: Loopback, client: SafeHttpClient) -> None:
    reached = asyncio.Event()

    async def stall(writer: asyncio.StreamWriter) -> None:
        reached.set()
        await server.over.wait()

    server.answers["/"] = stall
    call = asyncio.create_task(client.send(get(server.url())))
    await reached.wait()
    call.cancel()
    with pytest.raises(asyncio.CancelledError):
        await call
    assert client._pool.connections == []
