"""The Scrapy crawler of a worker.

It is a whole crawler with three parts exchanged: its requests come from the supervisor,
its items and new requests go there, and signals about them are sent there.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from typing_extensions import override

from concurcrawl.compat.crawler import MakingCrawler, leave_settings
from concurcrawl.config import CLOSED_IN_WORKERS
from concurcrawl.workers.worker.engine import WorkerEngine
from concurcrawl.workers.worker.signals import WorkerSignals

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from scrapy import Spider
    from scrapy.settings import Settings

    from concurcrawl.workers.worker.app import WorkerApp


class WorkerCrawler(MakingCrawler):
    """Scrapy's crawler, by which all that Scrapy makes finds the :class:`WorkerApp`.

    Attributes:
        closes_spider: Whether the spider is closed here, too, at the end of the crawl.
    """

    def __init__(
        self,
        spidercls: Any,
        settings: Settings,
        attributes: Mapping[str, Any],
        make_app: Callable[[WorkerCrawler], WorkerApp],
    ) -> None:
        """Make one.

        Args:
            spidercls: The spider's class.
            settings: The settings as the supervisor's spider has left them.
            attributes: Attributes of the supervisor's spider that are plain values.
            make_app: Makes the app once spider, engine and stats are there.
        """
        leave_settings(spidercls)
        super().__init__(spidercls, settings)
        self.closes_spider = settings.getbool(CLOSED_IN_WORKERS)
        self.signals = WorkerSignals(self)
        self._attributes = attributes
        self._make_app = make_app
        self._app: WorkerApp | None = None

    def open_app(self) -> WorkerApp:
        """Make the app. Spider, engine and stats are there; nothing is open yet."""
        self._app = self._make_app(self)
        return self._app

    @property
    def has_app(self) -> bool:
        """Whether the app was made."""
        return self._app is not None

    @property
    def app(self) -> WorkerApp:
        """The composition root, once :meth:`open_app` was called."""
        assert self._app is not None
        return self._app

    @override
    def complete(self, spider: Spider) -> None:
        unlike = object()
        for name, value in self._attributes.items():
            # An equal value of the class stays there: its methods may count on the
            # class, for all its instances.
            if getattr(spider, name, unlike) != value:
                vars(spider)[name] = value

    @override
    def make_engine(self) -> WorkerEngine:
        return WorkerEngine(self, lambda _: self.stop_async())
