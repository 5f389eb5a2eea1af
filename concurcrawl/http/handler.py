"""The download handler for http and https, which blocks threads, not the reactor."""

from __future__ import annotations

import ipaddress
import logging
import time
from functools import lru_cache
from typing import TYPE_CHECKING, Any
from weakref import WeakKeyDictionary

import pycurl
from pydispatch.dispatcher import (  # type: ignore[import-untyped]
    getAllReceivers,
    liveReceivers,
)
from scrapy import signals
from scrapy.core.downloader.handlers.base import BaseDownloadHandler
from scrapy.exceptions import ResponseDataLossError, StopDownload
from scrapy.utils.defer import maybe_deferred_to_future
from twisted.internet.defer import DeferredSemaphore
from twisted.python.failure import Failure

from concurcrawl.config import Config
from concurcrawl.http import curl_options
from concurcrawl.http.executors import LoopThreads, ReactorThreads, Threads
from concurcrawl.http.handles import ClientPool, renew_key_log
from concurcrawl.http.plan import TransferLimits, TransferPlan
from concurcrawl.http.transfer import Transfer, TransferContext
from concurcrawl.limits import send_times
from concurcrawl.limits.handler import is_ours
from concurcrawl.tracing import collector
from concurcrawl.tuning import compression

if TYPE_CHECKING:
    from concurrent.futures import Future

    from scrapy import Request
    from scrapy.crawler import Crawler
    from scrapy.http import Response
    from scrapy.settings import BaseSettings

logger = logging.getLogger(__name__)

#: For a request without ``download_timeout``, as in Scrapy's handlers.
DEFAULT_TIMEOUT_S = 10.0
#: So many downloads at a time are as good as any number.
_ANY = 1 << 30
#: Seconds that addresses are cached, as libcurl does.
DNS_CACHE_S = 60.0
DNS_CACHE_NAMES = 10_000

#: Downloads that may start, by crawler. The limit is for http and https together, and
#: Scrapy makes a handler for each, without a way to pass them a common object.
_slots: WeakKeyDictionary[Crawler, DeferredSemaphore] = WeakKeyDictionary()


