"""The downloader that makes ``scrapy crawl`` a supervisor of workers.

The engine works as ever: it asks the scheduler for a request, has the downloader fetch
it, and waits for all of that before it closes. Here the downloader fetches by lending
the request to a worker and applying what came of it: signals are sent, items go through
the pipelines, new requests to the scheduler. Then it says that the request is to be
ignored, which ends it in the engine without a callback.
"""

from __future__ import annotations

import asyncio
import json
import logging
import sqlite3
from collections import defaultdict
from itertools import starmap, zip_longest
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pydispatch.dispatcher import (  # type: ignore[import-untyped]
    getAllReceivers,
    liveReceivers,
)
from scrapy import signals
from scrapy.exceptions import IgnoreRequest
from scrapy.utils.defer import deferred_from_coro
from twisted.python.failure import Failure

from concurcrawl import stats, timeline
from concurcrawl.config import Config
from concurcrawl.downloader import UngovernedDownloader
from concurcrawl.errors import (
    ConcurcrawlError,
    FrontierError,
    LeaseLostError,
    PoisonError,
)
from concurcrawl.feeds import item_at_hand
from concurcrawl.frontier.limits import Visit
from concurcrawl.gate import AHEAD
from concurcrawl.progress.pace import Row, Tally, unanswered
from concurcrawl.scheduler import wake
from concurcrawl.workers.codec import Codec, residents
from concurcrawl.workers.cookies import SharedCookies
from concurcrawl.workers.job import describe, import_path
from concurcrawl.workers.messages import (
    REPLAYED,
    Answer,
    Ask,
    Enter,
    FetchRobots,
    Left,
    Listen,
    Outcome,
    Sent,
    SetCookies,
    SlowDown,
    Troubled,
)
from concurcrawl.workers.pool import Tolerance, Worker, WorkerPool
from concurcrawl.workers.scheduler import SupervisorScheduler
from concurcrawl.workers.shared_journal import SharedJournal

if TYPE_CHECKING:
    from collections.abc import Sequence

    from scrapy import Request, Spider
    from scrapy.crawler import Crawler
    from scrapy.http import Response
    from twisted.internet.defer import Deferred

    from concurcrawl.frontier.base import Lease
    from concurcrawl.workers.cookies import CookieChange
    from concurcrawl.workers.messages import Event, Head, ToWorker

    #: What came of a request, and its responses if somebody is to be told of them.
    _Taken = tuple[Outcome, list[Response]]

logger = logging.getLogger(__name__)


