"""A real Chromium, driven by its own protocol over a WebSocket: as much of it as these tests need."""

from __future__ import annotations

import asyncio
import base64
import json
import re
import shutil
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

from websockets.asyncio.client import ClientConnection, connect

PROGRAM = shutil.which("chromium") or shutil.which("chromium-browser")
_SWITCHES = (
    "--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-sync",
    "--disable-background-networking", "--disable-dev-shm-usage", "--disable-component-update", "--disable-extensions",
    "--remote-debugging-port=0", "--force-device-scale-factor=1",
)  # fmt: skip


class Page:
    """One tab. Everything that a page reports as wrong (errors, refused loads) is kept in `complaints`."""

    def __init__(self, socket: ClientConnection) -> None:
        self._socket = socket
        self._number = 0
        self._answers: dict[int, asyncio.Future[Any]] = {}
        self._loaded = asyncio.Event()
        self.complaints: list[str] = []
        self.requests: list[str] = []

    async def listen(self) -> None:
        async for text in self._socket:
            message = json.loads(text)
            if "id" in message:
                self._answers.pop(message["id"]).set_result(message)
                continue
            told = message["params"]
            match message["method"]:
                case "Page.loadEventFired":
                    self._loaded.set()
                case "Runtime.exceptionThrown":
                    self.complaints.append(str(told["exceptionDetails"]))
                case "Log.entryAdded" if told["entry"]["level"] == "error":
                    self.complaints.append(str(told["entry"]))
                case "Network.requestWillBeSent":
                    self.requests.append(told["request"]["url"])
                case _:
                    pass

    async def tell(self, method: str, **parameters: Any) -> Any:
        self._number += 1
        answer = self._answers[self._number] = asyncio.get_running_loop().create_future()
        await self._socket.send(json.dumps({"id": self._number, "method": method, "params": parameters}))
        message = await answer
        assert "error" not in message, message
        return message["result"]

    async def go(self, url: str) -> None:
        self._loaded.clear()
        await self.tell("Page.navigate", url=url)
        await self._loaded.wait()

    async def run(self, script: str) -> Any:
        """What the script evaluates to."""
        result = await self.tell("Runtime.evaluate", expression=script, awaitPromise=True, returnByValue=True)
        assert "exceptionDetails" not in result, result
        return result["result"].get("value")

    async def follow(self, script: str) -> None:
        """Run what leads to another page, and wait until that is there."""
        self._loaded.clear()
        await self.run(script)
        await self._loaded.wait()

    async def size(self, width: int, height: int) -> None:
        await self.tell(
            "Emulation.setDeviceMetricsOverride", width=width, height=height, deviceScaleFactor=1, mobile=False
        )

    async def picture(self) -> bytes:
        """What is to be seen now, as PNG."""
        return base64.b64decode((await self.tell("Page.captureScreenshot", format="png"))["data"])


@asynccontextmanager
async def page(directory: Path) -> AsyncIterator[Page]:
    """A tab of a browser of its own, which is gone afterwards."""
    assert PROGRAM is not None
    process = await asyncio.create_subprocess_exec(
        PROGRAM, *_SWITCHES, f"--user-data-dir={directory}", "about:blank", stderr=asyncio.subprocess.PIPE
    )
    try:
        assert process.stderr is not None
        said = b""
        async for line in process.stderr:
            said += line
            if b"DevTools listening on" in line:
                break
        listening_on = re.search(rb"DevTools listening on ws://127\.0\.0\.1:(\d+)/", said)
        assert listening_on is not None, f"the browser did not start: {said.decode(errors='replace')}"
        draining = asyncio.create_task(process.stderr.read())
        target = await _target(int(listening_on[1]), process)
        async with connect(target, max_size=50_000_000, proxy=None) as socket:
            opened = Page(socket)
            listening = asyncio.create_task(opened.listen())
            for domain in ("Page", "Runtime", "Log", "Network"):
                await opened.tell(f"{domain}.enable")
            yield opened
            listening.cancel()
        draining.cancel()
    finally:
        if process.returncode is None:
            process.terminate()
        await process.wait()


async def _target(port: int, process: asyncio.subprocess.Process) -> str:
    """The address of its first tab. On a busy machine neither the listener nor the tab need be there at once."""
    import httpx2

    async with asyncio.timeout(120), httpx2.AsyncClient(trust_env=False) as client:
        while True:
            assert process.returncode is None, "the browser has ended"
            try:
                found = (await client.get(f"http://127.0.0.1:{port}/json/list")).json()
            except httpx2.TransportError:
                found = []
            for one in found:
                if one["type"] == "page":
                    return str(one["webSocketDebuggerUrl"])
            await asyncio.sleep(0.05)
