"""Monitors of spidermon."""

from spidermon import Monitor, MonitorSuite

from shop.effects import note


class Count(Monitor):
    def test_all_pages_became_items(self):
        count = self.data.stats["item_scraped_count"]
        note("monitored", count)
        assert count == 6


class Suite(MonitorSuite):
    monitors = [Count]
