from __future__ import annotations

from typing import Any

import pytest
from scrapy.resolver import CachingThreadedResolver
from scrapy.settings import Settings
from scrapy.utils.misc import load_object

from concurcrawl import Addon
from concurcrawl.tuning.addresses import AddressResolver

OTHER = "scrapy.resolver.CachingHostnameResolver"
NAME = "TWISTED_DNS_RESOLVER"


class FakeReactor:
    """Notes what its threads are to look up."""

    def __init__(self) -> None:
        self.looked_up: list[str] = []

    def getThreadPool(self) -> FakeReactor:  # noqa: N802 - Twisted's name
        return self

    def callInThreadWithCallback(self, *call: Any) -> None:  # noqa: N802
        self.looked_up += call[2:]

    def callLater(self, *call: Any) -> None:  # noqa: N802
        """Never time out."""


@pytest.mark.parametrize("resolver", [CachingThreadedResolver, AddressResolver])
def test_only_what_is_no_address_is_looked_up_in_a_thread(
    resolver: type[CachingThreadedResolver],
) -> None:
    reactor: Any = FakeReactor()
    one, other = (
        resolver(reactor, 0, 1.0).getHostByName(host)
        for host in ("127.0.0.9", "a.example")
    )
    is_ours = resolver is AddressResolver
    assert reactor.looked_up == ["127.0.0.9"] * (not is_ours) + ["a.example"]
    assert getattr(one, "result", None) == ("127.0.0.9" if is_ours else None)
    assert not other.called


@pytest.mark.parametrize(
    ("given", "used"),
    [
        ({"MODE": "async"}, AddressResolver),
        ({"MODE": "async", NAME: OTHER}, load_object(OTHER)),
        ({}, CachingThreadedResolver),
    ],
)
def test_a_mode_takes_it_unless_the_project_has_chosen(
    given: dict[str, str], used: type
) -> None:
    settings = Settings(given)
    Addon.update_pre_crawler_settings(settings)
    assert load_object(settings[NAME]) is used
