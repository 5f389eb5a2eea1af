"""The plugins, and what each mode is expected to make of them. This is data."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from tests.plugins.verdicts import (
    SETUPS,
    WITH_WORKERS,
    AsPlain,
    Named,
    Refused,
    Verdict,
)

#: Threads in one process; processes of threads; processes without, and a JOBDIR.
_EACH_KIND = ("concurrent", "hybrid", "parallel + JOBDIR")

#: For what runs in a process like any other code of a project: one, and several.
_ONE_AND_SEVERAL = ("concurrent", "parallel + JOBDIR")

#: For one more use of something that another row has in all kinds of set-ups.
_ONE_MORE = ("hybrid",)

#: For what has one verdict in every set-up, decided from settings alone.
_AT_THE_START = ("parallel",)

#: For what differs between one process and several.
_BOTH_VERDICTS = ("concurrent", "parallel")

if TYPE_CHECKING:
    from collections.abc import Mapping


@dataclass(frozen=True, slots=True, kw_only=True)
class Case:
    """One row of the table.

    Attributes:
        name: Its identifier in tests.
        row: What the row says, after the packages.
        packages: Names on PyPI; ``pyproject.toml`` pins their versions.
        spider: Name of a spider in ``project``.
        module: Which of its modules has it; the others, with their plugins, are left
            out.
        settings: Settings of the crawl. ``{folder}``, ``{site}``, ``{redis}`` and
            ``{statsd}`` in a text stand for what the test has.
        cells: What is expected in set-ups in which it is not as in plain Scrapy.
        crawled: The set-ups in which it is crawled; the others are of the same kind.
        plain: Name of the case whose outcome in plain Scrapy is this one's as well.
        runs: How often the crawl runs, the last time counts.
        files: Folder whose files must be the same.
        says: Regular expressions; as many lines of the log must match each.
        stats: What the names of the stats begin with that must be the same.
        span_s: Least time between the first request that the site gets and the last;
            seconds.
    """

    name: str
    row: str
    packages: tuple[str, ...]
    spider: str = "pages"
    module: str = "pages"
    settings: Mapping[str, Any] = field(default_factory=dict)
    cells: Mapping[str, Verdict] = field(default_factory=dict)
    crawled: tuple[str, ...] = _EACH_KIND
    plain: str = ""
    runs: int = 1
    files: str = ""
    says: tuple[str, ...] = ()
    stats: tuple[str, ...] = ()
    span_s: float = 0.0

    def verdict(self, setup: str) -> Verdict:
        """Return what is expected in *setup*."""
        return self.cells.get(setup, AsPlain())


def _in(setups: tuple[str, ...], verdict: Verdict) -> dict[str, Verdict]:
    return dict.fromkeys(setups, verdict)


def _handlers(name: str) -> dict[str, str]:
    return {"http": name, "https": name}


_IMPERSONATE = "scrapy_impersonate.ImpersonateDownloadHandler"
_CURL_CFFI = "scrapy_curl_cffi.handlers.CurlCffiDownloadHandler"

_ZYTE: dict[str, Any] = {"ZYTE_API_URL": "{site}/v1/"}
_ZYTE_SETTINGS = _ZYTE | {
    "DOWNLOAD_HANDLERS": {
        "http": "scrapy_zyte_api.ScrapyZyteAPIDownloadHandler",
        "https": "scrapy_zyte_api.ScrapyZyteAPIDownloadHandler",
    },
    "DOWNLOADER_MIDDLEWARES": {
        "scrapy_zyte_api.ScrapyZyteAPIDownloaderMiddleware": 633,
        "scrapy_poet.InjectionMiddleware": 543,
    },
    "SPIDER_MIDDLEWARES": {"scrapy_zyte_api.ScrapyZyteAPISpiderMiddleware": 100},
    "REQUEST_FINGERPRINTER_CLASS": "scrapy_zyte_api.ScrapyZyteAPIRequestFingerprinter",
    "SCRAPY_POET_PROVIDERS": {"scrapy_zyte_api.providers.ZyteApiProvider": 1100},
    "ZYTE_API_TRANSPARENT_MODE": True,
}


def _zyte_addon(place: int) -> dict[str, Any]:
    addons = {"scrapy_zyte_api.Addon": place, "scrapy_poet.Addon": 300}
    return _ZYTE | {"ADDONS": {"concurcrawl.Addon": 500, **addons}}


_ONE_PROCESS = "Use `async` or `concurrent`, where one process downloads."

_FRONTIER = "Use `JOBDIR`, or `CONCURCRAWL_FRONTIER_URL` for several machines."

CASES = (
    Case(
        name="playwright",
        row="rendered pages, page methods, errback, page in hand; a page passed on in "
        "`playwright_page`; a login in a context",
        packages=("scrapy-playwright",),
        spider="rendered",
        module="browser",
    ),
    Case(
        name="playwright-profile",
        row="a context with `user_data_dir`",
        packages=("scrapy-playwright",),
        spider="profile",
        module="browser",
        settings={"PROFILE": "{folder}/profile"},
        cells=_in(WITH_WORKERS, Refused("user_data_dir", _ONE_PROCESS)),
        crawled=_BOTH_VERDICTS,
    ),
    Case(
        name="impersonate",
        row="a browser's fingerprint",
        packages=("scrapy-impersonate",),
        spider="impersonated",
        settings={"DOWNLOAD_HANDLERS": _handlers(_IMPERSONATE)},
        crawled=_ONE_AND_SEVERAL,
    ),
    Case(
        name="curl-cffi",
        row="a browser's fingerprint",
        packages=("scrapy-curl-cffi",),
        spider="impersonated",
        settings={
            "DOWNLOAD_HANDLERS": _handlers(_CURL_CFFI),
            "DOWNLOADER_MIDDLEWARES": {
                "scrapy_curl_cffi.middlewares.CurlCffiMiddleware": 200,
                "scrapy.downloadermiddlewares.useragent.UserAgentMiddleware": None,
                "scrapy_curl_cffi.middlewares.UserAgentMiddleware": 500,
            },
            "CURL_CFFI_OPTIONS": {"impersonate": "chrome"},
        },
        crawled=_ONE_MORE,
    ),
    Case(
        name="zyte-settings",
        row="by settings, with products",
        packages=("scrapy-zyte-api",),
        spider="zyte",
        module="zyte",
        settings=_ZYTE_SETTINGS,
    ),
    Case(
        name="zyte-before",
        row="by its add-on, before ours",
        packages=("scrapy-zyte-api",),
        spider="zyte",
        module="zyte",
        settings=_zyte_addon(400),
        crawled=_ONE_MORE,
        plain="zyte-settings",
    ),
    Case(
        name="zyte-after",
        row="by its add-on, after ours",
        packages=("scrapy-zyte-api",),
        spider="zyte",
        module="zyte",
        settings=_zyte_addon(600),
        crawled=_ONE_MORE,
        plain="zyte-settings",
    ),
    Case(
        name="poet",
        row="page objects",
        packages=("scrapy-poet", "web-poet"),
        spider="poet",
        module="poet",
        settings={"ADDONS": {"concurcrawl.Addon": 500, "scrapy_poet.Addon": 300}},
        crawled=_ONE_AND_SEVERAL,
    ),
    Case(
        name="spidermon",
        row="monitors",
        packages=("spidermon",),
        settings={
            "SPIDERMON_ENABLED": True,
            "EXTENSIONS": {"spidermon.contrib.scrapy.extensions.Spidermon": 500},
            "SPIDERMON_SPIDER_CLOSE_MONITORS": ["shop.monitors.Suite"],
        },
        says=(r"\[Spidermon\] OK",),
        crawled=_ONE_AND_SEVERAL,
    ),
    Case(
        name="deltafetch",
        row="two runs",
        packages=("scrapy-deltafetch",),
        settings={
            "SPIDER_MIDDLEWARES": {"shop.deltafetch.DeltaFetch": 100},
            "DELTAFETCH_ENABLED": True,
            "DELTAFETCH_DIR": "{folder}/seen",
        },
        runs=2,
        stats=("deltafetch/",),
        cells=_in(
            WITH_WORKERS, Refused("SPIDER_MIDDLEWARES=shop.deltafetch", _ONE_PROCESS)
        ),
        crawled=_BOTH_VERDICTS,
    ),
    Case(
        name="webarchive",
        row="an archive with all bodies",
        packages=("scrapy-webarchive",),
        settings={
            "EXTENSIONS": {
                "scrapy_webarchive.extensions.WaczExporter": 543,
                "shop.components.ReadsArchive": 544,
            },
            "SW_EXPORT_URI": "{folder}/archive/",
            "FOLDER": "{folder}/archive",
        },
        stats=("webarchive/",),
    ),
    Case(
        name="warcio",
        row="a middleware that writes archives",
        packages=("scrapy-warcio",),
        settings={"DOWNLOADER_MIDDLEWARES": {"shop.components.Warcio": 100}},
        cells=_in(
            WITH_WORKERS,
            Named("scrapy_warcio", "Give each worker a `warc_prefix` of its own."),
        ),
        crawled=_BOTH_VERDICTS,
    ),
    Case(
        name="sentry-sdk",
        row="errors, grouped by exception",
        packages=("scrapy-sentry-sdk", "sentry-sdk"),
        spider="reported",
        module="reported",
    ),
    Case(
        name="logging",
        row="a logging handler of an extension",
        packages=(),
        spider="broken",
        settings={"EXTENSIONS": {"shop.components.Shipper": 1}},
        crawled=_ONE_AND_SEVERAL,
    ),
    Case(
        name="own-signal",
        row="a signal of the project's own, from a middleware to an extension",
        packages=(),
        settings={
            "DOWNLOADER_MIDDLEWARES": {"shop.components.Sends": 1},
            "EXTENSIONS": {"shop.components.Hears": 1},
        },
        crawled=_ONE_AND_SEVERAL,
    ),
    Case(
        name="slot-delay",
        row="an extension that sets `slot.delay`",
        packages=(),
        settings={
            "EXTENSIONS": {"shop.components.Slows": 1},
            "RANDOMIZE_DOWNLOAD_DELAY": False,
        },
        span_s=1.5,  # of the six pages after the first, five wait for 0.3 s
    ),
    Case(
        name="extensions",
        row="an authorization header, retries after a delay",
        packages=("scrapy-extensions",),
        spider="flaky",
        settings={
            "DOWNLOADER_MIDDLEWARES": {
                "scrapy_extensions.middlewares.AuthHeaderMiddleware": 100,
                "scrapy.downloadermiddlewares.retry.RetryMiddleware": None,
                "scrapy_extensions.DelayedRetryMiddleware": 555,
            },
            "AUTH_HEADER_ENABLED": True,
            "DELAYED_RETRY_HTTP_CODES": [503],
            "DELAYED_RETRY_TIMES": 2,
            "DELAYED_RETRY_DELAY": 0.1,
        },
        crawled=_ONE_MORE,
    ),
    Case(
        name="redis-scheduler",
        row="its scheduler",
        packages=("scrapy-redis",),
        settings={"SCHEDULER": "scrapy_redis.scheduler.Scheduler"},
        cells=_in(
            SETUPS,
            Refused(
                "docs/coming-from-scrapy-redis.md",
                "See [coming from scrapy-redis](coming-from-scrapy-redis.md).",
            ),
        ),
        crawled=_AT_THE_START,
    ),
    Case(
        name="frontera",
        row="its scheduler",
        packages=("scrapy-frontera",),
        settings={"SCHEDULER": "scrapy_frontera.scheduler.FronteraScheduler"},
        cells=_in(SETUPS, Refused("SCHEDULER=scrapy_frontera", _FRONTIER)),
        crawled=_AT_THE_START,
    ),
    Case(
        name="apify",
        row="its scheduler",
        packages=("apify",),
        settings={"SCHEDULER": "apify.scrapy.scheduler.ApifyScheduler"},
        cells=_in(SETUPS, Refused("SCHEDULER=apify", _FRONTIER)),
        crawled=_AT_THE_START,
    ),
    Case(
        name="redis-spider",
        row="`RedisSpider` and `RedisPipeline`",
        packages=("scrapy-redis",),
        spider="queue",
        module="queue",
        settings={
            "REDIS_URL": "{redis}",
            "REDIS_ITEMS_KEY": "shop:items",
            "ITEM_PIPELINES": {"scrapy_redis.pipelines.RedisPipeline": 1},
        },
        says=(r"start_requests\(\) but not start\(\)",),
    ),
    Case(
        name="sqlalchemy",
        row="a pipeline that writes into a database",
        packages=("sqlalchemy",),
        settings={
            "ITEM_PIPELINES": {"shop.database.Stores": 1},
            "DATABASE": "sqlite:///{folder}/shop.db",
        },
        crawled=_ONE_AND_SEVERAL,
    ),
    Case(
        name="items",
        row="attrs, frozen attrs, pydantic, dataclass with slots, `Item`, dict",
        packages=("attrs", "pydantic"),
        spider="items",
        crawled=_ONE_AND_SEVERAL,
    ),
    Case(
        name="media",
        row="`ImagesPipeline` and `FilesPipeline`",
        packages=("pillow",),
        spider="media",
        settings={
            "ITEM_PIPELINES": {
                "scrapy.pipelines.images.ImagesPipeline": 1,
                "scrapy.pipelines.files.FilesPipeline": 2,
            },
            "IMAGES_STORE": "{folder}/media",
            "FILES_STORE": "{folder}/media",
        },
        files="media",
    ),
    Case(
        name="user-agents",
        row="a random agent, settings in the log, stats to statsd",
        packages=("scrapy-user-agents", "scrapy-settings-log", "scrapy-statsd"),
        settings={
            "DOWNLOADER_MIDDLEWARES": {
                "scrapy.downloadermiddlewares.useragent.UserAgentMiddleware": None,
                "scrapy_user_agents.middlewares.RandomUserAgentMiddleware": 400,
            },
            "RANDOM_UA_FILE": "agents.txt",  # its own are thousands, which it parses
            "EXTENSIONS": {"scrapy_settings_log.SpiderSettingsLogging": 1},
            "SETTINGS_LOGGING_ENABLED": True,
            "SETTINGS_LOGGING_REGEX": "SETTINGS_LOGGING_ENABLED",
            "STATS_CLASS": "scrapy_statsd.statscollectors.StatsDStatsCollector",
            "STATSD_HOST": "127.0.0.1",
            "STATSD_PORT": "{statsd}",
        },
        says=("SETTINGS_LOGGING_ENABLED.*rue",),
        crawled=_ONE_MORE,
    ),
    Case(
        name="rotating-proxies",
        row="two proxies, of which one is dead",
        packages=("scrapy-rotating-proxies",),
        settings={
            "DOWNLOADER_MIDDLEWARES": {
                "rotating_proxies.middlewares.RotatingProxyMiddleware": 610,
                "rotating_proxies.middlewares.BanDetectionMiddleware": 620,
            },
            "ROTATING_PROXY_LIST": ["{site}", "http://127.0.0.1:9"],
            "ROTATING_PROXY_PAGE_RETRY_TIMES": 20,
        },
        crawled=_ONE_MORE,
    ),
    Case(
        name="sentry-errors",
        row="errors of callbacks, by `spider_error`",
        packages=("scrapy-sentry-errors",),
        spider="reported_by_signal",
        module="reported",
        crawled=_ONE_MORE,
    ),
    Case(
        name="qos",
        row="a token bucket in a middleware",
        packages=("scrapy-qos",),
        settings={
            "DOWNLOADER_MIDDLEWARES": {"scrapy_qos.QosDownloaderMiddleware": 1},
            "QOS_IOPS_ENABLED": True,
            "QOS_IOPS_LIMIT": 20,
        },
        cells=_in(
            WITH_WORKERS,
            Refused(
                "CONCURCRAWL_RATE",
                "Set `CONCURCRAWL_RATE`, which counts over all processes.",
            ),
        ),
        crawled=_BOTH_VERDICTS,
    ),
    Case(
        name="itemlimit",
        row="a limit of items in a middleware",
        packages=("scrapy-itemlimit",),
        settings={
            "SPIDER_MIDDLEWARES": {
                "scrapy_itemlimit.middlewares.PerTargetItemLimitSpiderMiddleware": 1
            },
            "PER_TARGET_ITEM_LIMIT": 100,
        },
        cells=_in(WITH_WORKERS, Named("scrapy_itemlimit", _ONE_PROCESS)),
        crawled=_BOTH_VERDICTS,
    ),
    Case(
        name="count-filter",
        row="a limit of pages in a middleware",
        packages=("scrapy-count-filter",),
        spider="limited",
        settings={
            "DOWNLOADER_MIDDLEWARES": {
                "scrapy_count_filter.middleware.HostsCountFilterMiddleware": 995
            },
        },
        cells=_in(
            WITH_WORKERS,
            Named("signals.response_received=scrapy_count_filter", _ONE_PROCESS),
        ),
        crawled=_BOTH_VERDICTS,
    ),
)
