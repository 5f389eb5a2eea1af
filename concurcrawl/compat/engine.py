"""Scrapy's engine and its slot."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, TypeVar

from concurcrawl.compat.parts import touches

if TYPE_CHECKING:
    from collections.abc import Callable

    from scrapy import Request
    from scrapy.core.engine import ExecutionEngine

T = TypeVar("T")

_ENGINE = "scrapy.core.engine"


@touches(_ENGINE, "ExecutionEngine._slot", "_Slot.closing")
def is_closing(engine: ExecutionEngine) -> bool:
    """Return whether *engine* was told to close its spider.

    Touches: ``ExecutionEngine._slot.closing`` (Scrapy 2.19.0), a Deferred once it is
    so. If it moves, a crawl that stalls while it closes must be ended by a second
    Ctrl-C. Wished for: ``ExecutionEngine.is_closing``.
    """
    slot = engine._slot
    return slot is not None and slot.closing is not None


@touches(_ENGINE, "ExecutionEngine._slot", "_Slot.inprogress")
def in_progress(engine: ExecutionEngine) -> set[Request]:
    """Return the requests that *engine* has begun and not let go of.

    Touches: ``ExecutionEngine._slot.inprogress`` (Scrapy 2.19.0). If it moves, requests
    are never completed in the frontier, and a crawl that stalls is not noticed. Wished
    for: ``ExecutionEngine.in_progress``.
    """
    slot = engine._slot
    return set() if slot is None else slot.inprogress


@touches(_ENGINE, "ExecutionEngine._slot", "_Slot.add_request")
def begin(engine: ExecutionEngine, request: Request) -> None:
    """Count *request* as in progress, so that *engine* does not close before it ends.

    Touches: ``ExecutionEngine._slot.add_request()`` (Scrapy 2.19.0). If it moves, a
    crawl closes while workers are busy. Wished for: a context manager that holds the
    engine open.
    """
    slot = engine._slot
    assert slot is not None
    slot.add_request(request)


@touches(_ENGINE, "ExecutionEngine._slot", "_Slot.inprogress", "_Slot.remove_request")
def end(engine: ExecutionEngine, request: Request) -> None:
    """Count *request* as done.

    Touches: ``ExecutionEngine._slot.remove_request()`` and ``.inprogress`` (Scrapy
    2.19.0). If one moves, a crawl never ends. Wished for: as for :func:`begin`.
    """
    slot = engine._slot
    # Else it was abandoned; the engine would take its slot for closed a second time.
    if slot is not None and request in slot.inprogress:
        slot.remove_request(request)


@touches(_ENGINE, "ExecutionEngine._slot", "_Slot.nextcall")
def wake(engine: ExecutionEngine) -> None:
    """Make *engine* ask its scheduler for requests again.

    Touches: ``ExecutionEngine._slot.nextcall.schedule()`` (Scrapy 2.19.0). If it moves,
    the engine asks every five seconds only. Wished for: ``ExecutionEngine.wake()``.
    """
    slot = engine._slot
    if slot is not None:
        slot.nextcall.schedule()


@touches(_ENGINE, "ExecutionEngine._slot", "_Slot.nextcall")
@touches("scrapy.utils.reactor", "CallLaterOnce._func")
def call_each_turn(
    engine: ExecutionEngine, before: Callable[[], None], after: Callable[[], None]
) -> None:
    """Call two functions around each look of *engine* for requests that may start.

    Call it while the scheduler opens.

    Touches: ``ExecutionEngine._slot.nextcall._func`` (Scrapy 2.19.0), by which the
    engine looks whenever something has ended or was scheduled. If it moves, requests
    that a callback yields are not written. Wished for: a signal around each look.
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


@touches(_ENGINE, "ExecutionEngine._slot", "_Slot.closing")
def may_start(engine: ExecutionEngine) -> bool:
    """Return whether *engine* runs, and is neither paused nor closing.

    Touches: ``ExecutionEngine._slot.closing`` (Scrapy 2.19.0). If it moves, requests go
    to workers although the crawl ends. Wished for: as for :func:`is_closing`.
    """
    is_open = engine._slot is not None and engine._slot.closing is None
    return engine.running and is_open and not engine.paused


@touches(_ENGINE, "ExecutionEngine._start")
def is_starting(engine: ExecutionEngine) -> bool:
    """Return whether ``Spider.start()`` may still yield something.

    Touches: ``ExecutionEngine._start`` (Scrapy 2.19.0), None once it is exhausted. If
    it moves, progress shows an estimate of the crawl's end too early. Wished for:
    ``ExecutionEngine.is_starting``.
    """
    return getattr(engine, "_start", None) is not None


@touches(_ENGINE, "ExecutionEngine._slot", "_Slot.inprogress", "_Slot.remove_request")
def abandon_requests(engine: ExecutionEngine) -> None:
    """Let *engine* close although requests are in progress.

    Touches: ``ExecutionEngine._slot.inprogress`` and ``.remove_request()`` (Scrapy
    2.19.0). If they move, such a crawl must be ended by a second Ctrl-C. Wished for: a
    timeout of ``close_spider_async()``.
    """
    slot = engine._slot
    if slot is None:
        return
    left = [*slot.inprogress]
    # Whatever these requests wait for may still come and remove them once more.
    slot.inprogress = _Forgiving(left)
    for request in left:
        slot.remove_request(request)


@touches(_ENGINE, "ExecutionEngine.pause", "ExecutionEngine.unpause")
def on_pause(engine: ExecutionEngine, pause: Callable[[bool], None]) -> None:
    """Call *pause* instead when something pauses *engine* or lets it go on.

    Touches: replaces ``ExecutionEngine.pause()`` and ``.unpause()`` (Scrapy 2.19.0),
    which extensions and the telnet console call. If they move, workers go on while the
    engine is paused. Wished for: signals.

    Args:
        engine: Of the crawl.
        pause: Called with True to pause. It sets ``engine.paused``.
    """
    engine.pause = lambda: pause(True)  # type: ignore[method-assign]
    engine.unpause = lambda: pause(False)  # type: ignore[method-assign]


@touches(_ENGINE, "ExecutionEngine.close_spider_async")
def before_close(engine: ExecutionEngine, call: Callable[[], None]) -> None:
    """Call *call* before *engine* closes its spider, whatever makes it do so.

    Touches: replaces ``ExecutionEngine.close_spider_async()`` (Scrapy 2.19.0). If it
    moves, workers begin new requests while the crawl ends. Wished for: a signal that is
    sent before the engine waits for what is in progress.
    """
    close = engine.close_spider_async

    async def close_spider(*, reason: str = "cancelled") -> None:
        call()
        await close(reason=reason)

    engine.close_spider_async = close_spider  # type: ignore[method-assign]


class _Forgiving(set[T]):
    """A set from which what is not in it can be removed."""

    def remove(self, element: T) -> None:
        self.discard(element)
