"""Whatever runs here: which database there is to ask, and whether the API answers."""

from __future__ import annotations

import contextlib
import http.client
import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from weft.core.errors import WeftError
from weft.ops.connections import without_password
from weft.ops.doctor.answers import Answer, fail, ok, refused, skipped, warning
from weft.ops.home import Home
from weft.ops.installation import Addresses, embedded_addresses, shown
from weft.ops.postgres import EmbeddedPostgres, find_running
from weft.ops.postgres_files import SUPERUSER
from weft.ops.roles import APP, OWNER
from weft.settings import OF_COMMANDS, Settings, files_read
from weft.settings_dotenv import read_dotenv

PATIENCE = 5.0
"""Seconds that the API has for its answer."""


def sources(settings: Settings, environ: Mapping[str, str]) -> list[Answer]:
    """Which files the settings come from, and where the database is."""
    directory = Path.cwd()
    dotenv = read_dotenv(directory)
    sentence = f"Valid; the profile is {settings.profile}."
    if files := files_read(environ, directory):
        sentence += f" Read from the environment, and from {' and '.join(map(str, files))}."
    answers = [ok("settings", sentence), _address(settings)]
    if ignored := [name for name in OF_COMMANDS if name in dotenv.values and not environ.get(name)]:
        sentence = f"{dotenv.path} has {', '.join(ignored)}, which commands take from the environment alone."
        answers.append(warning("settings", sentence, "Export it in your shell, or sign in: weft login"))
    return answers


def _address(settings: Settings) -> Answer:
    """Where the database is, without a password: people show this to each other."""
    given = settings.database
    if given.url is None:
        return ok("address", f"The embedded server's, in {shown(settings.home)}: WEFT_DATABASE_URL is not set.")
    return ok("address", without_password(given.url))


@contextlib.contextmanager
def database(settings: Settings, home: Home) -> Iterator[tuple[Addresses | None, list[Answer]]]:
    """The addresses to ask, if there is a database, while the block runs; and what to know about that.

    An embedded server is started only where its data exists and nothing runs; it is stopped again afterwards.
    """
    given = settings.database
    if given.url is not None:
        yield Addresses(given.url, given.owner_url, given.admin_url, embedded=False), []
        return
    if not (home.data / "PG_VERSION").exists():
        yield None, [skipped("database", "There is none yet.", "`weft up` makes one; or set WEFT_DATABASE_URL.")]
        return
    if not all(home.knows_password(role) for role in (SUPERUSER, APP, OWNER)):
        sentence = f"{home.credentials_file.name} lacks passwords of the database in {shown(home.path)}."
        yield None, [fail("database", sentence, "Restore that file from your backup.")]
        return
    running = find_running(home)
    if running is not None:
        yield embedded_addresses(home, running), [ok("database", "The embedded server runs.")]
        return
    server = EmbeddedPostgres(home)
    try:
        addresses = embedded_addresses(home, server.start())
    except WeftError as error:
        yield None, [refused("database", error)]
        return
    try:
        yield addresses, [ok("database", "The embedded server was stopped; it was started for this check.")]
    finally:
        server.stop()


def api(settings: Settings, run: Mapping[str, Any] | None) -> Answer:
    """Whether the API answers `/readyz`: the one that `weft up` wrote down, else the one that the settings name."""
    if run is None and settings.database.url is None:
        return warning("API", "Nothing runs here.", "Start it: weft up")
    local = f"http://{_local(settings.api.host)}:{settings.api.port}"
    places = [str(run["url"]), local] if run is not None and "url" in run else [local]
    for place in dict.fromkeys(places):
        status, document = _ask(place)
        if status is not None:
            return _readiness(place, status, document)
    if run is not None:
        sentence = f"`weft up` runs (process {run.get('pid')}), but nothing answers at {places[0]}."
        return fail("API", sentence, "Its log says why; it is started again when it ends.")
    advice = "Fine if it runs on another machine; otherwise start it: weft serve"
    return warning("API", f"Nothing answers at {local}.", advice)


def _local(host: str) -> str:
    host = {"0.0.0.0": "127.0.0.1", "::": "::1"}.get(host, host)  # noqa: S104 - compared, not bound
    return f"[{host}]" if ":" in host else host


def _readiness(place: str, status: int, document: Mapping[str, Any]) -> Answer:
    checks = document.get("checks")
    if not isinstance(checks, Mapping):
        sentence = f"What answers at {place} does not seem to be weft (status {status})."
        return fail("API", sentence, "Stop that program, or choose another port with WEFT_PORT.")
    if status == 200:
        return ok("API", f"{place} is ready.")
    bad = ", ".join(f"{name} {word}" for name, word in checks.items() if word != "ok")
    return fail("API", f"{place} is not ready: {bad}.", "See the lines about the database here, and the API's log.")


def _ask(place: str) -> tuple[int | None, Mapping[str, Any]]:
    """The status and document of `/readyz`; no status where nobody answers."""
    parts = urlsplit(place)
    kind = http.client.HTTPSConnection if parts.scheme == "https" else http.client.HTTPConnection
    connection = kind(parts.hostname or "", parts.port, timeout=PATIENCE)
    with contextlib.closing(connection):
        try:
            connection.request("GET", f"{parts.path}/readyz")
            response = connection.getresponse()
            text = response.read(65536)
        except (OSError, http.client.HTTPException):
            return None, {}
    try:
        document = json.loads(text)
    except ValueError:
        return response.status, {}
    return response.status, document if isinstance(document, dict) else {}
