"""The one thing users enable: it turns ``MODE`` into Scrapy settings."""

from __future__ import annotations

from typing import TYPE_CHECKING, Self

from scrapy import signals
from scrapy.settings import SETTINGS_PRIORITIES
from scrapy.utils.asyncio import is_asyncio_available
from scrapy.utils.reactor import is_reactor_installed

from concurcrawl.compat import scraper, spider_arguments
from concurcrawl.compat.stack import scrapy_command
from concurcrawl.config import Config
from concurcrawl.control import enable as control
from concurcrawl.errors import ConcurcrawlError
from concurcrawl.integrations import plugins
from concurcrawl.mode_checks import is_watched, read_plan, require_parts, shows_progress
from concurcrawl.mode_settings import (
    RANK,
    decide,
    keeps_order,
    leave_to_frontier,
    size_pool,
)
from concurcrawl.modes import PLACES
from concurcrawl.startup_errors import refusal
from concurcrawl.tuning import event_loop, gc
from concurcrawl.workers.protocol.main_module import crawl_begins
from concurcrawl.workers.signals import end_cleanly_with_terminal

if TYPE_CHECKING:
    from scrapy.crawler import Crawler
    from scrapy.settings import BaseSettings
    from scrapy.spiders import Spider

    from concurcrawl.modes import Plan


class Addon:
    """Scrapy add-on; put ``{"concurcrawl.Addon": 500}`` in ``ADDONS``.

    Without ``MODE`` it changes nothing, except that it shows progress, metrics and the
    dashboard if ``CONCURCRAWL_PROGRESS``, ``_METRICS`` or ``_DASHBOARD`` is set.
    """

    def __init__(self, crawler: Crawler) -> None:
        self._crawler = crawler

    @classmethod
    def from_crawler(cls, crawler: Crawler) -> Self:
        """Make one for *crawler*."""
        return cls(crawler)

    @classmethod
    def update_pre_crawler_settings(cls, settings: BaseSettings) -> None:
        """Do what must precede the reactor: size its pool, start the fork server.

        Raises:
            SystemExit: With one sentence, if a setting is wrong. Raised any later, a
                script would exit with code 0.
        """
        crawl_begins()
        spider_arguments.record()
        try:
            shows_progress(settings)  # raises if the setting is wrong
            if is_watched(settings):
                from concurcrawl.monitor import extension  # most crawls are not

                extension.check(settings)
            leave_to_frontier(settings)
            _look_at_cluster(settings)
            planned = read_plan(settings)
            if planned is None:
                return
            require_parts(settings, planned)
            _look_at_spans(settings)
        except ConcurcrawlError as error:
            raise refusal(error, settings) from None
        size_pool(settings, planned)
        _choose_loop(settings)
        _choose_resolver(settings)
        if scrapy_command():  # a script may need the collector for itself
            gc.put_off()
        end_cleanly_with_terminal()
        _prepare_workers(settings, planned)

    def update_settings(self, settings: BaseSettings) -> None:
        """Write the settings of the mode.

        Raises:
            SystemExit: With one sentence, if a setting is wrong.
        """
        crawl_begins()
        try:
            if shows_progress(settings):
                from concurcrawl.progress import watch  # most crawls show none

                watch.enable(settings, RANK)
            _look_at_cluster(settings)
            if is_watched(settings):
                from concurcrawl.monitor import extension  # most crawls are not

                extension.enable(settings, RANK)
            planned = decide(settings, self._crawler)
            if planned is None:
                control.warn_without_mode(settings)
                return
            plugins.refuse(settings)
            _claim(settings, self._crawler)
        except ConcurcrawlError as error:
            raise refusal(error, settings) from None
        _prepare_workers(settings, planned, self._crawler.spidercls)
        if scrapy_command():
            self._crawler.signals.connect(_look_for_garbage, signals.engine_started)
        self._crawler.signals.connect(self._let_it_close, signals.engine_started)
        if keeps_order(settings, planned) and not settings.getdict("ITEM_PIPELINES"):
            self._crawler.signals.connect(self._save_tasks, signals.engine_started)

    def _let_it_close(self) -> None:
        scraper.close_after_start_items(self._crawler.engine.scraper)

    def _save_tasks(self) -> None:
        if is_asyncio_available():
            scraper.handle_with_few_tasks(self._crawler.engine.scraper)


def _claim(settings: BaseSettings, crawler: Crawler) -> None:
    """Lock what only one crawl may use: its job in Redis or ``JOBDIR``, its feeds.

    Raises:
        FrontierError: If the crawl cannot be shared.
        JobDirError: If the ``JOBDIR`` cannot be used.
        FeedError: If another crawl writes one of the feeds.
    """
    from concurcrawl.durable import feed_locks  # most crawls have none

    if Config.from_settings(settings).frontier_url:
        from concurcrawl.frontier.redis import job_ref

        job_ref.claim(crawler, settings, RANK)
    elif settings["JOBDIR"]:
        from concurcrawl.durable import jobdir

        jobdir.claim(crawler, settings["JOBDIR"])
    else:
        return
    feed_locks.claim(crawler, settings)


def _prepare_workers(
    settings: BaseSettings, planned: Plan, spidercls: type[Spider] | None = None
) -> None:
    """Check that workers can be started, and start what they are forked from.

    Raises:
        SystemExit: With one sentence, if they cannot.
    """
    if not planned.is_supervised:
        return
    from concurcrawl.workers.launch import ways  # pulls in multiprocess

    try:
        config = Config.from_settings(settings)
        # On a cluster they are spawned on other machines.
        method = "spawn" if config.cluster else config.start_method
        ways.prepare(method, spidercls)
    except ConcurcrawlError as error:
        raise refusal(error, settings) from None


def _look_at_spans(settings: BaseSettings) -> None:
    """See that spans can be exported, if they are wanted.

    Raises:
        ConfigError: If the environment asks for what is not there.
        MissingExtraError: If OpenTelemetry is not installed.
    """
    if Config.from_settings(settings).otel:
        from concurcrawl.tracing import opentelemetry  # most crawls make none

        opentelemetry.check()


def _look_at_cluster(settings: BaseSettings) -> None:
    """Find out how many workers the cluster can have, if one is set.

    Raises:
        ConfigError: If its settings have a wrong value.
        MissingExtraError: If Dask is not installed.
        ClusterError: If the cluster cannot be reached.
    """
    if read_plan(settings) is None or PLACES in settings:
        return
    config = Config.from_settings(settings)
    if not config.cluster:
        return
    from concurcrawl.workers.launch.cluster import setup  # most crawls have none

    settings.set(PLACES, setup.count_places(config), RANK)


def _choose_loop(settings: BaseSettings) -> None:
    """Use uvloop in Scrapy's commands if it is installed and no loop is set.

    Not in scripts: one may install a reactor later, and Scrapy refuses a crawl whose
    setting names another loop than the one that runs.
    """
    name = "ASYNCIO_EVENT_LOOP"
    if scrapy_command() and not settings[name] and not is_reactor_installed():
        settings.set(name, event_loop.quickest(), "addon")


def _choose_resolver(settings: BaseSettings) -> None:
    """Use a resolver that needs no thread for an address, if none is set."""
    name = "TWISTED_DNS_RESOLVER"
    if settings.getpriority(name) == SETTINGS_PRIORITIES["default"]:
        settings.set(name, "concurcrawl.tuning.addresses.AddressResolver", "addon")


def _look_for_garbage() -> None:
    gc.leave_out_what_is_here()
    gc.look_less_often()
