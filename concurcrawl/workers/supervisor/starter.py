"""Starts the worker processes of a crawl."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from concurcrawl.config import Config
from concurcrawl.workers.launch.ways import launcher
from concurcrawl.workers.protocol.framing import frame
from concurcrawl.workers.protocol.messages.lifecycle import WorkerInit
from concurcrawl.workers.protocol.pickle_codec import Codec
from concurcrawl.workers.supervisor.attributes import AttributeWatch
from concurcrawl.workers.supervisor.crawl_spec import describe, import_path

if TYPE_CHECKING:
    import socket

    from scrapy.crawler import Crawler

    from concurcrawl.workers.launch.base import Launcher


class StartedWorker(NamedTuple):
    """A process that was started, and is not connected yet.

    Attributes:
        name: Its name in the log.
        slots: Requests that it may have in flight.
        sock: The connection to it.
    """

    name: str
    slots: int
    sock: socket.socket


class WorkerStarter:
    """Starts workers, each with a name of its own."""

    def __init__(
        self, launcher: Launcher, crawl: bytes, sys_path: tuple[str, ...]
    ) -> None:
        """Make one.

        Args:
            launcher: Starts processes.
            crawl: The encoded ``CrawlSpec``.
            sys_path: Where workers import from.
        """
        self._launcher = launcher
        self._crawl = crawl
        self._sys_path = sys_path
        self._next_number = 1

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
        sock = self._launcher.start()
        sock.sendall(frame(WorkerInit(name, self._sys_path, slots, self._crawl)))
        return StartedWorker(name, slots, sock)

    def close(self) -> None:
        """Kill the workers that are left."""
        self._launcher.close()


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
        method = Config.from_settings(settings).start_method
        self.starter = WorkerStarter(
            launcher(method, crawl), crawl, import_path(crawler.spidercls)
        )
        shares = settings.getlist("CONCURCRAWL_SLOTS")
        self.workers = [self.starter.start(int(share)) for share in shares]
