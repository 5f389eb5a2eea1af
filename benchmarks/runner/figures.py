"""The figures that targets are about, taken from the results. Pure."""

from __future__ import annotations

import math
from statistics import median
from typing import TYPE_CHECKING

from benchmarks.runner import workloads
from benchmarks.runner.contenders import BY_NAME
from benchmarks.runner.samples import Figure, Series, combined, quotient, series

if TYPE_CHECKING:
    from collections.abc import Callable

    from benchmarks.runner.results import FrontierResult, Results, Run

    #: Takes a figure from the results; None if it was not measured.
    Formula = Callable[[Results], Figure | None]

_NOTHING = Series({})


def of(
    results: Results, workload: str, contender: str, what: Callable[[Run], float | None]
) -> Series:
    """Return a figure of all rounds of *contender*; empty if they are no measure.

    One of ours that lost a page is none; a peer that did is, for it gained by it.
    """
    table = results.table(workload)
    found = table[contender] if table else None
    if table is None or found is None or found.status in ("failed", "not run"):
        return _NOTHING
    if found.status == "lost" and BY_NAME[contender].is_ours:
        return _NOTHING
    return series((run for run in table.runs if run.contender == contender), what)


def steady_s(results: Results, workload: str, contender: str) -> Series:
    """Return the seconds of each round in steady state."""
    return of(results, workload, contender, lambda run: run.steady_s)


def _best(results: Results, workload: str, names: tuple[str, ...]) -> Series:
    """Return the series of the fastest of *names*, in its middle round."""
    known = [steady_s(results, workload, name) for name in names]
    known = [found for found in known if found.values]
    return min(known, key=lambda one: median(one.values.values()), default=_NOTHING)


def times_as_fast(workload: str, peer: str, ours: tuple[str, ...]) -> Formula:
    """Return by what factor the best of *ours* is ahead of *peer*."""

    def figure(results: Results) -> Figure | None:
        theirs = steady_s(results, workload, peer)
        return quotient(theirs, _best(results, workload, ours))

    return figure


def times_the_floor(workload: str, ours: tuple[str, ...]) -> Formula:
    """Return the time of the best of *ours*, of that of the floor."""

    def figure(results: Results) -> Figure | None:
        best = _best(results, workload, ours)
        # It knows no network, so there is one for both protocols.
        return quotient(best, steady_s(results, "throughput", "floor"))

    return figure


def share_of_http(ours: tuple[str, ...]) -> Formula:
    """Return the pages per second of the best of *ours* by https, of those by http."""

    def figure(results: Results) -> Figure | None:
        return quotient(
            _best(results, "throughput", ours), _best(results, "https", ours)
        )

    return figure


def share_of_ideal(workload: str, contender: str, in_flight: int) -> Formula:
    """Return the time that waiting alone would take, of what *contender* takes."""

    def figure(results: Results) -> Figure | None:
        table = results.table(workload)
        if table is None:
            return None
        turns = math.ceil(table.pages / in_flight)
        ideal_s = turns * workloads.BY_NAME[workload].latency_s
        return combined(
            lambda time_s: ideal_s / time_s, steady_s(results, workload, contender)
        )

    return figure


def supervisor_ms(results: Results) -> Figure | None:
    """Return the CPU of the supervisor of ``hybrid``, a small page."""
    table = results.table("small")
    if table is None:
        return None
    main = of(results, "small", "hybrid", lambda run: run.steady_main_cpu_s)
    return combined(lambda cpu_s: cpu_s * 1000 / table.pages, main)


def worker_ms(results: Results) -> Figure | None:
    """Return the CPU of the workers of ``hybrid``, a small page, above libcurl's."""
    table = results.table("small")
    if table is None:
        return None
    return combined(
        lambda whole_s, main_s, bare_s: (
            (whole_s - main_s - bare_s) * 1000 / table.pages
        ),
        of(results, "small", "hybrid", lambda run: run.steady_cpu_s),
        of(results, "small", "hybrid", lambda run: run.steady_main_cpu_s),
        of(results, "small", "libcurl", lambda run: run.steady_cpu_s),
    )


def later_s(mode: str) -> Formula:
    """Return how much later than plain Scrapy's the first request of *mode* is."""

    def figure(results: Results) -> Figure | None:
        plain, ours = (
            of(results, "start-up", name, lambda run: run.startup_s)
            for name in ("scrapy-16", mode)
        )
        return combined(lambda one, other: other - one, plain, ours)

    return figure


def import_s(results: Results) -> Figure | None:
    """Return what importing this package takes above Scrapy."""
    ours, theirs = (
        Series(dict(enumerate(results.imports_s.get(name, ()))))
        for name in ("scrapy, concurcrawl", "scrapy")
    )
    return combined(lambda one, other: one - other, ours, theirs)


def worker_of_plain(results: Results) -> Figure | None:
    """Return the peak of the largest worker, of that of plain Scrapy."""
    plain = of(results, "throughput", "scrapy-16", lambda run: run.main_rss_bytes)
    workers = [
        of(results, "throughput", mode, lambda run: run.worker_rss_bytes)
        for mode in ("parallel", "hybrid")
    ]
    return combined(
        lambda theirs, *ours: max(ours) / theirs if theirs else math.inf,
        plain,
        *workers,
    )


def peak_bytes(workload: str, contender: str, *, is_main: bool = False) -> Formula:
    """Return the peak memory of a whole tree, or of its first process alone."""

    def figure(results: Results) -> Figure | None:
        return combined(
            float,
            of(
                results,
                workload,
                contender,
                lambda run: run.main_rss_bytes if is_main else run.peak_bytes,
            ),
        )

    return figure


def memory_of_plain(workload: str, contender: str) -> Formula:
    """Return the peak memory of a whole tree, of that of plain Scrapy's."""

    def figure(results: Results) -> Figure | None:
        ours, plain = (
            of(results, workload, name, lambda run: run.peak_bytes)
            for name in (contender, "scrapy-16")
        )
        return combined(lambda mine, theirs: mine / theirs, ours, plain)

    return figure


def kept(few: str, many: str, contender: str) -> Formula:
    """Return the pages per second of the larger workload, of those of the smaller."""

    def figure(results: Results) -> Figure | None:
        small, large = results.table(few), results.table(many)
        if small is None or large is None:
            return None
        times = large.pages / small.pages
        return combined(
            lambda small_s, large_s: small_s / large_s * times,
            steady_s(results, few, contender),
            steady_s(results, many, contender),
        )

    return figure


def alone(where: str, what: Callable[[FrontierResult], tuple[float, ...]]) -> Formula:
    """Return a figure of a frontier alone, with the most groups.

    Args:
        where: The frontier.
        what: Takes its values, one for each time that it was measured.
    """

    def figure(results: Results) -> Figure | None:
        found = [one for one in results.frontier if one.where == where]
        most = max(found, key=lambda one: one.groups, default=None)
        if most is None or most.groups == 1:
            return None
        values = Series(dict(enumerate(what(most))), most.noise_share)
        return combined(float, values)

    return figure
