"""Every no is a problem document, says what to do, and shows nothing that it should not."""

from __future__ import annotations

from typing import Any
from uuid import uuid4

import httpx2
import pytest
from starlette.requests import HTTPConnection

from weft.core.errors import Conflict, Exhausted, Kind, Unavailable, WeftError
from weft.http import problems
from weft.http.problems import MEDIA_TYPE, MOST_ISSUES, STATUS

MEMBERS = {"type", "title", "status", "detail", "instance", "correlation_id", "errors"}


def problem(answer: httpx2.Response) -> dict[str, Any]:
    """The document, after checking what holds for all of them."""
    assert answer.headers["content-type"] == MEDIA_TYPE
    document: dict[str, Any] = answer.json()
    assert document.keys() == MEMBERS
    assert document["status"] == answer.status_code
    assert document["correlation_id"] == answer.headers["x-correlation-id"]
    assert document["detail"].rstrip()[-1] in ".?!"
    return document


async def test_an_error_of_a_room(http: httpx2.AsyncClient) -> None:
    answer = await http.post("/v1/clients?color=red", json={"name": "odd"})
    document = problem(answer)
    assert document == {
        "type": "/errors/client_odd",
        "title": "Client odd",
        "status": 409,
        "detail": "Choose an even name.",
        "instance": "/v1/clients",
        "correlation_id": document["correlation_id"],
        "errors": [{"message": "this name is odd", "path": ["name"], "code": "odd", "location": "body"}],
    }


async def test_a_bug_shows_nothing(http: httpx2.AsyncClient) -> None:
    answer = await http.post("/v1/clients", json={"name": "bug"})
    document = problem(answer)
    assert (answer.status_code, document["type"]) == (500, "/errors/internal_error")
    assert "hunter2" not in answer.text
    assert "Traceback" not in answer.text
    assert document["correlation_id"] in answer.text


async def test_an_answer_does_not_grow_with_what_is_wrong(http: httpx2.AsyncClient) -> None:
    few = problem(await http.post("/v1/clients", json={"name": "x", **{f"k{n}": 1 for n in range(52)}}))
    assert len(few["errors"]) == MOST_ISSUES
    assert "51 more things are wrong; the first 50 are in `errors`." in few["detail"]
    many = problem(await http.post("/v1/clients", json={"name": "x", **{f"k{n}": 1 for n in range(1_000)}}))
    assert [error["code"] for error in many["errors"]] == ["too_many_fields"]
    assert "this has 1001 fields, and 3 are known here" in many["detail"]
    long = problem(await http.post("/v1/clients", json={"name": "x", "y" * 10_000: 1}))
    assert len(long["detail"]) < 300


@pytest.mark.parametrize(
    "path", ["/hooks/weft_wh_abc", "/HOOKS/weft_wh_abc", "/hooks//weft_wh_abc", "/hooks/a/b?c=%FF"]
)
async def test_the_address_of_a_webhook_is_never_repeated(http: httpx2.AsyncClient, path: str) -> None:
    for method in ("GET", "PUT"):
        document = problem(await http.request(method, path))
        assert document["instance"].casefold().strip("/") == "hooks"


async def test_what_is_wrong_with_a_body_is_said_by_place(http: httpx2.AsyncClient) -> None:
    answer = await http.post("/v1/clients", json={"name": 7, "secret": "hunter2"})
    document = problem(answer)
    assert answer.status_code == 422
    assert document["type"] == "/errors/request_invalid"
    assert document["detail"].startswith("`name`: ")
    assert "1 more thing is wrong" in document["detail"]
    places = [(error["location"], error["path"], error["code"]) for error in document["errors"]]
    assert places == [("body", ["name"], "string_type"), ("body", ["secret"], "extra_forbidden")]
    assert "hunter2" not in answer.text


async def test_parameters_have_places_too(http: httpx2.AsyncClient) -> None:
    query = problem(await http.get("/v1/clients?limit=0"))["errors"]
    assert [(error["location"], error["path"]) for error in query] == [("query", ["limit"])]
    path = problem(await http.get("/v1/clients/not-an-id"))["errors"]
    assert [(error["location"], error["path"]) for error in path] == [("path", ["client_id"])]


async def test_a_missing_body_is_required(http: httpx2.AsyncClient) -> None:
    assert problem(await http.post("/v1/clients"))["detail"] == "The body: is required."


@pytest.mark.parametrize(
    "body",
    [b"{", b'{"name": }', b"\xff\xfe", b'{"name": "\xff"}', b"[" * 20_000, b'{"name": ' + b"1" * 5000 + b"}"],
    ids=["cut", "empty value", "no UTF-8", "no UTF-8 inside", "too deep", "a number of 5,000 digits"],
)
async def test_a_body_that_is_no_json_is_400(http: httpx2.AsyncClient, body: bytes) -> None:
    answer = await http.post("/v1/clients", content=body, headers={"Content-Type": "application/json"})
    assert answer.status_code == 400
    assert problem(answer)["type"] == "/errors/body_malformed"


async def test_a_body_of_another_media_type_is_refused(http: httpx2.AsyncClient) -> None:
    answer = await http.post("/v1/clients", content=b'{"name": "x"}', headers={"Content-Type": "text/plain"})
    assert answer.status_code == 415
    assert problem(answer)["type"] == "/errors/media_type_refused"


@pytest.mark.parametrize("path", ["/v1/nothing", "/v1/clients/", "/v2", "/wp-login.php"])
async def test_an_unknown_address(http: httpx2.AsyncClient, path: str) -> None:
    answer = await http.get(path)
    assert answer.status_code == 404
    assert problem(answer)["type"] == "/errors/address_unknown"


async def test_a_method_that_is_not_answered(http: httpx2.AsyncClient) -> None:
    answer = await http.put("/v1/clients", json={})
    assert answer.status_code == 405
    assert problem(answer)["type"] == "/errors/method_refused"
    assert set(answer.headers["allow"].split(", ")) == {"GET", "POST"}


async def test_a_row_that_is_not_there(http: httpx2.AsyncClient) -> None:
    answer = await http.get(f"/v1/clients/{uuid4()}")
    assert answer.status_code == 404
    assert problem(answer)["type"] == "/errors/client_missing"


def test_every_kind_has_a_status() -> None:
    assert STATUS.keys() == set(Kind)


@pytest.mark.parametrize(
    ("error", "status", "seconds"),
    [
        (Exhausted("Slow down.", retry_after=2.1), 429, "3"),
        (Exhausted("Slow down."), 429, "1"),
        (Unavailable("Not now.", retry_after=0), 503, "0"),
        (Conflict("Busy.", retry_after=1), 409, "1"),
        (Conflict("Not so."), 409, None),
    ],
)
def test_when_to_come_back_is_whole_seconds(error: WeftError, status: int, seconds: str | None) -> None:
    request = HTTPConnection({"type": "http", "headers": [], "path": "/", "method": "GET", "server": ("weft.test", 80)})
    answer = problems.of_error(request, error)
    assert (answer.status_code, answer.headers.get("retry-after")) == (status, seconds)
