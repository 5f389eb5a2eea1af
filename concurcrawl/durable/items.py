"""What deliveries use of the item pipelines."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Protocol

if TYPE_CHECKING:
    from concurcrawl.workers.protocol.messages.signals import ResponseMeta


class ItemCodec(Protocol):
    """Encodes items."""

    def encode(self, thing: object) -> bytes:
        """Return an item as bytes."""

    def decode(self, payload: bytes) -> Any:
        """Return an item that was encoded."""


class KeptItems(Protocol):
    """Processes items that came of no request that is leased now.

    Attributes:
        codec: Encodes and decodes items.
    """

    @property
    def codec(self) -> ItemCodec:
        """What encodes and decodes items."""

    async def process_kept(
        self, payload: bytes, meta: ResponseMeta | None, number: int
    ) -> None:
        """Send an item through the pipelines.

        Args:
            payload: The item, encoded.
            meta: Of the response that it came of, if there was one.
            number: Its number in the frontier.
        """
