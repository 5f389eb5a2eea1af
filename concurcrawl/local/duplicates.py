"""Which requests are duplicates, and what is said of them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from scrapy import signals
from scrapy.dupefilters import RFPDupeFilter
from scrapy.utils.misc import build_from_crawler, load_object

from concurcrawl.integrations.receivers import has_receivers

if TYPE_CHECKING:
    from collections.abc import Callable

    from scrapy import Request
    from scrapy.crawler import Crawler
    from scrapy.dupefilters import BaseDupeFilter
    from twisted.internet.defer import Deferred


class Duplicates:
    """Knows the fingerprint of a request, and counts, logs and reports duplicates.

    The frontier finds duplicates by their fingerprints, unless the project has a filter
    of its own: then that decides alone.

    Attributes:
        own_filter: The filter of the project's own, if there is one.
    """

    def __init__(self, crawler: Crawler, own_filter: BaseDupeFilter | None) -> None:
        self._crawler = crawler
        self.own_filter = own_filter
        # The frontier knows the duplicates; this one only says what it knows.
        self._log = RFPDupeFilter(
            debug=crawler.settings.getbool("DUPEFILTER_DEBUG"),
            fingerprinter=crawler.request_fingerprinter,
        )

    def open(self) -> Deferred[None] | None:
        """Open the filter of the project's own."""
        return self.own_filter.open() if self.own_filter is not None else None

    def close(self, reason: str) -> Deferred[None] | None:
        """Close the filter of the project's own."""
        return self.own_filter.close(reason) if self.own_filter is not None else None

    def key_of(self, request: Request) -> bytes | None:
        """Return by what the frontier knows *request*; None if it need not."""
        if request.dont_filter or self.own_filter is not None:
            return None
        return self.fingerprint(request)

    def fingerprint(self, request: Request) -> bytes:
        """Return the fingerprint of *request*."""
        return self._crawler.request_fingerprinter.fingerprint(request)

    def is_seen(self, request: Request) -> bool:
        """Return whether the filter of the project's own, if there is one, knows it."""
        return self.own_filter is not None and self.own_filter.request_seen(request)

    def note_filtered(self, request: Request) -> None:
        """Let the filter of the project's own say that it knows *request*."""
        assert self.own_filter is not None
        assert self._crawler.spider is not None
        self.own_filter.log(request, self._crawler.spider)

    def note(self, request: Request) -> None:
        """Count and log a duplicate that the frontier has found."""
        assert self._crawler.spider is not None
        self._log.log(request, self._crawler.spider)

    def note_dropped(self, request: Request) -> None:
        """Note a duplicate of which the engine does not know, and say so."""
        self.note(request)
        self._crawler.signals.send_catch_log(
            signals.request_dropped, request=request, spider=self._crawler.spider
        )

    def note_all_dropped(self, read: Callable[[], Any], count: int) -> None:
        """Note *count* duplicates, which *read* yields; read as few as are looked at.

        The first is logged. After that each is only counted, unless
        ``DUPEFILTER_DEBUG`` is set or ``request_dropped`` has a receiver.
        """
        requests = iter(read())
        while count and self._is_looked_at():
            self.note_dropped(next(requests))
            count -= 1
        if count:
            self._crawler.stats.inc_value("dupefilter/filtered", count)

    def _is_looked_at(self) -> bool:
        if self._log.debug or self._log.logdupes:
            return True
        return has_receivers(self._crawler, signals.request_dropped)


def make_own_filter(crawler: Crawler) -> BaseDupeFilter | None:
    """Return the filter of the project's own; None if it has Scrapy's."""
    kind = own_filter_class(crawler)
    if kind is None:
        return None
    found: BaseDupeFilter = build_from_crawler(kind, crawler)
    return found


def own_filter_class(crawler: Crawler) -> type[BaseDupeFilter] | None:
    """Return the class of the project's own filter; None if that is Scrapy's."""
    kind: type[BaseDupeFilter] = load_object(crawler.settings["DUPEFILTER_CLASS"])
    return None if kind is RFPDupeFilter else kind