class ThreadedDownloadHandler(BaseDownloadHandler):
    """Downloads with libcurl, one blocked thread per request.

    The thread reads and builds the response. The reactor's thread starts requests,
    returns responses and sends the signals that have receivers.

    Args:
        crawler: Its settings have the same effects as with Scrapy's own handlers;
            ``CONCURCRAWL_THREADS`` limits the downloads in flight.
    """

    lazy = True

    #: Read by :mod:`concurcrawl.limits.send_times`.
    tells_when_sent = True

    def __init__(self, crawler: Crawler) -> None:
        super().__init__(crawler)
        settings = crawler.settings
        config = Config.from_settings(settings)
        self._most = self._most_of(settings, config) or _ANY
        self._width = min(
            self._most, max(config.threads, settings.getint("CONCURRENT_REQUESTS"))
        )
        self._has_reactor = settings.getbool("TWISTED_REACTOR_ENABLED")
        self._limits = TransferLimits.from_settings(settings)
        self._common = [
            *curl_options.tls_options(
                settings, is_for_https=is_ours(settings, "https")
            ),
            curl_options.version_option(config.http2),
        ]
        self._logs_tls = settings.getbool("DOWNLOADER_CLIENT_TLS_VERBOSE_LOGGING")
        try:
            renew_key_log()
        except OSError as error:
            logger.warning(
                "Cannot write TLS session keys to SSLKEYLOGFILE: %s. "
                "The crawl goes on without.",
                error,
            )
        self._bind = curl_options.bind_address(settings.get("DOWNLOAD_BIND_ADDRESS"))
        self._caches_dns = settings.getbool("DNSCACHE_ENABLED")
        self._addresses: dict[str, tuple[float, list[str]]] = {}
        self._clients = ClientPool(self._width)
        self._transfers: set[Transfer] = set()
        self._has_warned_of_loss = False
        self._threads: Threads | None = None

    async def download_request(self, request: Request) -> Response:
        """Download *request*.

        Raises:
            Exception: The same as Scrapy's own handlers, from ``scrapy.exceptions``.
        """
        slots = await self._acquire_slot()
        try:
            return await self._download(request)
        finally:
            slots.release()

    async def close(self) -> None:
        """Abort downloads and close connections, without waiting."""
        self._abort_all()
        self._clients.close()
        if self._threads is not None:
            self._threads.close()

    def _most_of(self, settings: BaseSettings, config: Config) -> int:
        """Return how many downloads there may be at a time; 0 means any number."""
        return config.threads

    async def _download(self, request: Request) -> Response:
        target = curl_options.target_of(request.url)
        route = curl_options.route_of(request, self._bind)
        collector.start(request)  # a prefetched request has waited until now
        timeout_s = request.meta.get("download_timeout") or DEFAULT_TIMEOUT_S
        started_s = time.monotonic()
        options = [
            *self._common,
            *curl_options.connection_options(target, route),
            *await self._address_options(target, route, timeout_s),
        ]
        looked_up_s = time.monotonic() - started_s
        plan = TransferPlan(
            request=request,
            target=target,
            route=route,
            options=options,
            limits=self._limits.of(request.meta),
            timeout_s=timeout_s,
            left_s=started_s + timeout_s - time.monotonic(),
            signals=self._received_signals(),
            wraps_certificate=self._has_reactor,
            logs_tls=self._logs_tls,
            inflates=compression.is_wanted(request),
        )
        transfer, response = await self._run(plan)
        collector.downloaded(
            request,
            thread=transfer.thread,
            ended_s=transfer.ended_s,
            connect_s=looked_up_s + transfer.connect_s,
        )
        return response

    async def _acquire_slot(self) -> DeferredSemaphore:
        slots = _slots.get(self.crawler)
        if slots is None:
            slots = _slots[self.crawler] = DeferredSemaphore(self._most)
        if slots.tokens:  # no need to wait
            slots.acquire()
            return slots
        acquired: list[object] = []
        waiting = slots.acquire().addCallback(acquired.append)
        try:
            await maybe_deferred_to_future(waiting)
        except BaseException:
            if acquired:  # cancelled after the semaphore was acquired
                slots.release()
            raise
        return slots

    async def _run(self, plan: TransferPlan) -> tuple[Transfer, Response]:
        transfer = self._new_transfer(plan, self._context(plan.request))
        self._transfers.add(transfer)
        try:
            response = await transfer.respond()
        except ResponseDataLossError:
            self._warn_of_loss(plan.request)
            raise
        finally:
            # Has an effect only if this task was cancelled.
            transfer.abort()
            self._transfers.discard(transfer)
            self._count(transfer)
        if transfer.inflated is not None:
            compression.hand_over(response, transfer.inflated)
        return transfer, response

    def _new_transfer(self, plan: TransferPlan, context: TransferContext) -> Transfer:
        return Transfer(plan, context)

    def _context(self, request: Request) -> TransferContext:
        def send_signal(
            verdict: Future[StopDownload | None], signal: object, **about: Any
        ) -> None:
            threads.call_soon(lambda: self._send(verdict, signal, request, about))

        def report_sent(at_s: float) -> None:
            threads.call_soon(lambda: send_times.sent(request, at_s))

        threads = self._started_threads()
        on_sent = report_sent if send_times.is_expected(request) else None
        return TransferContext(self._clients, threads, send_signal, on_sent)

    def _started_threads(self) -> Threads:
        if self._threads is None:
            self._threads = (
                ReactorThreads() if self._has_reactor else LoopThreads(self._width)
            )
            # A second Ctrl-C ends the reactor without close(); its end would wait for
            # blocked threads.
            self._threads.at_exit(self._abort_all)
        return self._threads

    def _abort_all(self) -> None:
        for transfer in tuple(self._transfers):
            transfer.abort()

    def _count(self, transfer: Transfer) -> None:
        stats = self.crawler.stats
        assert stats is not None
        stats.inc_value("concurcrawl/handler/requests")
        stats.inc_value("concurcrawl/handler/connections", transfer.connects)
        for level, message in transfer.notes:
            logger.log(level, message)

    def _warn_of_loss(self, request: Request) -> None:
        if not self._has_warned_of_loss:
            self._has_warned_of_loss = True
            logger.warning(
                "Got data loss in %s. To have such responses with the flag 'dataloss' "
                "instead of an error, set DOWNLOAD_FAIL_ON_DATALOSS = False. Further "
                "losses are not logged.",
                request.url,
            )

    def _received_signals(self) -> frozenset[object]:
        """Return the signals that have receivers; others cost no switch of threads."""
        sender = self.crawler.signals.sender
        return frozenset(
            signal
            for signal in (signals.headers_received, signals.bytes_received)
            if any(True for _ in liveReceivers(getAllReceivers(sender, signal)))
        )

    def _send(
        self,
        verdict: Future[StopDownload | None],
        signal: object,
        request: Request,
        about: dict[str, Any],
    ) -> None:
        if not verdict.set_running_or_notify_cancel():
            return
        answers = self.crawler.signals.send_catch_log(
            signal=signal, request=request, spider=self.crawler.spider, **about
        )
        stop = None
        for receiver, answer in answers:
            if isinstance(answer, Failure) and isinstance(answer.value, StopDownload):
                stop = answer.value
                name = getattr(receiver, "__qualname__", receiver)
                logger.debug(
                    "Download stopped for %s from signal handler %s", request, name
                )
                break
        verdict.set_result(stop)

    async def _address_options(
        self,
        target: curl_options.TransferTarget,
        route: curl_options.Route,
        timeout_s: float,
    ) -> list[curl_options.Option]:
        if route.proxy and not curl_options.is_http_proxy(route):
            return []  # a SOCKS proxy: libcurl decides which side resolves names
        place = curl_options.target_of(route.proxy) if route.proxy else target
        if _is_address(place.host):
            return []
        now_s = time.monotonic()
        valid_until_s, found = self._addresses.get(place.host, (0.0, []))
        if valid_until_s < now_s:
            found = await self._resolve(place, timeout_s)
            if self._caches_dns:
                if len(self._addresses) >= DNS_CACHE_NAMES:
                    self._addresses.clear()
                self._addresses[place.host] = now_s + DNS_CACHE_S, found
        return [(pycurl.RESOLVE, [f"{place.host}:{place.port}:{','.join(found)}"])]

    async def _resolve(
        self, place: curl_options.TransferTarget, timeout_s: float
    ) -> list[str]:
        return await self._started_threads().resolve(place.host, place.port, timeout_s)


@lru_cache(maxsize=1024)
def _is_address(host: str) -> bool:
    try:
        ipaddress.ip_address(host)
    except ValueError:
        return False
    return True
