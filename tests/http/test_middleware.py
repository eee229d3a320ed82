"""What every request passes: correlation, logging, protection, addresses, proxies."""

from __future__ import annotations

from typing import Any

import httpx2
import pytest
import structlog
from sqlalchemy import select
from starlette.requests import Request
from starlette.responses import Response, StreamingResponse
from starlette.routing import Route
from tests.conftest import Enter
from tests.http.conftest import BASE, Door, client_for

from weft.api.app import WeftApi
from weft.api.middleware import UNMATCHED
from weft.domain.audit.models import AuditLog

FACTS = "/v1/clients/me/facts"


class TestCorrelation:
    @pytest.mark.parametrize("offered", ["a", "order-17:2026.03_01", "A" * 100])
    async def test_a_sane_id_is_kept_everywhere(self, http: httpx2.AsyncClient, offered: str) -> None:
        answer = await http.get(FACTS, headers={"X-Correlation-Id": offered})
        assert answer.headers["x-correlation-id"] == offered
        assert answer.json()["correlation_id"] == offered

    @pytest.mark.parametrize("offered", ["", "A" * 101, "a b", "a\tb", "<script>", "a;b", "ä", 'x"y'])
    async def test_any_other_is_replaced(self, http: httpx2.AsyncClient, offered: str) -> None:
        answer = await http.get(FACTS, headers=[(b"X-Correlation-Id", offered.encode())])
        assert answer.headers["x-correlation-id"] != offered
        assert answer.json()["correlation_id"] == answer.headers["x-correlation-id"]

    async def test_every_request_has_its_own(self, http: httpx2.AsyncClient) -> None:
        ids = {(await http.get(FACTS)).headers["x-correlation-id"] for _ in range(3)}
        assert len(ids) == 3

    @pytest.mark.parametrize("path", ["/v1/clients/none", "/nowhere", "/healthz", "/v1/clients/%00"])
    async def test_errors_and_health_have_it_too(self, http: httpx2.AsyncClient, path: str) -> None:
        answer = await http.get(path, headers={"X-Correlation-Id": "mine"})
        assert answer.headers["x-correlation-id"] == "mine"

    async def test_it_is_found_again_in_the_audit_log(self, http: httpx2.AsyncClient, as_ada: Enter) -> None:
        await http.post("/v1/clients", json={"name": "Grace"}, headers={"X-Correlation-Id": "mine"})
        async with as_ada() as scope:
            rows = await scope.all(select(AuditLog).where(AuditLog.correlation_id == "mine"))
        assert [row.resource_type for row in rows] == ["clients"]


class TestLogging:
    async def test_a_request_is_one_line_without_its_data(self, http: httpx2.AsyncClient) -> None:
        with structlog.testing.capture_logs() as lines:
            await http.post("/v1/clients?color=red", json={"name": "Grace"})
        [line] = [line for line in lines if line["event"] == "request"]
        assert line["ms"] >= 0
        assert {**line, "ms": 0} == {
            "event": "request",
            "log_level": "info",
            "method": "POST",
            "route": "/v1/clients",
            "status": 201,
            "ms": 0,
        }

    @pytest.mark.parametrize(
        ("path", "route"),
        [
            ("/v1/clients/018f0000-0000-7000-8000-000000000000", "/v1/clients/{client_id}"),
            ("/healthz", "/healthz"),
            ("/errors/no_such", "/errors/{code}"),
            ("/nowhere/at/all", UNMATCHED),
        ],
    )
    async def test_routes_are_templates(self, http: httpx2.AsyncClient, path: str, route: str) -> None:
        with structlog.testing.capture_logs() as lines:
            await http.get(path)
        assert [line["route"] for line in lines if line["event"] == "request"] == [route]

    async def test_health_checks_do_not_fill_the_log(self, http: httpx2.AsyncClient) -> None:
        with structlog.testing.capture_logs() as lines:
            await http.get("/healthz")
        assert [line["log_level"] for line in lines] == ["debug"]

    async def test_a_bug_is_logged_whole(self, http: httpx2.AsyncClient) -> None:
        with structlog.testing.capture_logs() as lines:
            answer = await http.post("/v1/clients", json={"name": "bug"})
        [failure] = [line for line in lines if line["event"] == "request failed"]
        assert (failure["log_level"], failure["exc_info"], failure["route"]) == ("error", True, "/v1/clients")
        assert answer.status_code == 500
        assert [line["status"] for line in lines if line["event"] == "request"] == [500]

    async def test_what_is_metered_is_what_happened(self, http: httpx2.AsyncClient, app: WeftApi) -> None:
        await http.get("/v1/clients")
        await http.get("/v1/clients?limit=0")
        registry = metrics_of(app).registry
        for status, times in (("2xx", 1), ("4xx", 1)):
            labels = {"method": "GET", "route": "/v1/clients", "status": status}
            assert registry.get_sample_value("weft_http_request_seconds_count", labels) == times
        assert registry.get_sample_value("weft_http_requests_running") == 0


