"""Progress of a crawl: counts, rates and the estimated time left. Pure."""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Protocol, runtime_checkable

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

DASH = "\N{EN DASH}"

#: Seconds over which a rate is averaged, and seconds that it needs at least.
_RATE_WINDOW_S = 10.0
_RATE_MIN_S = 0.8
#: Seconds over which the time left is estimated, and seconds for which the number of
#: open requests must have fallen before it is shown.
_LEFT_WINDOW_S = 30.0
_LEFT_MIN_S = 2.0

_EXCEPTIONS = "downloader/exception_count"
#: A request that was not made, such as one that robots.txt forbids, did not fail.
_IGNORED = "downloader/exception_type_count/scrapy.exceptions.IgnoreRequest"
_RETRIES = "retry/count"
_RETRY_REASON = "retry/reason_count/"


@dataclass(slots=True)
class Tally:
    """Results of requests so far.

    Attributes:
        pages: Responses that reached a callback and are no error.
        errors: Requests that ended without a response, or with status 400 or more,
            and are not retried.
        retries: Requests that are retried.
    """

    pages: int = 0
    errors: int = 0
    retries: int = 0

    def answered(self, status: int) -> None:
        """Count a response that reached a callback."""
        if status < 400:
            self.pages += 1
        else:
            self.errors += 1

    def __add__(self, other: Tally) -> Tally:
        """Return both together."""
        return Tally(
            self.pages + other.pages,
            self.errors + other.errors,
            self.retries + other.retries,
        )


def unanswered(stats: Mapping[str, float]) -> Tally:
    """Return the requests in Scrapy's *stats* that reached no callback."""
    # A reason is an exception's class or, for a response, "503 Service Unavailable".
    again = sum(
        count
        for key, count in stats.items()
        if key.startswith(_RETRY_REASON)
        and not key.removeprefix(_RETRY_REASON)[:1].isdigit()
    )
    lost = stats.get(_EXCEPTIONS, 0) - stats.get(_IGNORED, 0) - again
    return Tally(errors=max(0, int(lost)), retries=int(stats.get(_RETRIES, 0)))


@dataclass(frozen=True, slots=True)
class Row:
    """Progress of one worker.

    Attributes:
        name: Its name.
        tally: Results of its requests.
        in_flight: Requests it is working on, at a site or in a callback; None while
            it is starting.
    """

    name: str
    tally: Tally
    in_flight: int | None


@dataclass(frozen=True, slots=True)
class Sight:
    """Progress of a crawl at one moment.

    Attributes:
        elapsed_s: Since its spider opened.
        workers: A row for each live worker; none if there is only one process.
        total: The sum over all workers, including those that have ended.
        waiting: Requests in the queue; None if the scheduler cannot count them.
        is_starting: Whether the spider's ``start()`` is still running.
    """

    elapsed_s: float
    workers: tuple[Row, ...]
    total: Row
    waiting: int | None
    is_starting: bool

    @property
    def open(self) -> int | None:
        """Requests that are known and not done."""
        if self.waiting is None:
            return None
        return self.waiting + (self.total.in_flight or 0)


@runtime_checkable
class Crew(Protocol):
    """A downloader whose requests are done by workers."""

    def begin_tallies(self) -> None:
        """Count from now on what each worker does."""

    def rows(self) -> tuple[tuple[Row, ...], Tally]:
        """Return a row for each live worker, and the results of all workers."""


@dataclass(slots=True)
class Rates:
    """Rates and the time left, from the last moments of a crawl."""

    _sights: deque[Sight] = field(default_factory=deque)

    def see(self, sight: Sight) -> None:
        """Add the progress of this moment."""
        self._sights.append(sight)
        while self._sights[0].elapsed_s < sight.elapsed_s - _LEFT_WINDOW_S:
            self._sights.popleft()

    def pages_per_s(self, row: Row) -> float | None:
        """Return the recent rate of *row*; None before there is enough to average."""
        return self._rate(
            lambda sight: next(
                (
                    one.tally.pages
                    for one in (sight.total, *sight.workers)
                    if one.name == row.name
                ),
                None,
            )
        )

    def _rate(self, count: Callable[[Sight], int | None]) -> float | None:
        last = self._sights[-1]
        for early in self._sights:
            seen_s = last.elapsed_s - early.elapsed_s
            if seen_s < _RATE_MIN_S:
                break
            if seen_s > _RATE_WINDOW_S or (then := count(early)) is None:
                continue
            now = count(last)
            return None if now is None else (now - then) / seen_s
        return None

    def left_s(self) -> float | None:
        """Return the seconds until all known requests are done, at the recent rate.

        Returns:
            None while that would be a guess: ``start()`` is still running, or new
            requests come as fast as others are done.
        """
        last = self._sights[-1]
        if last.open is None or last.is_starting:
            return None
        most = last
        for sight in self._sights:
            if (sight.open or 0) > (most.open or 0):
                most = sight
        span_s = last.elapsed_s - most.elapsed_s
        done = (most.open or 0) - last.open
        if span_s < _LEFT_MIN_S or done <= 0:
            return None
        return last.open * span_s / done


def duration(seconds: float | None) -> str:
    """Return a time as ``0:07`` or ``1:02:33``; a dash if it is not known."""
    if seconds is None:
        return DASH
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{rest:02}" if hours else f"{minutes}:{rest:02}"


def rate(pages_per_s: float | None) -> str:
    """Return pages per second; a dash if that is not known."""
    return DASH if pages_per_s is None else f"{pages_per_s:.1f}"


def plain_line(name: str, sight: Sight, rates: Rates, *, is_over: bool = False) -> str:
    """Return one line that says how far the spider *name* is, for logs and pipes."""
    total = sight.total
    tally = total.tally
    per_s = rates.pages_per_s(total)
    if is_over:
        per_s = tally.pages / sight.elapsed_s if sight.elapsed_s > 0 else None
    parts = [f"{tally.pages} pages", f"{rate(per_s)} pages/s"]
    if not is_over:
        parts.append(f"{total.in_flight or 0} in flight")
    parts += [f"{tally.errors} errors", f"{tally.retries} retries"]
    if not is_over:
        waiting = DASH if sight.waiting is None else sight.waiting
        parts += [f"{waiting} waiting", f"{duration(rates.left_s())} left"]
    each = ", ".join(f"{row.name} {row.tally.pages}" for row in sight.workers)
    state = " done" if is_over else ""
    return (
        f"{name} {duration(sight.elapsed_s)}{state}: {', '.join(parts)}"
        f"{f' ({each})' if each else ''}"
    )
