"""What a worker reports for the receivers of signals that the supervisor has."""

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
    """Notes on outcomes what receivers in the supervisor want, and no more.

    Attributes:
        is_open: Whether signals of the project's own are passed on. What a middleware
            sends as the spider opens, the supervisor's has sent.
    """

    def __init__(
        self,
        crawler: WorkerCrawler,
        codec: Codec,
        here: Callable[[], RequestResult],
        is_leased: Callable[[Request | None], bool],
    ) -> None:
        """Report on *crawler*.

        Args:
            crawler: It.
            codec: Encodes what signals carry.
            here: Returns the outcome that the running code belongs to.
            is_leased: Returns whether a request is one that was leased.
        """
        self._crawler = crawler
        self._codec = codec
        self._here = here
        self._is_leased = is_leased
        self._listen = Subscribe()
        self._elsewhere = SignalsElsewhere()
        self._failed: set[int] = set()
        self.is_open = False

    def listen(self, message: Subscribe) -> None:
        """Report what *message* asks for, from now on."""
        self._listen = message
        self._elsewhere = SignalsElsewhere(message.own)

    def add_page(
        self, outcome: RequestResult, request: Request, page: Response
    ) -> None:
        """Note the response that the items of *outcome* came of."""
        is_whole = not _ITEMS.isdisjoint(self._listen.with_content)
        outcome.page = self._add_head(outcome, page, is_whole=is_whole)
        if is_whole:
            outcome.page_state = state_of(request, self._codec)

    def add(self, name: str, about: dict[str, Any]) -> None:
        """Note one of Scrapy's signals, unless nothing needs it."""
        listen = self._listen
        if name not in listen.signals:
            return
        request, response = about.get("request"), about.get("response")
        outcome, head = self._here(), None
        if response is not None and name in listen.with_response:
            is_whole = name in listen.with_content
            head = self._add_head(outcome, response, is_whole=is_whole)
            if is_whole and request is None:  # that of spider_error has it
                request = response.request
        failure = about.get("failure")
        told = None if failure is None else self._encode_failure(failure)
        other = latency_s = slot = state = None
        if request is not None:
            other = self._encode_other(request)
            latency_s = request.meta.get("download_latency")
            slot = request.meta.get("download_slot")
            if name in listen.with_request:
                state = state_of(request, self._codec)
        outcome.events.append(Event(name, head, told, other, latency_s, state, slot))

    def add_own(self, signal: Any, about: dict[str, Any]) -> None:
        """Note a signal of the project's own, if it has receivers elsewhere."""
        number = self._elsewhere.number_of(signal)
        if number is None or not self.is_open:
            return
        heard = tuple(map(receiver_name, receivers_of(self._crawler, signal)))
        try:
            event = OwnEvent(number, self._codec.encode(about), heard)
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

    def _add_head(
        self, outcome: RequestResult, response: Response, *, is_whole: bool
    ) -> int:
        whole = content_of(response, self._codec) if is_whole else None
        outcome.responses.append(meta_of(response, whole))
        return len(outcome.responses) - 1

    def _encode_other(self, request: Request) -> bytes | None:
        """Return a request that a callback downloads by itself as bytes."""
        if self._is_leased(request):
            return None
        try:
            return self._codec.encode(request)
        except NotShippableError:
            bare: Any = {"callback": None, "errback": None, "cb_kwargs": {}, "meta": {}}
        with suppress(NotShippableError):  # then they hear of the one that was lent
            return self._codec.encode(request.replace(**bare))
        return None

    def _encode_failure(self, failure: Failure) -> bytes:
        try:
            told = self._codec.encode(failure)
            self._codec.decode(told)
        except Exception:  # noqa: BLE001 - anybody's exceptions
            words = f"{type(failure.value).__name__}: {failure.getErrorMessage()}"
            told = self._codec.encode(Failure(RuntimeError(words)))
        return told
