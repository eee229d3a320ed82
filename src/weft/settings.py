"""Environment to values: read once by the command, the API or the worker, then handed down.

A setting comes from `WEFT_*` in the environment, else from `weft.toml` (in the working directory, or where
`WEFT_CONFIG` says), else from its default. A secret may stand in a file: `WEFT_MASTER_KEY_FILE`. A name that weft
does not know is refused, with the one that was probably meant: a misspelt limit must not silently be no limit.

`python -m weft.settings_reference` prints `docs/reference/settings.md`.
"""

from __future__ import annotations

import difflib
import ipaddress
import tomllib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Literal, Self, get_args, get_origin

from pydantic import (
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    JsonValue,
    ValidationError,
    field_validator,
    model_validator,
)
from pydantic.fields import FieldInfo

from weft.core.errors import Invalid, Issue

PREFIX = "WEFT_"

OTHER_VARIABLES = {
    "WEFT_CONFIG": "The settings file to read instead of `weft.toml` in the working directory.",
    "WEFT_DEBUG": "Any value but `0`: commands show the whole traceback of an error.",
    "WEFT_PYTHON": "The Python that `./weft` builds its environment with.",
    "WEFT_URL": "The address of the weft that commands talk to; default: the one that runs here.",
    "WEFT_API_KEY": "The API key that commands sign in with, instead of `weft login`.",
    "WEFT_TOKEN": "A session token that commands sign in with, instead of `weft login`.",
    "WEFT_TENANT": "The tenant that commands work in, when you belong to several.",
    "WEFT_TEST_CLUSTER": "A superuser's address of a server made for tests, instead of one that the tests start.",
}
"""Variables that are no settings of a server, but known all the same."""


class SettingsInvalid(Invalid):
    code = "settings_invalid"

    def __init__(self, issues: list[Issue]) -> None:
        lines = [issue.message for issue in issues]
        head = lines[0] if len(lines) == 1 else "These settings are wrong:\n  - " + "\n  - ".join(lines)
        super().__init__(head, issues=issues)


def _listed(value: object) -> object:
    """A list in the environment is separated by commas."""
    return tuple(part.strip() for part in value.split(",") if part.strip()) if isinstance(value, str) else value


Words = Annotated[tuple[str, ...], BeforeValidator(_listed)]
Port = Annotated[int, Field(ge=0, le=65535)]

_SECRET: dict[str, JsonValue] = {"secret": True}


