"""What ends a request, or the crawl, while it runs."""

from __future__ import annotations

from concurcrawl.errors.base import ConcurcrawlError


class WorkerLostError(ConcurcrawlError):
    """A worker ended before it had done what it was lent.

    Attributes:
        worker: Its name.
    """

    def __init__(self, worker: str) -> None:
        super().__init__(worker)
        self.worker = worker

    def __str__(self) -> str:
        return f"{self.worker} ended before it had finished its requests"


class LocalRequestsLostError(ConcurcrawlError):
    """A worker ended that had requests which could not leave it.

    Attributes:
        worker: Its name.
    """

    def __init__(self, worker: str) -> None:
        super().__init__(worker)
        self.worker = worker

    def __str__(self) -> str:
        return (
            f"{self.worker} ended, and with it the requests that came of this one and "
            "held what cannot be sent to another process"
        )


class LeaseReturnedError(ConcurcrawlError):
    """A worker returned a request that it had not begun: the crawl is paused.

    Attributes:
        worker: Its name.
    """

    def __init__(self, worker: str) -> None:
        super().__init__(worker)
        self.worker = worker

    def __str__(self) -> str:
        return f"{self.worker} returned a request that it had not begun"


class LeaseLostError(ConcurcrawlError, KeyError):
    """A request is not lent to who says so, or no longer: others may have it.

    Attributes:
        lease_id: Its lease id.
    """

    def __init__(self, lease_id: int) -> None:
        super().__init__(lease_id)
        self.lease_id = lease_id

    def __str__(self) -> str:
        return f"lease {self.lease_id} expired; its results were discarded"


class DeadLetteredError(ConcurcrawlError):
    """A request was set aside because workers died each time they held it.

    Attributes:
        attempts: How many died.
    """

    def __init__(self, attempts: int) -> None:
        super().__init__(attempts)
        self.attempts = attempts

    def __str__(self) -> str:
        return f"{self.attempts} workers died while they did this request"


class ResultsError(ConcurcrawlError):
    """The results of a request could not be applied, each time that it was done.

    Attributes:
        attempts: How often.
    """

    def __init__(self, attempts: int) -> None:
        super().__init__(attempts)
        self.attempts = attempts

    def __str__(self) -> str:
        return f"its results could not be applied, {self.attempts} times"


class UnfinishedError(ConcurcrawlError):
    """A callback had not ended when the time for a stop was over."""

    def __str__(self) -> str:
        return "it had not ended when the time for a stop was over"


class BlockedError(ConcurcrawlError):
    """A callback had blocked its process when the time for a stop was over.

    Attributes:
        where: File, line and function.
        timeout_s: Seconds for which it had blocked.
    """

    def __init__(self, where: str, timeout_s: float) -> None:
        super().__init__(where, timeout_s)
        self.where = where
        self.timeout_s = timeout_s

    def __str__(self) -> str:
        return (
            f"{self.where} had blocked the process for {self.timeout_s:g} s after the "
            "crawl was told to stop (CONCURCRAWL_STOP_TIMEOUT_S), and was ended"
        )


class StalledError(ConcurcrawlError):
    """A request was dropped because the crawl had stalled."""

    def __str__(self) -> str:
        return "the crawl had stalled and ends"


class WorkersFailedError(ConcurcrawlError):
    """Workers kept dying, so the crawl gives up.

    Attributes:
        restarts: How often one was replaced.
    """

    def __init__(self, restarts: int) -> None:
        super().__init__(restarts)
        self.restarts = restarts

    def __str__(self) -> str:
        return (
            f"{self.restarts} workers died; the crawl ends. Look above for why the "
            "first one did; raise CONCURCRAWL_MAX_RESTARTS if that is to be expected."
        )


class PausedTooLongError(ConcurcrawlError):
    """A site asks for a pause that is longer than the crawl waits.

    Attributes:
        group: The site's group of hosts.
        pause_s: How long it still wants to be left alone.
        max_pause_s: How long the crawl waits at most.
    """

    def __init__(self, group: str, pause_s: float, max_pause_s: float) -> None:
        super().__init__(group, pause_s, max_pause_s)
        self.group = group
        self.pause_s = pause_s
        self.max_pause_s = max_pause_s

    def __str__(self) -> str:
        return (
            f"{self.group} asks for a pause of {self.pause_s:.0f} s (Retry-After), "
            f"more than CONCURCRAWL_MAX_PAUSE_S={self.max_pause_s:g}; crawl it later, "
            "or raise that setting"
        )


class ControlError(ConcurcrawlError):
    """A running crawl cannot be reached, or refuses what it is told.

    Attributes:
        what: Why, in words.
    """

    def __init__(self, what: str) -> None:
        super().__init__(what)
        self.what = what

    def __str__(self) -> str:
        return self.what
