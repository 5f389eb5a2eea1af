"""Events of a running comparison, and the contract of what displays them."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections import deque
from dataclasses import dataclass
from typing import TYPE_CHECKING, Self

if TYPE_CHECKING:
    from concurcrawl.tools.compare.options import Experiment
    from concurcrawl.tools.compare.runs import Run
    from concurcrawl.tracing.record import Record

_WINDOW_S = 2.0


@dataclass(frozen=True, slots=True)
class ExperimentStarted:
    """An experiment begins; it has one row per mode."""

    experiment: Experiment
    modes: tuple[str, ...]
    rounds: int


@dataclass(frozen=True, slots=True)
class RunStarted:
    """A crawl is about to start; round 0 is the warm-up."""

    mode: str
    round: int
    level: int | None = None


@dataclass(frozen=True, slots=True)
class RunAdvanced:
    """Progress of the current crawl.

    Attributes:
        done: Pages so far.
        failed: Failed requests so far.
        in_flight: Requests in flight on average; None if it is too early to say.
        pages_per_s: Since its first page; None likewise.
    """

    done: int
    failed: int
    in_flight: float | None = None
    pages_per_s: float | None = None


@dataclass(frozen=True, slots=True)
class RunEnded:
    """The crawl has ended or failed."""

    run: Run


CompareEvent = ExperimentStarted | RunStarted | RunAdvanced | RunEnded


class CompareProgress(ABC):
    """Receives the events of a comparison, in their order, in one thread.

    One :class:`ExperimentStarted` comes first; then for each run :class:`RunStarted`,
    any number of :class:`RunAdvanced`, and :class:`RunEnded`, unless it was the warm-up
    or the comparison is stopped.
    """

    def __enter__(self) -> Self:
        """Start the display."""
        self.begin()
        return self

    def __exit__(self, *_: object) -> None:
        """Restore the terminal."""
        self.end()

    def begin(self) -> None:  # noqa: B027 - a line a run needs no beginning
        """Start the display."""

    def end(self) -> None:  # noqa: B027 - nor an end
        """Remove what is temporary."""

    @abstractmethod
    def on_event(self, event: CompareEvent) -> None:
        """Show *event*."""


class Counted:
    """Progress of a running crawl, computed from its records.

    A record is written when its request is done, so the requests in flight are not
    visible. Their average follows from how many finish per second and how long each
    took, at no cost for the crawl and its site.

    References:
        J. D. C. Little, "A Proof for the Queuing Formula: L = λW", Operations Research
        9(3), 1961.
    """

    def __init__(self) -> None:
        self._done = self._failed = 0
        self._first_s: float | None = None
        self._last_s = 0.0
        self._recent: deque[tuple[float, float]] = deque()

    def add(self, record: Record, *, is_good: bool) -> None:
        """Count *record*."""
        end_s = record.done_s if record.downloaded_s is None else record.downloaded_s
        if is_good:
            self._done += 1
        else:
            self._failed += 1
        if self._first_s is None:
            self._first_s = record.done_s
        self._last_s = max(self._last_s, record.done_s)
        self._recent.append((end_s, end_s - record.asked_s))

    def at(self, now_s: float) -> RunAdvanced:
        """Return the progress.

        Args:
            now_s: Seconds since the epoch.
        """
        while self._recent and self._recent[0][0] < now_s - _WINDOW_S:
            self._recent.popleft()
        if self._first_s is None or now_s - self._first_s < _WINDOW_S:
            return RunAdvanced(self._done, self._failed)
        span_s = self._last_s - self._first_s
        return RunAdvanced(
            self._done,
            self._failed,
            in_flight=sum(away_s for _, away_s in self._recent) / _WINDOW_S,
            pages_per_s=(self._done - 1) / span_s if span_s > 0 else None,
        )
