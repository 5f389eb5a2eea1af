"""How the items of a crawl come into its feeds: the contract of what sees to it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Protocol

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable, Sequence

    from concurcrawl.workers.protocol.messages.signals import ResponseMeta


class Delivery(Protocol):
    """Keeps items from the end of their request until they are in the feeds.

    All is called in the event loop's thread.

    Attributes:
        is_kept: Whether items are kept at all; else numbers of items are empty.
        is_whole: Whether all that came of a request must be there at once.
        streams: Whether items are kept as lines, after the pipelines.
    """

    is_kept: bool
    is_whole: bool
    streams: bool

    @property
    def is_replaying(self) -> bool:
        """Whether items of an earlier run, or of another node, are processed."""

    async def open(self) -> None:
        """Begin; the spider opens."""

    def entry(
        self, item: Any, payload: bytes, meta: ResponseMeta | None
    ) -> bytes | None:
        """Return an item as it is kept, or None if it cannot be, which is logged.

        Args:
            item: The item; None where it is not in memory and *payload* is enough.
            payload: The item, encoded.
            meta: Of the response that it came of.
        """

    async def through_pipelines(
        self, process: Callable[[], Awaitable[None]]
    ) -> list[bytes]:
        """Return the lines of what pipelines make of items; where it streams.

        Args:
            process: Sends them through the pipelines.
        """

    def kept(self, numbers: Sequence[int]) -> None:
        """Note that these items were committed and are processed here."""

    def processed(self, numbers: Sequence[int]) -> None:
        """Note that pipelines and feeds have had these items."""

    def in_turns(self, outputs: AsyncIterator[Any]) -> AsyncIterator[Any]:
        """Yield the *outputs* of ``start()`` that the engine is to have."""

    async def close(self) -> None:
        """Make the feeds safe for the last time."""
