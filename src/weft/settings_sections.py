"""The sections of the settings: one class each, frozen and checked. `weft.settings` reads them.

A rule between fields of a section is a validator here, so that a wrong value is refused at the start with its name.
"""

from __future__ import annotations

import ipaddress
from pathlib import Path
from typing import Annotated, Final, Literal, Self
from urllib.parse import parse_qsl, urlsplit

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, JsonValue, field_validator, model_validator


def _listed(value: object) -> object:
    """A list in the environment is separated by commas."""
    return tuple(part.strip() for part in value.split(",") if part.strip()) if isinstance(value, str) else value


Words = Annotated[tuple[str, ...], BeforeValidator(_listed)]
Port = Annotated[int, Field(ge=0, le=65535)]

SCHEMA: Final = "weft"
"""Where the tables lie, whatever an address says."""

SECRET: dict[str, JsonValue] = {"secret": True}


def is_postgresql(value: str | None) -> str | None:
    """An address of a PostgreSQL, as the drivers take it."""
    if value is None:
        return None
    if value.partition("://")[0] not in ("postgresql", "postgres", "postgresql+asyncpg"):
        raise ValueError("must look like postgresql://role:password@host:5432/database")
    value = without_schema(value)
    other = dict(parse_qsl(urlsplit(value).query)).get("schema")
    if other is not None:
        raise ValueError(
            f"has schema={other[:63]}, but weft keeps its tables in the schema weft. Leave that part out; for a second "
            "installation on the same server name another database"
        )
    return value


def without_schema(address: str) -> str:
    """An address without `schema=public` (or `weft`), which other tools write and PostgreSQL does not know.

    The rest stays letter by letter. Another schema stays too: it would not be the one that is used.
    """
    place, mark, query = address.partition("?")
    kept = [part for part in query.split("&") if part not in ("schema=public", f"schema={SCHEMA}")]
    return f"{place}{mark}{'&'.join(kept)}" if kept != [""] and kept else place


class Section(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class DatabaseSettings(Section):
    """Where rows are kept. Without an address `weft up` brings its own PostgreSQL."""

    url: str | None = Field(
        default=None,
        repr=False,
        json_schema_extra=SECRET,
        description="PostgreSQL as the application role (`weft_app`); without it the embedded server is used.",
    )
    owner_url: str | None = Field(
        default=None,
        repr=False,
        json_schema_extra=SECRET,
        description="The same database as `weft_owner`, for migrations only.",
    )
    admin_url: str | None = Field(
        default=None,
        repr=False,
        json_schema_extra=SECRET,
        description="An administrator (CREATEROLE and CREATEDB) of the same server, to prepare roles and database.",
    )
    listen_url: str | None = Field(
        default=None,
        repr=False,
        json_schema_extra=SECRET,
        description="A direct address for notifications when `url` goes through a pooler in transaction mode.",
    )
    replication_url: str | None = Field(
        default=None,
        repr=False,
        json_schema_extra=SECRET,
        description="The same server as a role with REPLICATION, directly, for base backups and the WAL "
        "(`weft db wal`).",
    )
    pool_size: int = Field(default=10, ge=1, le=500, description="Connections that each process keeps at most.")

    @field_validator("url", "owner_url", "admin_url", "listen_url", "replication_url")
    @classmethod
    def _is_postgresql(cls, value: str | None) -> str | None:
        return is_postgresql(value)


class ApiSettings(Section):
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


class LogSettings(Section):
    """What weft says while it works; always to standard error."""

    level: Literal["debug", "info", "warning", "error"] = Field(
        default="info", description="The least important line shown."
    )
    format: Literal["auto", "json", "text"] = Field(
        default="auto", description="`json` for machines, `text` for people; `auto` looks whether a terminal reads it."
    )
    slow_ms: float = Field(
        default=1000.0,
        gt=0,
        description="Statements that take the database this many milliseconds or more are logged, without values.",
    )


class WorkerSettings(Section):
    """The process that runs steps."""

    concurrency: int = Field(
        default=100,
        ge=1,
        le=10_000,
        description="Jobs that one worker has in hand at once, and a quarter more for tenants with none of them.",
    )
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


class LimitSettings(Section):
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


class HttpSettings(Section):
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


class SmtpSettings(Section):
    """The server that mail of `notification` steps goes through. Without a host no mail is sent."""

    host: str | None = Field(default=None, description="The mail server's name or address.")
    port: Port = Field(default=587, description="Its port: usually 587 with STARTTLS, 465 with TLS.")
    user: str | None = Field(default=None, description="Whom to sign in as; without it nobody signs in.")
    password: str | None = Field(default=None, repr=False, json_schema_extra=SECRET, description="Its password.")
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


class RetentionSettings(Section):
    """How long finished executions are kept. Nothing goes unless somebody says so."""

    executions_days: int | None = Field(
        default=None, ge=1, le=36_600, description="Days for tenants that say nothing; without it they keep everything."
    )
    journal_days: int | None = Field(
        default=None,
        ge=1,
        le=36_600,
        description="Days after which journals go before their executions, for tenants that say nothing.",
    )
    shortest_days: int = Field(default=1, ge=1, le=36_600, description="What a tenant may choose at least.")
    longest_days: int | None = Field(
        default=None, ge=1, le=36_600, description="No tenant keeps an execution longer than this after its end."
    )
    archive: bool = Field(
        default=True, description="Executions of tenants that say nothing are archived before they are deleted."
    )
    every_minutes: float = Field(
        default=60.0, ge=0.01, le=10_080, description="How often a worker looks what is too old."
    )
    round_seconds: float = Field(default=60.0, ge=1, le=3600, description="How long one round may take before a pause.")

    @model_validator(mode="after")
    def _are_in_order(self) -> RetentionSettings:
        if self.longest_days is not None and self.longest_days < self.shortest_days:
            raise ValueError("longest_days must not be below shortest_days")
        return self


def _check_place(place: str) -> None:
    if "/" in place:
        ipaddress.ip_network(place, strict=False)
        return
    host, colon, port = place.rpartition(":")
    if colon and "]" not in port and not (port.isdigit() and 0 < int(port) < 65536) and place.count(":") == 1:
        raise ValueError(f"'{place}' is neither host:port, nor a host, nor a network")
    if not (host or port):
        raise ValueError("an entry is empty")
