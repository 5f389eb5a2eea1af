"""The signal manager of a worker."""

from __future__ import annotations

import errno
from typing import TYPE_CHECKING, Any

from scrapy import signals
from scrapy.signalmanager import SignalManager
from scrapy.utils.python import global_object_name
from typing_extensions import override

from concurcrawl.errors import NotSharedError
from concurcrawl.integrations.receivers import SCRAPYS
from concurcrawl.workers.protocol import replayed

if TYPE_CHECKING:
    from twisted.internet.defer import Deferred

    from concurcrawl.workers.worker.crawler import WorkerCrawler

#: ``errno`` of a file that another process has locked.
_IS_LOCKED = {errno.EAGAIN, errno.EWOULDBLOCK}

_ENDS = {signals.spider_closed, signals.engine_stopped}


class WorkerSignals(SignalManager):
    """Reports signals that the supervisor sends, instead of sending them here too."""

    def __init__(self, crawler: WorkerCrawler) -> None:
        super().__init__(crawler)
        self._crawler = crawler

    @override
    def connect(self, receiver: Any, signal: Any, **kwargs: Any) -> None:
        if signal in replayed.ELSEWHERE:
            return
        is_spiders_end = signal in _ENDS and self._is_spiders(receiver)
        if is_spiders_end and not self._crawler.closes_spider:
            return  # the spider closes once, in the supervisor
        super().connect(receiver, signal, **kwargs)

    @override
    def send_catch_log(self, signal: Any, **kwargs: Any) -> list[tuple[Any, Any]]:
        if signal in replayed.NAMES:
            self._crawler.app.reports.add(replayed.NAMES[signal], kwargs)
            return []
        self._report(signal, kwargs)
        return super().send_catch_log(signal, **kwargs)

    @override
    def send_catch_log_deferred(
        self, signal: Any, **kwargs: Any
    ) -> Deferred[list[tuple[Any, Any]]]:
        self._report(signal, kwargs)
        return super().send_catch_log_deferred(signal, **kwargs)

    @override
    async def send_catch_log_async(
        self, signal: Any, **kwargs: Any
    ) -> list[tuple[Any, Any]]:
        """Send *signal* to the receivers in this process.

        Raises:
            NotSharedError: If a middleware cannot open a file that another process has
                locked.
        """
        self._report(signal, kwargs)
        results = await super().send_catch_log_async(signal, **kwargs)
        if signal is signals.spider_opened:
            for receiver, result in results:
                if isinstance(result, OSError) and result.errno in _IS_LOCKED:
                    owner = getattr(receiver, "__self__", receiver)
                    name = global_object_name(type(owner))
                    raise NotSharedError(name, str(result))
        return results

    def _report(self, signal: Any, about: dict[str, Any]) -> None:
        # A spider that sends signals while it is made does so in the supervisor, too.
        if signal not in SCRAPYS and self._crawler.has_app:
            self._crawler.app.reports.add_own(signal, about)

    def _is_spiders(self, receiver: Any) -> bool:
        owner = getattr(receiver, "__self__", None)
        cls = self._crawler.spidercls
        return isinstance(owner, cls) or receiver is getattr(cls, "close", None)
