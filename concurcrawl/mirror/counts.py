"""What the mirror saw: the numbers, and keeping them."""

from __future__ import annotations

import json
from collections import Counter, deque
from dataclasses import asdict, dataclass, fields
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping

COUNTS_PATH = "/_mirror/counts"
RESET_PATH = "/_mirror/reset"


@dataclass(frozen=True, slots=True, kw_only=True)
class Counts:
    """What the mirror saw since it was started or reset.

    Attributes:
        requests: Requests that arrived; those for these counts are left out.
        pages: Answers that carried a page of the site (GET, status 200).
        peak_in_flight: Most requests at once, each from its arrival until the last
            byte of its answer was handed to the operating system.
        peak_per_second: Most arrivals in any window of one second (a sliding one).
        agents: Requests by ``User-Agent``.
        statuses: Answers by status.
        in_flight: Requests under way now.
        sent_bytes: Bytes of bodies, as encoded.
        cpu_s: CPU seconds of the mirror's own process.
        paths: Different pages of the site that were asked for.
    """

    requests: int
    pages: int
    peak_in_flight: int
    peak_per_second: int
    agents: Mapping[str, int]
    statuses: Mapping[str, int]
    in_flight: int
    sent_bytes: int
    cpu_s: float
    paths: int


def to_json(counts: Counts) -> str:
    """Return *counts* as one JSON object."""
    return json.dumps(asdict(counts), ensure_ascii=False)


def from_json(text: str | bytes) -> Counts:
    """Read what :func:`to_json` wrote; keys of later versions are passed over.

    Raises:
        ValueError: If *text* holds no counts.
    """
    try:
        raw = json.loads(text)
        return Counts(**{f.name: raw[f.name] for f in fields(Counts)})
    except (KeyError, TypeError) as error:
        raise ValueError(f"not the mirror's counts: {text[:80]!r}") from error


class Tally:
    """Keeps the numbers. One thread only; the caller brings the clocks.

    Args:
        cpu_s: CPU seconds of this process so far.
    """

    def __init__(self, cpu_s: float) -> None:
        self._in_flight = 0
        self.reset(cpu_s)

    def reset(self, cpu_s: float) -> None:
        """Forget all but the requests that are under way."""
        self._cpu_s = cpu_s
        self._requests = self._pages = self._sent_bytes = self._peak_per_second = 0
        self._peak_in_flight = self._in_flight
        self._last_second: deque[float] = deque()
        self._agents: Counter[str] = Counter()
        self._statuses: Counter[str] = Counter()
        self._paths: set[str] = set()

    def arrived(self, now_s: float, agent: str, page: str | None) -> None:
        """Count a request at *now_s* of a steady clock; *page* is None if unknown."""
        self._requests += 1
        self._in_flight += 1
        self._peak_in_flight = max(self._peak_in_flight, self._in_flight)
        self._agents[agent] += 1
        if page is not None:
            self._paths.add(page)
        window = self._last_second
        window.append(now_s)
        while window[0] <= now_s - 1:
            window.popleft()
        self._peak_per_second = max(self._peak_per_second, len(window))

    def answered(self, status: int, *, is_page: bool) -> None:
        """Count the head of an answer."""
        self._statuses[str(status)] += 1
        self._pages += is_page

    def left(self, sent_bytes: int) -> None:
        """Count the end of a request, however it ended."""
        self._in_flight -= 1
        self._sent_bytes += sent_bytes

    def counts(self, cpu_s: float) -> Counts:
        """Return the numbers as they are now."""
        return Counts(
            requests=self._requests,
            pages=self._pages,
            peak_in_flight=self._peak_in_flight,
            peak_per_second=self._peak_per_second,
            agents=dict(self._agents),
            statuses=dict(self._statuses),
            in_flight=self._in_flight,
            sent_bytes=self._sent_bytes,
            cpu_s=cpu_s - self._cpu_s,
            paths=len(self._paths),
        )
