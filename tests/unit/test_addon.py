from __future__ import annotations

import logging
from typing import TYPE_CHECKING, Any

import pytest
from scrapy import Spider
from scrapy.crawler import Crawler
from scrapy.settings import BaseSettings, Settings

from concurcrawl import Addon
from concurcrawl.config import Config
from concurcrawl.modes import LOOP_HANDLER, SPARE_THREADS, THREADED_HANDLER, Mode, plan
from tests.support.crawls import crawl

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path

MODES = list(Mode)


class Plain(Spider):
    name = "plain"


def user_settings(**written: Any) -> Settings:
    """Return Scrapy's settings with what a project and a command line wrote."""
    settings = Settings()
    for name, value in written.items():
        settings.set(name, value, "cmdline" if name == "MODE" else "project")
    return settings


WRONG_MODE = (
    "MODE='fast': must be one of serial, concurrent, async, parallel, hybrid; if MODE "
    "is a setting of this project's own, set CONCURCRAWL_MODE, which wins (empty for "
    "none)"
)


def applied(
    spidercls: type[Spider] = Plain, settings: Settings | None = None, **written: Any
) -> BaseSettings:
    """Return the settings that a crawler has after the add-on was asked."""
    crawler = Crawler(spidercls, settings or user_settings(**written))
    Addon.from_crawler(crawler).update_settings(crawler.settings)
    return crawler.settings


def everything(settings: BaseSettings) -> dict[str, tuple[Any, int | None]]:
    """Return value and priority of each setting."""
    values = settings.copy_to_dict()
    return {name: (values[name], settings.getpriority(name)) for name in values}


def handlers(settings: BaseSettings) -> dict[str, Any]:
    """Return what downloads each scheme, by what was set besides Scrapy's defaults."""
    return settings.getdict("DOWNLOAD_HANDLERS")


def messages(caplog: pytest.LogCaptureFixture) -> list[str]:
    assert all(record.levelno == logging.WARNING for record in caplog.records)
    return caplog.messages


# What is written ----------------------------------------------------------------


@pytest.mark.parametrize("mode", [{}, {"MODE": ""}, {"MODE": None}])
def test_without_a_mode_nothing_changes(
    mode: dict[str, Any], caplog: pytest.LogCaptureFixture
) -> None:
    # Values that a mode would change or complain about.
    written = {
        "CONCURRENT_REQUESTS": "many",
        "CONCURRENT_REQUESTS_PER_DOMAIN": 1,
        "CONCURCRAWL_THREADS": 0,
        "CONCURCRAWL_RECORDS": "records.jsonl",
        **mode,
    }
    early = user_settings(**written)
    Addon.update_pre_crawler_settings(early)
    assert everything(early) == everything(user_settings(**written))
    untouched = Crawler(Plain, user_settings(**written)).settings
    assert everything(applied(**written)) == everything(untouched)
    assert caplog.messages == ["CONCURCRAWL_RECORDS: not in effect without a MODE"]


@pytest.mark.parametrize("mode", MODES)
def test_the_settings_of_a_mode_beat_all_that_others_wrote(mode: Mode) -> None:
    planned = plan(mode, Config(), concurrent_requests=7).settings
    settings = user_settings(MODE=mode)
    threads = planned.pop("DOWNLOAD_HANDLERS", {})
    del planned["SCHEDULER"], planned["DOWNLOADER"]  # those of others are refused
    assert planned.pop("CONCURRENT_REQUESTS") >= 1  # what others wrote is a bound
    for name in planned:
        settings.set(name, 7, "cmdline")
    found = applied(settings=settings)
    assert handlers(found).items() >= threads.items()
    assert {name: found[name] for name in planned} == planned


def test_serial_is_serial_whatever_the_spider_says() -> None:
    class Eager(Plain):
        custom_settings = {"CONCURRENT_REQUESTS": 99}  # noqa: RUF012 - as users write it

    assert applied(Eager, MODE="serial").getint("CONCURRENT_REQUESTS") == 1


def test_async_keeps_the_number_of_requests_that_is_set() -> None:
    found = applied(MODE="async", CONCURRENT_REQUESTS="99")
    assert found.getint("CONCURRENT_REQUESTS") == 99


@pytest.mark.parametrize("mode", MODES)
def test_handlers_that_a_project_sets_stay(mode: Mode) -> None:
    mine = {"http": "mine.Http", "https": "mine.Https", "ftp": "mine.Ftp", "s3": None}
    assert handlers(applied(MODE=mode, DOWNLOAD_HANDLERS=mine)) == mine


