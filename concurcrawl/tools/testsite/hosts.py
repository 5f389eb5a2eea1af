"""Counts per host of the test site: peaks, gaps, and requests during a pause."""

from __future__ import annotations

from functools import lru_cache

#: A request may be on its way already when the answer that asks for a pause leaves.
GRACE_S = 0.05


class HostTally:
    """Keeps one host's numbers. One thread only; the caller brings the clock.

    Attributes:
        in_flight: Requests under way now.
        peak_in_flight: Most requests at once.
        min_gap_s: Shortest time between two arrivals; None before the second.
        during_pause: Requests that arrived while it had asked to be left alone.
    """

    __slots__ = (
        "_last_arrival_s",
        "_pauses",
        "during_pause",
        "in_flight",
        "min_gap_s",
        "peak_in_flight",
    )

    def __init__(self) -> None:
        self.in_flight = 0
        self.reset()

    def reset(self) -> None:
        """Forget all but the requests that are under way."""
        self.peak_in_flight = self.in_flight
        self.min_gap_s: float | None = None
        self.during_pause = 0
        self._last_arrival_s: float | None = None
        self._pauses: list[tuple[float, float]] = []

    def arrived(self, now_s: float) -> None:
        """Count a request at *now_s* of a steady clock."""
        self.in_flight += 1
        self.peak_in_flight = max(self.peak_in_flight, self.in_flight)
        if self._last_arrival_s is not None:
            gap_s = now_s - self._last_arrival_s
            if self.min_gap_s is None or gap_s < self.min_gap_s:
                self.min_gap_s = gap_s
        self._last_arrival_s = now_s
        if self._pauses:
            self._pauses = [pause for pause in self._pauses if now_s < pause[1]]
            self.during_pause += any(begin <= now_s for begin, _ in self._pauses)

    def left(self) -> None:
        """Count the end of a request."""
        self.in_flight -= 1

    def paused(self, sent_s: float, until_s: float) -> None:
        """Note that an answer, sent at *sent_s*, asks for a pause until *until_s*."""
        self._pauses.append((sent_s + GRACE_S, until_s))


@lru_cache(maxsize=256)  # a crawl sends the same header with every request
def host_name(header: str) -> str:
    """Return the name in a ``Host`` header, without the port."""
    name, colon, port = header.rpartition(":")
    if not colon or port.endswith("]"):  # no port: maybe an IPv6 address
        name = header
    return name.strip("[]").lower()