class _Section(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class DatabaseSettings(_Section):
    """Where rows are kept. Without an address `weft up` brings its own PostgreSQL."""

    url: str | None = Field(
        default=None,
        repr=False,
        json_schema_extra=_SECRET,
        description="PostgreSQL as the application role (`weft_app`); without it the embedded server is used.",
    )
    owner_url: str | None = Field(
        default=None,
        repr=False,
        json_schema_extra=_SECRET,
        description="The same database as `weft_owner`, for migrations only.",
    )
    admin_url: str | None = Field(
        default=None,
        repr=False,
        json_schema_extra=_SECRET,
        description="An administrator (CREATEROLE and CREATEDB) of the same server, to prepare roles and database.",
    )
    listen_url: str | None = Field(
        default=None,
        repr=False,
        json_schema_extra=_SECRET,
        description="A direct address for notifications when `url` goes through a pooler in transaction mode.",
    )
    pool_size: int = Field(default=10, ge=1, le=500, description="Connections that each process keeps at most.")

    @field_validator("url", "owner_url", "admin_url", "listen_url")
    @classmethod
    def _is_postgresql(cls, value: str | None) -> str | None:
        if value is not None and value.partition("://")[0] not in ("postgresql", "postgres", "postgresql+asyncpg"):
            raise ValueError("must look like postgresql://role:password@host:5432/database")
        return value


class ApiSettings(_Section):
    """The HTTP process."""

    host: str = Field(
        default="127.0.0.1", description="The address to listen on; `0.0.0.0` opens it to other machines."
    )
    port: Port = Field(default=8080, description="The port of the API and the pages.")
    public_url: str | None = Field(
        default=None, description="The address under which people and hooks reach weft; default: `http://host:port`."
    )
    metrics_port: Port = Field(
        default=9464, description="The API's Prometheus metrics, on a listener of their own; 0: none."
    )
    trusted_proxies: Words = Field(
        default=(), description="Addresses or networks whose `X-Forwarded-For` is believed, separated by commas."
    )

    streams: int = Field(
        default=1_000, ge=0, le=100_000, description="Streams of events that one API process holds open at most."
    )
    streams_per_tenant: int = Field(
        default=100, ge=0, le=100_000, description="Streams of events that one API process holds open for a tenant."
    )

    @property
    def address(self) -> str:
        """Where others find us, without a slash at the end."""
        if self.public_url:
            return self.public_url.rstrip("/")
        host = "127.0.0.1" if self.host in ("0.0.0.0", "::") else self.host  # noqa: S104 - compared, not bound
        return f"http://[{host}]:{self.port}" if ":" in host else f"http://{host}:{self.port}"

    @field_validator("trusted_proxies")
    @classmethod
    def _are_networks(cls, value: tuple[str, ...]) -> tuple[str, ...]:
        for part in value:
            ipaddress.ip_network(part, strict=False)
        return value


class LogSettings(_Section):
    """What weft says while it works; always to standard error."""

    level: Literal["debug", "info", "warning", "error"] = Field(
        default="info", description="The least important line shown."
    )
    format: Literal["auto", "json", "text"] = Field(
        default="auto", description="`json` for machines, `text` for people; `auto` looks whether a terminal reads it."
    )


class WorkerSettings(_Section):
    """The process that runs steps."""

    concurrency: int = Field(default=100, ge=1, le=10_000, description="Jobs that one worker has in hand at once.")
    batch: int = Field(default=100, ge=1, le=1000, description="Jobs claimed in one round trip at most.")
    lease_seconds: float = Field(
        default=30.0, ge=1, le=3600, description="After this long without a heartbeat another worker takes a job over."
    )
    poll_seconds: float = Field(
        default=2.0, ge=0.05, le=60, description="How often to look for jobs when no notification came."
    )
    drain_seconds: float = Field(
        default=10.0, ge=0, le=3600, description="How long running steps may take to end after SIGTERM."
    )
    metrics_port: Port = Field(
        default=9465, description="The worker's Prometheus metrics, on a listener of their own; 0: none."
    )


class LimitSettings(_Section):
    """How much workflows may hold."""

    output_limit: int = Field(
        default=10_000_000,
        ge=10_000,
        le=100_000_000,
        description="Bytes of one value as JSON: an input, a step's output, an execution's output.",
    )
    max_items: int = Field(
        default=100_000, ge=1, le=1_000_000, description="Items of one for-each; a longer list is the step's failure."
    )
    payload_quota: int = Field(
        default=5_000_000_000,
        ge=0,
        description="Stored bytes of values above 256 KB that each tenant may keep, unless its own "
        "`limits.payload_bytes` says otherwise.",
    )


class HttpSettings(_Section):
    """Calls that workflows make to other machines."""

    allow: Words = Field(
        default=(),
        description="Private places that steps may call all the same: `host:port`, `host` or networks such as "
        "`10.1.0.0/16`, separated by commas. Public addresses need no entry.",
    )

    @field_validator("allow")
    @classmethod
    def _are_places(cls, value: tuple[str, ...]) -> tuple[str, ...]:
        for part in value:
            _check_place(part)
        return value


class SmtpSettings(_Section):
    """The server that mail of `notification` steps goes through. Without a host no mail is sent."""

    host: str | None = Field(default=None, description="The mail server's name or address.")
    port: Port = Field(default=587, description="Its port: usually 587 with STARTTLS, 465 with TLS.")
    user: str | None = Field(default=None, description="Whom to sign in as; without it nobody signs in.")
    password: str | None = Field(default=None, repr=False, json_schema_extra=_SECRET, description="Its password.")
    security: Literal["starttls", "tls", "none"] = Field(
        default="starttls",
        description="How the connection is secured; never less than this, whatever the server offers.",
    )
    sender: str | None = Field(default=None, description="The address that all mail is from; needed with a host.")
    ca_file: Path | None = Field(default=None, description="A file of certificates to trust, instead of the system's.")
    timeout_seconds: float = Field(default=30.0, ge=1, le=300, description="How long sending a message may take.")

    @model_validator(mode="after")
    def _is_whole(self) -> Self:
        if self.host is not None and (self.sender is None or "@" not in self.sender or not self.sender.isprintable()):
            raise ValueError("a mail server needs WEFT_SMTP_SENDER, the address that mail is from")
        if self.user is not None and self.security == "none":
            raise ValueError("the password would go in the clear with WEFT_SMTP_SECURITY=none; use starttls or tls")
        return self


class RetentionSettings(_Section):
    """How long finished executions are kept. Nothing goes unless somebody says so."""

    executions_days: int | None = Field(
        default=None, ge=1, le=36_600, description="Days for tenants that say nothing; without it they keep everything."
    )
    shortest_days: int = Field(default=1, ge=1, le=36_600, description="What a tenant may choose at least.")
    longest_days: int | None = Field(
        default=None, ge=1, le=36_600, description="No tenant keeps an execution longer than this after its end."
    )
    archive: bool = Field(
        default=True, description="Executions of tenants that say nothing are archived before they are deleted."
    )
    every_minutes: float = Field(
        default=60.0, ge=0.1, le=10_080, description="How often a worker looks what is too old."
    )
    round_seconds: float = Field(default=60.0, ge=1, le=3600, description="How long one round may take before a pause.")

    @model_validator(mode="after")
    def _are_in_order(self) -> RetentionSettings:
        if self.longest_days is not None and self.longest_days < self.shortest_days:
            raise ValueError("longest_days must not be below shortest_days")
        return self


class Settings(_Section):
    """Everything, frozen. Functions take values from it, not the whole."""

    profile: Literal["development", "staging", "production"] = Field(
        default="development",
        description="`development` makes well-known sign-ins and shows errors; the others do not.",
    )
    home: Path = Field(description="Where weft keeps the embedded database and its keys.")
    master_key: str | None = Field(
        default=None,
        repr=False,
        json_schema_extra=_SECRET,
        description="32 random bytes (base64 or hex) from which other keys are derived. Without it, "
        "one is made in the home; outside development an external database needs it set.",
    )

    archive_dir: Path | None = Field(
        default=None, description="Where archives of old executions are written; without it `archive` in the home."
    )

    database: DatabaseSettings = DatabaseSettings()
    api: ApiSettings = ApiSettings()
    log: LogSettings = LogSettings()
    worker: WorkerSettings = WorkerSettings()
    http: HttpSettings = HttpSettings()
    smtp: SmtpSettings = SmtpSettings()
    retention: RetentionSettings = RetentionSettings()
    limits: LimitSettings = LimitSettings()

    @property
    def archives(self) -> Path:
        """The archive directory."""
        return (self.archive_dir or self.home / "archive").expanduser().absolute()

    @field_validator("home")
    @classmethod
    def _is_absolute(cls, value: Path) -> Path:
        return value.expanduser().absolute()


SECTIONS: dict[str, tuple[type[_Section], str]] = {
    "database": (DatabaseSettings, "DATABASE_"),
    "api": (ApiSettings, ""),
    "log": (LogSettings, "LOG_"),
    "worker": (WorkerSettings, "WORKER_"),
    "http": (HttpSettings, "HTTP_"),
    "smtp": (SmtpSettings, "SMTP_"),
    "retention": (RetentionSettings, "RETENTION_"),
    "limits": (LimitSettings, ""),
}


@dataclass(frozen=True, slots=True)
class Setting:
    """One line of the reference."""

    name: str
    key: str
    type: str
    default: str
    sentence: str
    secret: bool
    section: str | None
    field: str


def describe() -> Iterator[Setting]:
    """Every setting: its variable, its key in `weft.toml`, type, default and meaning."""
    for field, information in Settings.model_fields.items():
        if field not in SECTIONS:
            yield _setting(None, "", field, information)
    for section, (model, prefix) in SECTIONS.items():
        for field, information in model.model_fields.items():
            yield _setting(section, prefix, field, information)


def load_settings(environ: Mapping[str, str], *, directory: Path | None = None) -> Settings:
    """Read, check and freeze all settings; raises one `SettingsInvalid` that names everything that is wrong.

    `directory` is where `weft.toml` is looked for (default: the working directory).
    """
    issues: list[Issue] = []
    known = {setting.name: setting for setting in describe()}
    values: dict[str, Any] = {"home": default_home(environ)}
    origins: dict[tuple[str, ...], str] = {}
    _take_file(environ, directory or Path.cwd(), known, values, origins, issues)
    _take_environment(environ, known, values, origins, issues)
    if not issues:
        try:
            return Settings.model_validate(values)
        except ValidationError as error:
            issues += [_as_issue(detail, origins) for detail in error.errors()]
    raise SettingsInvalid(issues)


def default_home(environ: Mapping[str, str]) -> Path:
    """`$XDG_DATA_HOME/weft`, else `~/.local/share/weft`."""
    if base := environ.get("XDG_DATA_HOME"):
        return Path(base) / "weft"
    home = Path(environ["HOME"]) if environ.get("HOME") else Path.home()
    return home / ".local" / "share" / "weft"


def _setting(section: str | None, prefix: str, field: str, information: FieldInfo) -> Setting:
    extra = information.json_schema_extra
    return Setting(
        name=f"{PREFIX}{prefix}{field}".upper(),
        key=f"{section}.{field}" if section else field,
        type=_type_words(information.annotation),
        default=_default_words(field, information),
        sentence=information.description or "",
        secret=isinstance(extra, dict) and bool(extra.get("secret")),
        section=section,
        field=field,
    )


def _type_words(annotation: Any) -> str:
    if get_origin(annotation) is Literal:
        return " or ".join(f"`{value}`" for value in get_args(annotation))
    if get_origin(annotation) is tuple:
        return "list"
    if type(None) in get_args(annotation):
        return _type_words(next(part for part in get_args(annotation) if part is not type(None)))
    return {int: "integer", float: "number", str: "text", Path: "path", bool: "`true` or `false`"}[annotation]


def _default_words(field: str, information: FieldInfo) -> str:
    if field == "home":
        return "`~/.local/share/weft`"
    if information.default is None or information.default == ():
        return "—"
    return f"`{information.default}`"


def _take_file(
    environ: Mapping[str, str],
    directory: Path,
    known: Mapping[str, Setting],
    values: dict[str, Any],
    origins: dict[tuple[str, ...], str],
    issues: list[Issue],
) -> None:
    named = environ.get("WEFT_CONFIG")
    path = directory / named if named else directory / "weft.toml"
    if not named and not path.is_file():
        return
    try:
        document = tomllib.loads(path.read_text())
    except (OSError, tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        issues.append(Issue(f"{path} cannot be read: {error}.", code="file_unreadable"))
        return
    keys = {setting.key: setting for setting in known.values()}
    keys |= {f"{setting.key}_file": setting for setting in known.values() if setting.secret}
    for key, value in _flat(document):
        setting = keys.get(key)
        if setting is None:
            issues.append(Issue(f"{path} has a key '{key}' that weft does not know.{_meant(key, keys)}", (key,)))
        elif key == setting.key:
            _put(values, setting, value)
            origins[_path(setting)] = f"'{key}' in {path}"
        else:
            _put_from_file(values, setting, path.parent / str(value), f"'{key}' in {path}", issues)


def _take_environment(
    environ: Mapping[str, str],
    known: Mapping[str, Setting],
    values: dict[str, Any],
    origins: dict[tuple[str, ...], str],
    issues: list[Issue],
) -> None:
    files = {f"{name}_FILE": setting for name, setting in known.items() if setting.secret}
    for name, value in sorted(environ.items()):
        if not name.startswith(PREFIX) or name in OTHER_VARIABLES:
            continue
        if name in known:
            if value != "":  # an empty variable is how many tools say "not set"
                _put(values, known[name], value)
                origins[_path(known[name])] = name
        elif name in files:
            if environ.get(files[name].name):
                issues.append(Issue(f"Both {files[name].name} and {name} are set; keep one of them.", (name,)))
            _put_from_file(values, files[name], Path(value), name, issues)
        else:
            candidates = [*known, *files, *OTHER_VARIABLES]
            issues.append(Issue(f"weft does not know the setting {name}.{_meant(name, candidates)}", (name,)))


def _put(values: dict[str, Any], setting: Setting, value: object) -> None:
    place = values if setting.section is None else values.setdefault(setting.section, {})
    place[setting.field] = value


def _put_from_file(values: dict[str, Any], setting: Setting, path: Path, origin: str, issues: list[Issue]) -> None:
    try:
        _put(values, setting, path.read_text().strip())
    except (OSError, UnicodeDecodeError) as error:
        issues.append(Issue(f"{origin} names {path}, which cannot be read: {error}.", (origin,)))


def _path(setting: Setting) -> tuple[str, ...]:
    return (setting.field,) if setting.section is None else (setting.section, setting.field)


def _flat(document: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, Any]]:
    for key, value in document.items():
        if isinstance(value, dict) and not prefix:
            yield from _flat(value, f"{key}.")
        else:
            yield prefix + key, value


def _meant(name: str, candidates: Mapping[str, object] | list[str]) -> str:
    close = difflib.get_close_matches(name, list(candidates), n=1, cutoff=0.6)
    return f" Did you mean {close[0]}?" if close else " `docs/reference/settings.md` lists all of them."


def _as_issue(detail: Any, origins: Mapping[tuple[str, ...], str]) -> Issue:
    path = tuple(str(part) for part in detail["loc"][:2])
    origin = origins.get(path) or origins.get(path[:1]) or ".".join(path)
    message = str(detail["msg"]).removeprefix("Value error, ")
    return Issue(f"{origin} is not valid: {message[:1].lower()}{message[1:]}.", path)


def _check_place(place: str) -> None:
    if "/" in place:
        ipaddress.ip_network(place, strict=False)
        return
    host, colon, port = place.rpartition(":")
    if colon and "]" not in port and not (port.isdigit() and 0 < int(port) < 65536) and place.count(":") == 1:
        raise ValueError(f"'{place}' is neither host:port, nor a host, nor a network")
    if not (host or port):
        raise ValueError("an entry is empty")
