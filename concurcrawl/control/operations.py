"""The operations on a running crawl, for the control door, Redis and dashboards."""

from __future__ import annotations

import asyncio
import logging
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from concurcrawl.control.announcing import Announcer
from concurcrawl.control.running import RunningCrawl
from concurcrawl.control.start_requests import check_fields, start_request
from concurcrawl.errors import ControlError

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from scrapy.crawler import Crawler

logger = logging.getLogger(__name__)

#: ``finish_reason`` of a crawl that was told to stop.
STOPPED = "stopped"

#: Requests that are added between two turns of the event loop.
_AT_ONCE = 100


@dataclass(slots=True)
class AddResult:
    """What became of requests that were to be added.

    Attributes:
        taken: How many are safe in the frontier and were not known.
        duplicates: How many were known before.
        refused: Of each that cannot be requested, its URL and why.
    """

    taken: int = 0
    duplicates: int = 0
    refused: list[tuple[str, str]] = field(default_factory=list)

    def as_json(self) -> dict[str, Any]:
        """Return it as JSON can say it."""
        refused = [{"url": url, "reason": reason} for url, reason in self.refused]
        return {
            "taken": self.taken,
            "duplicates": self.duplicates,
            "refused": refused,
        }


class CrawlControl:
    """Feeds and steers one crawl.

    It works alike for a crawl of one process and of workers, with a ``JOBDIR`` and over
    Redis, where each call is for all nodes. Everything here must be called in the
    thread of the event loop, while the spider is open.
    """

    def __init__(self, crawler: Crawler) -> None:
        """Make one; several of one crawler do no harm.

        Args:
            crawler: The crawl that ``scrapy crawl`` has started, not one of a worker.
        """
        self._crawler = crawler
        self._running = RunningCrawl(crawler)

    @property
    def is_paused(self) -> bool:
        """Whether the crawl is paused."""
        return self._running.is_paused

    @property
    def is_stopping(self) -> bool:
        """Whether the crawl has begun to end."""
        return self._running.is_stopping

    @property
    def leads(self) -> bool:
        """Whether this process runs what only one of the nodes may run."""
        return self._running.leads

    def wake(self) -> None:
        """Make the engine ask its scheduler for requests now."""
        self._running.wake()

    def pause(self) -> None:
        """Start no more requests; those in flight end, and their callbacks run."""
        self.pause_here()
        if announcer := self._announcer():
            announcer.pause(is_on=True)

    def resume(self) -> None:
        """Start requests again."""
        self.resume_here()
        if announcer := self._announcer():
            announcer.pause(is_on=False)

    def pause_here(self) -> None:
        """Pause this node alone."""
        if not self.is_paused:
            logger.info("The crawl is paused")
            self._running.pause()

    def resume_here(self) -> None:
        """Let this node alone go on."""
        if self.is_paused:
            logger.info("The crawl goes on")
            self._running.resume()

    def stop(self, reason: str = STOPPED) -> None:
        """End the crawl at all nodes, once the requests in flight are done.

        Args:
            reason: Its ``finish_reason``. With a ``JOBDIR`` or Redis the crawl can be
                resumed, unless it is ``finished``.
        """
        logger.info("The crawl was told to stop (%s)", reason)
        if announcer := self._announcer():
            announcer.forget_pause()
        self._running.stop(reason)

    def change_limits(
        self,
        group: str,
        in_flight: int | None = None,
        delay_s: float | None = None,
    ) -> dict[str, Any]:
        """Keep other limits of a group of hosts from the next request on.

        Args:
            group: Its name: a host, or a group of ``CONCURCRAWL_HOST_GROUPS`` or of a
                profile. A host that belongs to a group stands for it.
            in_flight: Requests at a time, at least 1; None leaves it as it is.
            delay_s: Mean seconds between two requests; None leaves it as it is.

        Returns:
            What counts from now on: ``group``, ``delay_s`` and ``in_flight`` (0 means
            no limit).

        Raises:
            ControlError: If a value makes no sense, or the profile of the site forbids
                it; nothing was changed.
        """
        changed = self.change_limits_here(group, in_flight, delay_s)
        if announcer := self._announcer():
            announcer.change_limits(changed["group"], in_flight, delay_s)
        return changed

    def change_limits_here(
        self,
        group: str,
        in_flight: int | None = None,
        delay_s: float | None = None,
    ) -> dict[str, Any]:
        """Change limits as of this node alone."""
        changed = self._running.change_limits(group, in_flight, delay_s)
        logger.info("Limits were changed: %s", changed)
        return changed

    async def add(self, wanted: Iterable[str | Mapping[str, Any]]) -> AddResult:
        """Add start requests.

        Args:
            wanted: URLs, or descriptions of requests (``start_requests.FIELDS``).

        Returns:
            What became of them. Those taken are safe in the frontier: with a ``JOBDIR``
            they survive a power cut.

        Raises:
            ControlError: If one is no URL and no description, or the crawl ends;
                nothing was added.
        """
        wanted = list(wanted)
        for one in wanted:
            check_fields(one)
        self._running.require_open()
        result = AddResult()
        for first in range(0, len(wanted), _AT_ONCE):
            part = wanted[first : first + _AT_ONCE]
            # Together, so that nodes push them in one exchange with Redis.
            await asyncio.gather(*(self._add(one, result) for one in part))
            await asyncio.sleep(0)
        await self._running.make_safe()
        return result

    async def _add(self, wanted: str | Mapping[str, Any], result: AddResult) -> None:
        spider = self._crawler.spider
        assert spider is not None
        try:
            is_new = await self._running.add(await start_request(spider, wanted))
        except ControlError as error:
            url = wanted if isinstance(wanted, str) else str(wanted["url"])
            result.refused.append((url, str(error)))
        else:
            result.taken += is_new
            result.duplicates += not is_new

    async def retry(self) -> int:
        """Put dead-lettered requests back into the queue; return how many.

        Raises:
            ControlError: If the crawl ends.
        """
        self._running.require_open()
        return await self._running.retry()

    def status(self) -> dict[str, Any]:
        """Return how the crawl is, as JSON can say it."""
        return self._running.status()

    def _announcer(self) -> Announcer | None:
        return self._crawler.get_extension(Announcer)
