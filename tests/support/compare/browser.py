"""A headless Chromium that is told what to do over its own protocol.

References:
    https://chromedevtools.github.io/devtools-protocol/
"""

from __future__ import annotations

import asyncio
import base64
import re
import shutil
import tempfile
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any

import aiohttp

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

FLAGS = (
    *("--headless", "--no-sandbox", "--disable-gpu", "--disable-quic"),
    *("--no-first-run", "--disable-background-networking", "--hide-scrollbars"),
    *("--disable-component-update", "--disable-sync", "--remote-debugging-port=0"),
    "--host-resolver-rules=MAP * ~NOTFOUND, EXCLUDE 127.0.0.1",  # no network
)
DEADLINE_S = 30.0


def chromium() -> str | None:
    """Return the program, if there is one."""
    names = ("chromium", "chromium-browser", "google-chrome")
    return next(filter(None, map(shutil.which, names)), None)


class Page:
    """One tab.

    Attributes:
        said: What came to the console, errors and refused requests included.
        asked: The addresses of everything it loaded.
    """

    def __init__(self, socket: aiohttp.ClientWebSocketResponse) -> None:
        self._socket = socket
        self._number = 0
        self.said: list[str] = []
        self.asked: list[str] = []

    async def call(self, method: str, **parameters: Any) -> Any:
        """Call *method* in the browser and return its result."""
        self._number += 1
        await self._socket.send_json(
            {"id": self._number, "method": method, "params": parameters}
        )
        while True:
            message = await self._socket.receive_json(timeout=DEADLINE_S)
            if message.get("id") == self._number:
                assert "error" not in message, (method, message)
                return message["result"]
            self._note(message)

    def _note(self, message: dict[str, Any]) -> None:
        about = message.get("params", {})
        match message.get("method"):
            case "Runtime.consoleAPICalled" | "Runtime.exceptionThrown":
                self.said.append(str(about))
            case "Log.entryAdded":
                self.said.append(about["entry"]["text"])
            case "Network.requestWillBeSent":
                self.asked.append(about["request"]["url"])

    async def run(self, code: str) -> Any:
        """Return the value of *code*; a promise is waited for."""
        answer = await self.call(
            "Runtime.evaluate", expression=code, returnByValue=True, awaitPromise=True
        )
        assert "exceptionDetails" not in answer, answer
        return answer["result"].get("value")

    async def wait_for(self, code: str) -> None:
        """Wait until *code* is true."""
        for _ in range(int(DEADLINE_S / 0.05)):
            if await self.run(code):
                return
            await asyncio.sleep(0.05)
        raise AssertionError(f"never true: {code}; the console: {self.said}")

    async def open(
        self, url: str, *, width: int = 1160, height: int = 900, dark: bool = False
    ) -> None:
        """Show *url*."""
        for domain in ("Page", "Runtime", "Log", "Network"):
            await self.call(f"{domain}.enable")
        await self.call(
            "Emulation.setDeviceMetricsOverride",
            width=width,
            height=height,
            deviceScaleFactor=1,
            mobile=width < 500,
        )
        await self.paint(dark=dark)
        await self.call("Page.navigate", url=url)
        await self.wait_for("document.documentElement?.dataset.ready === 'yes'")

    async def paint(self, *, dark: bool) -> None:
        """Prefer dark or light colours."""
        scheme = {"name": "prefers-color-scheme", "value": "dark" if dark else "light"}
        await self.call("Emulation.setEmulatedMedia", features=[scheme])

    async def mouse(self, kind: str, x: float, y: float, **more: Any) -> None:
        """Move or press the mouse at a place of the window."""
        await self.call("Input.dispatchMouseEvent", type=kind, x=x, y=y, **more)

    async def picture(self, of: str = "html") -> bytes:
        """Return a PNG of the element that *of* selects."""
        clip = await self.run(
            f"(() => {{ const r = document.querySelector({of!r})"
            ".getBoundingClientRect(); const m = 12; "
            "return {x: Math.max(0, r.x - m), y: Math.max(0, r.y + scrollY - m), "
            "width: r.width + 2 * m, height: r.height + 2 * m, scale: 1}; })()"
        )
        taken = await self.call(
            "Page.captureScreenshot", clip=clip, captureBeyondViewport=True
        )
        return base64.b64decode(taken["data"])


@asynccontextmanager
async def browsing() -> AsyncIterator[Page]:
    """Run a browser with a temporary profile."""
    program = chromium()
    assert program is not None
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as folder:
        process = await asyncio.create_subprocess_exec(
            program,
            *FLAGS,
            f"--user-data-dir={folder}",
            "about:blank",
            stdout=asyncio.subprocess.DEVNULL,
            stderr=asyncio.subprocess.PIPE,
        )
        try:
            assert process.stderr is not None
            port = await asyncio.wait_for(_port(process.stderr), DEADLINE_S)
            async with (
                aiohttp.ClientSession() as session,
                session.get(f"http://127.0.0.1:{port}/json") as answer,
            ):
                tab = next(t for t in await answer.json() if t["type"] == "page")
                async with session.ws_connect(
                    tab["webSocketDebuggerUrl"], max_msg_size=0
                ) as socket:
                    yield Page(socket)
        finally:
            process.terminate()
            try:
                await asyncio.wait_for(process.wait(), 10)
            except TimeoutError:
                process.kill()
                await process.wait()


async def _port(stderr: asyncio.StreamReader) -> int:
    async for line in stderr:
        if found := re.search(rb"ws://127\.0\.0\.1:(\d+)/", line):
            return int(found[1])
    raise AssertionError("the browser did not start")
