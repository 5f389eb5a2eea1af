"""The one thing users enable: it turns ``MODE`` into Scrapy settings."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, Any, Self

from scrapy import signals
from scrapy.dupefilters import BaseDupeFilter, RFPDupeFilter
from scrapy.settings import SETTINGS_PRIORITIES
from scrapy.spiders import Spider
from scrapy.utils.asyncio import is_asyncio_available
from scrapy.utils.deprecate import method_is_overridden
from scrapy.utils.misc import load_object
from scrapy.utils.reactor import is_reactor_installed

from concurcrawl.compat import components, parts, scraper, spider_arguments
from concurcrawl.compat.stack import scrapy_command
from concurcrawl.config import Config
from concurcrawl.errors import ConcurcrawlError, ConfigError
from concurcrawl.integrations import plugins, scrapyd
from concurcrawl.integrations.finding import HAS_WORKERS
from concurcrawl.integrations.settings_findings import PARTS_OF_A_MODE
from concurcrawl.limits import handler, profile_middleware
from concurcrawl.limits.policy import PER_GROUP, Politeness
from concurcrawl.modes import (
    Mode,
    Plan,
    bound,
    hindrance,
    limits_of_a_site,
    plan,
    pool_threads,
)
from concurcrawl.startup_errors import refusal
from concurcrawl.tracing import collector
from concurcrawl.tuning import compression, event_loop, gc, meta_refresh, preload
from concurcrawl.workers.protocol.main_module import crawl_begins
from concurcrawl.workers.signals import end_cleanly_with_terminal

if TYPE_CHECKING:
    from scrapy.crawler import Crawler
    from scrapy.settings import BaseSettings

logger = logging.getLogger(__name__)

#: What a mode means beats every other source: an add-on's own priority is below the
#: project's, so a project with CONCURRENT_REQUESTS would make "serial" something else.
_RANK = "cmdline"

#: In the place of Scrapy's default, 100: it starts so many tasks for each response.
_CONCURRENT_ITEMS = 16
#: Where no pipeline may have to wait, so that several at a time gain nothing.
_ITEMS_WITHOUT_PIPELINES = 1

_SCRAPYS_HANDLER = "scrapy.core.downloader.handlers.http11.HTTP11DownloadHandler"
_STATS = "concurcrawl.compat.stats_collector.MergingStatsCollector"
_SPIDER_STATE = "scrapy.extensions.spiderstate.SpiderState"

#: Commands that look at one response, here and now, whatever MODE a project has set.
_LOOKING = {"bench", "check", "fetch", "parse", "shell", "view"}


class Addon:
    """Scrapy add-on; put ``{"concurcrawl.Addon": 500}`` in ``ADDONS``.

    Without ``MODE`` it changes nothing; it only shows progress if it is told to.
    """

    def __init__(self, crawler: Crawler) -> None:
        self._crawler = crawler

    @classmethod
    def from_crawler(cls, crawler: Crawler) -> Self:
        """Make one for *crawler*."""
        return cls(crawler)

    @classmethod
    def update_pre_crawler_settings(cls, settings: BaseSettings) -> None:
        """Do what must come before a reactor: size its pool, fork the workers' parent.

        Raises:
            SystemExit: With one sentence, if ``MODE`` or one of our settings is wrong.
                Raised later, it would leave the exit code of a script at 0.
        """
        crawl_begins()
        spider_arguments.record()
        try:
            _shows_progress(settings)  # says what is wrong with it
            if _is_seen(settings):
                from concurcrawl.monitor import extension  # most crawls are not

                extension.check(settings)
            _leave_to_frontier(settings)
            planned = _plan(settings)
            if planned is None:
                return
            _require_parts(settings, planned)
        except ConcurcrawlError as error:
            raise refusal(error, settings) from None
        _size_pool(settings, planned)
        _choose_loop(settings)
        if scrapy_command():  # else the process is not ours alone
            gc.put_off()
        preload.import_deprecated_classes()
        end_cleanly_with_terminal()
        _prepare_workers(settings, planned)

    def update_settings(self, settings: BaseSettings) -> None:
        """Write the settings of the mode.

        Raises:
            SystemExit: With one sentence, if ``MODE`` or one of our settings is wrong.
        """
        crawl_begins()
        try:
            if _shows_progress(settings):
                from concurcrawl.progress import watch  # most crawls show none

                watch.enable(settings, _RANK)
            if _is_seen(settings):
                from concurcrawl.monitor import extension  # most crawls are not

                extension.enable(settings, _RANK)
            planned = decide(settings, self._crawler)
            if planned is None:
                return
            plugins.refuse(settings)
            _claim(settings, self._crawler)
        except ConcurcrawlError as error:
            raise refusal(error, settings) from None
        _prepare_workers(settings, planned, self._crawler.spidercls)
        if scrapy_command():
            self._crawler.signals.connect(_look_for_garbage, signals.engine_started)
        if _keeps_order(settings, planned) and not settings.getdict("ITEM_PIPELINES"):
            self._crawler.signals.connect(self._save_tasks, signals.engine_started)

    def _save_tasks(self) -> None:
        if is_asyncio_available():
            scraper.handle_with_few_tasks(self._crawler.engine.scraper)


def decide(settings: BaseSettings, crawler: Crawler) -> Plan | None:
    """Write what the mode means into *settings*, and log what holds it back.

    Nothing else is touched: no file, no connection, no process. The start of a crawl
    and ``concurcrawl doctor`` both decide here, so that they agree.

    Args:
        settings: Of the crawl; changed.
        crawler: Its crawler; only its spider is looked at.

    Returns:
        The plan, or None without a mode.

    Raises:
        ConfigError: If ``MODE``, one of our settings, or one that must be Scrapy's own
            cannot be worked with.
        MovedPartError: If a release of Scrapy lacks a part that the mode touches.
    """
    _leave_to_frontier(settings)
    planned = _plan(settings)
    if planned is None:
        return None
    _require_parts(settings, planned)
    if Config.from_settings(settings).frontier_url:
        _share(settings)
    elif settings["JOBDIR"]:
        _make_durable(settings)
    _warn_if_without_start(crawler.spidercls)
    _keep_politeness(settings, planned, crawler)
    _size_pool(settings, planned)
    _apply(settings, planned)
    return planned


def _claim(settings: BaseSettings, crawler: Crawler) -> None:
    """Claim what one crawl has for itself: its job in Redis or ``JOBDIR``, its feeds.

    Raises:
        FrontierError: If the crawl cannot be shared.
        JobDirError: If the ``JOBDIR`` cannot be had.
        FeedError: If another crawl writes one of the feeds.
    """
    from concurcrawl.durable import feed_locks  # most crawls have none

    if Config.from_settings(settings).frontier_url:
        from concurcrawl.frontier.redis import job_ref

        job_ref.claim(crawler, settings, _RANK)
    elif settings["JOBDIR"]:
        from concurcrawl.durable import jobdir

        jobdir.claim(crawler, settings["JOBDIR"])
    else:
        return
    feed_locks.claim(crawler, settings)


def _prepare_workers(
    settings: BaseSettings, planned: Plan, spidercls: type[Spider] | None = None
) -> None:
    """See that workers can be started, if there are to be any.

    Raises:
        SystemExit: With one sentence, if they cannot.
    """
    if not planned.is_supervised:
        return
    from concurcrawl.workers.launch import ways  # pulls in multiprocess

    try:
        ways.prepare(Config.from_settings(settings).start_method, spidercls)
    except ConcurcrawlError as error:
        raise refusal(error, settings) from None


def _keeps_order(settings: BaseSettings, planned: Plan) -> bool:
    """Return whether requests must leave as in Scrapy with one at a time.

    With fewer ``CONCURRENT_ITEMS`` than a callback yields the next would be asked for
    before all of them were scheduled.
    """
    is_alone = planned.mode is Mode.SERIAL and not planned.is_supervised
    return is_alone and not settings.getpriority("CONCURRENT_ITEMS")


def _look_for_garbage() -> None:
    gc.leave_out_what_is_here()
    gc.look_less_often()


def _make_durable(settings: BaseSettings) -> None:
    """Have feeds that can be continued."""
    from concurcrawl.compat import feed_export
    from concurcrawl.durable import feeds

    feeds.enable(settings, _RANK)
    feed_export.enable(settings, _RANK)
    _keep_state(settings)


def _require_parts(settings: BaseSettings, planned: Plan) -> None:
    """See that the parts are there which the crawl is about to touch.

    Raises:
        MovedPartError: If some are not.
    """
    handlers = settings.getwithbase("DOWNLOAD_HANDLERS").values()
    uses = {
        "MODE": True,
        "workers": planned.is_supervised,
        "JOBDIR": settings["JOBDIR"],
        "CONCURCRAWL_FRONTIER_URL": settings.get("CONCURCRAWL_FRONTIER_URL"),
        # Workers download otherwise, and to import it here would take time.
        "Scrapy's download handler": not (
            planned.mode.has_threads or planned.is_supervised
        )
        and _SCRAPYS_HANDLER in handlers,
    }
    parts.require(*(use for use, is_due in uses.items() if is_due))


def _keep_state(settings: BaseSettings) -> None:
    """Have ``spider.state`` kept by the supervisor, unless that is switched off."""
    from concurcrawl.durable.state import KEEPS_STATE

    if components.is_on(settings, "EXTENSIONS", _SPIDER_STATE):
        components.add(settings, "EXTENSIONS", {_SPIDER_STATE: None}, _RANK)
        settings.set(KEEPS_STATE, True, _RANK)


def _leave_to_frontier(settings: BaseSettings) -> None:
    """Drop the ``JOBDIR`` that Scrapyd gives to each job, if nodes share the crawl.

    Nobody asked for it with this job: it is ``jobs_dir`` of the server.
    """
    if scrapyd.is_job() and settings.get("CONCURCRAWL_FRONTIER_URL"):
        settings.set("JOBDIR", None, _RANK)


def _share(settings: BaseSettings) -> None:
    """Have feeds that hold lines back, and limits of all nodes together.

    Raises:
        ConfigError: If there is a ``JOBDIR`` too, or a duplicate filter of one node.
    """
    from concurcrawl.durable import feeds
    from concurcrawl.nodes import feeds as node_feeds

    if settings["JOBDIR"]:
        expected = "empty with CONCURCRAWL_FRONTIER_URL: Redis keeps what is left to do"
        raise ConfigError("JOBDIR", settings["JOBDIR"], expected)
    _refuse_own_filter(settings)
    feeds.enable(settings, _RANK, node_feeds.HeldCsv)
    if Config.from_settings(settings).frontier_items != "stream":
        node_feeds.warn_of_unheld(settings)
    closing = {
        "scrapy.extensions.closespider.CloseSpider": None,
        "concurcrawl.nodes.closespider.NodeCloseSpider": 0,
    }
    components.add(settings, "EXTENSIONS", closing, _RANK)


def _refuse_own_filter(settings: BaseSettings) -> None:
    """Refuse a duplicate filter that each node would have to itself.

    Raises:
        ConfigError: If there is one.
    """
    name = "DUPEFILTER_CLASS"
    if load_object(settings[name]) not in (RFPDupeFilter, BaseDupeFilter):
        expected = (
            "Scrapy's own with CONCURCRAWL_FRONTIER_URL: Redis filters duplicates for "
            "all nodes, and a filter in each would let a page pass at every node; say "
            "what is a duplicate by REQUEST_FINGERPRINTER_CLASS"
        )
        raise ConfigError(name, settings[name], expected)


def _apply(settings: BaseSettings, planned: Plan) -> None:
    """Write what *planned* means into *settings*."""
    settings.set(HAS_WORKERS, planned.is_supervised, _RANK)
    for name, value in planned.settings.items():
        if isinstance(value, dict):
            components.fill(settings, name, value)
        elif name in PARTS_OF_A_MODE:
            # The lowest rank: a project's own is refused, also if it is set later.
            settings.set(name, value, "default")
        else:
            settings.set(name, value, _RANK)
    ours = {
        f"{plugins.__name__}.{plugins.Inspector.__name__}": 0,
        "concurcrawl.watchdog.blocked.BlockWatch": 0,
    }
    components.add(settings, "EXTENSIONS", ours, _RANK)
    settings.set("CONCURCRAWL_SLOTS", list(planned.slots), _RANK)
    settings.set(handler.AHEAD, planned.ahead, _RANK)
    meta_refresh.enable(settings, _RANK)
    compression.enable(settings, _RANK)
    is_ours = not settings.getpriority("CONCURRENT_ITEMS")
    if is_ours and not _keeps_order(settings, planned):
        can_wait = planned.is_supervised or settings.getdict("ITEM_PIPELINES")
        items = _CONCURRENT_ITEMS if can_wait else _ITEMS_WITHOUT_PIPELINES
        settings.set("CONCURRENT_ITEMS", items, _RANK)
    profile_middleware.enable(settings, _RANK)
    # Its rule is the gate's, which hears of the answers that all workers get.
    throttle = {"scrapy.extensions.throttle.AutoThrottle": None}
    components.add(settings, "EXTENSIONS", throttle, _RANK)
    scrapyd.enable(settings, _RANK)
    _count_memory(settings, planned)
    if Config.from_settings(settings).records:
        collector.enable(settings, _RANK)
    if settings["STATS_CLASS"] == "scrapy.statscollectors.MemoryStatsCollector":
        settings.set("STATS_CLASS", _STATS, _RANK)


def _count_memory(settings: BaseSettings, planned: Plan) -> None:
    """Have ``MEMUSAGE_*`` count workers, where there are any."""
    if planned.is_supervised:
        from concurcrawl.workers.supervisor import memory

        memory.enable(settings, _RANK)


def chosen_mode(settings: BaseSettings) -> Mode | None:
    """Return the mode that is set, or None if none is.

    Raises:
        ConfigError: If ``MODE``, or ``CONCURCRAWL_MODE`` where it is set, is no mode.
    """
    name, expected = "CONCURCRAWL_MODE", f"one of {', '.join(Mode)}"
    value = settings.get(name)
    if value is None:
        name, value = "MODE", settings.get("MODE")
        expected += (
            "; if MODE is a setting of this project's own, set CONCURCRAWL_MODE, which "
            "wins (empty for none)"
        )
    if value is None or value == "":
        return None
    try:
        return Mode(value)
    except ValueError as error:
        raise ConfigError(name, value, expected) from error


def _shows_progress(settings: BaseSettings) -> bool:
    if settings.get("CONCURCRAWL_PROGRESS") is None or scrapy_command() in _LOOKING:
        return False
    return Config.from_settings(settings).progress


def _is_seen(settings: BaseSettings) -> bool:
    """Return whether metrics or the page are switched on."""
    names = ("CONCURCRAWL_METRICS", "CONCURCRAWL_DASHBOARD")
    return scrapy_command() not in _LOOKING and any(map(settings.get, names))


def _plan(settings: BaseSettings) -> Plan | None:
    mode = chosen_mode(settings)
    if mode is None or scrapy_command() in _LOOKING:
        return None
    name = "CONCURRENT_REQUESTS"
    value: Any = settings.get(name)
    expected = "a whole number >= 0 (requests; 0 means no limit)"
    try:
        concurrent_requests = int(value)
    except (TypeError, ValueError) as error:
        raise ConfigError(name, value, expected) from error
    if concurrent_requests < 0:
        raise ConfigError(name, value, expected)
    planned = plan(
        mode,
        Config.from_settings(settings),
        concurrent_requests=concurrent_requests,
        is_bound=bool(settings.getpriority(name)),
        is_durable=bool(settings["JOBDIR"]),
    )
    if planned.is_supervised:
        _require_asyncio(settings)
    Politeness.from_settings(settings)  # says what is wrong with its settings
    return planned


def _require_asyncio(settings: BaseSettings) -> None:
    """Refuse a reactor on which supervisor and workers cannot talk.

    Raises:
        ConfigError: If the reactor that is set is not asyncio's.
    """
    name, found = "TWISTED_REACTOR", settings["TWISTED_REACTOR"]
    wanted = "twisted.internet.asyncioreactor.AsyncioSelectorReactor"
    if settings.getbool("TWISTED_REACTOR_ENABLED") and found != wanted:
        raise ConfigError(name, found, f"{wanted!r} (Scrapy's default) with this MODE")


def _size_pool(settings: BaseSettings, planned: Plan) -> None:
    name = "REACTOR_THREADPOOL_MAXSIZE"
    threads = pool_threads(
        planned.mode, max(planned.slots), Config.from_settings(settings)
    )
    if threads > settings.getint(name):
        settings.set(name, threads, _RANK)


def _choose_loop(settings: BaseSettings) -> None:
    """Have Scrapy's commands use the quickest loop, unless somebody chose one.

    A script may install a reactor of its own later, and Scrapy refuses a crawl whose
    setting is not the loop that runs.
    """
    name = "ASYNCIO_EVENT_LOOP"
    if scrapy_command() and not settings[name] and not is_reactor_installed():
        settings.set(name, event_loop.quickest(), "addon")


def _keep_politeness(settings: BaseSettings, planned: Plan, crawler: Crawler) -> None:
    """Lift Scrapy's default limit per site; keep and name a limit somebody wrote."""
    name = "CONCURRENT_REQUESTS_PER_DOMAIN"
    limit = _per_domain(settings, crawler.spider or crawler.spidercls)
    settings.set(PER_GROUP, limit, _RANK)
    if not limit:
        settings.set(name, planned.in_flight or 1 << 30, _RANK)
    found = limits_kept(settings, planned)
    for sentence in filter(None, (bound(planned), hindrance(planned, found))):
        logger.warning(sentence)


