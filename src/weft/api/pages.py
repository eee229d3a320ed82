"""The pages that the API has about itself: where to begin, the reference, what an error means. No script, and
nothing from another server."""

from __future__ import annotations

from html import escape
from typing import Final

from starlette.requests import Request
from starlette.responses import HTMLResponse, JSONResponse, Response

import weft
from weft.api import reference, reference_page
from weft.api.plain import PlainRoute
from weft.http.problems import AddressUnknown, of_error

STYLE: Final = """
:root { color-scheme: light dark; --line: #8884; --soft: #8882; --accent: #4263eb; }
body { font: 16px/1.5 system-ui, sans-serif; max-width: 60rem; margin: 2rem auto; padding: 0 1rem;
overflow-wrap: anywhere; }
h1 { font-size: 1.6rem; } h2 { margin-top: 2.5rem; font-size: 1.25rem; } h4 { margin: 1rem 0 .3rem; }
a { color: var(--accent); } code, pre { font: 14px/1.45 ui-monospace, monospace; }
pre { background: var(--soft); padding: .8rem; border-radius: .4rem; white-space: pre-wrap; }
table { border-collapse: collapse; width: 100%; } td, th { text-align: left; vertical-align: top; padding: .3rem .6rem;
border-bottom: 1px solid var(--line); }
details { border: 1px solid var(--line); border-radius: .4rem; margin: .4rem 0; padding: .4rem .8rem; }
summary { cursor: pointer; } summary code { font-weight: 600; } .method { display: inline-block; min-width: 4.2rem; }
.note { opacity: .75; } nav ul { columns: 3 12rem; padding-left: 1.2rem; }
@media (max-width: 40rem) { table, tbody, tr, td { display: block; } td { border: 0; padding: .1rem 0; }
tr { border-bottom: 1px solid var(--line); padding: .3rem 0; } }
"""


def document(title: str, body: str) -> HTMLResponse:
    return HTMLResponse(
        '<!doctype html><html lang="en"><head><meta charset="utf-8">'
        '<meta name="viewport" content="width=device-width, initial-scale=1">'
        f'<title>{escape(title)}</title><link rel="stylesheet" href="/docs/style.css"></head>'
        f"<body>{body}</body></html>"
    )


def routes() -> list[PlainRoute]:
    return [
        PlainRoute("/", landing, name="landing"),
        PlainRoute("/docs", docs, name="docs"),
        PlainRoute("/docs/style.css", style, name="style"),
        PlainRoute("/errors/{code}", error, name="error"),
    ]


async def landing(request: Request) -> Response:
    """Where to begin: a page for people, JSON for programs."""
    if "text/html" not in request.headers.get("accept", ""):
        return JSONResponse(
            {"name": "weft", "version": weft.__version__, "documentation": "/docs", "openapi": "/openapi.json"}
        )
    return document(
        "weft",
        "<h1>weft</h1><p>The API of this installation is running.</p><ul>"
        '<li><a href="/docs">Reference of the API</a></li>'
        '<li><a href="/openapi.json">OpenAPI document</a></li>'
        '<li><a href="/readyz">Is everything ready?</a></li></ul>'
        f'<p class="note">Version {escape(weft.__version__)}</p>',
    )


async def docs(request: Request) -> Response:
    state = request.app.state
    if not hasattr(state, "weft_reference_page"):
        state.weft_reference_page = reference_page.render(request.app.openapi())
    return document("weft API", state.weft_reference_page)


async def style(_request: Request) -> Response:
    return Response(STYLE, media_type="text/css", headers={"Cache-Control": "public, max-age=3600"})


async def error(request: Request) -> Response:
    """What an error's `type` leads to."""
    explained = reference.explain(request.path_params["code"])
    if explained is None:
        return of_error(request, AddressUnknown())
    return document(
        explained.title,
        f"<h1>{escape(explained.title)}</h1><p>{reference_page.prose(explained.sentence)}</p>"
        f'<p class="note">Code <code>{escape(explained.code)}</code>, HTTP status {explained.status}. '
        'Back to <a href="/docs">the reference</a>.</p>',
    )
