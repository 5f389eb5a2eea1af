"""The method of Scrapy's engine that handles the output of ``Spider.start()``."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from concurcrawl.compat.parts import touches

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable

    from scrapy.core.engine import ExecutionEngine


@touches("scrapy.core.engine", "ExecutionEngine._start")
def wrap_start(
    engine: ExecutionEngine,
    wrap: Callable[[AsyncIterator[Any]], AsyncIterator[Any]],
) -> None:
    """Put *wrap* between ``start()``, with its spider middlewares, and the engine.

    Call it while the scheduler opens. ``Spider.start`` itself is left alone, so that
    Scrapy's own check of what it returns holds.

    Touches: ``ExecutionEngine._start`` (Scrapy 2.19.0): the engine sets it to what
    ``process_start()`` of the middlewares returned, opens the scheduler, and then takes
    one output after the other from it. If it moves, a crawl with a ``JOBDIR`` takes all
    of ``start()`` again when it resumes. Wished for: a setting for what comes last of
    the spider middlewares.
    """
    if engine._start is not None:
        engine._start = wrap(engine._start)
