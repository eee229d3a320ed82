"""The HTTP API for commands, on the standard library alone, so that a command answers at once.

    client = connect(url, tenant)                       # the options `--url` and `--tenant`, or None
    workflow = client.get(f"/workflows/{id}")           # paths without /v1; answers are what JSON said
    client.patch(f"/workflows/{id}", {...}, expected=workflow["row_version"])
    rows = client.listed("/workflows", limit=50, status="ACTIVE")

What the API refuses is raised as the `WeftError` of the same kind, with its code, sentence and issues, so that a
command needs no error handling to end with the right sentence and exit code.
"""

from __future__ import annotations

import http.client
import json
import os
from collections.abc import Iterator, Mapping
from contextlib import suppress
from typing import Any, Final
from urllib.parse import quote, urlencode, urlsplit

from weft import __version__
from weft.cli import sign_ins
from weft.core.errors import (
    Conflict,
    Exhausted,
    Forbidden,
    Invalid,
    Issue,
    NotFound,
    Stale,
    Unauthenticated,
    Unavailable,
    WeftError,
)

DEFAULT_URL: Final = "http://127.0.0.1:8080"
TIMEOUT: Final = 30.0
"""Seconds without a byte before a command gives up; `timeout=` says otherwise."""
_PREFIX: Final = "/v1"
_MOST: Final = 200  # rows that the API gives at once
_KINDS: Final[Mapping[int, type[WeftError]]] = {
    401: Unauthenticated,
    403: Forbidden,
    404: NotFound,
    409: Conflict,
    412: Stale,
    429: Exhausted,
    502: Unavailable,
    503: Unavailable,
    504: Unavailable,
}


class AddressInvalid(Invalid):
    code = "address_invalid"

    def __init__(self, url: str) -> None:
        super().__init__(f"'{url}' is not an address of weft. Write it as {DEFAULT_URL} or https://weft.example.com.")


class NothingListens(Unavailable):
    code = "nothing_listens"

    def __init__(self, url: str, said: str) -> None:
        super().__init__(
            f"Nothing answers at {url} ({said}). Is weft running? Start it with ./weft up, or name another address "
            "with --url or WEFT_URL."
        )


class NothingRuns(Unavailable):
    code = "nothing_runs"

    def __init__(self, url: str) -> None:
        super().__init__(
            f"Nothing runs here: nobody answers at {url}. Start it with `weft up`, or name another address with --url "
            "or WEFT_URL."
        )


class AnswerLate(Unavailable):
    code = "answer_late"

    def __init__(self, url: str, seconds: float) -> None:
        super().__init__(
            f"{url} accepted the request but did not answer within {seconds:.0f} seconds. It may still be carried out: "
            "look before you repeat it."
        )


class ConnectionLost(Unavailable):
    code = "connection_lost"

    def __init__(self, url: str, said: str) -> None:
        super().__init__(
            f"{url} closed the connection before it answered ({said}). It may be restarting, and the request may have "
            "been carried out: look before you repeat it."
        )


class AnswerStrange(Unavailable):
    code = "answer_strange"

    def __init__(self, url: str, said: str) -> None:
        super().__init__(f"What answers at {url} does not seem to be weft: {said}. Check --url or WEFT_URL.")


class ServerFailed(Unavailable):
    code = "server_failed"


class NotSignedIn(Unauthenticated):
    code = "not_signed_in"

    def __init__(self, url: str) -> None:
        super().__init__(f"You are not signed in at {url}. Run `weft login`, or set WEFT_API_KEY to an API key.")


