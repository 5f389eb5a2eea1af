"""Write the Scrapy settings that a mode means."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING

from scrapy.dupefilters import BaseDupeFilter, RFPDupeFilter
from scrapy.settings import SETTINGS_PRIORITIES
from scrapy.utils.misc import load_object
from scrapy.utils.python import global_object_name

from concurcrawl.compat import components
from concurcrawl.config import Config
from concurcrawl.control import enable as control
from concurcrawl.errors import ConfigError
from concurcrawl.integrations import plugins, scrapyd
from concurcrawl.integrations.finding import HAS_WORKERS
from concurcrawl.integrations.settings_findings import PARTS_OF_A_MODE
from concurcrawl.limits import handler, profile_middleware
from concurcrawl.limits.policy import PER_GROUP
from concurcrawl.mode_checks import read_plan, require_parts, warn_if_without_start
from concurcrawl.modes import (
    IN_FLIGHT,
    LOOP_HANDLER,
    MOST_WORKERS,
    Mode,
    Plan,
    bound,
    hindrance,
    limits_of_a_site,
    pool_threads,
)
from concurcrawl.tracing import collector
from concurcrawl.tuning import compression, meta_refresh
from concurcrawl.workers import moved_pipelines

if TYPE_CHECKING:
    from scrapy.crawler import Crawler
    from scrapy.settings import BaseSettings
    from scrapy.spiders import Spider

logger = logging.getLogger(__name__)

#: What a mode means beats every other source: an add-on's own priority is below the
#: project's, so a project with CONCURRENT_REQUESTS would make "serial" something else.
RANK = "cmdline"

#: Instead of Scrapy's default of 100: it starts this many tasks for each response.
_CONCURRENT_ITEMS = 16
#: Without pipelines nothing waits, so more tasks than one gain nothing.
_ITEMS_WITHOUT_PIPELINES = 1

_STATS = "concurcrawl.compat.stats_collector.MergingStatsCollector"
_SPIDER_STATE = "scrapy.extensions.spiderstate.SpiderState"


def decide(settings: BaseSettings, crawler: Crawler) -> Plan | None:
    """Write what the mode means into *settings*, and log what holds it back.

    It opens no file or connection and starts no process, so that ``concurcrawl doctor``
    can call it too and reports what a crawl would do.

    Args:
        settings: Of the crawl; they are changed.
        crawler: Its crawler; only the spider is read.

    Returns:
        The plan, or None without a mode.

    Raises:
        ConfigError: If ``MODE``, one of our settings, or one that must be Scrapy's own
            is invalid.
        MovedPartError: If a release of Scrapy lacks a part that the mode touches.
    """
    leave_to_frontier(settings)
    planned = read_plan(settings)
    if planned is None:
        return None
    require_parts(settings, planned)
    if Config.from_settings(settings).frontier_url:
        _share(settings)
    elif settings["JOBDIR"]:
        _make_durable(settings)
    warn_if_without_start(crawler.spidercls)
    _keep_politeness(settings, planned, crawler)
    size_pool(settings, planned)
    _apply(settings, planned)
    return planned


def limits_kept(settings: BaseSettings, planned: Plan) -> tuple[str, ...]:
    """Return what the project limits on each site, as ``NAME=value``.

    Args:
        settings: As :func:`decide` left them.
        planned: Its result.
    """
    return limits_of_a_site(
        planned,
        delay_s=settings.getfloat("DOWNLOAD_DELAY"),
        per_domain=settings.getint(PER_GROUP),
        throttled=settings.getbool("AUTOTHROTTLE_ENABLED"),
    )


def _keep_politeness(settings: BaseSettings, planned: Plan, crawler: Crawler) -> None:
    """Lift Scrapy's default limit per site, but keep and log one that is set."""
    name = "CONCURRENT_REQUESTS_PER_DOMAIN"
    limit = _per_domain(settings, crawler.spider or crawler.spidercls)
    settings.set(PER_GROUP, limit, RANK)
    if not limit:
        settings.set(name, planned.in_flight or 1 << 30, RANK)
    found = limits_kept(settings, planned)
    for sentence in filter(None, (bound(planned), hindrance(planned, found))):
        logger.warning(sentence)


