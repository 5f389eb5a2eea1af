from __future__ import annotations

import asyncio
import os
import time
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import pytest
from scrapy.exceptions import DropItem
from scrapy.http import Request, Response
from scrapy.settings import Settings
from scrapy.utils.test import get_crawler

from concurcrawl.tools.compare.phases import end_of_transfer
from concurcrawl.tools.compare.runs import peak_overlap
from concurcrawl.tracing import collector
from concurcrawl.tracing.collector import CallbackClock, DownloadClock, PipelineClock
from concurcrawl.tracing.record import from_lines
from tests.support.compare.made_up import RECORD
from tests.support.crawls import crawl

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterator
    from pathlib import Path

    from concurcrawl.tracing.record import Record


@pytest.fixture
def request_() -> Request:
    """A request that is watched since it was pushed an hour ago."""
    request = Request("http://a.example/")
    collector.begin(request, time.time() - 3600)
    return request


def ended(request: Request) -> Record:
    record = collector.end(request, "worker-1")
    assert record is not None
    return record


def answered(request: Request, body: bytes = b"", status: int = 200) -> Response:
    return Response(request.url, status=status, body=body, request=request)


def burn(cpu_s: float) -> None:
    """Keep the CPU busy for at least *cpu_s*."""
    started = time.thread_time()
    while time.thread_time() < started + cpu_s:
        pass


def test_a_request_that_is_not_watched_has_no_record() -> None:
    request = Request("http://a.example/")
    DownloadClock().process_request(request)
    DownloadClock().process_exception(request, ValueError())
    DownloadClock().process_response(request, answered(request))
    assert list(CallbackClock().process_spider_output(answered(request), [1])) == [1]
    assert collector.end(request, "main") is None


def test_a_request_ends_once(request_: Request) -> None:
    assert collector.end(request_, "main") is not None
    assert collector.end(request_, "main") is None


def test_a_record_tells_the_times_in_their_order(request_: Request) -> None:
    clock = DownloadClock()
    clock.process_request(request_)
    request_.meta["download_latency"] = 0.0
    response = answered(request_, b"12345", 404)
    assert clock.process_response(request_, response) is response
    record = ended(request_)
    times = (
        record.queued_s,
        record.asked_s,
        record.first_byte_s,
        record.downloaded_s,
        record.done_s,
    )
    assert None not in times
    assert sorted(times, key=lambda time_s: time_s or 0.0) == list(times)
    assert record.asked_s - record.queued_s > 3599
    assert (record.url, record.status, record.size_bytes) == (request_.url, 404, 5)
    assert (record.worker, record.pid) == ("worker-1", os.getpid())
    assert record.error is None


def test_the_first_byte_comes_a_latency_after_the_asking(request_: Request) -> None:
    clock = DownloadClock()
    clock.process_request(request_)
    request_.meta["download_latency"] = 1e-6
    clock.process_response(request_, answered(request_))
    record = ended(request_)
    assert record.first_byte_s == pytest.approx(record.asked_s + 1e-6, abs=1e-6)


def test_a_latency_of_another_clock_puts_no_byte_after_the_last(
    request_: Request,
) -> None:
    clock = DownloadClock()
    clock.process_request(request_)
    request_.meta["download_latency"] = 1e9
    clock.process_response(request_, answered(request_))
    record = ended(request_)
    assert record.first_byte_s == record.downloaded_s


def test_without_a_latency_there_is_no_first_byte(request_: Request) -> None:
    clock = DownloadClock()
    clock.process_request(request_)
    clock.process_response(request_, answered(request_))
    assert ended(request_).first_byte_s is None


def test_the_thread_is_the_one_that_the_handler_names(request_: Request) -> None:
    clock = DownloadClock()
    clock.process_request(request_)
    collector.downloaded(request_, thread="download_7", ended_s=1e9, connect_s=0.0)
    clock.process_response(request_, answered(request_))
    record = ended(request_)
    assert (record.thread, record.downloaded_s) == ("download_7", 1e9)


def test_the_thread_is_the_reactors_if_no_handler_names_one(
    request_: Request,
) -> None:
    DownloadClock().process_response(request_, answered(request_))
    assert ended(request_).thread == "reactor"


def test_a_download_that_fails_tells_why(request_: Request) -> None:
    clock = DownloadClock()
    clock.process_request(request_)
    clock.process_exception(request_, TimeoutError("took too long"))
    record = ended(request_)
    assert record.error == "TimeoutError: took too long"
    assert (record.status, record.downloaded_s) == (None, None)


def test_a_request_that_never_reached_the_downloader_was_asked_at_its_end(
    request_: Request,
) -> None:
    record = ended(request_)
    assert record.asked_s == record.done_s


def test_the_output_of_a_callback_passes_unchanged(request_: Request) -> None:
    outputs = ["item", Request("http://b.example/"), None]
    passed = CallbackClock().process_spider_output(answered(request_), outputs)
    assert list(passed) == outputs


def test_the_cpu_time_of_a_callback_counts_and_no_other(request_: Request) -> None:
    def callback() -> Iterator[int]:
        burn(0.03)
        yield 1
        burn(0.03)

    with cpu_of_the_test() as whole_s:
        for _ in CallbackClock().process_spider_output(answered(request_), callback()):
            burn(0.2)
    assert 0.06 <= ended(request_).callback_cpu_s < whole_s[0] - 0.2