def test_threads_take_the_place_of_scrapys_defaults_only() -> None:
    found = applied(MODE="concurrent", DOWNLOAD_HANDLERS={"http": "mine.Http"})
    assert handlers(found) == {"http": "mine.Http", "https": THREADED_HANDLER}


class Factory:
    """Makes TLS contexts, for client certificates say."""


@pytest.mark.parametrize("factory", [Factory, "mine.Factory"])
@pytest.mark.parametrize("mode", ["async", "hybrid"])
def test_a_context_factory_of_the_project_keeps_scrapys_handler_for_https(
    mode: Mode, factory: object
) -> None:
    found = applied(MODE=mode, DOWNLOADER_CLIENTCONTEXTFACTORY=factory)
    assert handlers(found) == {"http": LOOP_HANDLER}


def test_threads_need_libcurl_also_with_a_context_factory_of_the_project() -> None:
    found = applied(MODE="concurrent", DOWNLOADER_CLIENTCONTEXTFACTORY=Factory)
    assert handlers(found) == {"http": THREADED_HANDLER, "https": THREADED_HANDLER}


@pytest.mark.parametrize(
    "name", ["ScrapyClientContextFactory", "BrowserLikeContextFactory"]
)
def test_a_context_factory_of_scrapys_own_keeps_nothing(name: str) -> None:
    path = f"scrapy.core.downloader.contextfactory.{name}"
    found = applied(MODE="async", DOWNLOADER_CLIENTCONTEXTFACTORY=path)
    assert handlers(found) == {"http": LOOP_HANDLER, "https": LOOP_HANDLER}


def test_handlers_that_a_later_add_on_sets_stay() -> None:
    found = applied(MODE="concurrent")
    found["DOWNLOAD_HANDLERS"]["http"] = "other.Http"
    assert handlers(found) == {"http": "other.Http", "https": THREADED_HANDLER}


def test_stats_are_collected_so_that_they_can_be_merged() -> None:
    collector = "concurcrawl.compat.stats_collector.MergingStatsCollector"
    assert applied(MODE="serial")["STATS_CLASS"] == collector


def test_a_stats_collector_of_the_project_stays() -> None:
    assert applied(MODE="serial", STATS_CLASS="mine.Stats")["STATS_CLASS"] == (
        "mine.Stats"
    )


@pytest.mark.parametrize("records", ["", "records.jsonl"])
def test_requests_are_watched_only_if_records_are_kept(records: str) -> None:
    found = applied(MODE="serial", CONCURCRAWL_RECORDS=records)
    clocks = [
        getattr(middleware, "__name__", middleware)
        for name in ("DOWNLOADER_MIDDLEWARES", "SPIDER_MIDDLEWARES")
        for middleware in found.getdict(name)
        if "Clock" in str(middleware)
    ]
    assert clocks == (["DownloadClock", "CallbackClock"] if records else [])


# Threads ------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("written", "threads"),
    [
        ({"MODE": "serial"}, 10),
        ({"MODE": "async"}, 16 + SPARE_THREADS),
        ({"MODE": "concurrent"}, 16 + SPARE_THREADS),
        ({"MODE": "concurrent", "CONCURCRAWL_THREADS": 30}, 30 + SPARE_THREADS),
        ({"MODE": "concurrent", "REACTOR_THREADPOOL_MAXSIZE": 50}, 50),
    ],
)
def test_the_reactors_pool_has_room_for_the_mode_before_there_is_a_reactor(
    written: dict[str, Any], threads: int
) -> None:
    early = user_settings(**written)
    Addon.update_pre_crawler_settings(early)
    assert early.getint("REACTOR_THREADPOOL_MAXSIZE") == threads
    assert applied(**written).getint("REACTOR_THREADPOOL_MAXSIZE") == threads


def test_the_pool_of_a_worker_has_room_for_its_share() -> None:
    found = applied(MODE="hybrid", CONCURRENT_REQUESTS=64, CONCURCRAWL_WORKERS=2)
    assert found.getint("REACTOR_THREADPOOL_MAXSIZE") == 32 + SPARE_THREADS


# Wrong values -------------------------------------------------------------------

