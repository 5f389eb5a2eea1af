"""Scrapy's signals that workers report and the supervisor sends for them."""

from __future__ import annotations

from scrapy import signals

#: Signals that workers report and the supervisor sends, by their names in
#: ``scrapy.signals``.
REPLAYED = (
    "request_reached_downloader",
    "request_left_downloader",
    "response_downloaded",
    "response_received",
    "spider_error",
)

#: The names by signal.
NAMES = {getattr(signals, name): name for name in REPLAYED}

#: Signals that only the supervisor sends.
SUPERVISORS = frozenset(
    {
        signals.request_scheduled,
        signals.request_dropped,
        signals.item_scraped,
        signals.item_dropped,
        signals.item_error,
        signals.spider_idle,
        signals.scheduler_empty,
    }
)

#: Signals whose receivers are called in the supervisor only.
ELSEWHERE = SUPERVISORS | NAMES.keys()
