"""Counts of the requests that the test site received."""

from __future__ import annotations

import json
from collections import Counter, deque
from dataclasses import asdict, dataclass, field, fields
from typing import TYPE_CHECKING

from concurcrawl.tools.testsite.hosts import HostTally
from concurcrawl.tools.testsite.log import LogEntry, RequestLog

if TYPE_CHECKING:
    from collections.abc import Mapping

COUNTS_PATH = "/_testsite/counts"
RESET_PATH = "/_testsite/reset"


@dataclass(frozen=True, slots=True, kw_only=True)
class SiteCounts:
    """Counts since the test site was started or reset.

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
        cpu_s: CPU seconds of the test site's own process.
        paths: Distinct pages of the site that were requested.
        faults: Answers that were spoilt on purpose, by kind.
        peak_in_flight_by_host: As above, by the name in the ``Host`` header.
        min_gap_s: Shortest time between two arrivals, by host; only hosts with two.
        during_pause: Requests by host that arrived while it had asked to be left
            alone: more than 50 ms after a 429 or 503 with Retry-After was sent and
            before its time was over. Hosts with none are there, too.
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
    faults: Mapping[str, int] = field(default_factory=dict)
    peak_in_flight_by_host: Mapping[str, int] = field(default_factory=dict)
    min_gap_s: Mapping[str, float] = field(default_factory=dict)
    during_pause: Mapping[str, int] = field(default_factory=dict)


def to_json(counts: SiteCounts) -> str:
    """Return *counts* as one JSON object."""
    return json.dumps(asdict(counts))  # in ASCII: a header may be no UTF-8


def from_json(text: str | bytes) -> SiteCounts:
    """Read what :func:`to_json` wrote; keys of later versions are passed over.

    Raises:
        ValueError: If *text* holds no counts.
    """
    try:
        raw = json.loads(text)
        return SiteCounts(**{f.name: raw[f.name] for f in fields(SiteCounts)})
    except (KeyError, TypeError) as error:
        raise ValueError(f"not the test site's counts: {text[:80]!r}") from error


@dataclass(frozen=True, slots=True)
class Arrival:
    """A request as it came.

    Attributes:
        now_s: When, by a steady clock.
        host: The name in its ``Host`` header.
        agent: Its ``User-Agent``.
        path: As requested.
        page: The page of the site that this is; None if it is none.
    """

    now_s: float
    host: str = ""
    agent: str = ""
    path: str = ""
    page: str | None = None


@dataclass(frozen=True, slots=True)
class SeenRequest:
    """A request in progress.

    Attributes:
        host: Whose it is.
        entry: In the log; None if none is kept.
    """

    host: HostTally
    entry: LogEntry | None


class SeenCounts:
    """Keeps the numbers. One thread only; the caller brings the clocks.

    Args:
        cpu_s: CPU seconds of this process so far.
        log: Where each request is written down; None for nowhere.
    """

    def __init__(self, cpu_s: float, log: RequestLog | None = None) -> None:
        self._in_flight = 0
        self._hosts: dict[str, HostTally] = {}
        self._log = log
        self.reset(cpu_s)

    def reset(self, cpu_s: float) -> None:
        """Forget all but the requests that are under way."""
        self._cpu_s = cpu_s
        self._requests = self._pages = self._sent_bytes = self._peak_per_second = 0
        self._peak_in_flight = self._in_flight
        self._last_second: deque[float] = deque()
        self._agents: Counter[str] = Counter()
        self._statuses: Counter[str] = Counter()
        self._faults: Counter[str] = Counter()
        self._paths: set[str] = set()
        self._hosts = {
            name: host for name, host in self._hosts.items() if host.in_flight
        }
        for host in self._hosts.values():
            host.reset()
        if self._log is not None:
            self._log.clear()

    def arrived(self, arrival: Arrival) -> SeenRequest:
        """Count a request; :meth:`left` takes what this returns."""
        now_s = arrival.now_s
        self._requests += 1
        self._in_flight += 1
        self._peak_in_flight = max(self._peak_in_flight, self._in_flight)
        self._agents[arrival.agent] += 1
        if arrival.page is not None:
            self._paths.add(arrival.page)
        window = self._last_second
        window.append(now_s)
        while window[0] <= now_s - 1:
            window.popleft()
        self._peak_per_second = max(self._peak_per_second, len(window))
        host = self._hosts.get(arrival.host)
        if host is None:
            host = self._hosts[arrival.host] = HostTally()
        host.arrived(now_s)
        entry = None
        if self._log is not None:
            entry = LogEntry(
                t=now_s,
                path=arrival.path,
                group=arrival.host,
                agent=arrival.agent,
                in_flight_at_arrival=self._in_flight,
            )
            self._log.add(entry)
        return SeenRequest(host, entry)

    def answered(
        self,
        seen: SeenRequest,
        status: int | None,
        *,
        is_page: bool = False,
        fault: str | None = None,
    ) -> None:
        """Count the head of an answer; *status* is None if it has none."""
        if status is not None:
            self._statuses[str(status)] += 1
        if fault is not None:
            self._faults[fault] += 1
        self._pages += is_page
        if seen.entry is not None:
            seen.entry.status, seen.entry.fault = status, fault

    def left(self, seen: SeenRequest, now_s: float, sent_bytes: int) -> None:
        """Count the end of a request, however it ended."""
        self._in_flight -= 1
        self._sent_bytes += sent_bytes
        seen.host.left()
        if seen.entry is not None:
            seen.entry.done = now_s

    def counts(self, cpu_s: float) -> SiteCounts:
        """Return the numbers as they are now."""
        hosts = self._hosts
        gaps = {name: host.min_gap_s for name, host in hosts.items()}
        return SiteCounts(
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
            faults=dict(self._faults),
            peak_in_flight_by_host={n: h.peak_in_flight for n, h in hosts.items()},
            min_gap_s={name: gap for name, gap in gaps.items() if gap is not None},
            during_pause={name: host.during_pause for name, host in hosts.items()},
        )