class Client:
    """One command's way to the API. Everything raises `WeftError`s only."""

    def __init__(self, url: str, token: str | None = None, tenant: str | None = None) -> None:
        self.url = url
        self.token = token
        self.tenant = tenant

    def get(self, path: str, *, timeout: float = TIMEOUT, **query: Any) -> Any:
        return self.request("GET", path, query=query, timeout=timeout)

    def post(self, path: str, body: Any = None, **options: Any) -> Any:
        return self.request("POST", path, body, **options)

    def put(self, path: str, body: Any, **options: Any) -> Any:
        return self.request("PUT", path, body, **options)

    def patch(self, path: str, body: Any, **options: Any) -> Any:
        return self.request("PATCH", path, body, **options)

    def delete(self, path: str, **options: Any) -> Any:
        return self.request("DELETE", path, **options)

    def listed(self, path: str, *, limit: int | None = None, **query: Any) -> list[dict[str, Any]]:
        """The rows of a list, page after page: at most `limit`, or all of them."""
        rows: list[dict[str, Any]] = []
        for page in self.pages(path, size=min(limit or _MOST, _MOST), **query):
            rows += page
            if limit is not None and len(rows) >= limit:
                return rows[:limit]
        return rows

    def pages(self, path: str, *, size: int = _MOST, **query: Any) -> Iterator[list[dict[str, Any]]]:
        """A list page by page."""
        cursor = None
        while True:
            answer = self.get(path, limit=size, cursor=cursor, **query)
            yield answer["items"]
            cursor = answer["next_cursor"]
            if cursor is None:
                return

    def request(
        self,
        method: str,
        path: str,
        body: Any = None,
        *,
        query: Mapping[str, Any] | None = None,
        headers: Mapping[str, str] | None = None,
        expected: int | None = None,
        timeout: float = TIMEOUT,
    ) -> Any:
        """One request; what its JSON says, or None for an answer without content.

        `expected` is the `row_version` that was read: a change by somebody else in between is refused.
        `query` leaves out what is None; lists repeat the name.
        """
        sent = dict(headers or {})
        if expected is not None:
            sent["If-Match"] = f'"{expected}"'
        status, answered, content = self._exchange(method, path, query, body, sent, timeout)
        if status >= 300:
            raise _refusal(self.url, status, answered, content)
        return _json(self.url, content) if content else None

    def opened(self, path: str, *, headers: Mapping[str, str], timeout: float) -> http.client.HTTPResponse:
        """The answer to a GET while it still comes, for whoever reads it line by line; close it."""
        connection = self.connected(timeout)
        try:
            connection.request("GET", self._target(path, None), None, self._headers(None, headers))
            response = connection.getresponse()
            if response.status != 200:
                answered = {k.lower(): v for k, v in response.getheaders()}
                raise _refusal(self.url, response.status, answered, response.read())
        except TimeoutError as error:
            connection.close()
            raise AnswerLate(self.url, timeout) from error
        except (OSError, http.client.HTTPException) as error:
            connection.close()
            raise ConnectionLost(self.url, str(error) or type(error).__name__) from error
        except BaseException:
            connection.close()
            raise
        return response

    def _exchange(
        self,
        method: str,
        path: str,
        query: Mapping[str, Any] | None,
        body: Any,
        headers: Mapping[str, str],
        timeout: float,
    ) -> tuple[int, Mapping[str, str], bytes]:
        data = None if body is None else json.dumps(body).encode()
        connection = self.connected(timeout)
        try:
            # A server that does not want all of a large body answers and closes: its answer says why.
            with suppress(BrokenPipeError, ConnectionResetError):
                connection.request(method, self._target(path, query), data, self._headers(data, headers))
            response = connection.getresponse()
            return response.status, {k.lower(): v for k, v in response.getheaders()}, response.read()
        except TimeoutError as error:
            raise AnswerLate(self.url, timeout) from error
        except (ConnectionError, http.client.RemoteDisconnected) as error:
            raise ConnectionLost(self.url, str(error) or type(error).__name__) from error
        except (OSError, http.client.HTTPException) as error:
            raise AnswerStrange(self.url, str(error) or type(error).__name__) from error
        finally:
            connection.close()

    def connected(self, timeout: float) -> http.client.HTTPConnection:
        """A connection for one request: a command makes few, and none may fail because an idle one was closed.

        Connecting comes first and apart, so that an absent server is told from a silent one.
        """
        parts = urlsplit(self.url)
        make = http.client.HTTPSConnection if parts.scheme == "https" else http.client.HTTPConnection
        connection = make(parts.hostname or "", parts.port, timeout=timeout)
        try:
            connection.connect()
        except OSError as error:
            connection.close()
            raise NothingListens(self.url, error.strerror or str(error) or type(error).__name__) from error
        return connection

    def _target(self, path: str, query: Mapping[str, Any] | None) -> str:
        pairs = [(name, _text(value)) for name, value in _flat(query or {})]
        target = urlsplit(self.url).path + _PREFIX + path
        return f"{target}?{urlencode(pairs)}" if pairs else target

    def _headers(self, data: bytes | None, more: Mapping[str, str]) -> dict[str, str]:
        headers = {"Accept": "application/json", "User-Agent": f"weft/{__version__}", "Connection": "close"}
        if data is not None:
            headers["Content-Type"] = "application/json"
        if self.token is not None:
            headers["Authorization"] = f"Bearer {self.token}"
        if self.tenant is not None:
            headers["Weft-Tenant"] = self.tenant
        return headers | dict(more)


