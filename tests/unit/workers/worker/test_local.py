"""Requests that stay in the worker, and how the lease that they came of ends."""

from __future__ import annotations

from typing import Any

from scrapy import Request

from concurcrawl.workers.protocol.messages.leases import Returned
from concurcrawl.workers.protocol.messages.results import (
    PartialResult,
    Product,
    RequestResult,
)
from concurcrawl.workers.protocol.pickle_codec import Codec
from concurcrawl.workers.worker.claims import encode_outline
from concurcrawl.workers.worker.local import LocalRequests

LEASE = 7


class Bench:
    """Local requests of one lease, and what was sent."""

    def __init__(self, *, is_durable: bool = False, part_bytes: int = 1000) -> None:
        self.sent: list[Any] = []
        self.local = LocalRequests(
            self.sent.append, self.sent.append, part_bytes, is_durable=is_durable
        )
        self.leased = Request("http://a.example/")

    def add(self, path: str, priority: int = 0) -> None:
        if self.local.expect(LEASE):
            request = Request(f"http://a.example/{path}", priority=priority)
            self.local.add(request, LEASE)

    def begin(self) -> tuple[Request, RequestResult]:
        found = self.local.pop()
        assert found is not None
        return found

    def finish(self, request: Request, *items: bytes, responses: int = 1) -> None:
        result = RequestResult(LEASE, items=len(items))
        result.products = [Product(True, item) for item in items]
        result.size_bytes = sum(map(len, items))
        if responses:
            result.responses = [object()]  # type: ignore[list-item]
            result.page = 0
        self.local.finish(request, result)

    def results(self) -> list[tuple[bool, list[bytes]]]:
        """Return of each result whether the lease stays held, and its items."""
        return [
            (result.is_partial, [product.payload for product in result.products])
            for result in self.sent
        ]


def test_each_result_is_sent_at_once_and_the_last_ends_the_lease() -> None:
    bench = Bench()
    bench.add("1")
    bench.finish(bench.leased, b"0")
    request, _ = bench.begin()
    assert bench.local.leases() == {LEASE}
    bench.finish(request, b"1")
    assert bench.results() == [(True, [b"0"]), (True, [b"1"]), (False, [])]
    assert not bench.local.leases()


def test_the_result_of_a_local_request_waits_for_the_leased_one() -> None:
    bench = Bench()
    bench.add("1")
    request, _ = bench.begin()
    bench.finish(request, b"1")
    assert bench.sent == []
    bench.finish(bench.leased, b"0")
    assert bench.results() == [(True, [b"0"]), (True, [b"1"]), (False, [])]


def test_a_crawl_that_can_be_resumed_has_all_items_with_the_end_of_the_lease() -> None:
    bench = Bench(is_durable=True)
    bench.add("1")
    bench.finish(bench.leased, b"0", b"00")
    request, _ = bench.begin()
    bench.finish(request, b"1", responses=0)
    assert bench.results() == [(True, []), (True, []), (False, [b"0", b"00", b"1"])]
    assert bench.sent[-1].pages == [(2, 0), (1, None)]


def test_large_products_are_sent_in_parts() -> None:
    bench = Bench(is_durable=True, part_bytes=10)
    bench.add("1")
    bench.finish(bench.leased, b"0" * 10)
    request, _ = bench.begin()
    bench.finish(request, b"1")
    parts = [message for message in bench.sent if isinstance(message, PartialResult)]
    assert [part.products[0].payload for part in parts] == [b"0" * 10]
    assert bench.sent[-1].pages == [(1, 0), (1, 1)]


def test_a_lease_whose_local_requests_are_cut_is_returned_where_it_is_done_again() -> (
    None
):
    bench = Bench(is_durable=True)
    bench.add("1")
    bench.finish(bench.leased, b"0")
    bench.local.close()
    assert bench.sent[-1] == Returned((LEASE,))


def test_a_lease_whose_local_requests_are_cut_ends_where_nothing_is_kept() -> None:
    bench = Bench()
    bench.add("1")
    bench.local.close()
    bench.add("2")
    bench.finish(bench.leased, b"0")
    assert bench.results() == [(True, [b"0"]), (False, [])]
    assert len(bench.local) == 0


def test_a_lease_whose_callback_ends_the_crawl_is_not_returned() -> None:
    bench = Bench(is_durable=True)
    bench.add("1")
    bench.local.finish(bench.leased, RequestResult(LEASE, close_reason="enough"))
    bench.local.close()
    assert isinstance(bench.sent[-1], RequestResult)
    assert not bench.sent[-1].is_partial


def test_the_highest_priority_leaves_first_and_of_equals_the_newest() -> None:
    bench = Bench()
    for path, priority in (("a", 0), ("b", 5), ("c", 0)):
        bench.add(path, priority)
    paths = [bench.begin()[0].url[-1] for _ in range(3)]
    assert paths == ["b", "c", "a"]


def test_a_duplicate_is_dropped_and_ends_the_lease() -> None:
    bench = Bench()
    assert bench.local.expect(LEASE)
    bench.finish(bench.leased)
    bench.local.drop(LEASE)
    assert bench.results() == [(True, []), (False, [])]


def test_an_outline_has_what_can_be_encoded() -> None:
    codec = Codec()
    meta = {"plain": 1, "live": (n for n in range(3))}
    request = Request("http://a.example/", meta=meta, headers={"A": "b"})
    found = codec.decode(encode_outline(request, codec))
    assert (found.url, found.meta) == (request.url, {"plain": 1})
    assert found.headers["A"] == b"b"