def _per_domain(settings: BaseSettings, spider: Spider | type[Spider]) -> int:
    """Return the limit per site that the project or the spider sets, 0 for none.

    Scrapy copies the spider's attribute into the setting after add-ons have run.
    """
    name = "CONCURRENT_REQUESTS_PER_DOMAIN"
    rank = settings.getpriority(name) or 0
    attribute = getattr(spider, "max_concurrent_requests", None)
    if attribute is not None and rank < SETTINGS_PRIORITIES["spider"]:
        return int(attribute)
    return settings.getint(name) if rank else 0


def size_pool(settings: BaseSettings, planned: Plan) -> None:
    """Make the reactor's thread pool large enough for the downloads of a process."""
    name = "REACTOR_THREADPOOL_MAXSIZE"
    threads = pool_threads(
        planned.mode, max(planned.slots), Config.from_settings(settings)
    )
    if threads > settings.getint(name):
        settings.set(name, threads, RANK)


def leave_to_frontier(settings: BaseSettings) -> None:
    """Drop the ``JOBDIR`` that Scrapyd gives to each job if nodes share the crawl.

    It comes from ``jobs_dir`` in the server's configuration, not from the user.
    """
    if scrapyd.is_job() and settings.get("CONCURCRAWL_FRONTIER_URL"):
        settings.set("JOBDIR", None, RANK)


def _make_durable(settings: BaseSettings) -> None:
    """Enable feeds that a resumed crawl can continue."""
    from concurcrawl.compat import feed_export
    from concurcrawl.durable import feeds

    feeds.enable(settings, RANK)
    feed_export.enable(settings, RANK)
    _keep_state(settings)


def _keep_state(settings: BaseSettings) -> None:
    """Let the supervisor keep ``spider.state``, unless its extension is disabled."""
    from concurcrawl.durable.state import KEEPS_STATE

    if components.is_on(settings, "EXTENSIONS", _SPIDER_STATE):
        components.add(settings, "EXTENSIONS", {_SPIDER_STATE: None}, RANK)
        settings.set(KEEPS_STATE, True, RANK)


def _share(settings: BaseSettings) -> None:
    """Enable what a crawl of several nodes needs: held feeds and common close limits.

    Raises:
        ConfigError: If ``JOBDIR`` or a duplicate filter of the project's own is set.
    """
    from concurcrawl.durable import feeds
    from concurcrawl.nodes import feeds as node_feeds

    if settings["JOBDIR"]:
        expected = "empty with CONCURCRAWL_FRONTIER_URL: Redis keeps what is left to do"
        raise ConfigError("JOBDIR", settings["JOBDIR"], expected)
    _refuse_own_filter(settings)
    feeds.enable(settings, RANK, node_feeds.HeldCsv)
    if Config.from_settings(settings).frontier_items != "stream":
        node_feeds.warn_of_unheld(settings)
    closing = {
        "scrapy.extensions.closespider.CloseSpider": None,
        "concurcrawl.nodes.closespider.NodeCloseSpider": 0,
    }
    components.add(settings, "EXTENSIONS", closing, RANK)


