from __future__ import annotations

from typing import Any

import pytest
from scrapy import Spider
from scrapy.exceptions import DontCloseSpider
from scrapy.utils.test import get_crawler

from concurcrawl.control import staying
from concurcrawl.control.staying import StayOpen
from tests.support.fakes import FakeClock


def test_a_crawl_stays_until_it_was_idle_for_long_enough(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    timers: list[float] = []
    monkeypatch.setattr(staying, "call_later", lambda s, _: timers.append(s))
    crawler: Any = get_crawler(Spider, {"CONCURCRAWL_STAY_S": 10})
    clock = FakeClock()
    stay = StayOpen(crawler, clock)
    for dequeued, passed_s in ((0, 0.0), (0, 9.0), (1, 5.0), (1, 9.0)):
        crawler.stats.set_value("scheduler/dequeued", dequeued)
        clock.now_s += passed_s
        with pytest.raises(DontCloseSpider):
            stay._idle()
    assert timers[0] == 10
    clock.now_s += 1
    stay._idle()  # and is over


def test_a_crawl_stays_for_ever_by_default() -> None:
    clock = FakeClock()
    stay = StayOpen(get_crawler(Spider, {}), clock)
    clock.now_s += 1e9
    with pytest.raises(DontCloseSpider):
        stay._idle()