def limits_kept(settings: BaseSettings, planned: Plan) -> tuple[str, ...]:
    """Return what the project limits on each site, as ``NAME=value``.

    Args:
        settings: Those that :func:`decide` has written.
        planned: What it returned.
    """
    return limits_of_a_site(
        planned,
        delay_s=settings.getfloat("DOWNLOAD_DELAY"),
        per_domain=settings.getint(PER_GROUP),
        throttled=settings.getbool("AUTOTHROTTLE_ENABLED"),
    )


def _per_domain(settings: BaseSettings, spider: Spider | type[Spider]) -> int:
    """Return the limit per site that a person wrote, 0 for none.

    Scrapy turns the attribute into the setting, but only after add-ons were asked.
    """
    name = "CONCURRENT_REQUESTS_PER_DOMAIN"
    rank = settings.getpriority(name) or 0
    attribute = getattr(spider, "max_concurrent_requests", None)
    if attribute is not None and rank < SETTINGS_PRIORITIES["spider"]:
        return int(attribute)
    return settings.getint(name) if rank else 0


def _package_of(cls: type) -> str:
    return cls.__module__.partition(".")[0]


def _warn_if_without_start(spidercls: type[Spider]) -> None:
    # Scrapy 2.19 ends such a crawl as "finished" with no request and no word. A library
    # that has start_requests() feeds its spiders by other means.
    owners = [cls for cls in spidercls.__mro__ if "start_requests" in vars(cls)]
    is_own = bool(owners) and _package_of(owners[0]) == _package_of(spidercls)
    if is_own and not method_is_overridden(spidercls, Spider, "start"):
        logger.warning(
            "%s defines start_requests() but not start(): this Scrapy no longer calls "
            "start_requests(), so nothing of it is crawled. Rename it to "
            "'async def start(self)' and yield the requests.",
            spidercls.__name__,
        )
