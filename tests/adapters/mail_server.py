"""Starts the mail server of `smtp_server.py`, and reads what it took."""

from __future__ import annotations

import asyncio
import json
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tests.factories.certificates import self_signed

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
