"""Choose a mode, requests in flight and processes from the cost of a page. Pure."""

from __future__ import annotations

from dataclasses import dataclass, replace
from math import inf
from typing import TYPE_CHECKING

from concurcrawl.tools.compare.model import bounds

if TYPE_CHECKING:
    from concurcrawl.tools.compare.model import Cost

#: Pages of a crawl that is long enough for start-up not to matter.
_MANY_PAGES = 10_000
#: Gain that more requests in flight, or one more process, must bring.
_WORTH_RATIO = 1.1
#: Most requests in flight to recommend; beyond that, ask the owner of the site.
_MOST_IN_FLIGHT = 64


@dataclass(frozen=True, slots=True, kw_only=True)
class SiteLimits:
    """What a site allows.

    Attributes:
        in_flight: Requests at a time; 0 means no limit.
        rate_per_s: Requests per second on average; 0 means no limit.
    """

    in_flight: int = 0
    rate_per_s: float = 0.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Advice:
    """The recommended mode and numbers.

    Attributes:
        mode: The value of ``MODE``.
        in_flight: Requests at a time over all processes.
        processes: That download and run callbacks.
        pages_per_s: Expected in a long crawl.
        gain: How many times as fast as serial that is.
        reason: What decides, in one sentence.
    """

    mode: str
    in_flight: int
    processes: int
    pages_per_s: float
    gain: float
    reason: str

    @property
    def settings(self) -> tuple[str, ...]:
        """What to add to the command line, as ``NAME=VALUE``."""
        return {
            "serial": ("MODE=serial",),
            "async": ("MODE=async", f"CONCURRENT_REQUESTS={self.in_flight}"),
            "parallel": ("MODE=parallel", f"CONCURCRAWL_WORKERS={self.processes}"),
            "hybrid": (
                "MODE=hybrid",
                f"CONCURCRAWL_WORKERS={self.processes}",
                f"CONCURRENT_REQUESTS={self.in_flight}",
            ),
        }[self.mode]


def advise(cost: Cost, *, cores: int, limits: SiteLimits) -> Advice:
    """Return the smallest numbers that give nearly the highest rate.

    It prefers fewer processes, then fewer requests in flight.

    Args:
        cost: Cost of a page in serial runs.
        cores: CPUs that this process may use.
        limits: What the site allows.
    """
    if cost.alone > cost.pages:
        return _one_by_one(cost, limits)
    most = min(limits.in_flight or _MOST_IN_FLIGHT, _MOST_IN_FLIGHT)
    levels = sorted({most, *(n for n in (1, 2, 4, 8, 16, 32) if n < most)})
    serial, _ = _rate(cost, 1, 1, cores, limits)
    best = (1, 1)
    fastest, limit = _rate(cost, 1, 1, cores, limits)
    for processes in range(1, cores + 1):
        for in_flight in levels:
            if in_flight < processes:
                continue
            found, why = _rate(cost, in_flight, processes, cores, limits)
            if found > fastest * _WORTH_RATIO:
                best, fastest, limit = (in_flight, processes), found, why
    in_flight, processes = best
    return Advice(
        mode=_mode(in_flight, processes),
        in_flight=in_flight,
        processes=processes,
        pages_per_s=fastest,
        gain=fastest / serial,
        reason=_reason(cost, limit),
    )


def _one_by_one(cost: Cost, limits: SiteLimits) -> Advice:
    """Return the advice for a spider that knows only one request at a time."""
    spent_s = cost.alone_s + cost.pages * (cost.waiting_s + cost.cpu_s)
    rate = (cost.alone + cost.pages) / spent_s
    return Advice(
        mode="serial",
        in_flight=1,
        processes=1,
        pages_per_s=min(rate, limits.rate_per_s or inf),
        gain=1.0,
        reason=(
            f"{cost.alone} of {cost.alone + cost.pages} requests were known only when "
            "the one before was answered, so there is nothing to do at a time; a "
            "spider that asks for several pages from the start would gain."
        ),
    )


def _rate(
    cost: Cost, in_flight: int, processes: int, cores: int, limits: SiteLimits
) -> tuple[float, str]:
    """Return pages per second in a long crawl, and what decides."""
    long = replace(cost, pages=_MANY_PAGES)
    found = bounds(long, slots=in_flight, processes=processes, cores=cores)
    limit = max(found, key=found.__getitem__)
    steady_s = found[limit]
    rate = _MANY_PAGES / steady_s if steady_s > 0 else inf
    if limits.rate_per_s and rate >= limits.rate_per_s:
        return limits.rate_per_s, "rate"
    if limit == "in flight" and in_flight == limits.in_flight:
        return rate, "site"
    if limit == "in flight" and in_flight < _MOST_IN_FLIGHT:
        return rate, "enough"
    return rate, limit


def _mode(in_flight: int, processes: int) -> str:
    if processes == 1:
        return "serial" if in_flight == 1 else "async"
    return "parallel" if in_flight == processes else "hybrid"


def _reason(cost: Cost, limit: str) -> str:
    page = (
        f"A page is {cost.waiting_share:.0%} waiting ({cost.waiting_s * 1000:.0f} ms) "
        f"and {1 - cost.waiting_share:.0%} CPU ({cost.cpu_s * 1000:.0f} ms)"
    )
    decides = {
        "in flight": "more at a time would give more, but ask the site's owner first",
        "enough": "twice as many at a time would give less than a tenth more",
        "site": "more at a time would give more, but the site does not allow it",
        "rate": "the site's limit of requests per second is reached",
        "CPU of a process": "the CPU of each process is busy then",
        "cores": "all cores are busy then",
        "the test site": "the test site is busy then; a real site may give more",
    }
    return f"{page}; {decides[limit]}."
