"""Scrapy's downloader without the queues and timers of its slots."""

from __future__ import annotations

from abc import abstractmethod
from typing import TYPE_CHECKING, Any

from scrapy.core.downloader import Downloader
from typing_extensions import override

from concurcrawl.compat.parts import touches

if TYPE_CHECKING:
    from collections.abc import Coroutine

    from scrapy import Request, Spider
    from scrapy.core.downloader import Slot
    from scrapy.http import Response


@touches(
    "scrapy.core.downloader",
    *("Downloader._enqueue_request", "Downloader._get_slot"),
    "Downloader._start_slot_gc",
)
class DirectDownloader(Downloader):
    """A downloader whose subclass downloads at once and makes the slots.

    Touches: overrides ``Downloader._enqueue_request()``, which downloads what has
    passed the middlewares, and ``._get_slot()``, which extensions call too; calls
    ``._start_slot_gc()``, which begins to drop slots that are idle (Scrapy 2.19.0). If
    one moves, Scrapy's own delays and limits apply in each process, or slots are never
    dropped. Wished for: public names for the three.
    """

    async def fetch_async(self, request: Request) -> Response | Request:
        """Do what :meth:`fetch` does, without a deferred."""
        self.active.add(request)
        try:
            return await self.middleware.download_async(self.download_now, request)
        finally:
            self.active.remove(request)

    @abstractmethod
    async def download_now(self, request: Request) -> Response:
        """Download *request*, which has passed the middlewares."""

    @abstractmethod
    def slot_for(self, request: Request) -> tuple[str, Slot]:
        """Return the name of the slot that *request* belongs to, and the slot."""

    def drop_idle_slots(self) -> None:
        """Drop slots from now on that are idle; call it when there is a new one."""
        self._start_slot_gc()

    @override
    def _enqueue_request(self, request: Request) -> Coroutine[Any, Any, Response]:
        return self.download_now(request)

    @override
    def _get_slot(
        self, request: Request, spider: Spider | None = None
    ) -> tuple[str, Slot]:
        return self.slot_for(request)
