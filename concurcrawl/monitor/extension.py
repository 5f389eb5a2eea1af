"""The extension that lets a crawl be seen while it runs."""

from __future__ import annotations

import logging
import secrets
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

from scrapy import signals
from scrapy.utils.asyncio import is_asyncio_available

from concurcrawl.compat import components
from concurcrawl.config import Config
from concurcrawl.control.address import given_token
from concurcrawl.control.door import ControlDoor
from concurcrawl.control.enable import opens_door
from concurcrawl.errors import ConfigError, ControlError, MissingExtraError
from concurcrawl.monitor import activity, last_values
from concurcrawl.monitor.address import Address, address_of
from concurcrawl.monitor.crawl_view import CrawlView
from concurcrawl.monitor.error_log import ErrorLog
from concurcrawl.monitor.last_values import LastValues
from concurcrawl.monitor.observer import Observer
from concurcrawl.monitor.processes import Processes
from concurcrawl.monitor.server import Dashboard, Server
from concurcrawl.tracing import meter

if TYPE_CHECKING:
    from collections.abc import Mapping

    from scrapy.crawler import Crawler
    from scrapy.settings import BaseSettings

    from concurcrawl.monitor.shared_job import SharedJob

logger = logging.getLogger(__name__)

METRICS = "CONCURCRAWL_METRICS"
DASHBOARD = "CONCURCRAWL_DASHBOARD"


def check(settings: BaseSettings) -> None:
    """See that what is switched on can be had.

    Raises:
        ConfigError: If an address is wrong, or the reactor is not asyncio's.
        MissingExtraError: If there is no prometheus-client for the metrics.
    """
    config = Config.from_settings(settings)
    metrics = address_of(METRICS, config.metrics)
    dashboard = address_of(DASHBOARD, config.dashboard)
    given_token(settings)  # raises if it is too short
    listens = metrics or dashboard  # or only the control door, which checks the same
    if (
        listens
        and settings.getbool("TWISTED_REACTOR_ENABLED")
        and "asyncio" not in str(settings["TWISTED_REACTOR"])
    ):
        name = DASHBOARD if metrics is None else METRICS
        expected = "empty unless TWISTED_REACTOR is Scrapy's default, that of asyncio"
        raise ConfigError(name, str(listens), expected)
    if metrics is not None:
        try:
            import prometheus_client  # noqa: F401 - an extra
        except ImportError:
            raise MissingExtraError(METRICS, "prometheus-client", "metrics") from None


def enable(settings: BaseSettings, rank: str) -> None:
    """Add what is needed to *settings*, for what is switched on.

    Raises:
        ConfigError: As :func:`check`.
        MissingExtraError: Likewise.
    """
    check(settings)
    config = Config.from_settings(settings)
    components.add(settings, "EXTENSIONS", {Monitor: 0}, rank)
    meter.enable(settings, rank, counts=bool(config.metrics))
    if config.dashboard or opens_door(settings):
        activity.enable(settings, rank)


