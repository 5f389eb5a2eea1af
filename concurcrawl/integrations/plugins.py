"""Decide what to do with components of a project that a mode leaves without effect.

A crawl that would produce other data or break a site's rules is refused. Anything else
is logged once, at the start.
"""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, Any, Self

from scrapy import signals

from concurcrawl.errors import NotInEffectError
from concurcrawl.integrations import crawl_findings
from concurcrawl.integrations.finding import HAS_WORKERS
from concurcrawl.integrations.receivers import watch_connections
from concurcrawl.integrations.settings_findings import find_in_modules, find_in_settings
from concurcrawl.startup_errors import refusal

if TYPE_CHECKING:
    from collections.abc import Iterable

    from scrapy.crawler import Crawler
    from scrapy.settings import BaseSettings

    from concurcrawl.integrations.finding import Finding

logger = logging.getLogger(__name__)


def refuse(settings: BaseSettings) -> None:
    """Refuse a crawl with *settings* if a component must not be without effect.

    Raises:
        NotInEffectError: For the first such component.
    """
    for finding in find_in_settings(settings):
        if finding.is_refused:
            raise NotInEffectError(str(finding))


class Inspector:
    """Extension that logs components without effect, after all add-ons have run."""

    def __init__(self, crawler: Crawler) -> None:
        try:
            refuse(crawler.settings)
        except NotInEffectError as error:
            raise refusal(error, crawler.settings) from None
        self._crawler = crawler
        self._named: set[Finding] = set()
        crawler.signals.connect(self._inspect, signals.engine_started)

    @classmethod
    def from_crawler(cls, crawler: Crawler) -> Self:
        """Make one for *crawler*."""
        return cls(crawler)

    def _inspect(self) -> None:
        for finding in find_in_settings(self._crawler.settings):
            logger.warning("%s", finding)
        self._name(find_in_modules(self._crawler.settings))
        self._name(crawl_findings.find_in_spider(self._crawler))
        self._name(crawl_findings.find_in_signals(self._crawler))
        self._name(crawl_findings.find_in_middlewares(self._crawler))
        if self._crawler.settings.getbool(HAS_WORKERS):
            # Who connects later is named then.
            watch_connections(self._crawler, self._on_connection)

    def _on_connection(self, signal: Any) -> None:
        self._name(crawl_findings.find_of_signal(self._crawler, signal))

    def _name(self, findings: Iterable[Finding]) -> None:
        for finding in findings:
            if finding not in self._named:
                self._named.add(finding)
                logger.warning("%s", finding)
