"""Reports signals to the receivers that the supervisor has."""

from __future__ import annotations

from contextlib import suppress
from typing import TYPE_CHECKING, Any

from twisted.python.failure import Failure

from concurcrawl.errors import NotShippableError
from concurcrawl.integrations.receivers import (
    SignalsElsewhere,
    receiver_name,
    receivers_of,
)
from concurcrawl.workers.protocol.messages.signals import Event, OwnEvent, Subscribe
from concurcrawl.workers.protocol.response_meta import content_of, meta_of, state_of

if TYPE_CHECKING:
    from collections.abc import Callable

    from scrapy import Request
    from scrapy.http import Response

    from concurcrawl.workers.protocol.messages.results import RequestResult
    from concurcrawl.workers.protocol.pickle_codec import Codec
    from concurcrawl.workers.worker.crawler import WorkerCrawler

_ITEMS = frozenset({"item_scraped", "item_dropped", "item_error"})


class Reports:
    """Adds to results what receivers in the supervisor take, and no more."""

    def __init__(
        self,
        crawler: WorkerCrawler,
        codec: Codec,
        here: Callable[[], RequestResult],
        is_leased: Callable[[Request | None], bool],
    ) -> None:
        """Report on *crawler*.

        Args:
            crawler: The worker's crawler.
            codec: Encodes the arguments of signals.
            here: Returns the result that the running code belongs to.
            is_leased: Returns whether a request is one that was leased.
        """
        self._crawler = crawler
        self._codec = codec
        self._here = here
        self._is_leased = is_leased
        self._wanted = Subscribe()
        self._elsewhere = SignalsElsewhere()
        self._failed: set[int] = set()
        self._is_started = False

    def start(self) -> None:
        """Report signals of the project's own from now on.

        Those that middlewares send while the spider opens are sent in the supervisor,
        too.
        """
        self._is_started = True

    def on_subscribe(self, message: Subscribe) -> None:
        """Report what *message* asks for, from now on."""
        self._wanted = message
        self._elsewhere = SignalsElsewhere(message.own)

    def add_page(
        self, result: RequestResult, request: Request, response: Response
    ) -> None:
        """Add the response that the items of *result* came from."""
        is_whole = not _ITEMS.isdisjoint(self._wanted.with_content)
        result.page = self._add_response(result, response, is_whole=is_whole)
        if is_whole:
            result.page_state = state_of(request, self._codec)

    def add(self, name: str, about: dict[str, Any]) -> None:
        """Add one of Scrapy's signals, if a receiver wants it.

        Args:
            name: Its name in ``scrapy.signals``.
            about: Its arguments.
        """
        wanted = self._wanted
        if name not in wanted.signals:
            return
        request, response = about.get("request"), about.get("response")
        result, index = self._here(), None
        if response is not None and name in wanted.with_response:
            is_whole = name in wanted.with_content
            index = self._add_response(result, response, is_whole=is_whole)
            if is_whole and request is None:  # spider_error passes no request
                request = response.request
        failure = about.get("failure")
        encoded = None if failure is None else self._encode_failure(failure)
        other = latency_s = slot = state = None
        if request is not None:
            other = self._encode_other(request)
            latency_s = request.meta.get("download_latency")
            slot = request.meta.get("download_slot")
            if name in wanted.with_request:
                state = state_of(request, self._codec)
        result.events.append(Event(name, index, encoded, other, latency_s, state, slot))

    def add_own(self, signal: Any, about: dict[str, Any]) -> None:
        """Add a signal of the project's own, if it has receivers elsewhere."""
        number = self._elsewhere.number_of(signal)
        if number is None or not self._is_started:
            return
        receivers = tuple(map(receiver_name, receivers_of(self._crawler, signal)))
        try:
            event = OwnEvent(number, self._codec.encode(about), receivers)
        except NotShippableError as error:
            if number in self._failed:
                return
            self._failed.add(number)
            event = OwnEvent(number, b"", problem=self._problem(about, error))
        self._here().events.append(event)

    def _problem(self, about: dict[str, Any], error: NotShippableError) -> str:
        for name, value in about.items():
            try:
                self._codec.encode(value)
            except NotShippableError as found:
                return f"{name}={found.what}: {found.reason}"
        return error.reason

    def _add_response(
        self, result: RequestResult, response: Response, *, is_whole: bool
    ) -> int:
        content = content_of(response, self._codec) if is_whole else None
        result.responses.append(meta_of(response, content))
        return len(result.responses) - 1

    def _encode_other(self, request: Request) -> bytes | None:
        """Encode a request that a callback downloads by itself; None if leased."""
        if self._is_leased(request):
            return None
        try:
            return self._codec.encode(request)
        except NotShippableError:
            bare: Any = {"callback": None, "errback": None, "cb_kwargs": {}, "meta": {}}
        with suppress(NotShippableError):  # receivers then get the leased request
            return self._codec.encode(request.replace(**bare))
        return None

    def _encode_failure(self, failure: Failure) -> bytes:
        try:
            encoded = self._codec.encode(failure)
            self._codec.decode(encoded)
        except Exception:  # noqa: BLE001 - exceptions may be of any class
            text = f"{type(failure.value).__name__}: {failure.getErrorMessage()}"
            encoded = self._codec.encode(Failure(RuntimeError(text)))
        return encoded
