"""What is pushed of the requests that workers made, and what code sees them before."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
from scrapy import Request, signals
from scrapy.core.engine import ExecutionEngine
from scrapy.downloadermiddlewares.offsite import OffsiteMiddleware

from concurcrawl.errors import UnreadableError
from concurcrawl.frontier.base import Entry
from concurcrawl.workers.protocol.messages.results import Product
from concurcrawl.workers.protocol.pickle_codec import Codec
from concurcrawl.workers.protocol.spool import Spool
from concurcrawl.workers.supervisor.arrivals import Arrivals
from tests.support.fakes import made_crawler

if TYPE_CHECKING:
    from collections.abc import Iterator

URL = "http://a.example/"


class CountingCodec(Codec):
    """Counts what it decodes."""

    def __init__(self) -> None:
        super().__init__()
        self.decoded = 0

    def decode(self, payload: bytes) -> Any:
        self.decoded += 1
        return super().decode(payload)


class ScrapysEngine:
    """An engine whose ``crawl()`` is Scrapy's own."""

    crawl = ExecutionEngine.crawl
    _schedule_request = ExecutionEngine._schedule_request

    def __init__(self, crawler: Any, scheduler: Any) -> None:
        self.spider, self.signals = crawler.spider, crawler.signals
        self._slot = crawler.engine._slot
        self._slot.scheduler = scheduler


class Bench:
    """Arrivals of a crawl, whose scheduler they are."""

    def __init__(self, *, is_free: bool = True) -> None:
        self.crawler = made_crawler()
        self.codec = CountingCodec()
        self.claimed: set[bytes] = set()
        self.duplicates: list[str] = []
        self.arrivals = Arrivals(
            self.crawler,
            self.codec,
            self._make_entry,
            self.claimed.__contains__,
            lambda request: self.duplicates.append(request.url[-1]),
            has_start_queue=True,
            is_free=is_free,
        )
        self.crawler.engine = ScrapysEngine(self.crawler, self)

    def enqueue_request(self, request: Request) -> bool:
        assert self.arrivals.is_collecting
        return self.arrivals.enqueue(request)

    def _make_entry(self, request: Request, product: Product | None) -> Entry | None:
        if request.url.endswith("x"):  # the project's filter knows it
            return None
        payload = b"new" if product is None else product.payload
        key = b"k" if product is None else product.key or None
        return Entry(key, "made", request.priority, is_start=False, payload=payload)

    def product(self, name: str, host: str = "a.example", **about: Any) -> Product:
        request = Request(f"http://{host}/{name}", **about)
        payload = Codec().encode(request)
        return Product(False, payload, name.encode(), host, "sent", request.priority)

    def pushed(self, *products: Product) -> list[tuple[Any, ...]]:
        arrived = self.arrivals.collect(products)
        return [(one.key, one.group, one.payload) for one in arrived.all_entries()]


@pytest.fixture
def bench() -> Iterator[Bench]:
    one = Bench()
    yield one
    assert not one.arrivals.is_collecting


def test_what_no_code_of_the_project_sees_is_not_decoded(bench: Bench) -> None:
    products = [bench.product("a"), bench.product("b", priority=3)]
    arrived = bench.arrivals.collect(products)
    places = [(one.group, one.priority, one.key) for one in arrived.all_entries()]
    assert places == [("sent", 0, b"a"), ("sent", 3, b"b")]
    assert bench.codec.decoded == 0
    assert [
        one.url for one in arrived.not_added([True, False], bench.codec.decode)
    ] == [f"{URL}b"]


def test_scrapys_filter_of_hosts_decides_by_the_host(bench: Bench) -> None:
    bench.crawler.spider.allowed_domains = ["a.example"]
    dropped: list[str] = []
    connect = bench.crawler.signals.connect

    def on_dropped(request: Request) -> None:
        dropped.append(request.url)

    middleware = OffsiteMiddleware.from_crawler(bench.crawler)
    middleware.spider_opened(bench.crawler.spider)
    connect(on_dropped, signals.request_dropped)
    allowed = bench.product("c", "c.example", meta={"allow_offsite": True})
    found = bench.pushed(bench.product("a"), bench.product("b", "b.example"), allowed)
    assert [(key, group) for key, group, _ in found] == [
        (b"a", "sent"),
        (b"c", "made"),  # its meta had to be read
    ]
    assert bench.codec.decoded == 2
    assert bench.crawler.stats.get_value("offsite/filtered") == 1
    assert dropped == []


@pytest.mark.parametrize("why", ["receiver", "filter", "engine"])
def test_a_request_is_decoded_for_the_projects_code(why: str) -> None:
    bench = Bench(is_free=why != "filter")
    seen: list[str] = []

    def on_scheduled(request: Request) -> None:
        seen.append(request.url)

    if why == "receiver":
        bench.crawler.signals.connect(on_scheduled, signals.request_scheduled)
    if why == "engine":
        bench.crawler.engine.crawl = lambda request: seen.append(request.url)
    found = bench.pushed(bench.product("a"))
    assert bench.codec.decoded == 1
    assert seen == ([] if why == "filter" else [f"{URL}a"])
    assert [group for _, group, _ in found] == ([] if why == "engine" else ["made"])


def test_a_request_that_stays_in_a_worker_is_a_duplicate(bench: Bench) -> None:
    bench.claimed.add(b"a")
    assert [
        key for key, *_ in bench.pushed(bench.product("a"), bench.product("b"))
    ] == [b"b"]
    assert bench.duplicates == ["a"]


def test_what_a_receiver_has_crawled_belongs_to_the_result(bench: Bench) -> None:
    def on_scheduled(request: Request) -> None:
        if request.url.endswith("a"):
            bench.crawler.engine.crawl(Request(f"{URL}other"))

    bench.crawler.signals.connect(on_scheduled, signals.request_scheduled)
    arrived = bench.arrivals.collect([bench.product("a")])
    assert [one.payload for one in arrived.all_entries()][1:] == [b"new"]
    (request,) = arrived.not_added([True, False], bench.codec.decode)
    assert request.url == f"{URL}other"


def test_very_many_requests_stay_on_disk(bench: Bench) -> None:
    spool = Spool()
    products = [bench.product(f"{n}") for n in range(300)]
    spool.add(products)
    arrived = bench.arrivals.collect(spool.requests())
    assert len({id(entry) for entry in arrived.entries}) == 1
    found = [*arrived.all_entries()]
    assert [one.payload for one in found] == [one.payload for one in products]
    assert [one.key for one in found] == [one.key for one in products]
    spool.close()


def test_a_request_that_cannot_be_read_ends_the_collection() -> None:
    bench = Bench(is_free=False)
    with pytest.raises(UnreadableError, match="a request cannot be read back"):
        bench.pushed(bench.product("a"), Product(False, b"no pickle", b"k"))
    assert not bench.arrivals.is_collecting
