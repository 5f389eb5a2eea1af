"""The slots of Scrapy's downloader, whose delay and concurrency a project may write."""

from __future__ import annotations

from typing import TYPE_CHECKING

from scrapy.core.downloader import Slot
from typing_extensions import override

from concurcrawl.compat.slots import AskedSlot
from concurcrawl.limits.handler import slot_of
from concurcrawl.limits.limiter import Written

if TYPE_CHECKING:
    from collections.abc import Callable

    from scrapy import Request

    from concurcrawl.limits.policy import Politeness


class SlotLimits:
    """The limits of groups, as slots show and change them."""

    def __init__(
        self,
        politeness: Politeness,
        no_limit: int,
        change: Callable[[str, str, Written], None],
        delay_s: Callable[[str], float] | None = None,
    ) -> None:
        """Make one.

        Args:
            politeness: What is written.
            no_limit: The concurrency that a slot shows if its group has no limit.
            change: Called with a group, a slot and what was written to it.
            delay_s: Returns the seconds between two requests of a group if more is
                known of them than what is written.
        """
        self._politeness = politeness
        self._no_limit = no_limit
        self._delay_s = delay_s
        self.change = change

    def group_of(self, slot: str, request: Request | None) -> str:
        """Return the group that a slot stands for, made for *request* if it is."""
        # A redirect takes the slot of another host along.
        is_own = request is not None and slot_of(request) is not None
        url = request.url if request is not None and is_own else None
        return self._politeness.group_of_slot(slot, url)

    def shown(self, group: str) -> Written:
        """Return delay, concurrency and jitter of *group* that are in effect."""
        limits = self._politeness.limits_of(group)
        delay_s = limits.delay_s if self._delay_s is None else self._delay_s(group)
        in_flight = limits.in_flight or self._no_limit
        return Written(delay_s, max(0, in_flight), limits.jitter)


class LimitedSlot(AskedSlot):
    """A slot that shows the limits of a group; what is written to it changes them."""

    __slots__ = ("_group", "_limits", "_name")

    def __init__(self, name: str, group: str, limits: SlotLimits) -> None:
        self._name = name
        self._group = group
        self._limits: SlotLimits | None = None  # the base writes its defaults
        super().__init__(0, 0.0, 0.0)
        self._limits = limits

    @override
    def shown(self) -> tuple[float, int, float]:
        found = self._shown()
        return found.delay_s or 0.0, found.concurrency or 0, found.jitter or 0.0

    @override
    def write(
        self,
        *,
        delay_s: float | None = None,
        concurrency: int | None = None,
        jitter: float | None = None,
    ) -> None:
        written = Written(delay_s, concurrency, jitter)
        # Extensions write at each response, mostly what is there.
        if self._limits is not None and written.over(self._shown()) != self._shown():
            self._limits.change(self._group, self._name, written)

    def _shown(self) -> Written:
        return Written() if self._limits is None else self._limits.shown(self._group)


class Slots(dict[str, Slot]):
    """The slots of a downloader, by their names.

    A slot of Scrapy's own that a project puts in counts as three writes.

    Attributes:
        limits: What slots show and change; None until the scheduler opens.
    """

    def __init__(self) -> None:
        super().__init__()
        self.limits: SlotLimits | None = None

    def open(self, name: str, request: Request) -> Slot:
        """Return a new slot called *name*, made for *request*."""
        slot = self._made(name, request) or Slot(1 << 30, 0.0, 0.0)
        super().__setitem__(name, slot)
        return slot

    def __setitem__(self, name: str, slot: Slot) -> None:
        """Take over what a project's own slot says."""
        made = None if isinstance(slot, LimitedSlot) else self._made(name, None)
        super().__setitem__(name, made or slot)
        if made is not None:
            made.delay = slot.delay
            made.concurrency = slot.concurrency
            made.jitter = slot.jitter

    def _made(self, name: str, request: Request | None) -> LimitedSlot | None:
        if self.limits is None:
            return None
        return LimitedSlot(name, self.limits.group_of(name, request), self.limits)
