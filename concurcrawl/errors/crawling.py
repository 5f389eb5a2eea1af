"""What ends a request, or the crawl, while it runs."""

from __future__ import annotations

from concurcrawl.errors.base import ConcurcrawlError
from concurcrawl.errors.sharing import IN_ONE_PROCESS


class WorkerLostError(ConcurcrawlError):
    """A worker died before it had finished the requests that it had leased.

    Attributes:
        worker: Its name.
    """

    def __init__(self, worker: str) -> None:
        super().__init__(worker)
        self.worker = worker

    def __str__(self) -> str:
        return f"{self.worker} ended before it had finished its requests"


class LocalRequestsLostError(ConcurcrawlError):
    """A worker died that held requests which cannot be sent to another process.

    Attributes:
        worker: Its name.
    """

    def __init__(self, worker: str) -> None:
        super().__init__(worker)
        self.worker = worker

    def __str__(self) -> str:
        return (
            f"{self.worker} died, and with it the requests that this one's callback "
            "yielded and that could not be sent to another process"
        )


class LeaseReturnedError(ConcurcrawlError):
    """A worker returned a request that it had not started, because the crawl stops.

    Attributes:
        worker: Its name.
    """

    def __init__(self, worker: str) -> None:
        super().__init__(worker)
        self.worker = worker

    def __str__(self) -> str:
        return f"{self.worker} returned a request that it had not begun"


class LeaseLostError(ConcurcrawlError, KeyError):
    """A lease has expired, and another worker or node may hold the request.

    Attributes:
        lease_id: Its lease id.
    """

    def __init__(self, lease_id: int) -> None:
        super().__init__(lease_id)
        self.lease_id = lease_id

    def __str__(self) -> str:
        return f"lease {self.lease_id} expired; its results were discarded"


class DeadLetteredError(ConcurcrawlError):
    """A request was dead-lettered because every worker that leased it died.

    Attributes:
        attempts: How many workers died.
    """

    def __init__(self, attempts: int) -> None:
        super().__init__(attempts)
        self.attempts = attempts

    def __str__(self) -> str:
        return f"{self.attempts} workers died while they handled this request"


class ResultsError(ConcurcrawlError):
    """The results of a request could not be applied after any attempt.

    Attributes:
        attempts: How many attempts there were.
    """

    def __init__(self, attempts: int) -> None:
        super().__init__(attempts)
        self.attempts = attempts

    def __str__(self) -> str:
        return f"its results could not be applied, {self.attempts} times"


class UnreadableError(ConcurcrawlError):
    """Something that a worker made cannot be decoded in another process.

    Attributes:
        what: What it is, such as "an item".
        reason: What its class raised.
    """

    def __init__(self, what: str, reason: str) -> None:
        super().__init__(what, reason)
        self.what = what
        self.reason = reason

    def __str__(self) -> str:
        return (
            f"{self.what} cannot be read back in another process ({self.reason}); see "
            f"that its class can be unpickled, or {IN_ONE_PROCESS}"
        )


class UnfinishedError(ConcurcrawlError):
    """A callback was still running at the end of ``CONCURCRAWL_STOP_TIMEOUT_S``."""

    def __str__(self) -> str:
        return "it was still running when CONCURCRAWL_STOP_TIMEOUT_S was over"


class BlockedError(ConcurcrawlError):
    """A callback blocked its process until ``CONCURCRAWL_STOP_TIMEOUT_S`` was over.

    Attributes:
        where: File, line and function.
        timeout_s: Seconds that it blocked.
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
        return "the crawl stalled and ends"


class WorkersFailedError(ConcurcrawlError):
    """Workers kept dying, so the crawl gives up.

    Attributes:
        restarts: How many workers were replaced.
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
    """A site asks for a longer pause than ``CONCURCRAWL_MAX_PAUSE_S``.

    Attributes:
        group: The site's group of hosts.
        pause_s: Seconds that are left of the pause.
        max_pause_s: The setting, in seconds.
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
