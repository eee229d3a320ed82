"""Cross-site request forgery: a browser attaches the session cookie to whatever page asks, so the page is checked.

`Sec-Fetch-Site` is set by the browser and out of a page's reach (Fetch Metadata, W3C); `Origin` (RFC 6454) serves
browsers that do not send it. A cookie that arrives without either is refused: a program has API keys.
"""

from __future__ import annotations

from typing import Final
from urllib.parse import urlsplit

from starlette.requests import HTTPConnection

from weft.core.errors import Forbidden

SAFE_METHODS: Final = frozenset({"GET", "HEAD", "OPTIONS"})
_PORTS: Final = {"http": 80, "https": 443}


class OriginRefused(Forbidden):
    code = "origin_refused"

    def __init__(self) -> None:
        super().__init__(
            "This change came from another site, or from a program that uses a browser's session cookie. "
            "Repeat it from weft's own page, or send an API key as `Authorization: Bearer`."
        )


def origin(address: str) -> tuple[str, str, int] | None:
    """Scheme, host and port of an address; None if it has none (`null`, a file, nonsense)."""
    try:
        parts = urlsplit(address)
        port = parts.port
    except ValueError:
        return None
    if parts.scheme not in _PORTS or not parts.hostname:
        return None
    return parts.scheme, parts.hostname.lower(), port or _PORTS[parts.scheme]


def is_same_origin(request: HTTPConnection, public_url: str) -> bool:
    site = request.headers.get("sec-fetch-site")
    if site is not None:
        return site == "same-origin"
    claimed = request.headers.get("origin")
    if claimed is None:
        return False
    asked = origin(claimed)
    return asked is not None and asked in (origin(public_url), origin(str(request.base_url)))


def require_same_origin(request: HTTPConnection, public_url: str) -> None:
    """Raise `OriginRefused` for a change that another site's page may have sent."""
    if request.scope["method"] not in SAFE_METHODS and not is_same_origin(request, public_url):
        raise OriginRefused
