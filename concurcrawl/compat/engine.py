"""Scrapy's engine and its slot."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, TypeVar

from scrapy import signals

if TYPE_CHECKING:
    from collections.abc import Callable

    from scrapy import Request
    from scrapy.core.engine import ExecutionEngine
    from scrapy.crawler import Crawler

T = TypeVar("T")


def is_closing(engine: ExecutionEngine) -> bool:
    """Return whether *engine* was told to close its spider.

    Touches: ``ExecutionEngine._slot.closing`` (Scrapy 2.19.0), a Deferred once it is
    so. If it moves, a crawl that stalls while it closes must be ended by a second
    Ctrl-C. There is no public name.
    """
    slot = engine._slot
    return slot is not None and slot.closing is not None


def in_progress(engine: ExecutionEngine) -> set[Request]:
    """Return the requests that *engine* has begun and not let go of.

    Touches: ``ExecutionEngine._slot.inprogress`` (Scrapy 2.19.0). If it moves, a crawl
    that stalls fails with an AttributeError. There is no public name.
    """
    slot = engine._slot
    return set() if slot is None else slot.inprogress


def call_each_turn(
    engine: ExecutionEngine, before: Callable[[], None], after: Callable[[], None]
) -> None:
    """Call two functions around each look of *engine* for requests that may start.

    Call it while the scheduler opens. Touches: ``ExecutionEngine._slot.nextcall._func``
    (Scrapy 2.19.0), by which the engine looks whenever something has ended or was
    scheduled. If it moves, a crawl fails with an AttributeError as it opens. The public
    wish is a signal.
    """
    slot = engine._slot
    assert slot is not None
    nextcall: Any = slot.nextcall
    look = nextcall._func

    def whole() -> None:
        before()
        look()
        after()

    nextcall._func = whole


def may_start(engine: ExecutionEngine) -> bool:
    """Return whether *engine* runs, and is neither paused nor closing.

    Touches: ``ExecutionEngine._slot``, as :func:`is_closing` does.
    """
    is_open = engine._slot is not None and engine._slot.closing is None
    return engine.running and is_open and not engine.paused


def abandon_requests(engine: ExecutionEngine) -> None:
    """Let *engine* close although requests are in progress.

    Touches: ``ExecutionEngine._slot.inprogress`` and ``.remove_request()`` (Scrapy
    2.19.0). If they move, such a crawl must be ended by a second Ctrl-C. There is no
    public way.
    """
    slot = engine._slot
    if slot is None:
        return
    left = [*slot.inprogress]
    # Whatever these requests wait for may still come and remove them once more.
    slot.inprogress = _Forgiving(left)
    for request in left:
        slot.remove_request(request)


def fail_crawl(crawler: Crawler) -> None:
    """Let ``scrapy crawl`` exit with code 1 once *crawler* has stopped.

    Touches: ``Crawler.spider``, which ``CrawlerProcess`` takes for a failed start if it
    is None at the end (Scrapy 2.19.0). If that changes, the exit code is 0. The public
    wish is an exit code by ``finish_reason``.
    """

    def forget_spider() -> None:
        crawler.spider = None

    # The signal manager keeps weak references; this one lives as long as the crawler.
    crawler.signals.connect(forget_spider, signals.engine_stopped, weak=False)


class _Forgiving(set[T]):
    """A set from which what is not in it can be removed."""

    def remove(self, element: T) -> None:
        self.discard(element)