WRONG = [
    (
        {"MODE": "fast"},
        WRONG_MODE,
    ),
    (
        {"MODE": "parallel", "CONCURCRAWL_WORKERS": "-1"},
        "CONCURCRAWL_WORKERS='-1': must be a whole number >= 0 (processes)",
    ),
    (
        {"MODE": "parallel", "CONCURCRAWL_WORKERS": "many"},
        "CONCURCRAWL_WORKERS='many': must be a whole number >= 0 (processes)",
    ),
    (
        {"MODE": "concurrent", "CONCURCRAWL_THREADS": 0},
        "CONCURCRAWL_THREADS=0: must be a whole number >= 1 (threads)",
    ),
    (
        {"MODE": "async", "CONCURRENT_REQUESTS": "many"},
        (
            "CONCURRENT_REQUESTS='many': must be a whole number >= 0 (requests; 0 "
            "means no limit)"
        ),
    ),
    (
        {"MODE": "async", "CONCURRENT_REQUESTS": -2},
        (
            "CONCURRENT_REQUESTS=-2: must be a whole number >= 0 (requests; 0 means "
            "no limit)"
        ),
    ),
]


@pytest.mark.parametrize(("written", "message"), WRONG)
def test_a_wrong_value_ends_it_early_with_one_sentence(
    written: dict[str, Any], message: str
) -> None:
    with pytest.raises(SystemExit) as raised:
        Addon.update_pre_crawler_settings(user_settings(**written))
    assert raised.value.code == message
    # An add-on that a spider's custom_settings enable has no early hook.
    with pytest.raises(SystemExit) as raised:
        applied(**written)
    assert raised.value.code == message


def test_a_wrong_value_on_the_command_line_is_one_line_and_exit_code_1(
    site: str, tmp_path: Path
) -> None:
    found = crawl("pagination", site, tmp_path, "-s", "MODE=fast")
    assert (found.exit_code, found.log) == (
        1,
        f"{WRONG_MODE}\n",
    )


# Politeness ---------------------------------------------------------------------


def test_a_limit_that_somebody_wrote_is_kept_and_named(
    caplog: pytest.LogCaptureFixture,
) -> None:
    found = applied(MODE="async", CONCURRENT_REQUESTS_PER_DOMAIN=1, DOWNLOAD_DELAY=1)
    assert found.getint("CONCURRENT_REQUESTS_PER_DOMAIN") == 1
    assert found.getfloat("DOWNLOAD_DELAY") == 1
    assert messages(caplog) == [
        (
            "MODE=async could have 16 requests in flight, but "
            "CONCURRENT_REQUESTS_PER_DOMAIN=1 and DOWNLOAD_DELAY=1 of this project "
            "holds it back on each site; that is kept. If the site allows more, change "
            "it there."
        )
    ]


def test_the_limit_that_scrapy_has_by_default_holds_nothing_back(
    caplog: pytest.LogCaptureFixture,
) -> None:
    found = applied(MODE="async", CONCURRENT_REQUESTS=64)
    assert found.getint("CONCURRENT_REQUESTS_PER_DOMAIN") >= 64
    assert messages(caplog) == []


def test_an_adaptive_delay_is_kept_and_named(caplog: pytest.LogCaptureFixture) -> None:
    found = applied(MODE="concurrent", AUTOTHROTTLE_ENABLED=True)
    assert found.getbool("AUTOTHROTTLE_ENABLED")
    assert messages(caplog) == [
        (
            "MODE=concurrent could have 16 requests in flight, but "
            "AUTOTHROTTLE_ENABLED=True of this project holds it back on each site; "
            "that is kept. If the site allows more, change it there."
        )
    ]


def test_serial_is_held_back_by_nothing(caplog: pytest.LogCaptureFixture) -> None:
    applied(MODE="serial", CONCURRENT_REQUESTS_PER_DOMAIN=1, DOWNLOAD_DELAY=1)
    assert messages(caplog) == []


# Spiders of older versions ------------------------------------------------------


class Old(Plain):
    def start_requests(self) -> list[object]:
        return []


class Both(Old):
    async def start(self) -> AsyncIterator[Any]:
        yield None


@pytest.mark.parametrize("mode", MODES)
def test_a_spider_with_only_start_requests_is_warned_of(
    mode: Mode, caplog: pytest.LogCaptureFixture
) -> None:
    applied(Old, MODE=mode)
    assert messages(caplog) == [
        (
            "Old defines start_requests() but not start(): this Scrapy no longer calls "
            "start_requests(), so nothing of it is crawled. Rename it to "
            "'async def start(self)' and yield the requests."
        )
    ]


@pytest.mark.parametrize("spidercls", [Plain, Both])
def test_a_spider_that_starts_is_not_warned_of(
    spidercls: type[Spider], caplog: pytest.LogCaptureFixture
) -> None:
    applied(spidercls, MODE="serial")
    assert messages(caplog) == []
