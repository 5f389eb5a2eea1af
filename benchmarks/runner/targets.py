"""Where the benchmark is to get to, declared in one place, and how far it is. Pure."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

from benchmarks.runner.contenders import BY_NAME, MODES, REFERENCE
from concurcrawl.tools.compare.words import DASH, TIMES

if TYPE_CHECKING:
    from collections.abc import Callable

    from benchmarks.runner.results import FrontierResult, Results, Summary

#: A figure that the results hold; None if it was not measured.
Figure = float | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Target:
    """One figure and its bound.

    Attributes:
        workload: What it is about, for the table.
        what: The figure, in words.
        bound: The value it must reach.
        is_most: Whether the bound is the most it may be, not the least.
        unit: How the figure is shown: times, percent, seconds, milliseconds,
            microseconds, bytes or MB.
        figure: Takes it from the results.
    """

    workload: str
    what: str
    bound: float
    unit: Literal["x", "%", "s", "ms", "µs", "B", "MB"]
    figure: Callable[[Results], Figure]
    is_most: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Verdict:
    """A target and where we are.

    Attributes:
        workload: See :class:`Target`.
        what: See :class:`Target`.
        target: The bound, as it is shown.
        measured: The figure, as it is shown; a dash if it was not measured.
        met: Whether it is reached; None if it was not measured.
    """

    workload: str
    what: str
    target: str
    measured: str
    met: bool | None


def judge(results: Results) -> tuple[Verdict, ...]:
    """Return where *results* stand against each of :data:`TARGETS`."""
    return tuple(_verdict(target, target.figure(results)) for target in TARGETS)


def _verdict(target: Target, value: Figure) -> Verdict:
    met = None
    if value is not None:
        met = value <= target.bound if target.is_most else value >= target.bound
    return Verdict(
        workload=target.workload,
        what=target.what,
        target=("≤ " if target.is_most else "≥ ") + _shown(target.bound, target.unit),
        measured=DASH if value is None else _shown(value, target.unit),
        met=met,
    )


def _shown(value: float, unit: str) -> str:
    match unit:
        case "x":
            return f"{value:.2f} {TIMES}"
        case "%":
            return f"{value:.1%}".replace("%", " %")
        case "s" | "ms":
            return f"{value:.3f} {unit}"
        case "µs" | "B":
            return f"{value:.0f} {unit}"
        case _:
            return f"{value / 1e6:.0f} MB"


# --- Figures --------------------------------------------------------------------------


def _of(results: Results, workload: str, contender: str) -> Summary | None:
    """Return what *contender* came to; None if it is no measure.

    One of ours that lost a page is none; a peer that did is, for it gained by it.
    """
    table = results.table(workload)
    found = table[contender] if table else None
    if found is None or found.status in ("failed", "not run"):
        return None
    return None if found.status == "lost" and BY_NAME[contender].is_ours else found


def _steady_s(results: Results, workload: str, contender: str) -> Figure:
    found = _of(results, workload, contender)
    return found.steady_s if found else None


def _times_as_fast(
    workload: str, peer: str, ours: tuple[str, ...]
) -> Callable[[Results], Figure]:
    """Return by what factor the best of *ours* is ahead of *peer*."""

    def figure(results: Results) -> Figure:
        theirs_s = _steady_s(results, workload, peer)
        times_s = [_steady_s(results, workload, name) for name in ours]
        known_s = [time_s for time_s in times_s if time_s]
        return theirs_s / min(known_s) if theirs_s and known_s else None

    return figure


def _times_the_floor(results: Results) -> Figure:
    ahead = _times_as_fast("throughput", "floor", MODES)(results)
    return 1 / ahead if ahead else None


def _of_the_ideal(mode: str) -> Callable[[Results], Figure]:
    def figure(results: Results) -> Figure:
        one = _steady_s(results, "latency-16", "serial")
        many = _steady_s(results, "latency-16", mode)
        return one / 16 / many if one and many else None

    return figure


def _machinery_ms(results: Results) -> Figure:
    """Return the CPU of the mode that has most above plain Scrapy's, a page."""
    plain = _of(results, "small", "scrapy-16")
    modes = [_of(results, "small", mode) for mode in ("async", "parallel", "hybrid")]
    if plain is None or plain.steady_cpu_ms_a_page is None or None in modes:
        return None
    costs = [mode.steady_cpu_ms_a_page for mode in modes if mode]
    return max(cost for cost in costs if cost is not None) - plain.steady_cpu_ms_a_page


def _later_s(mode: str) -> Callable[[Results], Figure]:
    def figure(results: Results) -> Figure:
        plain, ours = (
            found.startup_s if (found := _of(results, "start-up", name)) else None
            for name in ("scrapy-16", mode)
        )
        return None if plain is None or ours is None else ours - plain

    return figure