def connect(url: str | None = None, tenant: str | None = None, *, signed_in: bool = True) -> Client:
    """A client for `url` or, in this order, WEFT_URL, the weft that runs here, the address in the settings.

    It acts with WEFT_API_KEY or WEFT_TOKEN, else as who signed in there with `weft login`; raises `NotSignedIn` if
    nobody did (`NothingRuns` if nobody could), unless `signed_in` is False. `tenant` (or WEFT_TENANT) names another
    tenant of the same person.
    """
    named = url or os.environ.get("WEFT_URL") or _running_here()
    address = address_of(named)
    token = os.environ.get("WEFT_API_KEY") or os.environ.get("WEFT_TOKEN") or None
    if token is None and (found := sign_ins.remembered(address)) is not None:
        token = found.token
    if token is None and signed_in:
        if not named and not _answers(address):
            raise NothingRuns(address)
        raise NotSignedIn(address)
    return Client(address, token, tenant or os.environ.get("WEFT_TENANT") or None)


def address_of(url: str | None) -> str:
    """The address that commands talk to, without a slash at its end."""
    address = (url or os.environ.get("WEFT_URL") or _running_here() or _in_the_settings()).strip().rstrip("/")
    try:
        parts = urlsplit(address)
        usable = parts.scheme in ("http", "https") and bool(parts.hostname) and parts.port != 0
        usable = usable and not (parts.query or parts.fragment or parts.username)
    except ValueError:
        usable = False
    if not usable:
        raise AddressInvalid(address)
    return address


def segment(value: object) -> str:
    """A value as one segment of a path: nothing in it can lead elsewhere."""
    return quote(str(value), safe=":")


def _running_here() -> str | None:
    url = facts_here().get("url")
    return url if isinstance(url, str) else None


def facts_here() -> dict[str, Any]:
    """What `weft up` on this machine said about itself; empty if none runs."""
    from pathlib import Path

    from weft.ops.home import Home

    given = os.environ.get("WEFT_HOME")
    data = os.environ.get("XDG_DATA_HOME")
    home = Path(given).expanduser() if given else (Path(data) if data else Path.home() / ".local" / "share") / "weft"
    return Home(home.absolute()).running() or {}


def _in_the_settings() -> str:
    """Where `weft up` would listen."""
    if not any(name in os.environ for name in ("WEFT_HOST", "WEFT_PORT", "WEFT_PUBLIC_URL")):
        from pathlib import Path

        if not Path("weft.toml").exists():
            return DEFAULT_URL  # without reading the settings, which takes longer than many a command
    from weft.settings import load_settings

    return load_settings(os.environ).api.address


def _answers(url: str) -> bool:
    try:
        Client(url).connected(timeout=2).close()
    except NothingListens:
        return False
    return True


def _refusal(url: str, status: int, headers: Mapping[str, str], content: bytes) -> WeftError:
    """The problem document as the error it was."""
    if status < 400:
        return AnswerStrange(url, f"it answers {status}, and points to {headers.get('location', 'nowhere')}")
    try:
        problem = json.loads(content)
        detail, code = str(problem["detail"]), str(problem["type"]).rpartition("/")[2]
    except (ValueError, KeyError, TypeError):
        return AnswerStrange(url, f"it answers {status} without saying why")
    if status == 500:
        return ServerFailed(f"{detail} Correlation id: {problem.get('correlation_id', 'unknown')}.")
    kind = _KINDS.get(status, Unavailable if status > 500 else Invalid)
    issues = [
        Issue(str(issue.get("message", "")), tuple(issue.get("path", ())), str(issue.get("code", "invalid")))
        for issue in problem.get("errors", ())
    ]
    named: type[WeftError] = type(kind.__name__, (kind,), {"code": code})
    return named(detail, issues=issues, retry_after=_seconds(headers.get("retry-after")))


def _seconds(text: str | None) -> float | None:
    try:
        return None if text is None else float(text)
    except ValueError:
        return None


def _json(url: str, content: bytes) -> Any:
    try:
        return json.loads(content)
    except ValueError as error:
        raise AnswerStrange(url, "its answer is not JSON") from error


def _flat(query: Mapping[str, Any]) -> Iterator[tuple[str, Any]]:
    for name, value in query.items():
        for part in value if isinstance(value, list | tuple) else [value]:
            if part is not None:
                yield name, part


def _text(value: Any) -> str:
    return str(value).lower() if isinstance(value, bool) else str(value)
