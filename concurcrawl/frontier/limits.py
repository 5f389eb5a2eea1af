"""How fast and how many at a time a group of hosts may be asked. Pure.

A gate is told what happens and when; it answers what may happen. It has no clock.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """What each group must not exceed.

    Attributes:
        in_flight: Requests at a time; 0 means no limit.
        delay_s: Mean seconds between the starts of two requests.
        jitter: How far a delay may stray, as a share of it.
    """

    in_flight: int = 0
    delay_s: float = 0.0
    jitter: float = 0.0


@dataclass(slots=True)
class Gate:
    """The state of one group. ``in_flight`` never exceeds its limit."""

    limits: Limits
    in_flight: int = field(default=0, init=False)
    opens_at_s: float = field(default=0.0, init=False)

    def is_open(self, now_s: float) -> bool:
        """Tell whether a request may start at *now_s*."""
        return self.has_room() and now_s >= self.opens_at_s

    def has_room(self) -> bool:
        """Tell whether one more may be in flight, whatever the time."""
        return not self.limits.in_flight or self.in_flight < self.limits.in_flight

    def start(self, now_s: float, uniform: Callable[[float, float], float]) -> None:
        """Count a request that starts at *now_s*.

        Args:
            now_s: The time.
            uniform: ``random.uniform`` or what stands for it.
        """
        self.in_flight += 1
        if self.limits.delay_s:
            spread = self.limits.jitter
            delay = self.limits.delay_s * (1 + uniform(-spread, spread))
            self.opens_at_s = now_s + max(0.0, delay)

    def finish(self) -> None:
        """Count a request that is no longer at the site."""
        self.in_flight -= 1
