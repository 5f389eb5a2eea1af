"""Lets the engine look for requests again when a delay is over."""

from __future__ import annotations

from typing import TYPE_CHECKING

from scrapy.utils.asyncio import call_later

if TYPE_CHECKING:
    from collections.abc import Callable

    from scrapy.utils.asyncio import CallLaterResult


class WakeTimer:
    """Wakes the engine once time alone lets a waiting request start."""

    def __init__(
        self, ready_in_s: Callable[[], float | None], wake: Callable[[], None]
    ) -> None:
        """Make one that is not set.

        Args:
            ready_in_s: Returns the seconds until then, or None.
            wake: Wakes the engine.
        """
        self._ready_in_s = ready_in_s
        self._wake = wake
        self._timer: CallLaterResult | None = None

    def set(self) -> None:
        """Set it, unless it is set or nothing waits for time."""
        if self._timer is None:
            wait_s = self._ready_in_s()
            if wait_s:
                self._timer = call_later(wait_s, self._on_time)

    def cancel(self) -> None:
        """Wake nothing any more."""
        if self._timer is not None:
            self._timer.cancel()

    def _on_time(self) -> None:
        self._timer = None
        self._wake()
