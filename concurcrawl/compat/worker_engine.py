"""An engine that starts requests in another way than Scrapy's."""

from __future__ import annotations

from abc import abstractmethod

from scrapy.core.engine import ExecutionEngine
from typing_extensions import override

from concurcrawl.compat.parts import touches


@touches("scrapy.core.engine", "ExecutionEngine._start_scheduled_request")
class OtherwiseStartingEngine(ExecutionEngine):
    """An engine whose subclass starts the next request.

    Touches: overrides ``ExecutionEngine._start_scheduled_request()`` (Scrapy 2.19.0),
    which the engine calls as often as there may be room for a request. If it moves,
    workers start requests in Scrapy's own way, whose results never reach the
    supervisor. Wished for: a public method by this name.
    """

    @abstractmethod
    def start_next(self) -> bool:
        """Start the next request of the scheduler; return whether there was one."""

    @override
    def _start_scheduled_request(self) -> bool:
        return self.start_next()