def _import_s(results: Results) -> Figure:
    names = ("scrapy, concurcrawl", "scrapy")
    ours, theirs = (results.imports_s.get(name) for name in names)
    return None if ours is None or theirs is None else ours - theirs


def _worker_of_plain(results: Results) -> Figure:
    plain = _of(results, "throughput", "scrapy-16")
    workers = [_of(results, "throughput", mode) for mode in ("parallel", "hybrid")]
    sizes = [found.worker_rss_bytes for found in workers if found]
    if plain is None or len(sizes) < len(workers) or not plain.main_rss_bytes:
        return None
    return max(sizes) / plain.main_rss_bytes


def _supervisor_bytes(results: Results) -> Figure:
    found = _of(results, "growth-100000", "hybrid")
    return float(found.main_rss_bytes) if found else None


def _peak_bytes(workload: str, contender: str) -> Callable[[Results], Figure]:
    def figure(results: Results) -> Figure:
        found = _of(results, workload, contender)
        return float(found.peak_rss_bytes) if found else None

    return figure


def _peak_of_plain(workload: str, contender: str) -> Callable[[Results], Figure]:
    def figure(results: Results) -> Figure:
        plain = _of(results, workload, REFERENCE)
        found = _of(results, workload, contender)
        if plain is None or found is None or not plain.peak_rss_bytes:
            return None
        return found.peak_rss_bytes / plain.peak_rss_bytes

    return figure


def _kept(few: str, many: str, contender: str) -> Callable[[Results], Figure]:
    """Return the pages a second of the larger workload, of those of the smaller."""

    def figure(results: Results) -> Figure:
        rates = []
        for workload in (few, many):
            table = results.table(workload)
            time_s = _steady_s(results, workload, contender)
            rates.append(table.pages / time_s if table and time_s else None)
        small, large = rates
        return large / small if small and large else None

    return figure


def _alone(
    where: str, of: Callable[[FrontierResult], Figure]
) -> Callable[[Results], Figure]:
    """Return a figure of a frontier alone, with the most groups."""

    def figure(results: Results) -> Figure:
        found = [one for one in results.frontier if one.where == where]
        most = max(found, key=lambda one: one.groups, default=None)
        return of(most) if most is not None and most.groups > 1 else None

    return figure


def _take_and_complete_us(found: FrontierResult) -> Figure:
    if found.take_us is None or found.complete_us is None:
        return None
    return found.take_us + found.complete_us


# --- The targets ----------------------------------------------------------------------

#: Peers, in words.
_WORDS = {
    REFERENCE: "plain Scrapy (16)",
    "tutorial-pool": "the tutorial's Pool",
    "aiohttp-64": "the aiohttp script (64)",
    "crawlee": "Crawlee",
    "scrapy-broad": "plain Scrapy with broad-crawl settings",
}

#: Frontiers, in words, and the microseconds that a request may take.
_FRONTIERS = (
    ("SQLite in a file without a name", "embedded", 40.0),
    ("Redis", "over Redis", 250.0),
)


def _as_fast(
    about: str,
    workload: str,
    peer: str,
    bound: float,
    ours: tuple[str, ...] = MODES,
    who: str = "best mode",
) -> Target:
    """Return the target that the best of *ours* is *bound* times as fast as *peer*.

    Args:
        about: The workload, for the table.
        workload: Its name.
        peer: The other contender.
        bound: The factor.
        ours: Our contenders.
        who: Ours, in words.
    """
    return Target(
        workload=about,
        what=f"{who}, as fast as {_WORDS[peer]}",
        bound=bound,
        unit="x",
        figure=_times_as_fast(workload, peer, ours),
    )


def _one(mode: str) -> tuple[tuple[str, ...], str]:
    """Return a single mode as a contender and in words."""
    return (mode,), f"`{mode}`"


