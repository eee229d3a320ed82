"""The `http` step: the request it makes of its config, and what it makes of the answer."""

from __future__ import annotations

import base64
import json
from typing import Any

import pytest
from tests.adapters.loopback import addresses, loopback, redirect, reply
from tests.engine.steps.calls import EXECUTION, FakeHttp, answer_of, call_of

from weft.adapters.addresses import Allow
from weft.adapters.http_client import SafeHttpClient
from weft.core.ports import HttpError, HttpRequest
from weft.engine.kinds import Ports
from weft.engine.outcomes import Done, Failed, Outcome
from weft.engine.steps.http import STEP

URL = "https://api.test/pay"


async def request_of(config: dict[str, Any], *, step_timeout: float | None = None) -> HttpRequest:
    http = FakeHttp()
    outcome = await STEP.perform(call_of({"url": URL, **config}, timeout=step_timeout), http.ports)
    assert isinstance(outcome, Done), outcome
    return http.sent[0]


async def outcome_of(config: dict[str, Any], http: FakeHttp) -> Outcome:
    return await STEP.perform(call_of({"url": URL, **config}), http.ports)


# The request


async def test_a_call_is_a_get_with_its_keys() -> None:
    request = await request_of({})
    assert request == HttpRequest(
        "GET",
        URL,
        {"Accept": "*/*", "Idempotency-Key": f"{EXECUTION}:lines.pay:4:2", "X-Correlation-Id": "corr-1"},
        None,
        timeout=30.0,
        max_bytes=1_000_000,
        follow_redirects=True,
    )


async def test_what_the_author_gives_wins_in_any_spelling() -> None:
    headers = {"idempotency-key": "mine", "x-correlation-id": None, "ACCEPT": "text/csv", "content-type": "x/y"}
    request = await request_of({"headers": headers, "body": "a"})
    assert request.headers == {"idempotency-key": "mine", "ACCEPT": "text/csv", "content-type": "x/y"}


@pytest.mark.parametrize(
    ("config", "body", "content_type"),
    [
        ({"body": {"a": "é", "n": 1.5}}, '{"a":"é","n":1.5}'.encode(), "application/json"),
        ({"body": [1, None]}, b"[1,null]", "application/json"),
        ({"body": 3}, b"3", "application/json"),
        ({"body": False}, b"false", "application/json"),
        ({"body": {}, "content_type": "application/merge-patch+json"}, b"{}", "application/merge-patch+json"),
        ({"body": "plain ✓"}, "plain ✓".encode(), "text/plain; charset=utf-8"),
        ({"body": "<a/>", "content_type": "application/xml"}, b"<a/>", "application/xml"),
        ({"body": ""}, b"", "text/plain; charset=utf-8"),
        (
            {"body": {"a": "x y", "b": [1, True], "c": None}, "content_type": "application/x-www-form-urlencoded"},
            b"a=x+y&b=1&b=true",
            "application/x-www-form-urlencoded",
        ),
        ({"body": None}, None, None),
        ({"content_type": "application/json"}, None, None),
    ],
)
async def test_bodies(config: dict[str, Any], body: bytes | None, content_type: str | None) -> None:
    request = await request_of({"method": "post", **config})
    assert (request.method, request.body, request.headers.get("Content-Type")) == ("POST", body, content_type)


@pytest.mark.parametrize(
    ("url", "query", "full"),
    [
        (URL, {"a": "x y&z", "b": 2.0, "c": True, "d": None}, f"{URL}?a=x+y%26z&b=2&c=true"),
        (URL, {"e": [1, None, "é"]}, f"{URL}?e=1&e=%C3%A9"),
        (f"{URL}?k=v", {"a": 1}, f"{URL}?k=v&a=1"),
        (f"{URL}?k=v#part", {}, f"{URL}?k=v"),
        (f"  {URL}\n", {}, URL),
    ],
)  # fmt: skip
async def test_queries(url: str, query: dict[str, Any], full: str) -> None:
    assert (await request_of({"url": url, "query": query})).url == full


