"""The database's settings that matter once one server, or one connection for each, is not enough."""

from __future__ import annotations

from typing import Literal, Self

from pydantic import Field, field_validator, model_validator

from weft.settings_sections import SECRET, DatabaseSettings, is_postgresql


class ScaledDatabaseSettings(DatabaseSettings):
    """Where rows are kept, with a pooler before it or a replica beside it."""

    hot_pool_size: int | None = Field(
        default=None,
        ge=2,
        le=500,
        description="Connections of the engine's own pool in each process; without it half of `pool_size` in the API, "
        "and `pool_size`, but at least 4, in a worker.",
    )
    pool_wait_seconds: float = Field(
        default=10.0,
        ge=0.1,
        le=300,
        description="How long a request waits for a connection before it is told to come back (503).",
    )
    pool_waiting: int = Field(
        default=200,
        ge=10,
        le=100_000,
        description="Requests that may wait for each pool of an API process; more are told to come back at once (503).",
    )
    pooler: Literal["none", "transaction"] = Field(
        default="none",
        description="`transaction`: `url` leads to a pooler in transaction mode, such as PgBouncer; it needs "
        "`listen_url`.",
    )
    replica_url: str | None = Field(
        default=None,
        repr=False,
        json_schema_extra=SECRET,
        description="A streaming replica of the same database, as `weft_app`: the API reads lists there.",
    )
    replica_pool_size: int = Field(default=5, ge=1, le=500, description="Connections to it that an API process keeps.")
    replica_max_lag_seconds: float = Field(
        default=10.0, ge=0.5, le=3600, description="Further behind than this, the replica is not asked at all."
    )
    replica_stale_seconds: float = Field(
        default=0.0,
        ge=0,
        le=3600,
        description="How old a list may be when the request does not say; 0: never older than the request.",
    )

    @field_validator("replica_url")
    @classmethod
    def _replica_is_postgresql(cls, value: str | None) -> str | None:
        return is_postgresql(value)

    @model_validator(mode="after")
    def _has_a_direct_way(self) -> Self:
        if self.pooler == "transaction" and (self.url is None or self.listen_url is None):
            raise ValueError(
                "WEFT_DATABASE_POOLER=transaction needs WEFT_DATABASE_URL (the pooler) and WEFT_DATABASE_LISTEN_URL "
                "(the server itself): notifications do not come through a pooler"
            )
        return self

    @property
    def direct_url(self) -> str | None:
        """The application's address without a pooler: for commands, and for what needs a session."""
        return self.listen_url if self.pooler == "transaction" else self.url