def test_the_cpu_time_of_an_async_callback_counts_and_no_other(
    request_: Request,
) -> None:
    async def callback() -> AsyncIterator[int]:
        burn(0.03)
        yield 1
        burn(0.03)

    async def draw() -> list[int]:
        outputs = []
        clocked = CallbackClock().process_spider_output_async(
            answered(request_), callback()
        )
        async for output in clocked:
            burn(0.2)
            outputs.append(output)
        return outputs

    with cpu_of_the_test() as whole_s:
        assert asyncio.run(draw()) == [1]
    assert 0.06 <= ended(request_).callback_cpu_s < whole_s[0] - 0.2


def test_a_callback_that_raises_raises_and_counts(request_: Request) -> None:
    def callback() -> Iterator[int]:
        yield 1
        burn(0.03)
        raise LookupError("no table")

    outputs = CallbackClock().process_spider_output(answered(request_), callback())
    assert next(outputs) == 1
    with pytest.raises(LookupError, match="no table"):
        next(outputs)
    assert ended(request_).callback_cpu_s >= 0.03


def test_enabling_keeps_the_projects_own_middlewares() -> None:
    settings = Settings()
    settings.set("SPIDER_MIDDLEWARES", {"mine.Middleware": 5}, "project")
    collector.enable(settings, "cmdline")
    assert settings.getdict("DOWNLOADER_MIDDLEWARES") == {DownloadClock: 10_000}
    assert settings.getdict("SPIDER_MIDDLEWARES") == {
        "mine.Middleware": 5,
        CallbackClock: 10_000,
    }


@contextmanager
def cpu_of_the_test() -> Iterator[list[Any]]:
    """Put the CPU seconds of the block into the list that it is given."""
    found: list[Any] = []
    started = time.thread_time()
    yield found
    found.append(time.thread_time() - started)


class Sleepy:
    """A pipeline that waits, computes and waits; and may drop the item."""

    async def process_item(self, item: Any) -> Any:
        await asyncio.sleep(0.02)
        burn(0.01)
        await asyncio.sleep(0)
        if item == "dropped":
            raise DropItem("as told")
        return item


def test_pipelines_are_clocked_while_others_compute() -> None:
    clock = PipelineClock(Sleepy(), crawler=get_crawler())

    async def process() -> collector.Spent:
        spent = collector.clock_pipelines()
        items = [clock.process_item_async(item) for item in ("a", "b", "dropped")]
        results = await asyncio.gather(*items, return_exceptions=True)
        assert results[:2] == ["a", "b"]
        assert isinstance(results[2], DropItem)
        return spent

    async def both() -> collector.Spent:
        task = asyncio.create_task(process())
        while not task.done():
            burn(0.005)  # somebody else's
            await asyncio.sleep(0)
        return task.result()

    spent = asyncio.run(both())
    assert spent.items == 0
    assert 0.03 <= spent.cpu_s < spent.wall_s
    record = collector.with_pipelines(RECORD, spent)
    assert (record.pipeline_s, record.pipeline_cpu_s) == (spent.wall_s, spent.cpu_s)


def test_what_nobody_clocked_is_not_told(request_: Request) -> None:
    record = ended(request_)
    assert (record.connect_s, record.pipeline_s) == (None, None)


def test_items_of_a_request_without_a_clock_pass() -> None:
    clock = PipelineClock(Sleepy(), crawler=get_crawler())
    assert asyncio.run(clock.process_item_async("a")) == "a"


def test_another_item_processor_stays() -> None:
    settings = Settings({"ITEM_PROCESSOR": "mine.Processor"})
    collector.enable(settings, "cmdline")
    assert settings["ITEM_PROCESSOR"] == "mine.Processor"
    assert not collector.clocks_pipelines(settings)


@pytest.mark.parametrize("mode", ["async", "concurrent", "hybrid"])
def test_records_tell_connections_and_pipelines_apart(
    mode: str, site: str, tmp_path: Path
) -> None:
    path = tmp_path / "records.jsonl"
    options = ("-s", f"MODE={mode}", "-s", f"CONCURCRAWL_RECORDS={path}")
    crawl("pagination", site, tmp_path, *options)
    lines = path.read_text(encoding="utf-8").splitlines()
    found = list(from_lines(lines))
    assert len(found) > 3
    for record in found:
        assert record.connect_s is not None
        assert record.first_byte_s is not None
        assert 0 <= record.connect_s <= record.first_byte_s - record.asked_s + 0.05
        assert record.pipeline_cpu_s is not None
        assert (record.thread == "reactor") == (mode != "concurrent")
    assert sum(record.pipeline_s or 0 for record in found) > 0


@pytest.mark.parametrize("mode", ["async", "concurrent", "hybrid"])
def test_no_more_are_asked_at_a_time_in_the_records_than_may_be_in_flight(
    mode: str, site: str, tmp_path: Path
) -> None:
    path = tmp_path / "records.jsonl"
    limits = {"CONCURRENT_REQUESTS": 4, "CONCURCRAWL_THREADS": 4}
    pairs = {"MODE": mode, "CONCURCRAWL_RECORDS": path, **limits}
    options = [part for name in pairs for part in ("-s", f"{name}={pairs[name]}")]
    crawl("slow", site, tmp_path, "-a", "pages=24", "-a", "wait=0.05", *options)
    found = list(from_lines(path.read_text(encoding="utf-8").splitlines()))
    assert len(found) == 24
    assert peak_overlap((one.asked_s, end_of_transfer(one)) for one in found) <= 4