def _refuse_own_filter(settings: BaseSettings) -> None:
    """Refuse a duplicate filter that would know only the requests of one node.

    Raises:
        ConfigError: If one is set.
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
    settings.set(HAS_WORKERS, planned.is_supervised, RANK)
    for name, value in planned.settings.items():
        if name == "DOWNLOAD_HANDLERS":
            components.fill(settings, name, _handlers(settings, planned))
        elif name in PARTS_OF_A_MODE:
            # The lowest priority, so that a project's own value is seen and refused,
            # even if another add-on sets it later.
            settings.set(name, value, "default")
        else:
            settings.set(name, value, RANK)
    ours = {
        f"{plugins.__name__}.{plugins.Inspector.__name__}": 0,
        "concurcrawl.watchdog.blocked.BlockWatch": 0,
    }
    components.add(settings, "EXTENSIONS", ours, RANK)
    _divide_slots(settings, planned)
    meta_refresh.enable(settings, RANK)
    compression.enable(settings, RANK)
    is_ours = not settings.getpriority("CONCURRENT_ITEMS")
    if is_ours and not keeps_order(settings, planned):
        can_wait = planned.is_supervised or settings.getdict("ITEM_PIPELINES")
        items = _CONCURRENT_ITEMS if can_wait else _ITEMS_WITHOUT_PIPELINES
        settings.set("CONCURRENT_ITEMS", items, RANK)
    profile_middleware.enable(settings, RANK)
    # The limiter does its work: it sees the answers that all workers get.
    throttle = {"scrapy.extensions.throttle.AutoThrottle": None}
    components.add(settings, "EXTENSIONS", throttle, RANK)
    scrapyd.enable(settings, RANK)
    control.enable(settings, RANK)
    _have_node_report(settings)
    _use_workers(settings, planned)
    config = Config.from_settings(settings)
    if config.records or config.otel:
        collector.enable(settings, RANK)
    if settings["STATS_CLASS"] == "scrapy.statscollectors.MemoryStatsCollector":
        settings.set("STATS_CLASS", _STATS, RANK)


def _handlers(settings: BaseSettings, planned: Plan) -> dict[str, str]:
    """Return the mode's download handlers, by scheme.

    A context factory of the project's own makes Twisted's TLS connections. Where
    nothing needs threads, Scrapy's handler for https stays, so that it has its effect;
    with threads it is named as without effect.
    """
    handlers: dict[str, str] = dict(planned.settings["DOWNLOAD_HANDLERS"])
    factory = settings["DOWNLOADER_CLIENTCONTEXTFACTORY"]
    path = factory if isinstance(factory, str) else global_object_name(factory)
    is_own = path != "SENTINEL" and not path.startswith("scrapy.")
    if is_own and handlers["https"] == LOOP_HANDLER:
        del handlers["https"]
    return handlers


def _have_node_report(settings: BaseSettings) -> None:
    """Let a node say what it takes, for pages that show the whole job."""
    if Config.from_settings(settings).frontier_url:
        reports = {"concurcrawl.monitor.node_reports.NodeReports": 0}
        components.add(settings, "EXTENSIONS", reports, RANK)


def _divide_slots(settings: BaseSettings, planned: Plan) -> None:
    """Write how many requests each process may have in flight."""
    settings.set("CONCURCRAWL_SLOTS", list(planned.slots), RANK)
    settings.set(handler.PREFETCH, planned.prefetch, RANK)
    settings.set(MOST_WORKERS, planned.most, RANK)
    settings.set(IN_FLIGHT, planned.in_flight if planned.is_divided else 0, RANK)


def keeps_order(settings: BaseSettings, planned: Plan) -> bool:
    """Return whether requests must be sent in the order of Scrapy with one at a time.

    With fewer ``CONCURRENT_ITEMS`` than a callback yields, the next request would be
    sent before all of them are scheduled.
    """
    is_alone = planned.mode is Mode.SERIAL and not planned.is_supervised
    return is_alone and not settings.getpriority("CONCURRENT_ITEMS")


def _use_workers(settings: BaseSettings, planned: Plan) -> None:
    """Make ``MEMUSAGE_*`` count the workers' memory too, and move pipelines to them."""
    if planned.is_supervised:
        from concurcrawl.workers.supervisor import memory

        memory.enable(settings, RANK)
        if pipelines := Config.from_settings(settings).worker_pipelines:
            moved_pipelines.move(settings, pipelines, RANK)
