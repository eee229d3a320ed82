"""The commands' HTTP client against servers that misbehave: always one sentence and a kind, never a traceback."""

from __future__ import annotations

import os
import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from tests.ports import reserved

from weft.cli.client import (
    AddressInvalid,
    AnswerLate,
    AnswerStrange,
    Client,
    ConnectionLost,
    NothingListens,
    NothingRuns,
    NotSignedIn,
    ServerFailed,
    address_of,
    connect,
    segment,
)
from weft.core.errors import (
    Conflict,
    Exhausted,
    Forbidden,
    Invalid,
    NotFound,
    Stale,
    Unauthenticated,
    Unavailable,
    WeftError,
)


@pytest.fixture
def free_port() -> Iterator[int]:
    with reserved() as port:
        yield port


def answer(status: str, body: str, *headers: str, kind: str = "application/problem+json") -> bytes:
    data = body.encode()
    lines = [f"HTTP/1.1 {status}", f"Content-Type: {kind}", f"Content-Length: {len(data)}", *headers]
    return "\r\n".join([*lines, "", ""]).encode() + data


def problem(status: str, code: str, *headers: str) -> bytes:
    body = (
        f'{{"type": "/errors/{code}", "detail": "Said so.", "correlation_id": "c-1",'
        ' "errors": [{"message": "is wrong", "path": ["steps", 3], "code": "x", "location": "body"}]}'
    )
    return answer(status, body, *headers)


def _whole(connection: socket.socket) -> bytes:
    """One request, its body included, in however many packets it comes."""
    received = connection.recv(65536)
    head, _, body = received.partition(b"\r\n\r\n")
    lengths = [line.split(b":")[1] for line in head.split(b"\r\n") if line.lower().startswith(b"content-length:")]
    while lengths and len(body) < int(lengths[0]):
        body += connection.recv(65536)
    return head + b"\r\n\r\n" + body


@contextmanager
def answering(*answers: bytes | None) -> Iterator[tuple[str, list[bytes]]]:
    """A server that answers each connection with the next of these, whatever it is asked; None: it says nothing."""
    asked: list[bytes] = []
    done = threading.Event()
    listener = socket.create_server(("127.0.0.1", 0))

    def serve() -> None:
        for reply in answers:
            connection, _ = listener.accept()
            with connection:
                asked.append(_whole(connection))
                if reply is None:
                    done.wait()
                else:
                    connection.sendall(reply)

    thread = threading.Thread(target=serve)
    thread.start()
    try:
        yield f"http://127.0.0.1:{listener.getsockname()[1]}", asked
    finally:
        done.set()
        thread.join()
        listener.close()


@pytest.mark.parametrize(
    ("status", "kind"),
    [
        ("400 Bad", Invalid),
        ("401 No", Unauthenticated),
        ("403 No", Forbidden),
        ("404 No", NotFound),
        ("409 No", Conflict),
        ("412 No", Stale),
        ("422 No", Invalid),
        ("429 No", Exhausted),
        ("503 No", Unavailable),
    ],
)
def test_a_problem_comes_back_as_the_error_it_was(status: str, kind: type[Exception]) -> None:
    with answering(problem(status, "thing_wrong", "Retry-After: 7")) as (url, _), pytest.raises(kind) as refused:
        Client(url).get("/things")
    error = refused.value
    assert isinstance(error, kind)
    assert (error.code, error.message, error.retry_after) == ("thing_wrong", "Said so.", 7.0)  # type: ignore[attr-defined]  # a WeftError
    assert error.issues[0].path == ("steps", 3)  # type: ignore[attr-defined]  # a WeftError


def test_a_bug_of_the_server_shows_its_correlation_id() -> None:
    with answering(problem("500 Oops", "internal_error")) as (url, _), pytest.raises(ServerFailed, match="c-1"):
        Client(url).get("/things")


