"""What was measured, and what it comes to over the rounds. Pure."""

from __future__ import annotations

from dataclasses import dataclass, field
from statistics import median
from typing import TYPE_CHECKING, Literal

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

Status = Literal["ok", "lost", "failed", "not run"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Run:
    """One contender, once.

    Steady state is the same for all: from the arrival of the first request for a page
    (not the list of pages) at the server until the last byte of the results is in its
    file. Start-up is what is before: from the start of the process until the first
    request of all arrived.

    Attributes:
        contender: Who.
        round: Which turn, from 1.
        status: ``ok``: every page is there, byte for byte. ``lost``: some are not.
        reason: Why it failed or was not run; empty otherwise.
        lost: Pages that are missing or are not what the server sent.
        wall_s: From the start of the process to its end.
        startup_s: See above.
        steady_s: See above.
        cpu_s: Of the whole process tree.
        steady_cpu_s: Of it, in steady state: between two looks, interpolated.
        steady_main_cpu_s: The same of the first process alone.
        peak_bytes: Of the whole tree, with shared pages divided among those who share
            them, where the system tells.
        main_rss_bytes: Peak of the first process.
        worker_rss_bytes: Peak of the largest other process; 0 if there was none.
        server_cpu_s: CPU seconds of the server meanwhile.
        peak_in_flight: At the server; None if it cannot tell.
        digest: Of what was read from the pages, whatever its order; for ``parse``.
        others_share: CPU time of other processes meanwhile, of the machine's; None if
            the system does not tell.
        steal_share: CPU time that the hypervisor gave to others, likewise.
        load: Load average of the last minute at its end.
        switches_per_s: Context switches of the machine.
    """

    contender: str
    round: int
    status: Status
    reason: str = ""
    lost: int = 0
    wall_s: float = 0.0
    startup_s: float | None = None
    steady_s: float | None = None
    cpu_s: float = 0.0
    steady_cpu_s: float | None = None
    steady_main_cpu_s: float | None = None
    peak_bytes: int = 0
    main_rss_bytes: int = 0
    worker_rss_bytes: int = 0
    server_cpu_s: float = 0.0
    peak_in_flight: int | None = None
    digest: str = ""
    others_share: float | None = None
    steal_share: float | None = None
    load: float | None = None
    switches_per_s: float | None = None

    @property
    def counts(self) -> bool:
        """Whether it came to an end; one that lost pages did."""
        return self.status in ("ok", "lost")

    @property
    def noise_share(self) -> float | None:
        """What others had of the machine, here and through its hypervisor."""
        if self.others_share is None or self.steal_share is None:
            return None
        return self.others_share + self.steal_share


@dataclass(frozen=True, slots=True, kw_only=True)
class Summary:
    """One contender over all its rounds: medians, if not said otherwise.

    Attributes:
        contender: Who.
        status: The worst of its runs.
        reason: Of the first run that has one.
        rounds: Runs that count: those with a steady state.
        lost: Most pages lost in a run.
        steady_s: Steady state.
        min_s: The shortest steady state.
        max_s: The longest.
        wall_s: Wall time.
        startup_s: Start-up.
        cpu_ms_a_page: CPU of the tree, start-up included, divided by the pages.
        steady_cpu_ms_a_page: The same in steady state only.
        peak_bytes: Largest of the tree.
        main_rss_bytes: Largest of the first process.
        worker_rss_bytes: Largest of another process.
        server_share: CPU of the server, of one core in steady state.
        peak_in_flight: Largest at the server.
        noise_share: What others had of the machine, here and through its hypervisor.
        switches_per_s: Context switches of the machine.
    """

    contender: str
    status: Status
    reason: str = ""
    rounds: int = 0
    lost: int = 0
    steady_s: float | None = None
    min_s: float | None = None
    max_s: float | None = None
    wall_s: float | None = None
    startup_s: float | None = None
    cpu_ms_a_page: float | None = None
    steady_cpu_ms_a_page: float | None = None
    peak_bytes: int = 0
    main_rss_bytes: int = 0
    worker_rss_bytes: int = 0
    server_share: float | None = None
    peak_in_flight: int | None = None
    noise_share: float | None = None
    switches_per_s: float | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Table:
    """One workload, measured.

    Attributes:
        workload: Its name.
        about: What it is.
        pages: Pages of each run.
        server: Who served them.
        summaries: One for each contender, in the order they were run.
        runs: What they are made of.
    """

    workload: str
    about: str
    pages: int
    server: str
    summaries: tuple[Summary, ...]
    runs: tuple[Run, ...] = ()

    def __getitem__(self, contender: str) -> Summary | None:
        """Return what *contender* came to; None if it took no part."""
        return next((s for s in self.summaries if s.contender == contender), None)


@dataclass(frozen=True, slots=True, kw_only=True)
class FrontierResult:
    """A frontier alone.

    Attributes:
        where: Which one.
        requests: So many went through.
        groups: Groups of hosts that they are of.
        push_us: Microseconds to push one, ten in a step.
        take_us: To take one of sixteen.
        complete_us: To complete one of sixteen that led to nothing new.
        memory_bytes: The most that was taken for them.
        bytes_a_group: What each group takes of that, if it was compared with as many
            requests of one group.
        samples_us: Of each time it was measured: to take one and to complete it.
        samples_bytes: Of each time: what each group takes.
        noise_share: What others had of the machine meanwhile.
        status: ``ok``, ``failed`` or ``not run``.
        reason: Why it was not.
    """

    where: str
    requests: int = 0
    groups: int = 1
    push_us: float | None = None
    take_us: float | None = None
    complete_us: float | None = None
    memory_bytes: int | None = None
    bytes_a_group: float | None = None
    samples_us: tuple[float, ...] = ()
    samples_bytes: tuple[float, ...] = ()
    noise_share: float | None = None
    status: Status = "ok"
    reason: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Results:
    """Everything one command measured.

    Attributes:
        environment: Where and with what.
        tables: One for each workload.
        frontier: One for each place that requests wait in.
        imports_s: Seconds of each ``import NAME`` in a fresh process, by name, in turn.
    """

    environment: dict[str, str | int | float | None] = field(default_factory=dict)
    tables: tuple[Table, ...] = ()
    frontier: tuple[FrontierResult, ...] = ()
    imports_s: dict[str, list[float]] = field(default_factory=dict)

    def table(self, workload: str) -> Table | None:
        """Return the table of *workload*; None if it was not measured."""
        return next((t for t in self.tables if t.workload == workload), None)


_WORST: tuple[Status, ...] = ("failed", "not run", "lost", "ok")


def summarise(contender: str, runs: Iterable[Run], pages: int) -> Summary:
    """Return what the runs of *contender* come to.

    A run that failed counts for its status alone; one that lost pages counts with its
    time too, and is named.
    """
    runs = [run for run in runs if run.contender == contender]
    status = min((run.status for run in runs), key=_WORST.index)
    reason = next((run.reason for run in runs if run.reason), "")
    good = [run for run in runs if run.counts]

    def middle(of: Callable[[Run], float | None]) -> float | None:
        values = [value for run in good if (value := of(run)) is not None]
        return median(values) if values else None

    def largest(of: Callable[[Run], int]) -> int:
        return max((of(run) for run in good), default=0)

    steady = [run.steady_s for run in good if run.steady_s is not None]
    flights = [run.peak_in_flight for run in good if run.peak_in_flight is not None]
    return Summary(
        contender=contender,
        status=status,
        reason=reason,
        rounds=len(steady),
        lost=largest(lambda run: run.lost),
        steady_s=middle(lambda run: run.steady_s),
        min_s=min(steady, default=None),
        max_s=max(steady, default=None),
        wall_s=middle(lambda run: run.wall_s),
        startup_s=middle(lambda run: run.startup_s),
        cpu_ms_a_page=middle(lambda run: run.cpu_s * 1000 / pages),
        steady_cpu_ms_a_page=middle(lambda run: _ms_a_page(run, pages)),
        peak_bytes=largest(lambda run: run.peak_bytes),
        main_rss_bytes=largest(lambda run: run.main_rss_bytes),
        worker_rss_bytes=largest(lambda run: run.worker_rss_bytes),
        server_share=middle(_server_share),
        peak_in_flight=max(flights, default=None),
        noise_share=middle(lambda run: run.noise_share),
        switches_per_s=middle(lambda run: run.switches_per_s),
    )


def _ms_a_page(run: Run, pages: int) -> float | None:
    return None if run.steady_cpu_s is None else run.steady_cpu_s * 1000 / pages


def _server_share(run: Run) -> float | None:
    return run.server_cpu_s / run.steady_s if run.steady_s else None
