"""Artefacts in a bucket of an S3-compatible store. Parts of an upload become an object together, or never."""

from __future__ import annotations

import contextlib
import re
from collections.abc import Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Final
from urllib.parse import urlsplit

import obstore
from obstore.exceptions import BaseError, PreconditionError
from obstore.store import S3Store

from weft.ops.backup.errors import (
    ArtefactMissing,
    BackupEndpointInvalid,
    BackupPlaceInvalid,
    BackupPlaceUnreachable,
)
from weft.ops.backup.targets import Artefact, Credentials, ended, safe

if TYPE_CHECKING:
    from obstore import GetOptions
    from obstore.store import ClientConfig, RetryConfig

PART: Final = 8 << 20
"""Bytes of one part. A store takes 10,000 of them: 80 GB for one artefact."""
PARTS_AT_ONCE: Final = 3
RANGE: Final = PART
"""Bytes asked for at once when an artefact is read: what came through within `PATIENCE` one way does the other way."""
PATIENCE: Final = "60s"
"""Of one request, its body included: no request may be for more than a slow line carries in that time."""


class Bucket:
    """A bucket, or what is under a prefix of it."""

    def __init__(self, bucket: str, prefix: str, credentials: Credentials) -> None:
        self._prefix = f"{prefix}/" if prefix else ""
        self._address = f"s3://{bucket}/{prefix}".rstrip("/")
        endpoint = credentials.endpoint.strip() if credentials.endpoint is not None else None
        if endpoint is not None and not _is_address(endpoint):
            raise BackupEndpointInvalid(endpoint)
        client: ClientConfig = {
            "allow_http": endpoint is not None and endpoint.startswith("http://"),
            "timeout": PATIENCE,
            "connect_timeout": "10s",
        }
        retry: RetryConfig = {"max_retries": 3}
        config: dict[str, str | bool] = {"region": credentials.region, "virtual_hosted_style_request": False}
        if endpoint is not None:
            config["endpoint"] = endpoint
        if credentials.access_key is not None and credentials.secret_key is not None:
            config |= {"access_key_id": credentials.access_key, "secret_access_key": credentials.secret_key}
        try:
            # Its stubs want a literal for each key of `config`; ours are put together.
            self._store = S3Store(bucket, config=config, client_options=client, retry_config=retry)  # type: ignore[arg-type]
        except (BaseError, ValueError) as error:
            raise BackupPlaceInvalid(self._address) from error

    @property
    def address(self) -> str:
        return self._address

    def put(self, name: str, chunks: Iterable[bytes]) -> None:
        path = self._prefix + safe(name)
        failed: list[BaseException] = []

        source = iter(chunks)
        reader = ThreadPoolExecutor(1, "weft reading")

        def watched() -> Iterator[bytes]:
            # The store wraps what the reading raises: kept here, so that the caller sees its own error.
            # It asks within its own loop, where another bucket cannot be read: that is done beside it.
            try:
                while (chunk := reader.submit(next, source, None).result()) is not None:
                    yield chunk
            except GeneratorExit:  # the store failed, and says why itself
                raise
            except BaseException as error:
                failed.append(error)
                raise

        try:
            with reader:
                obstore.put(
                    self._store,
                    path,
                    watched(),
                    use_multipart=True,
                    chunk_size=PART,
                    max_concurrency=PARTS_AT_ONCE,
                )
        except (BaseError, OSError, ValueError) as error:
            if failed:
                raise failed[0] from error
            raise BackupPlaceUnreachable(self._address, _said(error)) from error
        finally:
            ended(chunks)

    def get(self, name: str) -> Iterator[bytes]:
        path = self._prefix + safe(name)
        try:
            # Without a range, for an empty object has none. Of a large one only the head is used: the body is not read.
            found = obstore.get(self._store, path)
            size, tag = found.meta["size"], found.meta["e_tag"]
            if size <= RANGE:
                yield bytes(found.bytes())
                return
            del found
            for start in range(0, size, RANGE):
                yield self._ranged(path, name, tag, start, min(start + RANGE, size))
        except FileNotFoundError:
            raise ArtefactMissing(self._address, name) from None
        except (BaseError, OSError) as error:
            raise BackupPlaceUnreachable(self._address, _said(error)) from error

    def _ranged(self, path: str, name: str, tag: str | None, start: int, end: int) -> bytes:
        """One range of the object that the reading began with, tried again by itself if it breaks off.

        Read whole before it is handed on: whoever takes it may be slow, and its request has only so much time.
        """
        options: GetOptions = {"range": (start, end)}
        if tag is not None:
            options["if_match"] = tag
        replaced = BackupPlaceUnreachable(self._address, f"{name} was replaced while it was read")
        try:
            found = obstore.get(self._store, path, options=options)
            content = bytes(found.bytes())
        except PreconditionError as error:
            raise replaced from error
        if found.meta["e_tag"] != tag or len(content) != end - start:  # a store may not know the condition
            raise replaced
        return content

    def listed(self, under: str = "") -> list[Artefact]:
        # Stores list under whole folders only; what is left of the beginning is compared here.
        folder = self._prefix + (under.rpartition("/")[0] + "/" if "/" in under else "")
        try:
            found = [
                Artefact(str(one["path"]).removeprefix(self._prefix), int(one["size"]), one["last_modified"])
                for batch in obstore.list(self._store, folder or None)
                for one in batch
            ]
        except (BaseError, OSError) as error:
            raise BackupPlaceUnreachable(self._address, _said(error)) from error
        return sorted((one for one in found if one.name.startswith(under)), key=lambda artefact: artefact.name)

    def delete(self, names: Iterable[str]) -> None:
        paths = [self._prefix + safe(name) for name in names]
        try:
            for path in paths:
                with contextlib.suppress(FileNotFoundError):
                    obstore.delete(self._store, path)
        except (BaseError, OSError) as error:
            raise BackupPlaceUnreachable(self._address, _said(error)) from error

    def local(self, name: str) -> Path | None:  # noqa: ARG002 - the protocol's
        return None

    def sweep(self, older_than: datetime) -> int:  # noqa: ARG002 - the protocol's
        """Nothing to do: parts that never became an object are the store's to expire (a rule of the bucket)."""
        return 0


def _is_address(endpoint: str) -> bool:
    """What else the store's client would panic about, with the first request."""
    try:
        parts = urlsplit(endpoint)
        return (
            parts.scheme in ("http", "https")
            and bool(parts.hostname)
            and parts.port != 0
            and endpoint.split() == [endpoint]
        )
    except ValueError:
        return False


def _said(error: Exception) -> str:
    """The fact without the store's own listing of everything it tried; of an answer in XML what it calls the matter."""
    whole = str(error).strip()
    fact = (whole.splitlines() or [type(error).__name__])[0].partition(": <?xml")[0][:300]
    code = re.search(r"<Code>(\w{1,60})</Code>", whole)
    return f"{fact}: {code[1]}" if code else fact
