"""How fast each site is crawled: what settings, robots.txt and projects have said."""

from __future__ import annotations

from typing import TYPE_CHECKING

from scrapy import signals

from concurcrawl.compat.engine import wake
from concurcrawl.limits.handler import robots_agent, slot_of
from concurcrawl.limits.policy import delay_of

if TYPE_CHECKING:
    from scrapy import Request
    from scrapy.crawler import Crawler
    from scrapy.robotstxt import RobotParser

    from concurcrawl.frontier.base import Frontier, Lease
    from concurcrawl.limits.admission_queue import AdmissionQueue
    from concurcrawl.limits.limiter import Written
    from concurcrawl.limits.policy import Politeness


class Pace:
    """Changes limits while the crawl runs.

    Attributes:
        politeness: The limits of each group.
    """

    def __init__(
        self,
        crawler: Crawler,
        politeness: Politeness,
        frontier: Frontier,
        admissions: AdmissionQueue,
        *,
        has_workers: bool,
    ) -> None:
        """Make one, which listens to ``robots_parsed``.

        Args:
            crawler: The crawl.
            politeness: What the settings say.
            frontier: Keeps to it.
            admissions: Requests that wait for their sites.
            has_workers: Whether requests of a group without limits start in workers,
                without being admitted.
        """
        self._crawler = crawler
        self.politeness = politeness
        self._frontier = frontier
        self._admissions = admissions
        self._has_workers = has_workers
        self._slowed: set[str] = set()  # groups whose sites have asked for a delay
        crawler.signals.connect(self._robots_parsed, signals.robots_parsed)

    def group_of(self, request: Request) -> str:
        """Return the group of hosts whose limits *request* shares."""
        return self.politeness.group_of(request.url, slot_of(request))

    def _robots_parsed(self, robotparser: RobotParser, request: Request) -> None:
        agent = robots_agent(request, self._crawler.settings)
        delay_s = delay_of(robotparser, agent)
        if delay_s:
            self.slow_down(self.group_of(request), delay_s)

    def slow_down(self, group: str, delay_s: float) -> None:
        """Keep at least *delay_s* between two requests of *group*."""
        self._slowed.add(group)
        self._frontier.slow_down(group, delay_s)

    def change_limits(self, group: str, slot: str, written: Written) -> None:
        """Apply what was written to a slot of *group*, here or by a worker."""
        was_free = self._has_workers and not self.politeness.needs_asking(group)
        limits = self.politeness.write(group, slot, written)
        self._frontier.change_limits(group, limits, was_free=was_free)
        self._admissions.pump_all()
        wake(self._crawler.engine)

    def entered(self, group: str, lease: Lease | None) -> bool:
        """Note that a request of *group* was admitted.

        Args:
            group: The group that its limits are of.
            lease: Its lease, if it has one. A middleware may have chosen another group
                since it was leased.

        Returns:
            Whether time must pass until the next, so that it matters when it is sent.
        """
        is_paced = group in self._slowed or self.politeness.is_paced(group)
        is_moved = lease is not None and lease.group != group
        if is_paced or is_moved or self.politeness.is_throttled:
            # The next may be leased, and wait for its time.
            wake(self._crawler.engine)
        return is_paced
