"""How fast and how many at a time a group of hosts may be asked. Pure.

A limiter is told what happens and when, and answers what may happen. It has no clock,
sends nothing and waits for nothing.

There are two steps on the way to a site. A request is *leased* when a process gets it,
and *admitted* when it may start: between the two a process may do other things for it
(fetch robots.txt, say). Only what is admitted counts as in flight; leasing is held back
just so far that requests of a group that must wait do not fill all processes.

What is admitted is not at the site yet: it may have to go to another process, start a
thread, open a connection. A site counts from when a request comes. So where time must
pass between two requests it is counted from when the earlier one was *sent*, and until
that is known it is on its way and holds up the next.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Callable

#: Seconds after which what was admitted counts as sent, though no report came: it
#: tries to connect to a host that does not answer, or its process is dead.
LONGEST_WAY_S = 10.0

#: Seconds after its last request, and its delay, after which a group that nothing is
#: known of is forgotten. Scrapy's downloader keeps the slot of a site as long.
IDLE_S = 60.0

#: A limit of requests in flight that lets none start: 0 means that there is no limit.
NONE_AT_ALL = -1


@dataclass(frozen=True, slots=True, kw_only=True)
class Throttle:
    """How AutoThrottle adapts a delay to the latency.

    Attributes:
        target: Requests in flight to aim at on average.
        start_delay_s: The first delay.
        max_delay_s: The highest.
    """

    target: float
    start_delay_s: float
    max_delay_s: float


@dataclass(frozen=True, slots=True, kw_only=True)
class GroupLimits:
    """The limits of a group.

    Attributes:
        in_flight: Requests at a time; 0 means no limit, ``NONE_AT_ALL`` none.
        delay_s: Mean seconds between two requests.
        jitter: How far a delay may stray, as a share of it.
        rate_per_s: Requests a second on average, as a token bucket; 0 means no limit.
        burst: Tokens that the bucket holds: requests that may start at once.
        min_pause_s: The first pause after a 429 or 503 that names none.
        max_pause_s: The longest pause that is waited for.
        throttle: How the delay adapts, or None if it does not.
    """

    in_flight: int = 0
    delay_s: float = 0.0
    jitter: float = 0.0
    rate_per_s: float = 0.0
    burst: int = 1
    min_pause_s: float = 1.0
    max_pause_s: float = 600.0
    throttle: Throttle | None = None


class Written(NamedTuple):
    """What a project wrote to a slot of Scrapy's downloader while the crawl runs.

    Attributes:
        delay_s: Mean seconds between two requests; None if it was not written.
        concurrency: Requests at a time, or None. None at all are sent with 0, as in
            Scrapy.
        jitter: How far a delay may stray, as a share of it, or None.
    """

    delay_s: float | None = None
    concurrency: int | None = None
    jitter: float | None = None

    def over(self, earlier: Written) -> Written:
        """Return it with what only *earlier* says."""
        said = {
            name: value for name, value in self._asdict().items() if value is not None
        }
        return earlier._replace(**said)

    def limits(self, base: GroupLimits) -> GroupLimits:
        """Return *base* with what it says otherwise."""
        in_flight = base.in_flight
        if self.concurrency is not None:
            # Of a limit, 0 means that there is none.
            in_flight = self.concurrency if self.concurrency > 0 else NONE_AT_ALL
        return replace(
            base,
            in_flight=in_flight,
            delay_s=base.delay_s if self.delay_s is None else max(0.0, self.delay_s),
            jitter=base.jitter if self.jitter is None else self.jitter,
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class FetchResult:
    """How a request that was admitted went.

    Attributes:
        status: HTTP status, or None if no response came.
        latency_s: Seconds to the first byte, or None.
        retry_after_s: Seconds that the site asks us to wait, or None.
    """

    status: int | None = None
    latency_s: float | None = None
    retry_after_s: float | None = None


@dataclass(frozen=True, slots=True)
class _OnWay:
    """A request that was admitted and not reported as sent.

    Attributes:
        lease_id: Its lease id, or None.
        since_s: When it was admitted.
        delay_s: How long after it the next may be sent.
    """

    lease_id: int | None
    since_s: float
    delay_s: float


@dataclass(slots=True)
class GroupLimiter:
    """The state of one group. ``in_flight`` never exceeds its limit.

    Attributes:
        why: Why it was paused last, for people to read; empty if it never was.
    """

    limits: GroupLimits
    in_flight: int = field(default=0, init=False)
    coming: int = field(default=0, init=False)
    opens_at_s: float = field(default=0.0, init=False)
    delay_s: float = field(default=0.0, init=False)
    why: str = field(default="", init=False)
    _paused_until_s: float = field(default=0.0, init=False)
    _bucket_full_at_s: float = field(default=0.0, init=False)
    _refusals: int = field(default=0, init=False)
    _asked_delay_s: float = field(default=0.0, init=False)  # by the site
    _last_s: float = field(default=0.0, init=False)  # when one started or was sent
    _on_way: tuple[_OnWay, ...] = field(default=(), init=False)
    _was_changed: bool = field(default=False, init=False)

    def __post_init__(self) -> None:
        """Start with the delay that is set."""
        self.delay_s = self.limits.delay_s
        if self.limits.throttle is not None:
            self.delay_s = max(self.delay_s, self.limits.throttle.start_delay_s)

    def lease_at_s(self, now_s: float) -> float:
        """Return when, by the clock, a request may be leased.

        Infinity means that something must end first.
        """
        limit = self.limits.in_flight
        if limit and self.in_flight + self.coming >= limit:
            return math.inf
        if self.is_paced() and self.coming:
            return math.inf
        pause_s = self.pause_left_s(now_s)
        if 0 < pause_s <= self.limits.max_pause_s:
            return self._paused_until_s
        return now_s  # one that is paused for too long is leased, too, to fail

    def idle_at_s(self) -> float:
        """Return when the group will be as if it had never been asked.

        Infinity means that it is in use, or must be remembered: its site has asked for
        a delay, or the project has set limits of its own.
        """
        is_used = self.in_flight or self.coming
        if is_used or self._asked_delay_s or self._was_changed:
            return math.inf
        last_s, delay_s, full_at_s = self._last_s, self.delay_s, self._bucket_full_at_s
        if self._on_way:  # they were sent by then, though no report came
            last_s = self._on_way[-1].since_s + LONGEST_WAY_S
            delay_s = max(way.delay_s for way in self._on_way)
            if self.limits.rate_per_s:
                full_at_s = max(last_s, full_at_s)
                full_at_s += len(self._on_way) / self.limits.rate_per_s
        quiet_at_s = last_s and last_s + delay_s + IDLE_S
        memory_s = self.limits.max_pause_s if self._refusals else 0.0
        paused_until_s = self._paused_until_s + memory_s
        return max(quiet_at_s, self.opens_at_s, full_at_s, paused_until_s)

    def is_open(self, now_s: float) -> bool:
        """Return whether a request may start at *now_s*."""
        return self.has_capacity() and now_s >= self.next_start_s()

    def has_capacity(self) -> bool:
        """Return whether one more may be in flight, whatever the time."""
        return not self.limits.in_flight or self.in_flight < self.limits.in_flight

    def is_paced(self) -> bool:
        """Return whether time must pass between two starts."""
        return bool(self.delay_s or self.limits.rate_per_s)

    def next_start_s(self) -> float:
        """Return the earliest time for a start, whatever is in flight."""
        earliest_s = max(self.opens_at_s, self._paused_until_s)
        if self.limits.rate_per_s:
            # Those on their way will take a token each, at an unknown time.
            spare = self.limits.burst - 1 - len(self._on_way)
            until_s = self._bucket_full_at_s - spare / self.limits.rate_per_s
            earliest_s = max(earliest_s, until_s)
        if self._on_way and len(self._on_way) >= self._most_on_way():
            earliest_s = max(earliest_s, self._on_way[0].since_s + LONGEST_WAY_S)
        return earliest_s

    def pause_left_s(self, now_s: float) -> float:
        """Return how much longer the group is paused, 0 if it is not."""
        return max(0.0, self._paused_until_s - now_s)

    def start(
        self,
        now_s: float,
        uniform: Callable[[float, float], float],
        lease_id: int | None = None,
    ) -> None:
        """Count a request that starts at *now_s*.

        Args:
            now_s: The time.
            uniform: ``random.uniform`` or what stands for it.
            lease_id: Its lease id, or None.
        """
        self.in_flight += 1
        self._last_s = now_s
        delay_s = 0.0
        if self.delay_s:
            spread = self.limits.jitter
            delay_s = max(0.0, self.delay_s * (1 + uniform(-spread, spread)))
        if self._has_promise():
            self._on_way = (*self._on_way, _OnWay(lease_id, now_s, delay_s))
        else:  # AutoThrottle's delay alone is an aim, and no promise
            self.opens_at_s = now_s + delay_s

    def sent(self, lease_id: int | None, at_s: float) -> None:
        """Count a request that was sent at *at_s*, the latest.

        One that is not on its way is sent once more: its connection had been closed.
        """
        for i, way in enumerate(self._on_way):
            if way.lease_id == lease_id:
                self._on_way = (*self._on_way[:i], *self._on_way[i + 1 :])
                self._depart(at_s, way.delay_s)
                return
        if self._has_promise():
            self._depart(at_s, self.delay_s)

    def is_on_way(self, lease_id: int) -> bool:
        """Return whether the request with *lease_id* was not reported as sent."""
        return any(way.lease_id == lease_id for way in self._on_way)

    def expire(self, now_s: float) -> None:
        """Count what has been on its way for too long as sent now."""
        while self._on_way and now_s >= self._on_way[0].since_s + LONGEST_WAY_S:
            oldest, *others = self._on_way
            self._on_way = tuple(others)
            self._depart(now_s, oldest.delay_s)

    def _depart(self, at_s: float, delay_s: float) -> None:
        """Count time from a request that was sent.

        References:
            The bucket is kept as the time at which it is full again, which is the
            generic cell rate algorithm, https://en.wikipedia.org/wiki/GCRA.
        """
        if self.limits.rate_per_s:
            full_s = max(at_s, self._bucket_full_at_s)
            self._bucket_full_at_s = full_s + 1 / self.limits.rate_per_s
        # Jitter is for our own delay, the site's is the least that it wants.
        delay_s = max(delay_s, self._asked_delay_s)
        self._last_s = max(self._last_s, at_s)
        self.opens_at_s = max(self.opens_at_s, at_s + delay_s)

    def _least_delay_s(self) -> float:
        return max(self.limits.delay_s, self._asked_delay_s)

    def _has_promise(self) -> bool:
        return bool(self._least_delay_s() or self.limits.rate_per_s)

    def _most_on_way(self) -> int:
        return 1 if self._least_delay_s() else self.limits.burst

    def finish(self) -> None:
        """Count a request that is no longer at the site."""
        self.in_flight -= 1

    def slow_down(self, delay_s: float) -> None:
        """Keep at least *delay_s* between two starts from now on."""
        self._asked_delay_s = max(self._asked_delay_s, delay_s)
        self.delay_s = max(self.delay_s, delay_s)

    def change(self, limits: GroupLimits, since_s: float | None) -> None:
        """Keep other limits from the next start on.

        Args:
            limits: The new limits.
            since_s: When the last start was, if it was not counted here; else None.
        """
        if limits.delay_s != self.limits.delay_s:
            self.delay_s = max(limits.delay_s, self._asked_delay_s)
            self._last_s = max(self._last_s, since_s or 0.0)
            self.opens_at_s = self._last_s + self.delay_s if self._last_s else 0.0
            self._on_way = tuple(
                replace(way, delay_s=self.delay_s) for way in self._on_way
            )
        self.limits = limits
        self._was_changed = True

    def learn(
        self,
        result: FetchResult,
        now_s: float,
        uniform: Callable[[float, float], float],
    ) -> None:
        """Learn from how a request went: pause, back off, adapt the delay."""
        if result.status in (429, 503):
            self._back_off(result, now_s, uniform)
        elif result.status is not None:
            self._refusals = 0
        if self.limits.throttle is not None and result.latency_s is not None:
            self._adapt(self.limits.throttle, result.latency_s, result.status)

    def _back_off(
        self,
        result: FetchResult,
        now_s: float,
        uniform: Callable[[float, float], float],
    ) -> None:
        if result.retry_after_s is None and self._paused_until_s > now_s:
            return  # another answer to the same burst: it is paused already
        if now_s >= self._paused_until_s + self.limits.max_pause_s:
            self._refusals = 0  # so long ago that the group may have been forgotten
        pause_s = self.limits.min_pause_s * 2**self._refusals * uniform(1.0, 1.5)
        pause_s = min(pause_s, self.limits.max_pause_s)
        self.why = f"status {result.status}"
        if result.retry_after_s is not None:
            pause_s = result.retry_after_s
            self.why += f", Retry-After {pause_s:.0f} s"
        self._refusals = min(self._refusals + 1, 30)
        self._paused_until_s = max(self._paused_until_s, now_s + pause_s)

    def _adapt(self, throttle: Throttle, latency_s: float, status: int | None) -> None:
        # Scrapy's rule: half way to the target at once if that is slower, and an error
        # page, which comes quickly, never makes it faster.
        target_s = latency_s / throttle.target
        delay_s = max(target_s, (self.delay_s + target_s) / 2)
        delay_s = max(min(delay_s, throttle.max_delay_s), self._least_delay_s())
        if status == 200 or delay_s > self.delay_s:
            self.delay_s = delay_s
