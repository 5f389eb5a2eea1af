"""The extension that shows the progress of a crawl (``CONCURCRAWL_PROGRESS``)."""

from __future__ import annotations

import contextlib
import os
import sys
import time
from typing import TYPE_CHECKING, Self

from scrapy import signals
from scrapy.utils.asyncio import create_looping_call

from concurcrawl import registry
from concurcrawl.compat import components
from concurcrawl.compat.engine import is_starting
from concurcrawl.local.downloader import PassThroughDownloader
from concurcrawl.progress import screen
from concurcrawl.progress.rates import (
    Crew,
    Rates,
    Row,
    Sight,
    Tally,
    plain_line,
    unanswered,
)
from concurcrawl.terminal.region import is_terminal

if TYPE_CHECKING:
    from scrapy.crawler import Crawler
    from scrapy.http import Response
    from scrapy.settings import BaseSettings
    from scrapy.utils.asyncio import AsyncioLoopingCall
    from twisted.internet.task import LoopingCall

    from concurcrawl.progress.screen import Screen

#: Seconds between two redraws in a terminal, and between two lines elsewhere.
_DRAW_INTERVAL_S = 0.25
_LINE_INTERVAL_S = 5.0
#: Values of ``TERM`` whose terminals cannot move the cursor.
_PLAIN = {"", "dumb", "unknown"}


def enable(settings: BaseSettings, rank: str) -> None:
    """Add the extension to *settings*."""
    components.add(settings, "EXTENSIONS", {Watch: 0}, rank)


class Watch:
    """Shows the progress of a crawl.

    In a terminal it redraws rows below the log. Elsewhere it prints a line to standard
    error every few seconds, and one at the end.
    """

    def __init__(self, crawler: Crawler) -> None:
        self._crawler = crawler
        settings = crawler.settings
        self._mode = str(settings.get("CONCURCRAWL_MODE", settings.get("MODE")) or "")
        self._tally = Tally()
        self._rates = Rates()
        self._started_s = 0.0
        self._last: Sight | None = None
        self._loop: AsyncioLoopingCall | LoopingCall | None = None
        self._screen: Screen | None = None
        crawler.signals.connect(self._opened, signals.spider_opened)
        crawler.signals.connect(self._stopped, signals.engine_stopped)

    @classmethod
    def from_crawler(cls, crawler: Crawler) -> Self:
        """Make one for *crawler*."""
        return cls(crawler)

    def _opened(self) -> None:
        downloader = self._crawler.engine.downloader
        if isinstance(downloader, Crew):
            downloader.begin_tallies()
        else:
            self._crawler.signals.connect(self._answered, signals.response_received)
        self._started_s = time.monotonic()
        is_drawn = _has_terminal(self._crawler.settings)
        if is_drawn:
            self._screen = screen.screen()
            self._look()
            self._screen.show(self, self._board)
        self._loop = create_looping_call(self._update)
        interval_s = _DRAW_INTERVAL_S if is_drawn else _LINE_INTERVAL_S
        self._loop.start(interval_s, now=False)

    def _answered(self, response: Response) -> None:
        self._tally.answered(response.status)

    def _stopped(self) -> None:
        if self._loop is None:
            return
        if self._loop.running:
            self._loop.stop()
        sight = self._look()
        if self._screen is None:
            with contextlib.suppress(OSError, ValueError):  # the pipe is closed
                self._write(plain_line(self._name, sight, self._rates, is_over=True))
            return
        self._screen.hide(self, self._board(sys.maxsize))

    def _update(self) -> None:
        sight = self._look()
        try:
            if self._screen is None:
                self._write(plain_line(self._name, sight, self._rates))
            else:
                self._screen.refresh()
        except (OSError, ValueError):  # the terminal is gone; the crawl goes on
            assert self._loop is not None
            self._loop.stop()

    def _board(self, lines: int) -> list[str]:
        assert self._last is not None
        mode = f"  MODE={self._mode}" if self._mode else ""
        return screen.board(
            f"{self._name}{mode}",
            self._last,
            self._rates,
            lines=lines,
            is_over=self._loop is not None and not self._loop.running,
        )

    def _write(self, line: str) -> None:
        sys.stderr.write(f"{line}\n")
        sys.stderr.flush()

    @property
    def _name(self) -> str:
        assert self._crawler.spider is not None
        return self._crawler.spider.name

    def _look(self) -> Sight:
        """Return the current progress, and remember it."""
        engine = self._crawler.engine
        downloader = engine.downloader
        workers: tuple[Row, ...] = ()
        if isinstance(downloader, Crew):
            workers, tally = downloader.rows()
            in_flight = sum(row.in_flight or 0 for row in workers)
            name = "total"
        else:
            tally = self._tally + unanswered(self._crawler.stats.get_stats())
            in_flight = self._at_sites()
            name = "main"
        self._last = Sight(
            elapsed_s=time.monotonic() - self._started_s,
            workers=workers,
            total=Row(name, tally, in_flight),
            waiting=self._waiting(),
            is_starting=is_starting(engine),
        )
        self._rates.see(self._last)
        return self._last

    def _at_sites(self) -> int:
        downloader = self._crawler.engine.downloader
        if isinstance(downloader, PassThroughDownloader):
            return len(registry.find(self._crawler).limiter.inside)
        return len(downloader.active)

    def _waiting(self) -> int | None:
        scheduler = self._crawler.engine.scheduler
        try:
            return len(scheduler)  # type: ignore[arg-type] # Scrapy's own has it
        except TypeError:  # a scheduler need not
            return None


def _has_terminal(settings: BaseSettings) -> bool:
    """Return whether standard error is a terminal whose last lines can be redrawn."""
    is_plain = os.environ.get("TERM", "") in _PLAIN or os.name == "nt"
    if is_plain or not is_terminal(sys.stderr):
        return False
    # A feed on standard output would be printed into the rows.
    has_feed = any(
        str(uri).startswith(("stdout:", "-")) for uri in settings.getdict("FEEDS")
    )
    return not (has_feed and is_terminal(sys.stdout))
