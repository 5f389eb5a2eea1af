"""Fakes for unit tests: a clock, an event loop that waits for no time, connections."""

from __future__ import annotations

import asyncio
import contextlib
import selectors
import socket
from functools import wraps
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

from scrapy import Spider
from scrapy.utils.test import get_crawler

from concurcrawl.compat.stats_collector import MergingStatsCollector
from concurcrawl.limits.slots import Slots
from concurcrawl.local.downloader import PassThroughDownloader
from concurcrawl.workers.launch.base import Launcher, WorkerConnection
from concurcrawl.workers.protocol.framing import Frames, frame
from concurcrawl.workers.protocol.messages.lifecycle import ImportPath
from concurcrawl.workers.supervisor.attributes import AttributeWatch
from concurcrawl.workers.supervisor.starter import WorkerStarter

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine, Mapping, Sequence

    from scrapy import Request

#: Real seconds after which a loop that nothing can wake is a failure.
_PATIENCE_S = 20.0


class FakeClock:
    """Seconds that pass only when a test, or a loop in fake time, says so."""

    def __init__(self) -> None:
        self.now_s = 1000.0

    def __call__(self) -> float:
        return self.now_s


class _JumpingSelector(selectors.DefaultSelector):
    """Lets time pass at once where nothing is to be read or written."""

    def __init__(self, clock: FakeClock) -> None:
        super().__init__()
        self._clock = clock

    def select(self, timeout: float | None = None) -> Any:
        events = super().select(0)
        if events or timeout == 0:
            return events
        if timeout is None:  # only a thread can wake it
            events = super().select(_PATIENCE_S)
            assert events, "the test waits for what never comes"
            return events
        self._clock.now_s += max(0.0, timeout)
        return events


class FakeTimeLoop(asyncio.SelectorEventLoop):
    """An event loop whose time jumps to the next timer once nothing else is due.

    Attributes:
        clock: Its time.
        errors: What callbacks and tasks raised that no test has looked at.
    """

    def __init__(self) -> None:
        self.clock = FakeClock()
        self.errors: list[Any] = []
        super().__init__(_JumpingSelector(self.clock))
        self.set_exception_handler(lambda _, about: self.errors.append(about))

    def time(self) -> float:
        return self.clock()


def in_fake_time(
    test: Callable[..., Coroutine[Any, Any, None]],
) -> Callable[..., None]:
    """Run a coroutine function as a test, in a loop that waits for no time."""

    @wraps(test)
    def run(**fixtures: Any) -> None:
        with asyncio.Runner(loop_factory=FakeTimeLoop) as runner:
            runner.run(test(**fixtures))
            loop = runner.get_loop()
            assert isinstance(loop, FakeTimeLoop)
            assert loop.errors == []

    return run


def clock() -> FakeClock:
    """Return the clock of the running loop, which is in fake time."""
    loop = asyncio.get_running_loop()
    assert isinstance(loop, FakeTimeLoop)
    return loop.clock


async def settled() -> None:
    """Return when nothing more happens unless time passes."""
    await asyncio.sleep(1e-6)


class FakeTransport(asyncio.Transport):
    """Keeps what is written to it.

    Attributes:
        is_closed: Whether it was closed.
        writes: How often something was written to it.
    """

    def __init__(self) -> None:
        super().__init__()
        self.is_closed = False
        self.writes = 0
        self._written = bytearray()

    def write(self, data: Any) -> None:
        self.writes += 1
        self._written += data

    def close(self) -> None:
        self.is_closed = True

    def received(self) -> list[Any]:
        """Return the messages that came since the last call."""
        data, self._written = bytes(self._written), bytearray()
        return [*Frames().feed(data)]


class FarEnd:
    """The other end of a connection: reads and writes messages."""

    def __init__(self, sock: socket.socket) -> None:
        sock.setblocking(False)
        self.sock = sock
        self._frames = Frames()
        self._messages: list[Any] = []

    def send(self, *messages: Any) -> None:
        self.sock.sendall(b"".join(map(frame, messages)))

    def read(self) -> bool:
        """Read what has come; return whether that was anything."""
        data = b""
        with contextlib.suppress(BlockingIOError, ConnectionError):
            while more := self.sock.recv(1 << 16):
                data += more
        self._messages += self._frames.feed(data)
        return bool(data)

    def received(self) -> list[Any]:
        """Return the messages that came since the last call."""
        self.read()
        messages, self._messages = self._messages, []
        return messages

    def close(self) -> None:
        self.sock.close()