class WorkersDownloader(UngovernedDownloader):
    """Fetches what the scheduler lends by having a worker do it.

    Requests that somebody here downloads directly (a media pipeline, ``start()``) are
    downloaded here.
    """

    def __init__(self, crawler: Crawler) -> None:
        config = Config.from_settings(crawler.settings)
        # First of all: workers start while our own handlers and middlewares load.
        self.pool = WorkerPool(
            [int(share) for share in crawler.settings.getlist("CONCURCRAWL_SLOTS")],
            max(1, crawler.settings.getint(AHEAD)),
            Codec().encode(describe(crawler)),
            import_path(crawler.spidercls),
            Tolerance(
                deaths=config.max_attempts,
                restarts=config.max_restarts,
                silence_s=config.callback_timeout_s,
            ),
            self._hear,
        )
        super().__init__(crawler)
        self._items_at_work = 0
        self._max_items = crawler.settings.getint("CONCURRENT_ITEMS")
        self._cookies: SharedCookies | None = None
        self._troubled: set[str] = set()
        self._robots: dict[str, asyncio.Future[Response]] = {}
        self._codec = Codec()
        self._failures = config.failures
        self._has_failed = False
        self._clocks_pipelines = timeline.clocks_pipelines(crawler.settings)
        self._tallies: defaultdict[str, Tally] | None = None
        self.pool.greeting = self._greeting
        self.pool.on_loss = self._lose
        self.pool.on_room = lambda: wake(crawler)
        self.pool.on_give_up = lambda: self.close_spider("workers_failed")

    @property
    def _scheduler(self) -> SupervisorScheduler:
        scheduler = self.crawler.engine.scheduler
        assert isinstance(scheduler, SupervisorScheduler)
        return scheduler

    async def connect(self) -> None:
        """Begin to talk to the workers; the spider opens."""
        if self._cookies is None:
            self._cookies = SharedCookies(self.crawler)
        self._codec = Codec(residents(self.crawler))
        journal = self._scheduler.journal
        journal.process = self._process_kept
        journal.encode = self._codec.encode
        journal.on_failure = self.fail
        await self.pool.connect()

    def needs_backout(self) -> bool:
        """See :class:`Downloader`. Slow pipelines hold the workers back."""
        if self._items_at_work >= self._max_items:
            return True
        if self._has_failed:
            return True
        return not self.pool.has_room(len(self._scheduler))

    def fetch(self, request: Request, spider: Spider | None = None) -> Deferred[Any]:
        """See :class:`Downloader`."""
        lease = self._scheduler.lease_of(request)
        if lease is None:
            return super().fetch(request)
        self.active.add(request)
        # Lent now, not when the coroutine runs: needs_backout() must know.
        lent = self.pool.lend(lease, lambda outcome: self._take(outcome, request))
        return deferred_from_coro(self._by_worker(request, lent))

    def close(self) -> None:
        """See :class:`Downloader`."""
        super().close()
        self.pool.stop()

    def begin_tallies(self) -> None:
        """See :class:`~concurcrawl.progress.pace.Crew`."""
        self._tallies = defaultdict(Tally)

    def rows(self) -> tuple[tuple[Row, ...], Tally]:
        """See :class:`~concurcrawl.progress.pace.Crew`."""
        assert self._tallies is not None
        tallies = self._tallies
        rows = tuple(
            Row(worker.name, tallies[worker.name], worker.in_flight)
            for worker in self.pool.workers
        )
        if not rows:  # the end: those that were
            rows = tuple(Row(name, tally, 0) for name, tally in tallies.items())
        poisoned = self.crawler.stats.get_value("concurcrawl/poisoned", 0)
        return rows, sum(tallies.values(), Tally(errors=poisoned))

    async def _by_worker(
        self, request: Request, lent: asyncio.Future[_Taken]
    ) -> Response:
        scheduler = self._scheduler
        lease = scheduler.lease_of(request)
        assert lease is not None
        try:
            await self._apply(await lent, request)
            scheduler.forget(request)
        except PoisonError as error:
            await self._set_aside(request, lease, error)
        except LeaseLostError:
            self._refuse(request)
        except (OSError, sqlite3.Error, FrontierError) as error:
            # Nothing of it was applied: it is done again when the crawl is resumed.
            self.fail(error)
        except ConcurcrawlError:
            scheduler.give_back(request)
        finally:
            self.active.discard(request)
        raise IgnoreRequest

    async def _set_aside(
        self, request: Request, lease: Lease, error: PoisonError
    ) -> None:
        logger.error("%s is set aside: %s", request, error)
        self.crawler.stats.inc_value("concurcrawl/poisoned")
        if self._failures:
            self._record_failure(request.url, str(error))
        self._scheduler.set_aside(lease, request.url, error.deaths)
        await self._scheduler.complete(lease, ())
        self._scheduler.forget(request)

    def _record_failure(self, url: str, reason: str) -> None:
        with Path(self._failures).open("a", encoding="utf-8") as file:
            file.write(json.dumps({"url": url, "reason": reason}) + "\n")

    def _refuse(self, request: Request) -> None:
        """Drop what came of a request that others have been lent meanwhile."""
        logger.warning(
            "%s took so long that another node was given it; what came of it here is "
            "dropped.",
            request,
        )
        self.crawler.stats.inc_value("concurcrawl/refused")
        self._scheduler.forget(request)

    def fail(self, error: Exception) -> None:
        """End the crawl: what came of a request could not be kept."""
        if self._has_failed:
            return
        self._has_failed = True
        if isinstance(error, FrontierError):
            logger.error("%s", error)
            self.close_spider(error.reason)
        else:
            logger.error(
                "The crawl ends: it cannot write what it has done (%s). Make room or "
                "mend the disk, then run the same command again.",
                error,
            )
            self.close_spider("storage_failed")

    # What workers say -----------------------------------------------------------

    def _hear(
        self, worker: Worker, message: Outcome | Ask | Sent | Left | SlowDown
    ) -> None:
        """Do at once what does not wait for a lease to end."""
        match message:
            case Outcome():
                self._hear_outcome(worker, message)
            case Ask():
                asyncio.ensure_future(self._answer(worker, message))  # noqa: RUF006 - the engine outlives it
            case Sent(group, ticket, at_s):
                self._scheduler.turnstile.sent(group, ticket, at_s)
            case Left():
                self._hear_left(worker, message)
            case SlowDown():
                self.trouble(message.group)
                self._scheduler.slow_down(message.group, message.delay_s)

    async def _answer(self, worker: Worker, ask: Ask) -> None:
        try:
            match ask.question:
                case Enter(group, ticket):
                    await self._scheduler.turnstile.enter(group, ticket)
                    self._scheduler.entered(group)
                    if ticket is None and worker.is_gone:
                        # It died while it waited in line. One with a ticket has been
                        # started over and may be there by now for another worker.
                        self._scheduler.turnstile.leave(group, None, Visit())
                    elif ticket is None:
                        worker.guests[group] += 1
                    answer = Answer(ask.number)
                case FetchRobots(payload):
                    found = await self._fetch_robots(self._codec.decode(payload))
                    answer = Answer(ask.number, self._codec.encode(found))
        except Exception as error:  # noqa: BLE001 - it is the asker's to handle
            answer = Answer(ask.number, error=error)
        if not worker.is_gone:
            worker.send(answer)

    def _hear_left(self, worker: Worker, left: Left) -> None:
        if left.visit.status in (429, 503):
            self.trouble(left.group)
        ticket = left.ticket
        if ticket is None:
            worker.guests[left.group] -= 1
        self._scheduler.turnstile.leave(left.group, ticket, left.visit)

    def take_cookies(self, changes: Sequence[CookieChange]) -> None:
        """Take over cookies that another machine got."""
        if self._cookies is None:  # it joins, and has no workers yet
            self._cookies = SharedCookies(self.crawler)
        self._cookies.apply(changes)
        self.pool.tell_all(SetCookies(tuple(changes)))

    def trouble(self, group: str) -> None:
        """Have all workers ask before each request to *group* from now on."""
        if group not in self._troubled:
            self._troubled.add(group)
            self.pool.tell_all(Troubled(group))

    async def _fetch_robots(self, request: Request) -> tuple[bool, Response]:
        """Download a robots.txt, or wait for whoever downloads it already."""
        known = self._robots.get(request.url)
        if known is not None:
            return False, await known
        fetched = asyncio.ensure_future(self.crawler.engine.download_async(request))
        self._robots[request.url] = fetched
        return True, await fetched

    def _hear_outcome(self, worker: Worker, outcome: Outcome) -> None:
        for line in outcome.logs:
            record = logging.LogRecord(
                line.logger,
                line.level,
                "",
                0,
                f"[{worker.name}] {line.message}",
                None,
                None,
            )
            record.created = line.created_s
            record.exc_text = line.traceback
            record.spider = self.crawler.spider
            logging.getLogger(line.logger).handle(record)
        if outcome.cookies and self._cookies is not None:
            self._cookies.apply(outcome.cookies)
            self.pool.tell_all(SetCookies(tuple(outcome.cookies)), but=worker)
            self._scheduler.share_cookies(outcome.cookies)
        if self._tallies is not None:
            self._tallies[worker.name] += _tally_of(outcome)
        if outcome.ticket is None:
            taken = self._take(outcome, None)
            asyncio.ensure_future(self._apply_leaseless(taken))  # noqa: RUF006 - the engine outlives it

    async def _apply_leaseless(self, taken: _Taken) -> None:
        try:
            await self._apply(taken, None)
        except (OSError, sqlite3.Error, FrontierError) as error:
            self.fail(error)

    def _take(self, outcome: Outcome, request: Request | None) -> _Taken:
        """Count what a worker did and tell who listens; it may end the crawl."""
        if outcome.close_reason is not None:
            # First, so that none of the new requests is lent. The engine waits for us.
            self.close_spider(outcome.close_reason)
        stats.apply(outcome.stats, self.crawler.stats)
        responses: list[Response] = []
        if outcome.events or any(product.is_item for product in outcome.products):
            responses = [_response(head, request) for head in outcome.heads]
        for event in outcome.events:
            self._replay(event, request, responses)
        return outcome, responses

    async def _apply(self, taken: _Taken, request: Request | None) -> None:
        """Make what a worker did true here."""
        scheduler = self._scheduler
        outcome, responses = taken
        made = [product for product in outcome.products if not product.is_item]
        payloads = [product.payload for product in outcome.products if product.is_item]
        lease = None if request is None else scheduler.lease_of(request)
        head = None if outcome.page is None else outcome.heads[outcome.page]
        journal = scheduler.journal
        page = None
        if outcome.page is not None and responses:
            page = responses[outcome.page]
        if isinstance(journal, SharedJournal) and journal.streams:
            raw, payloads = payloads, []
            kept = await journal.through_pipelines(lambda: self._process(raw, page, []))
        else:
            payloads, kept = self._keepable(payloads, head)
        numbers = await scheduler.complete(lease, made, kept)
        spent = timeline.clock_pipelines() if self._clocks_pipelines else None
        try:
            await self._process(payloads, page, numbers)
            journal.processed(numbers)
        finally:
            record = outcome.record
            if record is not None and spent is not None:
                record = timeline.with_pipelines(record, spent)
            scheduler.write(record)

    def _keepable(
        self, payloads: list[bytes], head: Head | None
    ) -> tuple[list[bytes], list[bytes]]:
        """Return the items that go on, and how the journal keeps them, if it does."""
        journal = self._scheduler.journal
        if not journal.is_kept:
            return payloads, []
        entries = [(payload, journal.entry(payload, head)) for payload in payloads]
        # What cannot be kept has been said to be dropped.
        good = [(payload, entry) for payload, entry in entries if entry is not None]
        return [payload for payload, _ in good], [entry for _, entry in good]

    def _replay(
        self, event: Event, request: Request | None, responses: list[Response]
    ) -> None:
        about: dict[str, Any] = {"spider": self.crawler.spider}
        if event.signal == "spider_error":
            about["failure"] = Failure(RuntimeError(event.error))
        else:
            about["request"] = request
        if event.signal in ("response_downloaded", "response_received", "spider_error"):
            about["response"] = None if event.head is None else responses[event.head]
        self.crawler.signals.send_catch_log(getattr(signals, event.signal), **about)

    async def _process(
        self, items: list[bytes], response: Response | None, numbers: Sequence[int]
    ) -> None:
        """Send *items* through the pipelines, several at a time, as Scrapy does.

        Args:
            items: They, encoded.
            response: What they came of.
            numbers: Theirs in the journal; none if it is not kept.
        """
        room = asyncio.Semaphore(self._max_items)

        async def process(payload: bytes, number: int | None) -> None:
            async with room:
                item_at_hand.set(number)
                await self.crawler.engine.scraper.start_itemproc_async(
                    self._codec.decode(payload), response=response
                )

        self._items_at_work += len(items)
        try:
            # Each in a task of its own, for the sake of its context.
            await asyncio.gather(*starmap(process, zip_longest(items, numbers)))
        finally:
            self._items_at_work -= len(items)

    async def _process_kept(
        self, payload: bytes, head: Head | None, number: int
    ) -> None:
        """Send an item through the pipelines that comes of no request of this crawl."""
        response = None if head is None else _response(head, None)
        await self._process([payload], response, [number])

    def close_spider(self, reason: str) -> None:
        """End the crawl here, after what is in flight."""
        asyncio.ensure_future(  # noqa: RUF006 - the engine outlives it
            self.crawler.engine.close_spider_async(reason=reason)
        )

    def _greeting(self) -> list[ToWorker]:
        """Return what a worker must know besides its job."""
        listened = frozenset(
            name
            for name in REPLAYED
            if any(liveReceivers(getAllReceivers(self.crawler, getattr(signals, name))))
        )
        cookies = self._cookies.everything() if self._cookies is not None else ()
        troubled = [Troubled(group) for group in self._troubled]
        return [Listen(listened), SetCookies(cookies), *troubled]

    def _lose(self, worker: Worker) -> None:
        """Take a dead worker's requests from the sites they were at."""
        for group, guests in worker.guests.items():
            for _ in range(guests):
                self._scheduler.turnstile.leave(group, None, Visit())
        self._scheduler.start_over(list(worker.held))


def _tally_of(outcome: Outcome) -> Tally:
    tally = unanswered(
        {key: n for (how, key), n in outcome.stats.items() if how == "inc"}
    )
    if outcome.page is not None:
        tally.answered(outcome.heads[outcome.page].status)
    return tally


def _response(head: Head, request: Request | None) -> Response:
    return head.kind(
        url=head.url,
        status=head.status,
        headers=head.headers,
        flags=list(head.flags),
        request=request,
        protocol=head.protocol,
    )
