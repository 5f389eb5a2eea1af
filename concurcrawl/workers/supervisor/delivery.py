"""How the items of a crawl come into its feeds: the contract of what sees to it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Protocol

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable, Sequence

    from concurcrawl.durable.start import StartOutputs
    from concurcrawl.workers.protocol.messages.signals import ResponseMeta


class Delivery(Protocol):
    """Keeps items from the end of their request until they are in the feeds.

    All is called in the event loop's thread.

    Attributes:
        is_kept: Whether items are kept at all; else numbers of items are empty.
        is_whole: Whether all that came of a request must be there at once.
        streams: Whether items are kept as lines, after the pipelines.
        is_selective: Whether :meth:`entry` may return None.
        start: What ``start()`` yields.
        process: Called with an item, encoded, the head of its response and its number;
            sends it through the pipelines.
        encode: Returns an item as bytes.
        decode: Returns what *encode* was given.
        on_failure: Called with the error if nothing can be kept any more.
    """

    is_kept: bool
    is_whole: bool
    streams: bool
    is_selective: bool
    start: StartOutputs
    process: Callable[[bytes, ResponseMeta | None, int], Awaitable[None]]
    encode: Callable[[object], bytes]
    decode: Callable[[bytes], Any]
    on_failure: Callable[[Exception], None]

    @property
    def is_replaying(self) -> bool:
        """Whether items of an earlier life, or of another node, are processed."""

    async def open(self) -> None:
        """Begin; the spider opens."""

    def entry(self, payload: bytes, head: ResponseMeta | None) -> bytes | None:
        """Return an item as it is kept, or None if it cannot be, which is logged."""

    async def through_pipelines(
        self, process: Callable[[], Awaitable[None]]
    ) -> list[bytes]:
        """Return the lines of what pipelines make of items; where it streams.

        Args:
            process: Sends them through the pipelines.
        """

    def processed(self, numbers: Sequence[int]) -> None:
        """Note that pipelines and feeds have had these items."""

    def in_turns(self, outputs: AsyncIterator[Any]) -> AsyncIterator[Any]:
        """Yield the *outputs* of ``start()`` that the engine is to have."""

    async def close(self) -> None:
        """Make the feeds safe for the last time."""
