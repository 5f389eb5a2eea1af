"""Messages about a worker as a whole: its start, its health and its end."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Mapping

    from scrapy import Spider

    from concurcrawl.watchdog.stall import Waiting


class ImportPath(NamedTuple):
    """Where a worker imports from.

    Attributes:
        entries: Its ``sys.path``; empty if it has that already.
        first: Folder that comes before them while the crawl is decoded, as it does
            while ``scrapy runspider`` imports a file; empty for none.
    """

    entries: tuple[str, ...] = ()
    first: str = ""


@dataclass(frozen=True, slots=True)
class WorkerInit:
    """Supervisor to worker, the first message: what to crawl with.

    Attributes:
        name: The worker's name in the log.
        path: Import path; set before ``crawl`` is decoded.
        slots: Requests that the worker may have in flight.
        crawl: Encoded :class:`CrawlSpec`.
    """

    name: str
    path: ImportPath
    slots: int
    crawl: bytes


@dataclass(frozen=True, slots=True)
class CrawlSpec:
    """What a worker crawls with.

    Attributes:
        spidercls: The spider's class.
        settings: Value and priority of each setting that is not Scrapy's default.
        addons: Paths or classes of the add-ons; their settings are applied already.
        args: Positional arguments of the spider.
        kwargs: Keyword arguments of the spider.
        attributes: The spider's attributes that are plain values.
    """

    spidercls: type[Spider]
    settings: Mapping[str, tuple[Any, int]]
    addons: tuple[Any, ...]
    args: tuple[Any, ...]
    kwargs: Mapping[str, Any]
    attributes: Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Ready:
    """Worker to supervisor: the spider is open."""

    pid: int


@dataclass(frozen=True, slots=True)
class Failed:
    """Worker to supervisor: the worker cannot start or go on.

    Attributes:
        reason: The error as text, with its traceback if it is not one of ours.
    """

    reason: str


@dataclass(frozen=True, slots=True)
class Ping:
    """Supervisor to worker: answer, to show that no callback blocks the event loop."""


@dataclass(frozen=True, slots=True)
class Pong:
    """Worker to supervisor: the answer to :class:`Ping`.

    Attributes:
        is_moving: Whether requests other than those in callbacks are in progress, or a
            callback has yielded something since the last ping.
    """

    is_moving: bool


@dataclass(frozen=True, slots=True)
class Inspect:
    """Supervisor to worker: report whether any request can still make progress."""


@dataclass(frozen=True, slots=True)
class Inspected:
    """Worker to supervisor: the answer to :class:`Inspect`.

    Attributes:
        waiting: The requests in progress; None if one of them is at its site or in a
            callback, or a timer or a thread may move them.
    """

    waiting: tuple[Waiting, ...] | None


@dataclass(frozen=True, slots=True)
class FileOpened:
    """Worker to supervisor: the worker holds a file that only one process can have."""

    path: str


@dataclass(frozen=True, slots=True)
class Pause:
    """Either way: the engine was paused, or unpaused."""

    is_on: bool


@dataclass(frozen=True, slots=True)
class Drain:
    """Supervisor to worker: the crawl ends; start no more local requests."""


@dataclass(frozen=True, slots=True)
class Stop:
    """Supervisor to worker: end once all leases are done.

    Attributes:
        reason: Why the crawl ends, as far as that is known.
    """

    reason: str = "finished"