@pytest.mark.parametrize(
    ("config", "step_timeout", "seconds"),
    [
        ({}, None, 30.0),
        ({}, 5.0, 5.0),
        ({}, 120.0, 120.0),
        ({}, 9000.0, 300.0),
        ({"timeout": "2m"}, None, 120.0),
        ({"timeout": 7}, 60.0, 7.0),
        ({"timeout": 60}, 7.0, 7.0),
    ],
)
async def test_time_limits(config: dict[str, Any], step_timeout: float | None, seconds: float) -> None:
    assert (await request_of(config, step_timeout=step_timeout)).timeout == seconds


async def test_the_rest_is_handed_on() -> None:
    request = await request_of({"max_bytes": 10.0, "follow_redirects": False, "response": "json"})
    assert (request.max_bytes, request.follow_redirects, request.headers["Accept"]) == (10, False, "application/json")


@pytest.mark.parametrize(
    ("config", "words"),
    [
        ({"url": None}, "config.url must be text"),
        ({"url": 5}, "config.url must be text, but it is the number 5."),
        ({"url": "api.test/pay"}, "config.url must begin with http:// or https://."),
        ({"url": "https://u:p@api.test"}, "config.url must not hold a user name or password"),
        ({"method": "FETCH"}, "config.method must be one of"),
        ({"method": 1}, "config.method must be text"),
        ({"headers": []}, "config.headers must be an object"),
        ({"headers": {"Host": "x"}}, "config.headers: The header Host is written by weft itself."),
        ({"headers": {"X-A": "a\r\nX-B: b"}}, "config.headers: The header X-A must be one line"),
        ({"headers": {"X-A": {"a": 1}}}, "config.headers: The header X-A must be one line"),
        ({"headers": {"X-A": "1", "x-a": "2"}}, "twice"),
        ({"query": "a=b"}, "config.query must be an object"),
        ({"query": {"a": {"b": 1}}}, "config.query.a must be"),
        ({"body": {"a": float("inf")}}, "config.body cannot be written as JSON"),
        ({"body": {"a": 1}, "content_type": "application/xml"}, "config.body is not text"),
        ({"body": [1], "content_type": "application/x-www-form-urlencoded"}, "config.body must be an object"),
        ({"body": {"a": {}}, "content_type": "application/x-www-form-urlencoded"}, "config.body.a must be"),
        ({"body": "x", "content_type": "a\nb"}, "config.content_type must be"),
        ({"timeout": 0}, "config.timeout must be more than 0"),
        ({"timeout": "6m"}, "at most 300 seconds"),
        ({"timeout": "soon"}, "config.timeout: 'soon'"),
        ({"max_bytes": 0}, "config.max_bytes must be a whole number"),
        ({"follow_redirects": "yes"}, "config.follow_redirects must be true or false"),
    ],
)
async def test_nothing_is_sent_when_the_config_is_wrong(config: dict[str, Any], words: str) -> None:
    http = FakeHttp()
    outcome = await outcome_of(config, http)
    assert isinstance(outcome, Failed)
    assert (outcome.kind, outcome.retryable) == ("invalid", False)
    assert words in outcome.message
    assert http.sent == []


# The answer


@pytest.mark.parametrize(
    ("mode", "content_type", "body", "read"),
    [
        ("auto", "application/json", b'{"a": [1, 2.5, null]}', {"a": [1, 2.5, None]}),
        ("auto", "application/problem+json; charset=utf-8", b'"x"', "x"),
        ("auto", "application/json", b"<html>", "<html>"),
        ("auto", "text/plain", b"hello", "hello"),
        ("auto", "text/plain; charset=ISO-8859-1", b"caf\xe9", "café"),
        ("auto", 'text/html; charset="utf-8"', "✓".encode(), "✓"),
        ("auto", "text/plain; charset=rot13", b"hello", "hello"),
        ("auto", "", b"hello", "hello"),
        ("auto", "image/png", b"\x89PNG\xff\x00", None),
        ("auto", "application/json", b"", None),
        ("json", "text/plain", b'\xef\xbb\xbf{"a": 1}', {"a": 1}),
        ("json", "application/json", b'{"a\\u0000b": ["\\u0000"]}', {"a\ufffdb": ["\ufffd"]}),
        ("text", "application/json", b'{"a": 1}', '{"a": 1}'),
        ("text", "text/plain", b"bad \xff \x00", "bad \ufffd \ufffd"),
        ("base64", "image/png", b"\x00\xff", base64.b64encode(b"\x00\xff").decode()),
        ("base64", "image/png", b"", None),
        ("none", "application/json", b'{"a": 1}', None),
    ],
)
async def test_bodies_are_read_as_asked(mode: str, content_type: str, body: bytes, read: Any) -> None:
    outcome = await outcome_of({"response": mode}, FakeHttp(answer_of(200, body, content_type)))
    assert isinstance(outcome, Done)
    assert outcome.output["body"] == read


