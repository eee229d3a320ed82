"""Starts the mail server of `smtp_server.py`, and reads what it took."""

from __future__ import annotations

import asyncio
import json
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

SCRIPT = Path(__file__).with_name("smtp_server.py")


@dataclass
class MailProcess:
    port: int
    ca_file: Path
    process: asyncio.subprocess.Process

    async def message(self) -> dict[str, Any]:
        """The next message that it took."""
        assert self.process.stdout is not None
        async with asyncio.timeout(60):
            return dict(json.loads(await self.process.stdout.readline()))


@asynccontextmanager
async def mail_process(directory: Path, mode: str = "starttls", host: str = "localhost") -> AsyncIterator[MailProcess]:
    certificate, key = self_signed(directory, host)
    process = await asyncio.create_subprocess_exec(
        sys.executable, str(SCRIPT), mode, str(certificate), str(key),
        stdin=asyncio.subprocess.PIPE, stdout=asyncio.subprocess.PIPE, limit=2**22,
    )  # fmt: skip
    assert process.stdout is not None
    assert process.stdin is not None
    try:
        yield MailProcess(int(await process.stdout.readline()), certificate, process)
    finally:
        process.stdin.close()
        try:
            async with asyncio.timeout(5):
                await process.wait()
        except TimeoutError:
            process.kill()
            await process.wait()


def self_signed(directory: Path, host: str) -> tuple[Path, Path]:
    """A certificate that is its own authority, valid for an hour."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, host)])
    now = datetime.now(UTC)
    certificate = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - timedelta(minutes=5))
        .not_valid_after(now + timedelta(hours=1))
        .add_extension(x509.SubjectAlternativeName([x509.DNSName(host)]), critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        .sign(key, hashes.SHA256())
    )
    paths = directory / f"{host}.pem", directory / f"{host}.key"
    paths[0].write_bytes(certificate.public_bytes(serialization.Encoding.PEM))
    paths[1].write_bytes(
        key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    )
    return paths
