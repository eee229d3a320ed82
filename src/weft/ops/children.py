"""What `weft up` starts, and what it tells them."""

from __future__ import annotations

import os
import sys
from collections.abc import Mapping, Sequence

from weft.ops.home import Home
from weft.ops.installation import Addresses
from weft.ops.keys import master_key
from weft.ops.supervisor import Child
from weft.settings import Settings


def child_commands() -> Mapping[str, Sequence[str]]:
    """The processes of an installation, by the names we call them."""
    weft = [sys.executable, "-m", "weft"]
    return {"API": [*weft, "serve"], "worker": [*weft, "worker"]}


def child_environment(settings: Settings, addresses: Addresses) -> dict[str, str]:
    """What the API and the worker are told: everything they need, and no way to change the schema."""
    kept = {name: value for name, value in os.environ.items() if name not in _NOT_FOR_CHILDREN}
    home = Home(settings.home)
    told = {
        "WEFT_HOME": str(settings.home),
        "WEFT_PROFILE": settings.profile,
        "WEFT_DATABASE_URL": settings.database.url or addresses.app,
        "WEFT_HOST": settings.api.host,
        "WEFT_PORT": str(settings.api.port),
        "WEFT_METRICS_PORT": str(settings.api.metrics_port),
        "WEFT_WORKER_METRICS_PORT": str(settings.worker.metrics_port),
        "PYTHONUNBUFFERED": "1",
    }
    if settings.database.listen_url is not None:
        told["WEFT_DATABASE_LISTEN_URL"] = settings.database.listen_url
    if settings.master_key is not None:
        told["WEFT_MASTER_KEY"] = settings.master_key
    else:
        master_key(settings)  # made, or refused, before anything starts
        told["WEFT_MASTER_KEY_FILE"] = str(home.master_key_file)
    return kept | told


def refuse_unready(settings: Settings) -> None:
    """Before anything starts: would what `extra_children` starts have an address and a place?"""
    if settings.wal.archive:
        from weft.ops.backup.targets import targets_of
        from weft.ops.recovery.source import source_of

        source_of(settings)
        targets_of(settings)


def extra_children(settings: Settings, addresses: Addresses, environment: Mapping[str, str]) -> list[Child]:
    """Processes that only some installations want, and whose failure must not stop the others."""
    if not settings.wal.archive:
        return []
    told = dict(environment)
    if addresses.embedded:
        told.pop("WEFT_DATABASE_URL")  # it finds the embedded server by its home, as an operator's command does
    elif settings.database.replication_url is not None:
        told["WEFT_DATABASE_REPLICATION_URL"] = settings.database.replication_url
    backup = settings.backup  # the places' keys are kept from the API and the worker; this one needs them
    keys = {name: getattr(backup, name) for name in _PLACE_KEYS}
    told |= {f"WEFT_BACKUP_{name.upper()}": value for name, value in keys.items() if value is not None}
    command = [sys.executable, "-m", "weft", "db", "wal", "run"]
    return [Child("WAL archiver", command, told, essential=False)]


_PLACE_KEYS = ("s3_access_key", "s3_secret_key", "copy_s3_access_key", "copy_s3_secret_key")
_SECRETS = ("WEFT_DATABASE_URL", "WEFT_DATABASE_LISTEN_URL", "WEFT_MASTER_KEY")
_OWNERS = ("WEFT_DATABASE_OWNER_URL", "WEFT_DATABASE_ADMIN_URL", "WEFT_DATABASE_REPLICATION_URL")
_BACKUPS = (
    "WEFT_BACKUP_IDENTITY",
    "WEFT_BACKUP_S3_ACCESS_KEY",
    "WEFT_BACKUP_S3_SECRET_KEY",
    "WEFT_BACKUP_COPY_S3_ACCESS_KEY",
    "WEFT_BACKUP_COPY_S3_SECRET_KEY",
)
_NOT_FOR_CHILDREN = frozenset(
    {
        *_OWNERS,
        *_BACKUPS,
        *(f"{name}_FILE" for name in (*_SECRETS, *_OWNERS, *_BACKUPS)),
        "WEFT_MASTER_KEY",
    }
)
