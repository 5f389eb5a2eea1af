"""Starts the worker processes of a crawl."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from concurcrawl.config import Config
from concurcrawl.modes import IN_FLIGHT, MOST_WORKERS
from concurcrawl.workers.launch.ways import launcher
from concurcrawl.workers.protocol.framing import frame
from concurcrawl.workers.protocol.messages.lifecycle import ImportPath, WorkerInit
from concurcrawl.workers.protocol.pickle_codec import Codec
from concurcrawl.workers.supervisor.attributes import AttributeWatch
from concurcrawl.workers.supervisor.crawl_spec import describe, import_path

if TYPE_CHECKING:
    from scrapy.crawler import Crawler

    from concurcrawl.workers.launch.base import Launcher, Members, WorkerConnection


class StartedWorker(NamedTuple):
    """A process that was started, and is not connected yet.

    Attributes:
        name: Its name in the log.
        slots: Requests that it may have in flight.
        connection: The connection to it.
    """

    name: str
    slots: int
    connection: WorkerConnection


class WorkerStarter:
    """Starts workers, each with a name of its own.

    Attributes:
        is_elastic: Whether workers come and go by themselves, and are not replaced.
        shares: Requests in flight for each of the workers that are expected.
        total: Requests in flight over all workers that come and go; 0: each has its
            own number.
    """

    def __init__(self, launcher: Launcher, crawl: bytes, path: ImportPath) -> None:
        """Make one.

        Args:
            launcher: Starts processes.
            crawl: The encoded ``CrawlSpec``.
            path: Where workers import from.
        """
        self._launcher = launcher
        self._crawl = crawl
        self._path = path
        self._next_number = 1
        self.is_elastic = launcher.is_elastic
        self.shares: tuple[int, ...] = ()
        self.total = 0

    def start(self, slots: int) -> StartedWorker:
        """Start a worker.

        Args:
            slots: Requests that it may have in flight.

        Raises:
            OSError: If the system starts no process.
            ConcurcrawlError: If workers cannot be started in this process.
        """
        name = f"worker-{self._next_number}"
        self._next_number += 1
        connection = self._launcher.start()
        if connection.host:
            name += f"@{connection.host}"
        init = WorkerInit(name, self._path, slots, self._crawl)
        connection.sock.sendall(frame(init))
        return StartedWorker(name, slots, connection)

    async def open(self, members: Members) -> None:
        """Begin to notify *members*, if workers come and go."""
        await self._launcher.open(members)

    async def close(self) -> None:
        """Kill the workers that are left."""
        await self._launcher.aclose()


class EarlyStart:
    """The workers of a crawl, started before its other parts are made.

    They import the project and open its spider meanwhile.

    Attributes:
        starter: Starts others later.
        workers: Those that were started.
        attributes: The spider's attributes, as these workers were given them.
    """

    def __init__(self, crawler: Crawler) -> None:
        settings = crawler.settings
        self.attributes = AttributeWatch(crawler)  # as they are in the description
        crawl = Codec().encode(describe(crawler))
        spidercls = crawler.spidercls
        starts = launcher(
            Config.from_settings(settings),
            crawl,
            spidercls,
            settings.getint(MOST_WORKERS),
        )
        path = ImportPath() if starts.brings_code else import_path(spidercls)
        self.starter = WorkerStarter(starts, crawl, path)
        shares = tuple(map(int, settings.getlist("CONCURCRAWL_SLOTS")))
        self.starter.shares = shares
        self.starter.total = settings.getint(IN_FLIGHT)
        first = () if starts.is_elastic else shares
        self.workers = [self.starter.start(share) for share in first]