class Monitor:
    """Serves metrics and the page of a crawl, from when its spider opens to its end."""

    def __init__(self, crawler: Crawler) -> None:
        config = Config.from_settings(crawler.settings)
        self._crawler = crawler
        self._metrics = address_of(METRICS, config.metrics)
        self._page = address_of(DASHBOARD, config.dashboard)
        self._errors = ErrorLog()
        self._observers: list[Observer] = []
        self._servers: list[Server] = []
        self._dashboard: Dashboard | None = None
        self._reason = ""
        logging.root.addHandler(self._errors)
        crawler.signals.connect(self._start, signals.spider_opened)
        crawler.signals.connect(self._note_reason, signals.spider_closed)
        crawler.signals.connect(self._stop, signals.engine_stopped)

    @classmethod
    def from_crawler(cls, crawler: Crawler) -> Self:
        """Make one for *crawler*."""
        return cls(crawler)

    async def _start(self) -> None:
        if not is_asyncio_available():
            return
        reports = activity.ActivityReports(self._crawler)
        view, processes = CrawlView(self._crawler, reports), Processes()
        servers: dict[Address, Server] = {}
        if self._metrics is not None:
            # A node's own: Prometheus adds nodes up.
            observer = self._observe(view, processes)
            server = servers[self._metrics] = Server(self._metrics)
            server.serve_metrics(observer.look)
        given = given_token(self._crawler.settings)
        token = given or secrets.token_urlsafe(16)
        door = self._crawler.get_extension(ControlDoor)
        if self._page is not None or door is not None:
            observer = self._observe(view, processes, _shared_job(self._crawler))
            self._dashboard = Dashboard(
                observer.values,
                token=token,
                is_open=self._page is not None and self._page.is_loopback,
                steering=Buttons(self._crawler) if view.mode else None,
                on_watched=lambda is_on: reports.listen(is_on=is_on),
            )
            if door is not None:
                door.stream = self._dashboard.stream
            self._forget_last()
        if self._page is not None and self._dashboard is not None:
            server = servers.setdefault(self._page, Server(self._page))
            self._dashboard.add_to(server.app)
        for address, server in servers.items():
            await self._listen(address, server, "" if given else f"#token={token}")

    def _observe(
        self, view: CrawlView, processes: Processes, job: SharedJob | None = None
    ) -> Observer:
        observer = Observer(view, processes, self._errors, job)
        self._observers.append(observer)
        return observer

    async def _listen(self, address: Address, server: Server, secret: str) -> None:
        try:
            found = await server.start()
        except OSError as error:
            name = METRICS if address == self._metrics else DASHBOARD
            logger.error(  # noqa: TRY400 - its sentence says it all
                "%s=%s: cannot listen there (%s); the crawl goes on without it.",
                name,
                address,
                error.strerror or error,
            )
            return
        self._servers.append(server)
        if address == self._metrics:
            logger.info("Metrics are at http://%s/metrics", found)
        if address == self._page:
            logger.info("The dashboard is at http://%s/%s", found, secret)

    @property
    def _jobdir(self) -> Path | None:
        """The folder for the last values; those of a job in Redis are there."""
        settings = self._crawler.settings
        if settings.get("CONCURCRAWL_FRONTIER_URL") or not settings["JOBDIR"]:
            return None
        return Path(settings["JOBDIR"])

    def _forget_last(self) -> None:
        if self._jobdir is not None:
            with suppress(OSError):  # the crawl itself says that its folder is bad
                last_values.forget(self._jobdir)

    async def _leave_last(self, dashboard: Dashboard) -> None:
        if self._jobdir is None:
            return
        left = LastValues(await self._observers[-1].values(), dashboard.history)
        try:
            left.write(self._jobdir)
        except OSError as error:
            logger.warning("%s: %s", self._jobdir / last_values.FILE, error)

    def _note_reason(self, reason: str) -> None:
        self._reason = reason

    async def _stop(self) -> None:
        logging.root.removeHandler(self._errors)
        for observer in self._observers:
            observer.end(self._reason)
        if self._dashboard is not None:
            await self._dashboard.end()
            await self._leave_last(self._dashboard)
        for server in self._servers:
            await server.stop()


class Buttons:
    """Does what the page's buttons say, through the crawl's controls."""

    def __init__(self, crawler: Crawler) -> None:
        from concurcrawl.control.operations import CrawlControl

        self._control = CrawlControl(crawler)

    async def do(self, what: str, arguments: Mapping[str, Any]) -> Any:
        """Do *what*.

        Raises:
            KeyError: If there is no such thing.
            ControlError: If it makes no sense, or is forbidden.
        """
        control = self._control
        actions: dict[str, Any] = {
            "pause": control.pause,
            "resume": control.resume,
            "stop": control.stop,
            "limits": control.change_limits,
            "retry": control.retry,
        }
        action = actions[what]
        try:
            done = action(**arguments)
        except TypeError as error:
            raise ControlError(f"{what}: {error}") from error
        return await done if hasattr(done, "__await__") else done


def _shared_job(crawler: Crawler) -> SharedJob | None:
    if not crawler.settings.get("CONCURCRAWL_FRONTIER_URL"):
        return None
    from concurcrawl.frontier.redis import job_ref
    from concurcrawl.monitor.shared_job import SharedJob  # needs an extra

    target = job_ref.claimed_by(crawler)
    return None if target is None else SharedJob(target)
