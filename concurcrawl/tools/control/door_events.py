"""The events of a control door, read while a page is open."""

from __future__ import annotations

import asyncio
import json
import time
from contextlib import suppress
from typing import TYPE_CHECKING, Any

import aiohttp

from concurcrawl.errors import ControlError
from concurcrawl.tools.control.ended_crawl import KILLED, values_in
from concurcrawl.tools.control.target import door_in

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable

    from concurcrawl.tools.control.target import Door

#: Seconds for which an event is the present: the door sends one per second.
_FRESH_S = 1.5
#: Seconds to wait for an event, and before a lost door is tried again.
_PATIENCE_S = 5.0
_AGAIN_S = 1.0
#: Seconds of silence after which a connection counts as lost.
_SILENCE_S = 30.0


class DoorEvents:
    """Reads one crawl from its door, by one connection for any number of pages."""

    def __init__(self, door: Door, on_end: Callable[[], None]) -> None:
        """Make one.

        Args:
            door: Where the crawl is.
            on_end: Called when the crawl has ended.
        """
        self._door = door
        self._on_end = on_end
        self._last: dict[str, Any] | None = None
        self._last_s = 0.0
        self._is_over = False
        self._is_new = asyncio.Condition()
        self._reading: asyncio.Task[None] | None = None

    def watch(self, *, is_on: bool) -> None:
        """Connect to the door, or no longer."""
        if not is_on and self._reading is not None:
            self._reading.cancel()
            self._reading = None
        elif is_on and self._reading is None and not self._is_over:
            self._reading = asyncio.create_task(self._read())

    async def values(self) -> dict[str, Any]:
        """Return the crawl as it is now; after its end, as it was at last.

        Raises:
            ControlError: If the door has been silent for five seconds.
        """
        is_alone = self._reading is None
        self.watch(is_on=True)
        try:
            async with asyncio.timeout(_PATIENCE_S), self._is_new:
                await self._is_new.wait_for(self._is_fresh)
        except TimeoutError:
            raise ControlError(f"no crawl answers at {self._door.where}") from None
        finally:
            if is_alone:
                self.watch(is_on=False)
        assert self._last is not None
        return self._last

    def _is_fresh(self) -> bool:
        return self._is_over or time.monotonic() - self._last_s < _FRESH_S

    async def _read(self) -> None:
        while not self._is_over:
            try:
                async for kind, snapshot in self._events():
                    await self._take(kind, snapshot)
            except (aiohttp.ClientError, OSError):
                await self._look_for_end()
            await asyncio.sleep(_AGAIN_S)

    async def _look_for_end(self) -> None:
        """See whether the crawl has ended or was killed; else it is busy for long.

        One that was killed may be resumed, with another door: then that is read.
        """
        folder = self._door.folder
        if folder is None:
            return  # only its address is known, and pages say that it is silent
        values = await asyncio.to_thread(values_in, folder, self._last)
        if values is not None:
            await self._take("message" if values["state"] == KILLED else "end", values)
            return
        with suppress(ControlError):
            self._door = door_in(folder)

    async def _take(self, kind: str, snapshot: Any) -> None:
        if kind == "history":
            return
        if snapshot["errors"] is None and self._last is not None:  # the same as before
            snapshot["errors"] = self._last["errors"]
        async with self._is_new:
            self._last, self._last_s = snapshot, time.monotonic()
            self._is_over = kind == "end"
            self._is_new.notify_all()
        if self._is_over:
            self._on_end()

    async def _events(self) -> AsyncIterator[tuple[str, Any]]:
        where = self._door.where
        connector: aiohttp.BaseConnector | None = None
        if where.startswith("unix:"):
            connector = aiohttp.UnixConnector(where.removeprefix("unix:"))
            where = "http://localhost"
        timeout = aiohttp.ClientTimeout(total=None, sock_read=_SILENCE_S)
        async with (
            aiohttp.ClientSession(
                connector=connector, timeout=timeout, headers=self._door.headers
            ) as session,
            session.get(f"{where.rstrip('/')}/v1/events") as answer,
        ):
            answer.raise_for_status()
            rest = b""
            async for chunk in answer.content.iter_any():
                *blocks, rest = (rest + chunk).split(b"\n\n")
                for block in blocks:
                    kind, _, data = block.decode().partition("\n")
                    yield kind[len("event: ") :], json.loads(data[len("data: ") :])
