"""Sends the items and requests that callbacks yield."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from scrapy.exceptions import DropItem
from scrapy.utils.httpobj import urlparse_cached

from concurcrawl.errors import NotShippableError
from concurcrawl.workers.moved_pipelines import FailedItem
from concurcrawl.workers.protocol.messages.results import Product

if TYPE_CHECKING:
    from scrapy import Request
    from scrapy.utils.request import RequestFingerprinterProtocol

    from concurcrawl.workers.protocol.pickle_codec import Codec
    from concurcrawl.workers.worker.outbox import Outbox


class Products:
    """Encodes items and requests and adds them to the current result."""

    def __init__(
        self, codec: Codec, outbox: Outbox, fingerprinter: RequestFingerprinterProtocol
    ) -> None:
        self._codec = codec
        self._outbox = outbox
        self._fingerprinter = fingerprinter
        self._is_moving = False

    def add_item(self, item: Any) -> None:
        """Add an item.

        Raises:
            NotShippableError: If it cannot leave this process.
        """
        self._add(Product(True, self._codec.encode(item)))

    def add_failed_item(self, item: Any, error: Exception) -> None:
        """Add an item that a pipeline here has dropped, or failed with.

        Raises:
            NotShippableError: If the item cannot leave this process.
        """
        try:
            self.add_item(FailedItem(item, error))
        except NotShippableError:
            plain = DropItem if isinstance(error, DropItem) else RuntimeError
            stand_in = plain(f"{type(error).__name__}: {error}")
            self.add_item(FailedItem(item, stand_in))

    def add_request(self, request: Request, group: str) -> None:
        """Add a request that the spider or a middleware made.

        Args:
            request: The request.
            group: Group of hosts whose limits it shares.

        Raises:
            NotShippableError: If it cannot leave this process.
        """
        key = b""
        if not request.dont_filter:
            key = self._fingerprinter.fingerprint(request)
        product = Product(
            is_item=False,
            payload=self._codec.encode(request),
            key=key,
            host=_plain_host(request),
            group=group,
            priority=request.priority,
            is_start=bool(request.meta.get("is_start_request")),
        )
        self._add(product)

    def take_is_moving(self) -> bool:
        """Return whether anything was added since the last call."""
        is_moving, self._is_moving = self._is_moving, False
        return is_moving

    def _add(self, product: Product) -> None:
        self._outbox.add(product)
        self._is_moving = True


def _plain_host(request: Request) -> str:
    """Return the host of *request*; empty if there is none, or an IPv6 address."""
    try:
        host = urlparse_cached(request).hostname or ""
    except ValueError:  # an unclosed bracket, for example
        return ""
    return "" if ":" in host else host