async def test_a_body_that_is_left_out_is_mentioned() -> None:
    outcome = await outcome_of({}, FakeHttp(answer_of(200, b"\xff\xfe\xff", "image/png")))
    assert isinstance(outcome, Done)
    assert "3 bytes, image/png" in (outcome.message or "")


@pytest.mark.parametrize(
    "body",
    [b"<html>", b"", b"{", b"NaN", b"1e999", b'"\\ud800"', b"[" * 100_000, b"\xff", b'{"a": Infinity}'],
)
async def test_a_body_that_is_no_json_fails_a_step_that_asks_for_json(body: bytes) -> None:
    outcome = await outcome_of({"response": "json"}, FakeHttp(answer_of(200, body)))
    assert isinstance(outcome, Failed)
    assert (outcome.kind, outcome.retryable, outcome.data["status"]) == ("response_invalid", False, 200)


async def test_no_content_is_no_json_and_no_error() -> None:
    outcome = await outcome_of({"response": "json"}, FakeHttp(answer_of(204)))
    assert isinstance(outcome, Done)
    assert outcome.output["body"] is None


async def test_headers_come_without_cookies_and_credentials() -> None:
    answer = answer_of(200, b"{}", ETag="1", Set_Cookie="s=1", WWW_Authenticate="Basic", Proxy_Status="x")
    outcome = await outcome_of({}, FakeHttp(answer))
    assert isinstance(outcome, Done)
    assert outcome.output == {"status": 200, "headers": {"content-type": "application/json", "etag": "1"}, "body": {}}


async def test_many_and_long_headers_are_cut() -> None:
    answer = answer_of(200, b"{}", **{f"X_{n:03}": "v" * 10_000 for n in range(200)})
    outcome = await outcome_of({}, FakeHttp(answer))
    assert isinstance(outcome, Done)
    assert len(outcome.output["headers"]) == 64
    assert max(map(len, outcome.output["headers"].values())) == 4096


@pytest.mark.parametrize(
    ("expect", "status", "accepted"),
    [
        (None, 200, True),
        (None, 299, True),
        (None, 302, False),
        ([200, 404], 404, True),
        ([201], 200, False),
        (["2xx", "404"], 404, True),
        (["4XX"], 451, True),
        ([404.0], 404, True),
    ],
)
async def test_which_statuses_are_a_success(expect: list[Any] | None, status: int, accepted: bool) -> None:
    config = {} if expect is None else {"expect": expect}
    outcome = await outcome_of(config, FakeHttp(answer_of(status, b"{}")))
    assert isinstance(outcome, Done if accepted else Failed)


@pytest.mark.parametrize("expect", [200, "2xx", [True], ["ok"], [None], ["20"]])
async def test_an_expectation_that_is_none(expect: Any) -> None:
    outcome = await outcome_of({"expect": expect}, FakeHttp())
    assert isinstance(outcome, Failed)
    assert outcome.message.startswith("config.expect must be a list of statuses")


@pytest.mark.parametrize(
    ("status", "kind", "retryable"),
    [
        (301, "http_3xx", False), (304, "http_3xx", False), (400, "http_4xx", False), (401, "http_4xx", False),
        (404, "http_4xx", False), (408, "timeout", True), (409, "http_4xx", False), (422, "http_4xx", False),
        (425, "http_4xx", True), (429, "rate_limit", True), (500, "http_5xx", True), (501, "http_5xx", True),
        (503, "http_5xx", True), (599, "http_5xx", True),
    ],
)  # fmt: skip
async def test_kinds_of_failure(status: int, kind: str, retryable: bool) -> None:
    outcome = await outcome_of({}, FakeHttp(answer_of(status, b"why", "text/plain")))
    assert isinstance(outcome, Failed)
    assert (outcome.kind, outcome.retryable, outcome.retry_after) == (kind, retryable, None)
    assert outcome.data == {"status": status, "body": "why"}
    assert outcome.message == f"GET api.test answered {status}, which the step does not expect."