class FakeLauncher(Launcher):
    """Starts nothing; keeps the ends that workers would have.

    Attributes:
        error: What :meth:`start` raises from now on, if it is set.
    """

    def __init__(self) -> None:
        self.ends: list[FarEnd] = []
        self.error: Exception | None = None
        self._ours: list[socket.socket] = []

    def start(self) -> WorkerConnection:
        if self.error is not None:
            raise self.error
        ours, theirs = socket.socketpair()
        ours.setblocking(True)
        self._ours.append(ours)
        self.ends.append(FarEnd(theirs))
        return WorkerConnection(ours)

    def close(self) -> None:
        """Let all workers end."""
        for end in self.ends:
            end.close()

    def close_all(self) -> None:
        """Close also the ends of workers that were never connected."""
        self.close()
        for sock in self._ours:
            sock.close()


class FakeEngine:
    """What the add-on uses of Scrapy's engine.

    Attributes:
        closed_for: The reasons for which it was told to close.
        begun: Requests that :meth:`crawl` was given.
        looks: How often it was asked to look for requests.
        fetched: The requests that it was asked to download.
        respond: Returns the response of a download.
    """

    def __init__(self, scheduler: Any = None) -> None:
        self.scheduler = scheduler
        self.running, self.paused = True, False
        self.is_downloading = False
        self._start = None
        self.looks = 0
        self.closed_for: list[str] = []
        self.begun: list[Request] = []
        self.fetched: list[Request] = []
        self.respond: Callable[[Request], Any] = lambda _: None
        self.downloader: Any = None
        self.scraper: Any = SimpleNamespace(
            slot=None,
            itemproc=SimpleNamespace(middlewares=()),
            spidermw=SimpleNamespace(middlewares=()),
        )
        self._slot: Any = SimpleNamespace(
            inprogress=set(),
            closing=None,
            nextcall=SimpleNamespace(schedule=self._look, _func=self._look),
        )

    def _look(self) -> None:
        self.looks += 1

    def crawl(self, request: Request) -> None:
        self.begun.append(request)
        self.scheduler.enqueue_request(request)

    async def close_spider_async(self, *, reason: str = "cancelled") -> None:
        self.closed_for.append(reason)

    async def download_async(self, request: Request) -> Any:
        self.fetched.append(request)
        await asyncio.sleep(1)
        return self.respond(request)


def counted(stats: Any, *keys: str) -> Mapping[str, Any]:
    """Return those of *stats* that are there."""
    found = stats.get_stats()
    return {key: found[key] for key in keys if key in found}


class FakeDownloader(PassThroughDownloader):
    """What schedulers use of a downloader, with middlewares and without a network.

    Attributes:
        launcher: Starts workers that are connections in the test.
        early: The workers that were started with it.
        noted: Requests whose slot a worker has reported.
    """

    def __init__(self, crawler: Any, middlewares: Any, slots: Sequence[int]) -> None:
        self.crawler = crawler
        self.slots = Slots()
        self.middleware: Any = SimpleNamespace(middlewares=middlewares)
        self.active = set()
        self.launcher = FakeLauncher()
        starter = WorkerStarter(self.launcher, b"", ImportPath())
        self.early: Any = SimpleNamespace(
            starter=starter,
            workers=[starter.start(share) for share in slots],
            attributes=AttributeWatch(crawler),
        )
        self.noted: list[Request] = []
        self.note_slot = self.noted.append

    def put_middlewares_to_sleep(self) -> None:
        """Do nothing: there is no code in them."""

    def wake_spider_middlewares(self) -> None:
        """Do nothing: there is no code in them."""

    def is_full(self) -> bool:
        return False


def made_crawler(*middlewares: Any, slots: Sequence[int] = (), **settings: Any) -> Any:
    """Return a crawler whose engine is a fake and whose spider is open.

    Args:
        middlewares: Of the downloader.
        slots: Requests in flight of each worker; none are started by default.
        settings: Of the crawl.
    """
    crawler: Any = get_crawler(
        Spider, {"STATS_CLASS": MergingStatsCollector, **settings}
    )
    crawler.spider = Spider.from_crawler(crawler, name="one")
    crawler.engine = FakeEngine()
    crawler.engine.downloader = FakeDownloader(crawler, middlewares, slots)
    crawler.get_downloader_middleware = lambda kind: next(
        (one for one in middlewares if isinstance(one, kind)), None
    )
    return crawler
