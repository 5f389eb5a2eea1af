"""Ends a crawl that makes no progress, and logs what each request waits for."""

from __future__ import annotations

import asyncio
import logging
from typing import TYPE_CHECKING, NamedTuple

from concurcrawl.compat.closing import fail_crawl
from concurcrawl.compat.engine import abandon_requests, is_closing

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from scrapy.crawler import Crawler

logger = logging.getLogger(__name__)

#: ``finish_reason`` of a crawl that has stalled.
STALLED = "stalled"

#: Seconds without progress after which a crawl that closes drops the requests in
#: progress.
_CLOSING_S = 5.0
#: Seconds between two wake-ups of the watch.
_STEP_S = 0.5
#: Looks at the crawl within the timeout; all of them must agree.
_LOOKS = 5
#: Seconds in which a closing engine may finish abandoned requests.
_GRACE_S = 2.0
#: Most requests that the log names.
_NAMED = 20


class Waiting(NamedTuple):
    """A request in progress that waits.

    Attributes:
        request: Method and URL.
        phase: What it waits for, as words that follow "waits".
        where: The line of the project's code that awaits, if there is one.
    """

    request: str
    phase: str
    where: str | None = None

    def __str__(self) -> str:
        where = f", at {self.where}" if self.where else ""
        return f"{self.request} waits {self.phase}{where}"


class StallWatch:
    """Looks at a crawl several times per timeout, as long as it runs.

    Invariant: a crawl is ended only if each look within the timeout found the same
    requests in progress and nothing that could complete them.
    """

    def __init__(
        self,
        crawler: Crawler,
        timeout_s: float,
        look: Callable[[], Awaitable[list[Waiting]]],
        abandon: Callable[[], None],
    ) -> None:
        """Make a watch that does not run yet.

        Args:
            crawler: The crawl to watch and to end.
            timeout_s: Seconds without progress; with 0 only a crawl that closes is
                ended.
            look: Returns the requests in progress if none of them is at its site, in a
                callback or a pipeline, or waits for a timer; else nothing.
            abandon: Gives up the requests in progress; a resume does them again.
        """
        self._crawler = crawler
        self._timeout_s = timeout_s
        self._look = look
        self._abandon = abandon
        self._task: asyncio.Task[None] | None = None

    def start(self) -> None:
        """Start the watch."""
        self._task = asyncio.ensure_future(self._run())

    def stop(self) -> None:
        """End the watch."""
        if self._task is not None:
            self._task.cancel()

    async def _run(self) -> None:
        loop = asyncio.get_running_loop()
        seen: list[Waiting] = []
        looks, looked_s = 0, loop.time()
        while True:
            # In short steps: when the crawl is told to end, the time-out is shorter.
            await asyncio.sleep(_STEP_S)
            limit_s = self._limit_s()
            if not limit_s or loop.time() - looked_s < limit_s / _LOOKS:
                continue
            found = [] if self._crawler.engine.paused else await self._look()
            same = found and sorted(map(str, found)) == sorted(map(str, seen))
            looks = looks + 1 if same else 0
            seen, looked_s = found, loop.time()
            if looks >= _LOOKS:
                await self._end(found, limit_s)
                return

    def _limit_s(self) -> float:
        """Return the seconds without progress to tolerate now; 0 means no limit."""
        if not is_closing(self._crawler.engine):
            return self._timeout_s
        return min(self._timeout_s or _CLOSING_S, _CLOSING_S)

    async def _end(self, found: list[Waiting], limit_s: float) -> None:
        was_closing = is_closing(self._crawler.engine)
        logger.error(_describe(found, limit_s))
        if not was_closing:
            fail_crawl(self._crawler)
            asyncio.ensure_future(  # noqa: RUF006 - the engine outlives it
                self._crawler.engine.close_spider_async(reason=STALLED)
            )
            await asyncio.sleep(0)  # so that no other request takes their place
        self._abandon()
        await asyncio.sleep(_GRACE_S)
        abandon_requests(self._crawler.engine)


def _describe(found: list[Waiting], limit_s: float) -> str:
    head = (
        f"The crawl has stalled: {len(found)} request(s) have been in progress for "
        f"{limit_s:g} s while nothing was in flight at a site, no callback or pipeline "
        "ran and no timer was due:"
    )
    lines = [head, *(f"  {waiting}" for waiting in found[:_NAMED])]
    if len(found) > _NAMED:
        lines.append(f"  and {len(found) - _NAMED} more")
    lines.append(
        "The crawl ends. With JOBDIR these requests are kept: mend what they wait for "
        "and run the same command again. CONCURCRAWL_STALL_TIMEOUT_S sets the time; 0 "
        "switches this off."
    )
    return "\n".join(lines)
