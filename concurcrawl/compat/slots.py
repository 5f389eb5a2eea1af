"""A slot of Scrapy's downloader whose attributes are read and written elsewhere."""

from __future__ import annotations

from abc import abstractmethod

from scrapy.core.downloader import Slot

from concurcrawl.compat.parts import touches


@touches("scrapy.core.downloader", "Slot.delay", "Slot.concurrency", "Slot.jitter")
class AskedSlot(Slot):
    """A slot whose subclass provides its limits and handles assignments to them.

    Touches: ``scrapy.core.downloader.Slot``, whose ``delay``, ``concurrency`` and
    ``jitter`` (and by it ``randomize_delay``) become properties (Scrapy 2.19.0). If
    they move, what a project writes to them is ignored. Wished for: a documented way
    to change the limits of a site while a crawl runs.
    """

    __slots__ = ()

    @abstractmethod
    def shown(self) -> tuple[float, int, float]:
        """Return delay (seconds), concurrency (requests) and jitter (a share)."""

    @abstractmethod
    def write(
        self,
        *,
        delay_s: float | None = None,
        concurrency: int | None = None,
        jitter: float | None = None,
    ) -> None:
        """Handle an assignment to one of the attributes below."""

    @property
    def delay(self) -> float:
        """Mean seconds between two requests."""
        return self.shown()[0]

    @delay.setter
    def delay(self, seconds: float) -> None:
        self.write(delay_s=float(seconds))

    @property
    def concurrency(self) -> int:
        """Requests at a time."""
        return self.shown()[1]

    @concurrency.setter
    def concurrency(self, requests: int) -> None:
        self.write(concurrency=int(requests))

    @property
    def jitter(self) -> float:
        """How far the delay may stray, as a share of it."""
        return self.shown()[2]

    @jitter.setter
    def jitter(self, share: float) -> None:
        self.write(jitter=float(share))