TARGETS = (
    *(
        Target(
            workload="latency, 16 in flight",
            what=f"`{mode}`, of the ideal 16 {TIMES} `serial`",
            bound=0.95,
            unit="%",
            figure=_of_the_ideal(mode),
        )
        for mode in ("concurrent", "async", "hybrid")
    ),
    *(
        _as_fast(
            "latency, 64 in flight",
            "latency-64",
            "aiohttp-64",
            1.0,
            ours=(f"{mode}-64",),
            who=f"`{mode}`",
        )
        for mode in ("concurrent", "async", "hybrid")
    ),
    _as_fast("throughput http", "throughput", REFERENCE, 4.0),
    _as_fast("throughput http", "throughput", "tutorial-pool", 1.5),
    _as_fast("throughput http", "throughput", "aiohttp-64", 1.5),
    _as_fast("throughput http", "throughput", "crawlee", 1.15),
    Target(
        workload="throughput http",
        what="best mode, of the time of the floor",
        bound=2.7,
        unit="x",
        figure=_times_the_floor,
        is_most=True,
    ),
    _as_fast(
        "throughput http",
        "throughput",
        REFERENCE,
        2.4,
        ours=("concurrent",),
        who="`concurrent` alone",
    ),
    _as_fast("throughput https", "https", REFERENCE, 4.0),
    _as_fast("throughput https", "https", REFERENCE, 2.6, *_one("concurrent")),
    _as_fast("parse", "parse", REFERENCE, 1.92, *_one("parallel")),
    _as_fast("parse", "parse", REFERENCE, 1.92, *_one("hybrid")),
    _as_fast("parse", "parse", "tutorial-pool", 1.0, *_one("hybrid")),
    _as_fast("small", "small", REFERENCE, 1.6),
    Target(
        workload="small",
        what="CPU a page above plain Scrapy (16): most of `async`, `parallel`, "
        "`hybrid`, all processes",
        bound=0.25,
        unit="ms",
        figure=_machinery_ms,
        is_most=True,
    ),
    *(
        Target(
            workload="start-up",
            what=f"`{mode}`: first request later than plain Scrapy's by",
            bound=bound,
            unit="s",
            figure=_later_s(mode),
            is_most=True,
        )
        for mode, bound in (
            ("parallel", 0.35),
            ("serial", 0.05),
            ("concurrent", 0.05),
            ("async", 0.05),
        )
    ),
    Target(
        workload="start-up",
        what="`import concurcrawl` above `import scrapy`",
        bound=0.03,
        unit="s",
        figure=_import_s,
        is_most=True,
    ),
    Target(
        workload="memory",
        what="peak of the largest worker, of plain Scrapy's",
        bound=1.0,
        unit="x",
        figure=_worker_of_plain,
        is_most=True,
    ),
    Target(
        workload="memory",
        what="peak of the supervisor of `hybrid` at 100 000 pages",
        bound=120e6,
        unit="MB",
        figure=_supervisor_bytes,
        is_most=True,
    ),
    *(
        Target(
            workload="growth",
            what=f"`{mode}`: pages/s at 100 000 small pages, of that at 1 000",
            bound=0.95,
            unit="%",
            figure=_kept("growth-1000", "growth-100000", mode),
        )
        for mode in ("async", "hybrid")
    ),
    *(
        Target(
            workload="growth",
            what=f"`{mode}`: pages/s while a million requests wait, of that without",
            bound=0.9,
            unit="%",
            figure=_kept("waiting-0", "waiting-1000000", mode),
        )
        for mode in ("async", "hybrid")
    ),
    _as_fast("many items", "items", REFERENCE, 1.5, *_one("hybrid")),
    *(
        target
        for about, name in (
            ("big answers", "big"),
            ("big answers, FilesPipeline", "big-files"),
        )
        for target in (
            _as_fast(about, name, REFERENCE, 1.5, *_one("hybrid")),
            Target(
                workload=about,
                what="`hybrid`: peak memory, of plain Scrapy's",
                bound=1.0,
                unit="x",
                figure=_peak_of_plain(name, "hybrid"),
                is_most=True,
            ),
        )
    ),
    Target(
        workload="growth",
        what="`async`: peak memory while a million requests wait",
        bound=400e6,
        unit="MB",
        figure=_peak_bytes("waiting-1000000", "async"),
        is_most=True,
    ),
    *(
        _as_fast(
            "broad",
            "broad",
            "scrapy-broad",
            bound,
            ours=(f"{mode}-broad",),
            who=f"`{mode}`",
        )
        for mode, bound in (("async", 2.0), ("hybrid", 4.0))
    ),
    *(
        Target(
            workload="broad",
            what=f"`{mode}`: pages/s with 20 000 hosts, of that with 10",
            bound=0.9,
            unit="%",
            figure=_kept("broad-10", "broad", f"{mode}-broad"),
        )
        for mode in ("async", "hybrid")
    ),
    *(
        Target(
            workload="frontier, 100 000 groups",
            what=f"{words}: take and complete",
            bound=bound_us,
            unit="µs",
            figure=_alone(where, _take_and_complete_us),
            is_most=True,
        )
        for where, words, bound_us in _FRONTIERS
    ),
    *(
        Target(
            workload="frontier, 100 000 groups",
            what=f"{words}: memory per group",
            bound=1000,
            unit="B",
            figure=_alone(where, lambda found: found.bytes_a_group),
            is_most=True,
        )
        for where, words, _ in _FRONTIERS
    ),
)