@pytest.mark.parametrize(
    ("written", "seconds"),
    [
        ("0", 0.0),
        ("120", 120.0),
        (" 7 ", 7.0),
        ("999999999999999999999", 3600.0),
        ("Sat, 01 Jun 2030 12:00:30 GMT", 30.0),
        ("Saturday, 01-Jun-30 12:00:30 GMT", 30.0),
        ("Sat, 01 Jun 2030 11:00:00 GMT", 0.0),
        ("Sun, 02 Jun 2030 12:00:00 GMT", 3600.0),
        ("-5", None),
        ("1.5", None),
        ("soon", None),
        ("", None),
        ("²", None),
        ("Sat, 99 Foo 2030 99:99:99 GMT", None),
    ],
)
async def test_the_other_side_may_say_when(written: str, seconds: float | None) -> None:
    outcome = await outcome_of({}, FakeHttp(answer_of(503, retry_after=written)))
    assert isinstance(outcome, Failed)
    assert outcome.retry_after == seconds


async def test_a_final_refusal_has_no_later() -> None:
    outcome = await outcome_of({}, FakeHttp(answer_of(404, retry_after="5")))
    assert isinstance(outcome, Failed)
    assert outcome.retry_after is None


async def test_what_was_sent_is_never_told() -> None:
    config = {
        "url": "https://api.test/hidden-path?token=hidden-query",
        "headers": {"Authorization": "Bearer hidden-header"},
        "body": "hidden-body",
    }
    for answer in (answer_of(500, b"x" * 5000, "text/plain"), answer_of(200, b"{}")):
        outcome = await outcome_of(config, FakeHttp(answer))
        assert "hidden" not in repr(outcome)
        if isinstance(outcome, Failed):
            assert len(outcome.data["body"]) == 2048


@pytest.mark.parametrize(
    ("kind", "retryable"),
    [("blocked", False), ("dns", True), ("connection", True), ("timeout", True), ("too_large", False)],
)
async def test_what_the_network_says_is_handed_on(kind: str, retryable: bool) -> None:
    outcome = await outcome_of({}, FakeHttp(HttpError(kind, "Why.", retryable=retryable)))
    assert outcome == Failed(kind, "Why.", retryable=retryable)


@pytest.mark.parametrize(("config", "may"), [({}, True), ({"idempotent": True}, True), ({"idempotent": False}, False)])
def test_whether_a_call_may_be_repeated(config: dict[str, Any], may: bool) -> None:
    assert STEP.idempotent(config) is may


async def test_against_a_server() -> None:
    """From config to wire and back, with the client that workers use."""
    async with loopback() as server:
        server.answers |= {
            "/pay": redirect(307, "/pay2"),
            "/pay2": [
                reply(503, b"busy", {"Retry-After": "2"}),
                reply(201, b'{"id": 9}', {"Content-Type": "application/json", "Set-Cookie": "a=b"}),
            ],
        }
        config = {"method": "POST", "url": server.url("/pay"), "body": {"amount": 5}, "query": {"q": "a b"}}
        allow = Allow.parse([f"127.0.0.1:{server.port}"])
        async with SafeHttpClient(allow, resolve=addresses({"server.test": ["127.0.0.1"]})) as client:
            first = await STEP.perform(call_of(config), Ports(http=client))
            second = await STEP.perform(call_of(config), Ports(http=client))

    assert first == Failed(
        "http_5xx",
        f"POST server.test:{server.port} answered 503, which the step does not expect.",
        retry_after=2.0,
        data={"status": 503, "body": "busy"},
    )
    assert isinstance(second, Done)
    assert second.output["body"] == {"id": 9}
    assert "set-cookie" not in second.output["headers"]
    assert [one.target for one in server.received[:2]] == ["/pay?q=a+b", "/pay2"]
    assert json.loads(server.received[-1].body) == {"amount": 5}
    assert server.received[-1].headers["idempotency-key"] == f"{EXECUTION}:lines.pay:4:2"