def metrics_of(app: WeftApi) -> Any:
    [metrics] = {part.kwargs["metrics"] for part in app.user_middleware if "metrics" in part.kwargs}
    return metrics


class TestProtection:
    @pytest.mark.parametrize("path", ["/", "/docs", "/v1/clients", "/nowhere"])
    async def test_browsers_are_told(self, http: httpx2.AsyncClient, path: str) -> None:
        headers = (await http.get(path)).headers
        assert headers["content-security-policy"].startswith("default-src 'self'")
        assert headers["x-content-type-options"] == "nosniff"
        assert headers["x-frame-options"] == "DENY"
        assert headers["referrer-policy"] == "no-referrer"
        assert headers["cache-control"] == "no-store"
        assert "strict-transport-security" not in headers

    async def test_https_stays_https(self, app: WeftApi) -> None:
        async with httpx2.AsyncClient(
            transport=httpx2.ASGITransport(app=app), base_url=BASE.replace("http:", "https:")
        ) as client:
            assert "max-age" in (await client.get("/healthz")).headers["strict-transport-security"]

    async def test_a_page_s_own_caching_is_kept(self, http: httpx2.AsyncClient) -> None:
        assert "max-age" in (await http.get("/docs/style.css")).headers["cache-control"]


class TestAddresses:
    @pytest.mark.parametrize(
        "path",
        ["/v1/clients/%00", "/v1/clients/%ff", "/v1/clients?name=%00", "/v1/clients?name=%c3%28", "/%ed%a0%80"],
    )
    async def test_what_is_no_text_is_refused(self, http: httpx2.AsyncClient, path: str) -> None:
        answer = await http.get(path)
        assert answer.status_code == 400
        assert answer.json()["type"] == "/errors/address_malformed"

    async def test_ordinary_text_passes(self, http: httpx2.AsyncClient) -> None:
        assert (await http.get("/v1/clients", params={"name": "Żółć %00 😀"})).status_code == 200


class TestProxies:
    """10.0.0.0/8 is trusted."""

    @pytest.mark.parametrize(
        ("peer", "forwarded", "seen"),
        [
            ("192.0.2.1", None, "192.0.2.1"),
            ("192.0.2.1", "198.51.100.7", "192.0.2.1"),  # nobody asked this peer
            ("10.0.0.1", None, "10.0.0.1"),
            ("10.0.0.1", "198.51.100.7", "198.51.100.7"),
            ("10.0.0.1", "203.0.113.9, 198.51.100.7", "198.51.100.7"),  # the left one is the client's invention
            ("10.0.0.1", "203.0.113.9, 198.51.100.7, 10.0.0.2", "198.51.100.7"),
            ("10.0.0.1", "10.0.0.3, 10.0.0.2", "10.0.0.3"),
            ("10.0.0.1", "nonsense", "10.0.0.1"),
            ("10.0.0.1", "198.51.100.7, nonsense", "10.0.0.1"),
            ("10.0.0.1", "2001:db8::1", "2001:db8::1"),
        ],
    )
    async def test_whose_word_counts(self, app: WeftApi, peer: str, forwarded: str | None, seen: str) -> None:
        headers = {"X-Forwarded-For": forwarded} if forwarded else {}
        async with client_for(app, peer=peer) as client:
            assert (await client.get(FACTS, headers=headers)).json()["ip"] == seen

    async def test_the_scheme_comes_from_trusted_proxies_only(self, app: WeftApi) -> None:
        for peer, protected in (("10.0.0.1", True), ("192.0.2.1", False)):
            async with client_for(app, peer=peer) as client:
                answer = await client.get("/healthz", headers={"X-Forwarded-Proto": "https"})
            assert ("strict-transport-security" in answer.headers) is protected


async def test_an_answer_that_breaks_midway_does_not_look_whole(app: WeftApi) -> None:
    async def cut(_request: Request) -> Response:
        async def parts() -> Any:
            yield b"half"
            raise RuntimeError("the rest is lost")

        return StreamingResponse(parts())

    app.router.routes.append(Route("/cut", cut))
    async with client_for(app) as client:
        with pytest.raises(RuntimeError, match="the rest is lost"):
            await client.get("/cut")


async def test_a_stranger_in_the_door_is_only_logged(app: WeftApi, door: Door) -> None:
    """An authenticator that breaks is a bug like any other: no details, and no way in."""
    door.people = None  # type: ignore[assignment]  # on purpose
    async with client_for(app) as client:
        answer = await client.get("/v1/clients")
    assert answer.status_code == 500
    assert answer.json()["type"] == "/errors/internal_error"
