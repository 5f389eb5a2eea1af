"""Where the benchmark is to get to, declared in one place, and how far it is. Pure."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

from benchmarks.runner import figures
from benchmarks.runner.contenders import MODES, REFERENCE
from benchmarks.runner.figures import kept, times_as_fast
from benchmarks.runner.samples import verdict
from concurcrawl.tools.compare.words import DASH, TIMES

if TYPE_CHECKING:
    from benchmarks.runner.figures import Formula
    from benchmarks.runner.results import Results
    from benchmarks.runner.samples import Figure

Unit = Literal["x", "%", "s", "ms", "µs", "B", "MB"]


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
    unit: Unit
    figure: Formula
    is_most: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Verdict:
    """A target and where we are.

    Attributes:
        workload: What it is about.
        what: The figure, in words.
        target: The bound, as it is shown.
        measured: The figure, as it is shown; a dash if it was not measured.
        interval: Its 95 % interval, likewise.
        verdict: ``met``, ``not met``, ``unclear``, ``noisy`` or ``not measured``.
        noise_share: What others had of the machine meanwhile, if that is known.
    """

    workload: str
    what: str
    target: str
    measured: str
    interval: str
    verdict: str
    noise_share: float | None = None


def judge(results: Results) -> tuple[Verdict, ...]:
    """Return where *results* stand against each of :data:`TARGETS`."""
    return tuple(_verdict(target, target.figure(results)) for target in TARGETS)


def _verdict(target: Target, figure: Figure | None) -> Verdict:
    return Verdict(
        workload=target.workload,
        what=target.what,
        target=("≤ " if target.is_most else "≥ ") + _shown(target.bound, target.unit),
        measured=DASH if figure is None else _shown(figure.interval.value, target.unit),
        interval=DASH if figure is None else _ends(figure, target.unit),
        verdict=verdict(figure, target.bound, is_most=target.is_most),
        noise_share=None if figure is None else figure.noise_share,
    )


def _ends(figure: Figure, unit: Unit) -> str:
    low, high = figure.interval.low, figure.interval.high
    if low is None or high is None:
        return DASH
    return f"{_digits(low, unit)} to {_digits(high, unit)}"


def _shown(value: float, unit: Unit) -> str:
    return f"{_digits(value, unit)} {TIMES if unit == 'x' else unit}"


def _digits(value: float, unit: Unit) -> str:
    match unit:
        case "x":
            return f"{value:.2f}"
        case "%":
            return f"{value * 100:.1f}"
        case "s" | "ms":
            return f"{value:.3f}"
        case "µs" | "B":
            return f"{value:.0f}"
        case "MB":
            return f"{value / 1e6:.0f}"


# --- The targets ----------------------------------------------------------------------

#: Peers, in words.
_WORDS = {
    REFERENCE: "plain Scrapy (16)",
    "tutorial-pool": "the tutorial's Pool",
    "aiohttp-64": "the aiohttp script (64)",
    "aiohttp-256": "the aiohttp script (256)",
    "crawlee": "Crawlee",
    "scrapy-broad": "plain Scrapy with broad-crawl settings",
}

#: Frontiers, in words, and the microseconds that a request may take.
_FRONTIERS = (
    ("SQLite in a file without a name", "embedded", 40.0),
    ("Redis", "over Redis", 250.0),
)

#: Broad crawls: the workload, that with few hosts, and hosts, in words.
_BROAD = (("broad", "broad-10", "20 000"), ("hosts-2000", "hosts-10", "2 000"))


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
        figure=times_as_fast(workload, peer, ours),
    )


def _one(mode: str, more: str = "") -> tuple[tuple[str, ...], str]:
    """Return a single mode as a contender and in words."""
    return (mode + more,), f"`{mode}`"


def _big(
    about: str, workload: str, ours: tuple[str, ...], who: str
) -> tuple[Target, ...]:
    return (
        _as_fast(about, workload, REFERENCE, 1.5, ours, who),
        Target(
            workload=about,
            what=f"{who}: peak memory, of plain Scrapy's",
            bound=1.0,
            unit="x",
            figure=figures.memory_of_plain(workload, *ours),
            is_most=True,
        ),
    )


def _throughput(about: str, workload: str) -> tuple[Target, ...]:
    return (
        _as_fast(about, workload, REFERENCE, 4.5),
        _as_fast(about, workload, "crawlee", 1.6),
    )


def _broad(few: str, many: str, hosts: str) -> tuple[Target, ...]:
    about = f"broad, {hosts} hosts"
    return (
        *(
            _as_fast(about, many, "scrapy-broad", bound, *_one(mode, "-broad"))
            for mode, bound in (("hybrid", 4.0), ("async", 2.0))
        ),
        *(
            Target(
                workload=about,
                what=f"{words}: pages/s, of that with 10 hosts",
                bound=bound,
                unit="%",
                figure=kept(few, many, contender),
            )
            for contender, words, bound in (
                ("hybrid-broad", "`hybrid`", 0.9),
                ("async-broad", "`async`", 0.9),
                ("hybrid-redis-broad", "`hybrid` over Redis", 0.8),
            )
        ),
    )


#: Those of issue 17, in its order.
_WANTED = (
    *(target for many, few, hosts in _BROAD for target in _broad(few, many, hosts)),
    *(
        Target(
            workload="frontier, 100 000 groups",
            what=f"{words}: take and complete",
            bound=bound_us,
            unit="µs",
            figure=figures.alone(where, lambda found: found.samples_us),
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
            figure=figures.alone(where, lambda found: found.samples_bytes),
            is_most=True,
        )
        for where, words, _ in _FRONTIERS
    ),
    _as_fast("small", "small", REFERENCE, 7.0),
    Target(
        workload="small",
        what="`hybrid`: CPU of the supervisor per page",
        bound=0.12,
        unit="ms",
        figure=figures.supervisor_ms,
        is_most=True,
    ),
    Target(
        workload="small",
        what="`hybrid`: CPU of the workers per page, above bare libcurl",
        bound=0.35,
        unit="ms",
        figure=figures.worker_ms,
        is_most=True,
    ),
    *_throughput("throughput http", "throughput"),
    Target(
        workload="throughput http",
        what="best mode, of the time of the floor",
        bound=1.7,
        unit="x",
        figure=figures.times_the_floor("throughput", MODES),
        is_most=True,
    ),
    *_throughput("throughput https", "https"),
    Target(
        workload="throughput https",
        what="best mode, of the time of the floor",
        bound=1.7,
        unit="x",
        figure=figures.times_the_floor("https", MODES),
        is_most=True,
    ),
    Target(
        workload="throughput https",
        what="best mode: pages/s, of that by http",
        bound=0.85,
        unit="%",
        figure=figures.share_of_http(MODES),
    ),
    Target(
        workload="latency, 256 in flight",
        what="`hybrid`, of the ideal",
        bound=0.9,
        unit="%",
        figure=figures.share_of_ideal("latency-256", "hybrid-256", 256),
    ),
    *(
        _as_fast(
            "latency, 256 in flight",
            "latency-256",
            "aiohttp-256",
            1.0,
            *_one(mode, "-256"),
        )
        for mode in ("concurrent", "async")
    ),
    _as_fast("many items", "items", REFERENCE, 1.5, *_one("hybrid")),
    _as_fast(
        *("many items, a pipeline in workers", "items-cleaned", REFERENCE, 1.8),
        *_one("hybrid", "-moved"),
    ),
    *_big("big answers", "big", *_one("hybrid")),
    *_big("big answers, FilesPipeline", "big-files", *_one("hybrid")),
    *_big(
        *("big answers, FilesPipeline", "big-files", ("hybrid-moved",)),
        "`hybrid`, FilesPipeline in its workers",
    ),
    Target(
        workload="deep queue, a million wait",
        what="`async`: peak memory",
        bound=400e6,
        unit="MB",
        figure=figures.peak_bytes("waiting-1000000", "async"),
        is_most=True,
    ),
    *(
        Target(
            workload="start-up",
            what=f"`{mode}`: first request later than plain Scrapy's by",
            bound=bound,
            unit="s",
            figure=figures.later_s(mode),
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
        figure=figures.import_s,
        is_most=True,
    ),
)

#: What was reached before, and must stay.
_REACHED = (
    *(
        Target(
            workload="latency, 16 in flight",
            what=f"`{mode}`, of the ideal",
            bound=0.95,
            unit="%",
            figure=figures.share_of_ideal("latency-16", mode, 16),
        )
        for mode in ("concurrent", "async", "hybrid")
    ),
    *(
        _as_fast(
            "latency, 64 in flight", "latency-64", "aiohttp-64", 1.0, *_one(mode, "-64")
        )
        for mode in ("concurrent", "async", "hybrid")
    ),
    _as_fast("throughput http", "throughput", "tutorial-pool", 1.5),
    _as_fast("throughput http", "throughput", "aiohttp-64", 1.5),
    _as_fast("throughput http", "throughput", REFERENCE, 2.4, *_one("concurrent")),
    _as_fast("throughput https", "https", REFERENCE, 2.6, *_one("concurrent")),
    _as_fast("parse", "parse", REFERENCE, 1.92, *_one("parallel")),
    _as_fast("parse", "parse", REFERENCE, 1.92, *_one("hybrid")),
    _as_fast("parse", "parse", "tutorial-pool", 1.0, *_one("hybrid")),
    Target(
        workload="memory",
        what="peak of the largest worker, of plain Scrapy's",
        bound=1.0,
        unit="x",
        figure=figures.worker_of_plain,
        is_most=True,
    ),
    Target(
        workload="memory",
        what="peak of the supervisor of `hybrid` at 100 000 pages",
        bound=120e6,
        unit="MB",
        figure=figures.peak_bytes("growth-100000", "hybrid", is_main=True),
        is_most=True,
    ),
    *(
        Target(
            workload="growth",
            what=f"`{mode}`: pages/s {words}",
            bound=bound,
            unit="%",
            figure=kept(few, many, mode),
        )
        for few, many, bound, words in (
            (
                "growth-1000",
                "growth-100000",
                0.95,
                "with 100 000, of that with 1 000",
            ),
            (
                "waiting-0",
                "waiting-1000000",
                0.9,
                "while a million wait, of that else",
            ),
        )
        for mode in ("async", "hybrid")
    ),
)

TARGETS = (*_WANTED, *_REACHED)