@pytest.mark.parametrize(
    "reply",
    [
        answer("200 OK", "<html>", kind="text/html"),
        answer("502 Bad Gateway", "<html>nginx</html>", kind="text/html"),
        answer("301 Moved", "", "Location: https://elsewhere.example"),
        b"SSH-2.0-OpenSSH_9\r\n",
        b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\n{",
    ],
)
def test_what_is_not_weft_is_said_to_be_strange(reply: bytes) -> None:
    with answering(reply) as (url, _), pytest.raises(AnswerStrange, match="--url"):
        Client(url).get("/things")


def test_a_server_that_says_nothing_is_left_after_the_timeout() -> None:
    with answering(None) as (url, _), pytest.raises(AnswerLate, match="look before you repeat"):
        Client(url).post("/things", {}, timeout=0.05)


def test_a_connection_closed_without_answer_is_never_repeated() -> None:
    with answering(b"") as (url, asked), pytest.raises(ConnectionLost, match="look before you repeat"):
        Client(url).post("/things", {})
    assert len(asked) == 1


def test_a_body_that_is_refused_before_it_has_all_gone_is_said_to_be_too_large() -> None:
    """The server answers, and closes while the body still comes: writing fails, and the answer lies there."""
    said = problem("413 Content Too Large", "body_oversized")

    def refuse(listening: socket.socket) -> None:
        connection, _ = listening.accept()
        with connection:
            connection.recv(1000)
            connection.sendall(said)

    with socket.create_server(("127.0.0.1", 0)) as listening:
        server = threading.Thread(target=refuse, args=(listening,))
        server.start()
        with pytest.raises(WeftError, match="Said so"):
            Client(f"http://127.0.0.1:{listening.getsockname()[1]}").post("/things", "x" * 20_000_000)
        server.join()


def test_lists_are_read_page_by_page_until_there_are_enough() -> None:
    pages = [
        answer("200 OK", '{"items": [{"n": 1}, {"n": 2}], "next_cursor": "a+b"}'),
        answer("200 OK", '{"items": [{"n": 3}, {"n": 4}], "next_cursor": "c"}'),
    ]
    with answering(*pages) as (url, asked):
        assert Client(url).listed("/things", limit=3, kind="x") == [{"n": 1}, {"n": 2}, {"n": 3}]
    assert asked[0].startswith(b"GET /v1/things?limit=3&kind=x HTTP/1.1")
    assert asked[1].startswith(b"GET /v1/things?limit=3&cursor=a%2Bb&kind=x HTTP/1.1")


def test_nothing_listening_is_told_from_everything_else(free_port: int) -> None:
    with pytest.raises(NothingListens, match=r"\./weft up"):
        Client(f"http://127.0.0.1:{free_port}").get("/things")


def test_what_is_sent_is_what_the_api_expects() -> None:
    with answering(answer("204 No Content", "")) as (url, asked):
        client = Client(f"{url}/behind/a/path", token="weft_sk_x", tenant="acme")
        path = f"/things/{segment('a/../b')}"
        assert client.patch(path, {"a": None}, query={"on": True, "not": None, "many": [1, 2]}, expected=3) is None
    head, _, body = asked[0].partition(b"\r\n\r\n")
    lines = head.decode().split("\r\n")
    assert lines[0] == "PATCH /behind/a/path/v1/things/a%2F..%2Fb?on=true&many=1&many=2 HTTP/1.1"
    assert {"Authorization: Bearer weft_sk_x", "Weft-Tenant: acme", 'If-Match: "3"'} <= set(lines)
    assert body == b'{"a": null}'


def test_where_nothing_runs_nobody_is_asked_to_sign_in(
    nobody: Path, monkeypatch: pytest.MonkeyPatch, free_port: int
) -> None:
    monkeypatch.setenv("WEFT_PORT", str(free_port))
    with pytest.raises(NothingRuns, match=f"http://127.0.0.1:{free_port}.*`weft up`"):
        connect()
    with socket.create_server(("127.0.0.1", free_port)), pytest.raises(NotSignedIn):
        connect()
    with pytest.raises(NotSignedIn):
        connect("http://127.0.0.1:1")


def test_the_address_comes_from_the_option_the_environment_or_what_runs_here(
    nobody: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    from weft.ops.home import Home
    from weft.ops.processes import started_at

    assert address_of(None) == "http://127.0.0.1:8080"
    monkeypatch.setenv("WEFT_PORT", "8931")
    assert address_of(None) == "http://127.0.0.1:8931"
    monkeypatch.delenv("WEFT_PORT")
    Path("weft.toml").write_text('[api]\nhost = "::"\nport = 8932\n')
    assert address_of(None) == "http://127.0.0.1:8932"
    home = Home(tmp_path / "data" / "weft")
    home.ensure()
    home.write_run({"url": "http://127.0.0.1:9999", "pid": os.getpid(), "started": started_at(os.getpid())})
    assert address_of(None) == "http://127.0.0.1:9999"
    monkeypatch.setenv("WEFT_URL", "https://weft.example/")
    assert address_of(None) == "https://weft.example"
    assert address_of("http://other.example:1/x/") == "http://other.example:1/x"
    with pytest.raises(AddressInvalid):
        address_of("weft.example")
    monkeypatch.setenv("WEFT_TOKEN", "weft_ss_t")
    monkeypatch.setenv("WEFT_TENANT", "globex")
    client = connect()
    assert (client.url, client.token, client.tenant) == ("https://weft.example", "weft_ss_t", "globex")
    monkeypatch.setenv("WEFT_API_KEY", "weft_sk_k")
    assert connect(tenant="acme").token == "weft_sk_k"
