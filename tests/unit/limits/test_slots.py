"""Slots of the downloader show the limits of their groups, and change them."""

from __future__ import annotations

import pytest
from scrapy import Request
from scrapy.core.downloader import Slot
from scrapy.settings import Settings

from concurcrawl.limits.limiter import Written
from concurcrawl.limits.policy import Politeness
from concurcrawl.limits.slots import SlotLimits, Slots

PAGE = Request("http://a.test/")


class Changes:
    """Slots, and what was written to them."""

    def __init__(self, **settings: object) -> None:
        self.politeness = Politeness.from_settings(Settings(settings))
        self.said: list[tuple[str, str, Written]] = []
        self.slots = Slots()
        self.slots.limits = SlotLimits(self.politeness, 8, self._change)

    def _change(self, group: str, slot: str, written: Written) -> None:
        self.said.append((group, slot, written))
        self.politeness.write(group, slot, written)


def test_a_slot_shows_what_the_settings_say() -> None:
    changes = Changes(DOWNLOAD_DELAY=2, DOWNLOAD_SLOTS={"b.test": {"concurrency": 3}})
    first, other = (
        changes.slots.open(name, PAGE.replace(url=f"http://{name}/"))
        for name in ("a.test", "b.test")
    )
    assert (first.delay, first.concurrency, first.jitter) == (2, 8, 0.5)
    assert (other.delay, other.concurrency) == (2, 3)
    assert changes.said == []


def test_what_is_written_is_said_once_and_shown() -> None:
    changes = Changes()
    slot = changes.slots.open("a.test", PAGE)
    for _ in range(2):
        slot.delay = 4
        slot.concurrency = 1
        slot.jitter = 0.25
    assert changes.said == [
        ("a.test", "a.test", Written(delay_s=4)),
        ("a.test", "a.test", Written(concurrency=1)),
        ("a.test", "a.test", Written(jitter=0.25)),
    ]
    assert (slot.delay, slot.concurrency, slot.jitter) == (4, 1, 0.25)
    assert slot.download_delay() >= 3


def test_the_deprecated_name_of_the_jitter_counts() -> None:
    changes = Changes()
    slot = changes.slots.open("a.test", PAGE)
    with pytest.warns(match="randomize_delay is deprecated"):
        slot.randomize_delay = False
    assert changes.said == [("a.test", "a.test", Written(jitter=0.0))]


def test_a_slot_of_scrapys_own_is_taken_over() -> None:
    changes = Changes(DOWNLOAD_DELAY=2)
    changes.slots["api@a.test"] = Slot(concurrency=1, delay=0, jitter=0)
    limits = changes.politeness.limits_of("api@a.test")
    assert (limits.delay_s, limits.in_flight, limits.jitter) == (0, 1, 0)
    assert changes.politeness.limits_of("a.test").delay_s == 2


def test_a_slot_that_a_redirect_took_along_is_that_of_its_host() -> None:
    changes = Changes()
    meta = {"download_slot": "a.test", "redirect_urls": ["http://a.test/"]}
    slot = changes.slots.open("a.test", Request("http://b.test/", meta=meta))
    slot.delay = 1
    assert changes.said == [("a.test", "a.test", Written(delay_s=1))]


def test_a_slot_that_lets_none_start_shows_none() -> None:
    changes = Changes()
    slot = changes.slots.open("a.test", PAGE)
    slot.concurrency = 0
    assert slot.concurrency == 0
